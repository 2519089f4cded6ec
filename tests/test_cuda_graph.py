"""A recorded function does what the function does: also in other shapes, at other rates, and where recording fails."""

import contextlib
import types

import pytest
import torch
from torch import nn

from stn_course.augmentation import FlipAndShift
from stn_course.cuda_graph import WARM_UP, Recorded
from stn_course.data import Batches, ImageData
from stn_course.experiments import EXPERIMENTS, run
from stn_course.training import fit

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


# Without a GPU: in place of PyTorch's recorder one that notes what is called, and calls it again


class Recorder:
    """A recording: what `Scaling` did while it was made."""

    now = None

    def register_generator_state(self, generator):
        pass

    def replay(self):
        self.again()

    @contextlib.contextmanager
    def begin(self, stream):
        Recorder.now = self
        try:
            yield
        finally:
            Recorder.now = None


class Stream:
    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


class Generator:
    """A generator of a GPU: one whose recording broke off would refuse to go on."""

    def __init__(self):
        self.state = "as it was"

    def clone_state(self):
        return self.state

    def graphsafe_set_state(self, state):
        self.state = state


class Scaling:
    """Multiplies by the learning rate, and notes how often its own lines are run."""

    def __init__(self, optimizer, fails=None):
        self.optimizer, self.fails, self.calls, self.capturable = optimizer, fails, 0, None

    def __call__(self, x):
        self.calls += 1
        rate, result = self.optimizer.param_groups[0]["lr"], x * self.optimizer.param_groups[0]["lr"]
        if Recorder.now is not None:
            self.capturable = self.optimizer.param_groups[0]["capturable"]
            torch.cuda.default_generators[0].state = "recording"
            if self.fails:
                raise self.fails
            Recorder.now.again = lambda: result.copy_(x * rate)
            result.fill_(torch.nan)  # while it is recorded nothing is computed
        return (result,)


@pytest.fixture
def gpu(monkeypatch):
    """A module `torch.cuda` whose device 0 computes what the CPU does."""
    generators = [Generator()]
    pretended = {
        "CUDAGraph": Recorder,
        "graph": lambda graph, stream: graph.begin(stream),
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "default_generators": types.MappingProxyType({0: generators[0], None: generators[0]}),
        "empty_cache": lambda: None,
    }
    for name, value in pretended.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return generators[0]


@pytest.fixture
def optimizer():
    return torch.optim.AdamW([nn.Parameter(torch.zeros(1))], 1.0)


def test_it_is_called_then_recorded_then_replayed_at_the_rate_and_on_the_input_of_the_moment(gpu, optimizer):
    work = Scaling(optimizer)
    recorded = Recorded(work, "Scaling", optimizer=optimizer)
    for call in range(1, 9):
        optimizer.param_groups[0]["lr"] = call / 4
        x = torch.tensor([1.0, 2.0]) * call
        (result,) = recorded(x)
        assert torch.equal(result, x * call / 4)
        assert work.calls == min(call, WARM_UP + 1)  # the last of them to be recorded
        assert recorded.replays == max(0, call - WARM_UP)
        assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["capturable"]) == (call / 4, False)
    assert work.capturable is True


def test_what_comes_in_another_shape_is_not_replayed(gpu, optimizer):
    work = Scaling(optimizer)
    recorded = Recorded(work, "Scaling", optimizer=optimizer)
    for call in range(8):
        assert recorded(torch.full((4,), float(call)))[0].tolist() == [call] * 4
        assert recorded(torch.full((3,), float(call)))[0].tolist() == [call] * 3
        assert recorded(torch.full((4,), call, dtype=torch.float64))[0].dtype == torch.float64
    assert recorded.replays == 8 - WARM_UP


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("operation not permitted\nwhen recording"), "RuntimeError: operation not permitted"),
        (torch.OutOfMemoryError("no memory"), "OutOfMemoryError: no memory"),
    ],
)
def test_what_cannot_be_recorded_is_said_and_goes_on_as_before(gpu, optimizer, capsys, error, why):
    work = Scaling(optimizer, error)
    recorded = Recorded(work, "The step", optimizer=optimizer)
    for call in range(1, 9):
        assert recorded(torch.full((2,), float(call)))[0].tolist() == [call] * 2
    said = f"The step could not be recorded as a CUDA graph ({why}): going on without.\n"
    assert capsys.readouterr().out == said
    assert recorded.replays == 0 and gpu.state == "as it was"
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["capturable"]) == (1.0, False)


