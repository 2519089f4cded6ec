"""Record a piece of work as a CUDA graph once, and let the GPU replay it.

A training step of a small network is some 200 kernels, each a few microseconds of a GPU's time, and Python needs longer
than that to ask for each of them. A recording is asked for once: the GPU then limits the step, not Python.

Source: PyTorch, "CUDA semantics", CUDA graphs.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

WARM_UP = 3  # calls before it is recorded: libraries choose their algorithms, an optimiser makes its averages


def check_graph(graph: bool, device: torch.device | str) -> None:
    """Raise a ValueError, in words, if CUDA graphs are asked for on another device.

    Example:
        >>> check_graph(True, "cpu")
        Traceback (most recent call last):
        ValueError: expected graph=True with a CUDA device, got cpu, which has no CUDA graphs
    """
    if graph and (device := torch.device(device)).type != "cuda":
        raise ValueError(f"expected graph=True with a CUDA device, got {device}, which has no CUDA graphs")


class Recorded:
    """A function of tensors, recorded as a CUDA graph after a few calls and replayed from then on.

    The function gets tensors on one GPU and returns tensors. All else that it does must be on that GPU, too, and the
    same each time: whatever it reads or changes there keeps its place in memory, and its Python lines are not run
    again. Random numbers are drawn as without a recording. What it returns is overwritten by the next call.

    Where tensors come in other shapes than those that were recorded, such as a smaller last batch, the function itself
    is called. If it cannot be recorded, that is said in words, and the function itself is called from then on.

    Args:
        work: the function.
        name: what it is called where it cannot be recorded.
        generator: the source of its random numbers besides PyTorch's own.
        optimizer: the optimiser that it steps: its learning rates may change from call to call.
    """

    def __init__(
        self,
        work: Callable[..., tuple[Tensor, ...]],
        name: str,
        generator: torch.Generator | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ):
        self.work, self.name, self.generator, self.optimizer = work, name, generator, optimizer
        self.replays = 0
        """How many calls the GPU has replayed."""
        self._warm_up, self._shapes = WARM_UP, None
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        shapes = [(one.shape, one.dtype) for one in given]
        if self._warm_up is None or (self._shapes is not None and shapes != self._shapes):
            return self.work(*given)
        if self._warm_up:
            self._warm_up, self._shapes = self._warm_up - 1, shapes
            return self._aside(*given)
        if self._graph is None and not self._record(given):
            return self.work(*given)
        for place, one in zip(self._given, given):
            place.copy_(one)
        for rate, group in zip(self._rates, self._groups()):
            rate.fill_(group["lr"])
        self._graph.replay()
        self.replays += 1
        return self._returned

    def _groups(self) -> list[dict]:
        return [] if self.optimizer is None else self.optimizer.param_groups

    def _aside(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Call the function on a stream of its own, as recording does."""
        usual = torch.cuda.current_stream(given[0].device)
        self._stream = self._stream or torch.cuda.Stream(given[0].device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            returned = self.work(*given)
        usual.wait_stream(self._stream)  # each waits for the other: memory of one may be used on the other
        return returned

    def _record(self, given: tuple[Tensor, ...]) -> bool:
        """Record the function; if that fails, say so and undo what recording has begun."""
        device = given[0].device
        generators = [torch.cuda.default_generators[device.index]]
        if self.generator is not None and self.generator.device.type == "cuda":
            generators.append(self.generator)
        before = [generator.clone_state() for generator in generators]
        self._given = [one.clone() for one in given]
        self._rates = [torch.tensor(group["lr"], device=device) for group in self._groups()]
        graph = torch.cuda.CUDAGraph()
        try:
            for generator in generators[1:]:
                graph.register_generator_state(generator)  # PyTorch's own is registered anyway
            with _recordable(self._groups(), self._rates), torch.cuda.graph(graph, stream=self._stream):
                self._returned = self.work(*self._given)
        except BaseException as error:
            for generator, state in zip(generators, before):
                generator.graphsafe_set_state(state)  # it would go on waiting for the end of the recording
            self._warm_up = None
            del self._given, self._rates
            if not isinstance(error, RuntimeError):
                raise
            why = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            self._graph = graph
            return True
        del graph  # out here: as long as the error lives, it keeps the memory it refers to
        torch.cuda.empty_cache()
        tqdm.write(f"{self.name} could not be recorded as a CUDA graph ({why}): going on without.")
        return False


@contextlib.contextmanager
def _recordable(groups: list[dict], rates: list[Tensor]) -> Iterator[None]:
    """Let an optimiser be recorded: with learning rates that lie on the GPU, where they can change."""
    usual = [{key: group[key] for key in ("lr", "capturable") if key in group} for group in groups]
    try:
        for group, rate in zip(groups, rates):
            group.update(dict.fromkeys(group.keys() & {"capturable"}, True), lr=rate)
        yield
    finally:
        for group, values in zip(groups, usual):
            group.update(values)
