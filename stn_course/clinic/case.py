"""A model under examination: a copy of it that is run again and again, watched wherever it samples by a grid.

Seen are the layers of the course and whatever else calls `F.grid_sample`. θ is what the layer, or `F.affine_grid`, was
given; where the grid is made by hand, the six numbers of the last layer that the grid depends on. A look may put a θ of
its own choice in that place (`force`), or something else in the place of what was sampled (`spoil`).
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stn_course.checks import Grid, Images, Theta
from stn_course.clinic.examination import CannotTellError
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Transform, regular_grid

AFFINE = Affine()
KNOWN = (0.9, 0.05, 0.2, -0.1, 0.8, -0.15)
"""A θ that treats x and y, and left and right, differently."""

Force = Callable[[Transform], Tensor]  # the family → the θ to put in, (n_params,)
Spoil = Callable[[int, Tensor], Tensor]  # the number of the sampling, from 0, and what it gave → what to hand on


@dataclass
class Sampling:
    """One picture sampled by one grid, somewhere in a model.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    """

    images: Images
    grid: Grid
    warped: Images
    theta: Theta | None  # None where the grid is made by hand
    transform: Transform
    mode: str
    padding_mode: str
    align_corners: bool
    again: Callable[[Images, Grid], Images]  # the same sampler, on other images and another grid

    @cached_property
    def affine(self) -> Tensor:
        """The affine map nearest to the grid, (B, 2, 3), on the CPU."""
        regular = regular_grid(self.grid.shape[1:3], self.align_corners, torch.float64).flatten(0, 1)
        points = torch.cat((regular, torch.ones_like(regular[:, :1])), dim=1)  # (N, 3)
        return (torch.linalg.pinv(points) @ self.grid.detach().cpu().double().flatten(1, 2)).mT

    @cached_property
    def outside(self) -> Tensor:
        """The share of each output that looks outside its picture, (B,)."""
        return (self.grid.detach().cpu().abs() > 1.001).any(-1).double().mean((1, 2))


@dataclass
class Seen:
    """What a look has seen: what the model gave, and each sampling in the order of the calls."""

    output: Tensor
    samplings: list[Sampling]


class _Eyes(TorchFunctionMode):
    """Watch `F.affine_grid` and `F.grid_sample`, and the layers of the course; put things in their place on demand."""

    def __init__(self, force: Force | None, spoil: Spoil | None):
        super().__init__()
        self.force, self.spoil = force, spoil
        self.samplings: list[Sampling] = []
        self._made: list[tuple[Grid, Theta]] = []
        self._waiting: list[tuple[Grid, Theta]] = []  # of these, the ones that nothing was sampled by yet
        self._in_layer = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._in_layer or func not in (F.affine_grid, F.grid_sample):
            return func(*args, **kwargs)
        if func is F.affine_grid:
            return self._affine_grid(*args, **kwargs)
        return self._grid_sample(*args, **kwargs)

    def _affine_grid(self, theta, size, align_corners=None):
        forced = self.force is not None and theta.shape[-2:] == (2, 3)
        made = F.affine_grid(_in_place_of(theta, self.force(AFFINE)) if forced else theta, size, align_corners)
        self._made.append((made, theta))
        self._waiting.append(self._made[-1])
        return made

    def _theta_of(self, grid: Grid) -> Theta | None:
        """The θ that the grid was made of; of a grid that was changed since, the θ that has waited longest."""
        same = [pair for pair in self._made if pair[0] is grid]
        pair = (same or self._waiting or [None])[0]
        self._waiting = [other for other in self._waiting if other is not pair]
        return None if pair is None else pair[1]

    def _grid_sample(self, input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
        again = partial(F.grid_sample, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
        settings = (mode, padding_mode, bool(align_corners), again)
        return self._seen(Sampling(input, grid, again(input, grid), self._theta_of(grid), AFFINE, *settings))

    def _seen(self, sampling: Sampling) -> Tensor:
        if sampling.grid.ndim != 4:  # a volume
            return sampling.warped
        self.samplings.append(sampling)
        return sampling.warped if self.spoil is None else self.spoil(len(self.samplings) - 1, sampling.warped)

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        layers = [module for module in model.modules() if isinstance(module, SpatialTransformer)]
        for layer in layers:
            layer.warp = partial(self._layer, layer)
        try:
            with self:
                yield
        finally:
            for layer in layers:
                del layer.warp

    def _layer(self, layer: SpatialTransformer, x: Tensor, theta: Tensor) -> Tensor:
        sampler, calls = layer.sampler, []
        put_in = theta if self.force is None else _in_place_of(theta, self.force(layer.transform))

        def recorded(images: Tensor, grid: Tensor, **settings) -> Tensor:
            calls.append((grid, settings))
            self._in_layer = True
            try:
                return sampler(images, grid, **settings)
            finally:
                self._in_layer = False

        layer.sampler = recorded
        try:
            warped = type(layer).warp(layer, x, put_in)
        finally:
            layer.sampler = sampler
        if not calls:  # a layer of somebody's own that samples by itself, and was seen doing so
            return warped
        grid, settings = calls[-1]
        mode = "nearest" if "nearest" in getattr(sampler, "__name__", "") else "bilinear"
        again = partial(sampler, **settings)
        padding, align_corners = settings["padding_mode"], settings["align_corners"]
        return self._seen(Sampling(x, grid, warped, theta, layer.transform, mode, padding, align_corners, again))


def _in_place_of(theta: Tensor, known: Tensor) -> Tensor:
    """The known θ for every image, with the gradient of the one that it replaces."""
    known = known.to(theta).expand(len(theta), -1).reshape(theta.shape)
    return known + (theta - theta.detach()).nan_to_num()


@dataclass
class Case:
    """A copy of a model, with the batch: what every test is given.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """

    model: nn.Module
    images: Images
    labels: Tensor | None
    optimizer: torch.optim.Optimizer | None
    loss: Callable[[Tensor, Tensor], Tensor]
    was_training: bool
    _head: nn.Module | None = field(default=None, init=False)

    def look(
        self, force: Force | None = None, spoil: Spoil | None = None, training: bool = False, seed: int = 0
    ) -> Seen:
        """Run the model once, and watch; with the same random numbers each time for a seed."""
        modes = {module: module.training for module in self.model.modules()}
        self.model.train(training)
        torch.manual_seed(seed)
        eyes = _Eyes(force, spoil)
        hook = contextlib.ExitStack()
        if force is not None and self._head is not None:
            known = force(AFFINE)
            hook.callback(self._head.register_forward_hook(lambda *call: _in_place_of(call[-1], known)).remove)
        try:
            with hook, eyes.on(self.model), torch.enable_grad():
                output = tensor_of(self.model(self.images))
        finally:
            for module, mode in modes.items():
                module.training = mode
        return Seen(output, eyes.samplings)

    def copy(self) -> "Case":
        """A copy to train, with the optimiser that belongs to it."""
        model, optimizer = copied(self.model, self.optimizer)
        return Case(model, self.images, self.labels, optimizer, self.loss, self.was_training)

    @cached_property
    def plain(self) -> Seen:
        """The model as it is, in evaluation mode."""
        return self.look()

    @cached_property
    def known(self) -> Seen:
        """The model with a θ that is known, for every image."""
        if any(sampling.theta is None for sampling in self.plain.samplings):
            self._head = self._last_of_six()
        if self._head is None:
            return self.look(known_theta)
        try:
            at_zero, once, twice = (self._by_hand(times) for times in (0, 1, 2))
        except RuntimeError:  # nothing can be made of a θ of zeros, so it is no change of the identity
            return self.look(known_theta)
        if (twice - 2 * once + at_zero).norm() > 0.05 * (once - at_zero).norm():
            raise CannotTellError(
                "between the last layer and the grid θ is changed (tanh, sigmoid?), so a known θ cannot be put in"
            )
        changes = at_zero[:, :, :2].norm() > 0.01
        identity = AFFINE.identity()
        return self.look(lambda family: known_theta(family) - identity if changes else known_theta(family))

    @cached_property
    def known_if_it_can_be(self) -> Seen:
        """The model with a θ that is known, or where none can be put in, as it is."""
        try:
            return self.known
        except CannotTellError:
            return self.plain

    def _by_hand(self, times: int) -> Tensor:
        """The frames of the first grid that is made by hand, for so many times the known θ, (B, 2, 3)."""
        samplings = self.look(lambda family: times * known_theta(family)).samplings
        return next(each for each in samplings if each.theta is None).affine

    def _last_of_six(self) -> nn.Module:
        """The module that gives a grid made by hand its six numbers: the last one that the grid depends on."""
        given: list[tuple[nn.Module, Tensor]] = []

        def keep(module: nn.Module, _, output: object) -> None:
            if isinstance(output, Tensor) and output.shape[1:].numel() == 6 and output.requires_grad:
                given.append((module, output))

        hooks = [module.register_forward_hook(keep) for module in self.model.modules()]
        try:
            samplings = self.look().samplings
        finally:
            for hook in hooks:
                hook.remove()
        grid = next(sampling.grid for sampling in samplings if sampling.theta is None)
        if given and grid.requires_grad:
            outputs = [output for _, output in given]
            slopes = torch.autograd.grad(grid.sum(), outputs, allow_unused=True)
            on_the_way = [module for (module, _), slope in zip(given, slopes) if slope is not None]
            if on_the_way:
                return on_the_way[-1]
        raise CannotTellError("the grid is made by hand, and no layer on its way gives six numbers that could be a θ")


def copied(model: nn.Module, optimizer: torch.optim.Optimizer | None) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """A copy of both, that belong together. What a model keeps of its last run, θ it may be, is copied as numbers."""
    kept = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    memo = {id(value): value.detach().clone() for value in kept if not value.is_leaf}
    return copy.deepcopy((model, optimizer), memo)


def known_theta(family: Transform) -> Tensor:
    """A θ that is no identity, (n_params,): `KNOWN`, or of a family that is not affine, near its identity.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    """
    if is_affine(family):
        return torch.tensor(KNOWN)
    return family.identity() + 0.05 * torch.cos(torch.arange(family.n_params))


def is_affine(family: Transform) -> bool:
    """Whether a θ of this family is the six numbers of an affine map, whatever the class is called."""
    return family.n_params == 6 and torch.equal(family.identity(), AFFINE.identity())


def tensor_of(output: object) -> Tensor:
    """The first tensor of floating-point numbers in what a model gives: itself, or in a tuple, list or dictionary."""
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    for part in output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ():
        with contextlib.suppress(TypeError):
            return tensor_of(part)
    raise TypeError(f"expected a model that gives a tensor of floating-point numbers, got a {type(output).__name__}")
