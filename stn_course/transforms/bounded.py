"""A family whose θ cannot run away: its parts stay within bounds, whatever a network says.

    part  = low + (high − low) · sigmoid(slope · z + start)           a shift, a shear, an angle
    scale = low · (high / low) ^ sigmoid(slope · z + start)           a scale: the same in its logarithm

z is what the network gives. At z = 0 each part is that of the identity (this sets `start`), and near it a step in z
moves the part by as much (this sets `slope`): an angle in radians, a scale in its logarithm. So a rate that suits the
family without bounds suits it with them, too. (sigmoid(2z) is (1 + tanh z) / 2: one shape under two names.)
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stn_course.checks import Grid, Points, Size, Theta, check_size
from stn_course.transforms.transform import Range, Transform, check_transform


class Bounded(Transform):
    """A family with bounds for parts of its θ. It is a `Transform` itself, so every place takes it.

    Its own θ, z, is any numbers, (B, n_params), and 0 is the identity. `unbounded` gives the θ of the family inside,
    which can be composed, and is what a program outside the course understands. Far out the slope of the sigmoid
    vanishes: θ stays at its bound, and a network may take long to come back from there.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Can θ be kept from running away?".

    Args:
        transform: the family inside, such as `Affine()`; its `part_names` say what can be bounded.
        bounds: part → (low, high), with the identity between the two; angles in degrees, scales above 0. A part
            without bounds stays free.
        size: (H, W) of the input, so that angles are true; None means square, and only the ratio counts.

    Raises:
        ValueError: if bounds leave out the identity.

    Example:
        >>> from stn_course.transforms import Attention
        >>> family = Bounded(Attention(), {"scale": (0.1, 1.5), "shift_x": (-1, 1), "shift_y": (-1, 1)})
        >>> family.unbounded(torch.tensor([[0.0, 0, 0], [-99, 99, 0.1]]))
        tensor([[1.0000, 0.0000, 0.0000],
                [0.1000, 1.0000, 0.0997]])
    """

    def __init__(self, transform: Transform, bounds: Mapping[str, tuple[float, float]], size: Size | None = None):
        self.transform = check_transform(transform)
        height, width = (1, 1) if size is None else check_size(size)
        self.ratio = height / width
        at_first = transform.theta_to_parts(transform.identity()[None].double(), self.ratio)[0].tolist()
        if unknown := set(bounds) - set(transform.part_names):
            known = ", ".join(transform.part_names)
            raise ValueError(f"expected bounds for parts of {transform} ({known}), got {', '.join(sorted(unknown))}")
        self.parts = tuple(_part(name, there, bounds.get(name)) for name, there in zip(transform.part_names, at_first))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"z {name}" for name in self.part_names)

    @property
    def part_names(self) -> tuple[str, ...]:
        return self.transform.part_names

    @property
    def keeps(self) -> tuple[str, ...]:
        return self.transform.keeps

    @property
    def ranges(self) -> Mapping[str, Range]:
        return {
            part.name: Range(*part.bounds, 1 if part.name == "rotation" else 0.01) for part in self.parts if part.bounds
        }

    def identity(self) -> Theta:
        return torch.zeros(len(self.parts))

    def unbounded(self, theta: Theta) -> Theta:
        """Give the θ of the family inside, within the bounds: (B, n_params) → (B, n_params).

        Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1
        are the border pixels' outer edges, or with align_corners=True their centres.
        """
        self.check_theta(theta)
        parts = [part.from_z(z) for part, z in zip(self.parts, theta.unbind(1))]
        return self.transform.parts_to_theta(torch.stack(parts, dim=1), self.ratio)

    def map(self, theta: Theta, points: Points) -> Points:
        return self.transform.map(self.unbounded(theta), points)

    def grid(self, theta: Theta, size: Size, align_corners: bool = False) -> Grid:
        return self.transform.grid(self.unbounded(theta), size, align_corners)

    def matrix(self, theta: Theta) -> Tensor:
        return self.transform.matrix(self.unbounded(theta))

    def from_matrix(self, matrix: Tensor) -> Theta:
        """Refuse: a product or an inverse may lie outside the bounds. Work with the θ of `unbounded`."""
        raise TypeError(
            f"expected a family of matrices, such as Affine(), got {self}, whose bounds a product or an inverse may "
            f"leave: take .unbounded(theta), with {self.transform}"
        )

    def inverse_has_no_theta(self, matrix: Tensor) -> Tensor:
        return self.transform.inverse_has_no_theta(matrix)

    def theta_to_parts(self, theta: Theta, ratio: float) -> Tensor:
        return self.transform.theta_to_parts(self.unbounded(theta), ratio)

    def parts_to_theta(self, parts: Tensor, ratio: float) -> Theta:
        own = self.transform.theta_to_parts(self.transform.parts_to_theta(parts, ratio), self.ratio)
        return torch.stack([part.to_z(number) for part, number in zip(self.parts, own.unbind(1))], dim=1)

    def __repr__(self) -> str:
        bounds = {part.name: part.bounds for part in self.parts if part.bounds}
        size = "" if self.ratio == 1 else f", ratio={self.ratio:g}"
        return f"Bounded({self.transform!r}, {bounds}{size})"


class _Part(NamedTuple):
    """One part of θ, and how z becomes it."""

    name: str
    unit: float  # how much of the part one z is, at the identity
    at_first: float  # of the identity; of a bounded scale its logarithm, as are `low` and `high` then
    bounds: tuple[float, float] | None
    low: float = -math.inf
    high: float = math.inf

    @property
    def start_and_slope(self) -> tuple[float, float]:
        share = (self.at_first - self.low) / (self.high - self.low)
        return math.log(share / (1 - share)), self.unit / ((self.high - self.low) * share * (1 - share))

    def from_z(self, z: Tensor) -> Tensor:
        if self.bounds is None:
            return self.at_first + self.unit * z
        start, slope = self.start_and_slope
        part = self.low + (self.high - self.low) * torch.sigmoid(slope * z + start)
        return part.exp() if _is_scale(self.name) else part

    def to_z(self, part: Tensor) -> Tensor:
        if self.bounds is None:
            return (part - self.at_first) / self.unit
        start, slope = self.start_and_slope
        part = part.clamp(min=self.bounds[0]).log() if _is_scale(self.name) else part
        nearly = torch.finfo(part.dtype).eps * 8  # at a bound z would be infinite
        share = ((part - self.low) / (self.high - self.low)).clamp(nearly, 1 - nearly)
        return (torch.logit(share) - start) / slope


def _is_scale(name: str) -> bool:
    return name.startswith("scale")


def _part(name: str, at_first: float, bounds: tuple[float, float] | None) -> _Part:
    unit = math.degrees(1) if name == "rotation" else 1.0
    if bounds is None:
        return _Part(name, unit, at_first, None)
    try:
        low, high = (float(number) for number in bounds)
    except (TypeError, ValueError):
        raise ValueError(f"expected bounds of {name} as (low, high), got {bounds!r}") from None
    if not -math.inf < low < at_first < high < math.inf:
        raise ValueError(
            f"expected bounds of {name} as two numbers with the identity, {at_first:g}, between them, got {bounds!r}"
        )
    if not _is_scale(name):
        return _Part(name, unit, at_first, (low, high), low, high)
    if low <= 0:
        raise ValueError(f"expected bounds of {name} above 0, got {bounds!r}")
    return _Part(name, unit, math.log(at_first), (low, high), math.log(low), math.log(high))