def test_ctrl_c_while_it_is_recorded_is_ctrl_c(gpu, optimizer):
    recorded = Recorded(Scaling(optimizer, KeyboardInterrupt()), "Scaling", optimizer=optimizer)
    for _ in range(WARM_UP):
        recorded(torch.ones(2))
    with pytest.raises(KeyboardInterrupt):
        recorded(torch.ones(2))
    assert gpu.state == "as it was" and optimizer.param_groups[0]["lr"] == 1.0


def digits(n):
    images = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    return ImageData(images, torch.arange(n) % 10, "noise")


def test_on_a_cpu_it_is_refused_in_words():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    words = "^expected graph=True with a CUDA device, got cpu, which has no CUDA graphs$"
    with pytest.raises(ValueError, match=words):
        fit(model, Batches(digits(8), 4), epochs=1, optimizer=sgd, graph=True)
    with pytest.raises(ValueError, match=words):
        Batches(digits(8), 4, graph=True)
    with pytest.raises(ValueError, match=words):
        run("rts-mnist/st-cnn", "smoke", device="cpu", graph=True)


# With a GPU


class Dropping(nn.Module):
    """Drops, and where it is told to does something that cannot be recorded."""

    def __init__(self, waits=False):
        super().__init__()
        self.linear, self.dropout, self.waits = nn.Linear(784, 10), nn.Dropout(0.1), waits

    def forward(self, x):
        x = self.dropout(self.linear(x.flatten(1)))
        if self.waits and torch.cuda.is_current_stream_capturing():
            x.sum().item()
        return x


def trained(graph, waits=False):
    """Six batches of 16 and one of 4, twice: the history, and the random states in the end."""
    torch.manual_seed(0)
    model, generator = Dropping(waits).to("cuda"), torch.Generator("cuda").manual_seed(1)
    batches = Batches(digits(100), 16, FlipAndShift(), True, generator, "cuda", graph)
    adamw = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adamw, 1e-2, total_steps=14, cycle_momentum=False)
    how = dict(epochs=2, optimizer=adamw, schedule=schedule, clip=1.0, graph=graph, progress=False)
    return fit(model, batches, **how), generator.get_state(), torch.cuda.get_rng_state()


@on_a_gpu
def test_a_smaller_last_batch_is_not_replayed_and_random_numbers_are_those_of_the_plain_loop():
    (plain, *states), (replayed, *theirs) = trained(False), trained(True)
    assert replayed.column("replayed") == [6 - WARM_UP, 6] and "replayed" not in plain.rows[0]
    assert all(map(torch.equal, states, theirs))
    assert replayed.column("loss") == pytest.approx(plain.column("loss"), rel=1e-4)


@on_a_gpu
def test_a_step_that_cannot_be_recorded_is_trained_all_the_same(capsys):
    (plain, *states), (refused, *theirs) = trained(False), trained(True, waits=True)
    assert "The training step could not be recorded as a CUDA graph" in capsys.readouterr().out
    assert refused.column("replayed") == [0, 0]
    assert all(map(torch.equal, states, theirs))
    assert refused.column("loss") == pytest.approx(plain.column("loss"), rel=1e-4)


@on_a_gpu
@pytest.mark.parametrize("name", ["rts-mnist/st-cnn", "mnist/tutorial-st", "cifar10/st", "cifar10/lenet-st"])
def test_a_run_of_the_course_is_replayed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    batches = -(-EXPERIMENTS[name].profiles["smoke"].train_images // EXPERIMENTS[name].recipes["course"].batch_size)
    result = run(name, "smoke", device="cuda", output=tmp_path / "run", progress=False, graph=True, epochs=4)
    assert result.history.column("replayed")[-1] == batches
