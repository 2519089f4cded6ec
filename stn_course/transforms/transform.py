"""What all families share: they map points of the target to where these look in the source; and the regular grid.

Source: Jaderberg et al., Spatial Transformer Networks, 2015 (arXiv:1506.02025), section 3.2.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stn_course.checks import Grid, Points, Size, Theta, check_size, describe


def regular_grid(
    size: Size,
    align_corners: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Points:
    """Make the regular grid G over the target: the centres of its pixels, (H, W, 2).

    An axis with a single pixel has its centre at 0, whatever `align_corners` says.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "The regular grid".

    Example:
        >>> regular_grid((1, 4))[0, :, 0]
        tensor([-0.7500, -0.2500,  0.2500,  0.7500])
        >>> regular_grid((1, 4), align_corners=True)[0, :, 0]
        tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    height, width = check_size(size)
    x, y = target_coordinates(height, width, align_corners, dtype, device)
    return torch.stack((x, y), dim=-1)  # (H, W, 2)


def target_coordinates(
    height: int, width: int, align_corners: bool, dtype: torch.dtype, device: torch.device | str | None
) -> tuple[Tensor, Tensor]:
    """Make the x and the y of the regular grid, (H, W) each, in few steps: each is a kernel to launch on a GPU."""

    def centres(n: int) -> Tensor:
        if not align_corners:
            return torch.arange(1, 2 * n, 2, dtype=dtype, device=device) / n - 1
        if n == 1:
            return torch.zeros(1, dtype=dtype, device=device)
        return torch.arange(0, 2 * n, 2, dtype=dtype, device=device) / (n - 1) - 1

    x = centres(width)
    y = x if height == width else centres(height)
    return x.expand(height, width), y[:, None].expand(height, width)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Keep PyTorch from computing in a lower precision than tensors come in."""
    if device.type == "meta":  # nothing is computed at all, and `torch.autocast` refuses it
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


PullBack = Callable[[np.ndarray], np.ndarray]


class Range(NamedTuple):
    """The numbers of a slider: from low to high, in steps."""

    low: float = -2.0
    high: float = 2.0
    step: float = 0.01


class Transform:
    """A family of transforms. A subclass must have `names`, `identity` and `map`; it can say more.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Optional E · Families inside one another".
    """

    names: tuple[str, ...] = ()
    """The name of each entry of θ."""
    keeps: tuple[str, ...] = ()
    """What no θ of the family changes, of "straight lines", "parallels", "angles", "directions"."""
    presets: Mapping[str, Mapping[str, float]] = {}
    """Named θ to begin from: name → the parts that differ from the identity's."""
    ranges: Mapping[str, Range] = {}
    """The slider of an entry of θ or of a part, where it is not `Range()`."""
    invertible = False
    """Whether the family is closed: `algebra.compose` and `algebra.invert` give a θ of the same family."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, numbers in cls.ranges.items() if isinstance(cls.ranges, Mapping) else ():  # a property needs self
            if not isinstance(numbers, Range):
                raise TypeError(f"expected the range of {name!r} as a Range(low, high, step), got {numbers!r}")
        for name, parts in cls.presets.items() if isinstance(cls.presets, Mapping) else ():
            if not isinstance(parts, Mapping):
                raise TypeError(f"expected the preset {name!r} as a dict, part → number, got {parts!r}")

    @property
    def n_params(self) -> int:
        """How many numbers θ has."""
        return len(self.names)

    @property
    def label(self) -> str:
        """The name of the family in lower case, as experiments are called: "affine"."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the parts of θ, in order, as many as θ has entries; by default the entries are the parts."""
        return self.names

    def identity(self) -> Theta:
        """Return the θ that changes nothing, (n_params,)."""
        raise NotImplementedError(f"expected {type(self).__name__} to say its identity(), got none")

    def map(self, theta: Theta, points: Points) -> Points:
        """Map points of the target to where they look in the source: (B, n_params), (B, ..., 2) → (B, ..., 2)."""
        raise NotImplementedError(f"expected {type(self).__name__} to say map(theta, points), got none")

    def matrix(self, theta: Theta) -> Tensor:
        """Make the homogeneous matrices of θ, (B, n_params) → (B, 3, 3); a TypeError if the family has none."""
        raise TypeError(f"expected a family of matrices, such as Affine(), got {self}: no matrix says what it does")

    def grid(self, theta: Theta, size: Size, align_corners: bool = False) -> Grid:
        """Make the sampling grid T_θ(G), of θ's dtype: where in the source each target pixel looks.

        `size` is the target's, which may differ from the source's. Give the sampler the same `align_corners`.
        """
        self.check_theta(theta)
        regular = regular_grid(size, align_corners, theta.dtype, theta.device)
        with without_autocast(theta.device):  # a bfloat16 coordinate is off by a visible part of a pixel
            return self.map(theta, regular.expand(theta.shape[0], -1, -1, -1))

    def homogeneous(self, theta: Theta, points: Points) -> Tensor:
        """Map points without the division by w: (B, n_params), (B, ..., 2) → (B, ..., 3), last axis (x, y, w)."""
        source = self.map(theta, points)
        return torch.cat((source, torch.ones_like(source[..., :1])), dim=-1)

    def entries(self, theta: Theta, points: Points) -> tuple[Tensor, ...]:
        """Return each entry of θ in a shape that fits the x and the y of points (B, ..., 2), after a check of both."""
        self.check_theta(theta)
        self.check_points(theta, points)
        return tuple(entry.reshape(-1, *[1] * (points.ndim - 2)) for entry in theta.unbind(1))

    def jacobian(self, theta: Theta, points: Points) -> Tensor:
        """Differentiate the map at points of the target: (B, n_params), (B, ..., 2) → (B, ..., 2, 2).

        The first column says how (x_s, y_s) moves for a step along x_t, the second for one along y_t. The determinant
        is the area that a small piece of the target looks at, over its own; below 0 it is seen mirrored. A motion that
        is mirrored at some points and not at others folds the source, and shows pieces of it twice.

        Example:
            >>> from stn_course.transforms import Affine
            >>> Affine().jacobian(torch.tensor([[1.0, 2, 0, 3, 4, 0]]), torch.zeros(1, 2))
            tensor([[[1., 2.],
                     [3., 4.]]])
        """
        self.check_theta(theta)
        self.check_points(theta, points)
        points = points.to(theta.dtype)
        if torch.is_inference_mode_enabled():  # a constant made there, inside a derivative, stops PyTorch 2.6
            with torch.inference_mode(False), torch.no_grad():
                return self.jacobian(theta.clone(), points.clone())
        source, pull_back = torch.func.vjp(lambda at: self.map(theta, at), points)  # each looks where it alone says
        rows = [pull_back(axis.expand_as(source)) for axis in torch.eye(2, dtype=theta.dtype, device=theta.device)]
        return torch.stack([row for (row,) in rows], dim=-2)

    def check_points(self, theta: Theta, points: Points) -> None:
        """Raise a ValueError, in words, unless points are (B, ..., 2) for as many θ."""
        if not isinstance(points, Tensor) or points.ndim < 2 or points.shape[-1] != 2:
            raise ValueError(f"expected points of shape (B, ..., 2), got {describe(points)}")
        if points.shape[0] != theta.shape[0]:
            raise ValueError(f"expected points for each θ, got {describe(points)} for {describe(theta)}")

    def check_theta(self, theta: Theta) -> None:
        """Raise a TypeError or a ValueError, in words, unless θ is float32 or float64 and (B, n_params)."""
        if not isinstance(theta, Tensor) or theta.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"expected theta as a float32 or float64 tensor, got {describe(theta)}")
        if theta.ndim != 2 or theta.shape[1] != self.n_params:
            raise ValueError(
                f"expected theta of shape (B, {self.n_params}) for {type(self).__name__} "
                f"({', '.join(self.names)}), got {describe(theta)}"
            )

    def with_pull_back(self, points: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, PullBack]]:
        """For fixed points (N, 2), return a function of one θ, (n_params,): it maps them, and says how to go back.

        It gives (N, 2) and another function, which takes ∂L/∂(x_s, y_s), (N, 2), and gives ∂L/∂θ, (n_params,). All are
        float64 arrays of NumPy.
        """

        def looks(theta: np.ndarray) -> tuple[np.ndarray, PullBack]:
            leaf = torch.from_numpy(theta)[None].requires_grad_()
            source = self.map(leaf, torch.from_numpy(points)[None])[0]

            def pull_back(push: np.ndarray) -> np.ndarray:
                return torch.autograd.grad(source, leaf, torch.from_numpy(push))[0][0].numpy()

            return source.detach().numpy(), pull_back

        return looks

    def control_points(self) -> Points:
        """Return the points of the target whose looks are the entries of θ, x and y of each in turn; (0, 2) if none.

        Drawings mark them, and an explorer has the sliders of one at a time.
        """
        return torch.zeros(0, 2)

    def parts_to_theta(self, parts: Tensor, ratio: float) -> Theta:
        """Make θ from its parts, (B, n_params) each, in a picture whose height is `ratio` times its width."""
        return parts.clone()

    def theta_to_parts(self, theta: Theta, ratio: float) -> Tensor:
        """Read the parts of θ, undoing `parts_to_theta`: (B, n_params) → (B, n_params)."""
        return theta.clone()

    def formula(self, theta: Sequence[float]) -> str:
        """Write θ for people: one line for each number, or the formula that they know the family by."""
        longest = max(map(len, self.names))
        return "\n".join(f"{name:<{longest}} = {aligned(number)}" for name, number in zip(self.names, theta))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))


def check_transform(transform: Transform) -> Transform:
    """Return a transform that says what it must, or raise an error that shows what came."""
    if not isinstance(transform, Transform):
        came = f"the class {transform.__name__}" if isinstance(transform, type) else describe(transform)
        raise TypeError(f"expected a transform, such as Affine(), got {came}")
    identity = transform.identity()
    if not isinstance(identity, Tensor) or identity.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"expected the identity of {transform} as a float32 or float64 tensor, got {describe(identity)}"
        )
    if identity.shape != (transform.n_params,):
        raise ValueError(
            f"expected the identity of {transform} of shape ({transform.n_params},), got {describe(identity)}"
        )
    return transform


def aligned(number: float) -> str:
    """Write a number with three decimals, nine places wide, with a real minus.

    Example:
        >>> aligned(-0.25)
        '   −0.250'
    """
    return (f"{number:9.3f}" if abs(number) < 1000 else f"{number:9.1e}").replace("-", "−")
