"""Thin plate splines: a motion that bends, given by where the points of a regular lattice look.

A thin metal plate that is held at n points takes the smoothest shape through them. Two such shapes, one for x_s and one
for y_s, make a motion of the plane. With c_i the control points of the target and p a target point, each of them is

    f(p)  =  a₀ + a₁ x + a₂ y + Σ w_i U(|p − c_i|)        U(r) = r² log r        Σ w_i = Σ w_i x_i = Σ w_i y_i = 0

and a, w follow from the numbers v_i that f shall take at the control points. With K_ij = U(|c_i − c_j|) and
P_i = (1, x_i, y_i) they solve

    ⎡K   P⎤ ⎡w⎤   ⎡v⎤
    ⎣Pᵀ  0⎦ ⎣a⎦ = ⎣0⎦

Nothing on the left depends on θ. So the system is solved once, and f(p) = Σ b_i(p) v_i with fixed functions b_i: the
sampling grid is one product of a matrix with θ.

Source: Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations", IEEE TPAMI 11(6), 1989;
named as a family by Jaderberg et al., 2015 (arXiv:1506.02025), section 3.2.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stn_course.checks import Grid, Points, Size, Theta, check_size
from stn_course.transforms.transform import PullBack, Transform, regular_grid, without_autocast


class ThinPlateSpline(Transform):
    """A motion that bends: θ says where `points` × `points` control points of the target look in the source.

    The control points are regular, from (−1, −1) to (1, 1), row by row from the top left. θ is (B, 2 · points²): x and
    y of the first, x and y of the second, …. Between them the motion is the smoothest that there is (see
    `bending_energy`), and it is affine only if the control points move so. It may fold: see `jacobian`. No θ undoes
    another, so `algebra.compose` and `algebra.invert` refuse the family.

    Float32 maps are computed in float64, except on devices without it (mps): the sums nearly cancel.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 07, "Sixteen equations are not enough".

    Raises:
        ValueError: if `points` is below 2.
        TypeError: if `points` is no whole number.

    Example:
        >>> spline = ThinPlateSpline(points=2)
        >>> spline.identity()
        tensor([-1., -1.,  1., -1., -1.,  1.,  1.,  1.])
        >>> theta = spline.identity() + torch.tensor([0, 0, 0, 0, 0, 0, 0.5, 0])  # the last one looks to the right
        >>> spline.map(theta[None], torch.tensor([[[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]]]))
        tensor([[[ 1.5000,  1.0000],
                 [ 0.1250,  0.0000],
                 [-1.0000, -1.0000]]])
    """

    def __init__(self, points: int = 4):
        self.points = _whole(points)

    @property
    def names(self) -> tuple[str, ...]:
        between = "" if self.points < 10 else "·"  # "x111" would be two
        numbers = range(1, self.points + 1)
        return tuple(f"{axis}{row}{between}{column}" for row in numbers for column in numbers for axis in "xy")

    @property
    def n_params(self) -> int:
        return 2 * self.points**2

    @property
    def presets(self) -> Mapping[str, Mapping[str, float]]:
        control = _control_points(self.points)
        x, y = control.T
        turn = np.radians(60) * (1 - np.hypot(x, y) / math.sqrt(2))
        looks = {
            "bulge": control * (0.4 + 0.3 * np.hypot(x, y) ** 2)[:, None],
            "squeeze": np.stack((x * (1.5 - 0.5 * y * y), y), axis=1),
            "wave": np.stack((x + 0.25 * np.sin(np.pi * y), y), axis=1),
            "page": np.stack((0.9 * x, 0.75 * y - 0.15 + 0.35 * ((x - 0.3) / 1.3) ** 2), axis=1),
            "swirl": np.stack((np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y), axis=1),
            "fold": np.stack((np.where(np.abs(x) < 1, -x, x), y), axis=1),
        }
        named = {name: zip(self.names, control.flat, np.round(look, 2).flat) for name, look in looks.items()}
        changes = {
            name: {entry: float(to) for entry, here, to in entries if abs(to - here) > 0.005}
            for name, entries in named.items()
        }
        return {name: entries for name, entries in changes.items() if entries}  # few points cannot do all of it

    @property
    def label(self) -> str:
        return "tps"

    def identity(self) -> Theta:
        """Return the control points themselves, (n_params,).

        They are float32 numbers, and the motion is computed for exactly these, so that it changes nothing to the last
        bit, also in float64.
        """
        return torch.from_numpy(_control_points(self.points)).float().flatten()

    def control_points(self) -> Points:
        return self.identity().reshape(-1, 2)

    def map(self, theta: Theta, points: Points) -> Points:
        self.check_theta(theta)
        self.check_points(theta, points)
        points = points.to(theta.dtype)
        dtype = torch.float32 if theta.device.type == "mps" else torch.float64
        flat = points[:, None].flatten(1, -2).to(dtype)  # (B, N, 2)
        centres = _constant(_control_points, self.points, dtype=dtype, device=theta.device)
        with without_autocast(theta.device):
            x, y = ((flat[..., i, None] - centres[:, i]).square() for i in (0, 1))
            squared = x + y  # distances, (B, N, n)
            radial = squared * torch.where(squared > 0, squared, 1).log() / 2  # r² log r, and 0 at r = 0
            terms = torch.cat((radial, torch.ones_like(flat[..., :1]), flat), dim=-1)  # (B, N, n + 3)
            moved = terms @ self._coefficients(theta, dtype)
        return points + moved.to(theta.dtype).reshape(points.shape)

    def grid(self, theta: Theta, size: Size, align_corners: bool = False) -> Grid:
        self.check_theta(theta)
        size = check_size(size)
        basis = _constant(_basis, self.points, size, align_corners, dtype=theta.dtype, device=theta.device)
        with without_autocast(theta.device):  # a bfloat16 coordinate is off by a visible part of a pixel
            moved = torch.mm(
                self._moved(theta).transpose(1, 2).flatten(0, 1), basis
            )  # (B · 2, H · W): all in one product
        moved = moved.unflatten(0, (-1, 2)).unflatten(2, size)  # (B, 2, H, W)
        return regular_grid(size, align_corners, theta.dtype, theta.device) + moved.permute(0, 2, 3, 1)

    def bending_energy(self, theta: Theta) -> Tensor:
        """Measure how much the motion bends, (B, n_params) → (B,): what the spline makes as small as it can be.

            ∬ |∂²f/∂x²|² + 2 |∂²f/∂x∂y|² + |∂²f/∂y²|² dx dy  =  8π Σ w_i K_ij w_j        over the whole plane

        summed over x_s and y_s. It is 0 where the control points move as an affine map moves them, and above 0
        otherwise. An affine map added to the motion changes nothing in it, nor does a turn or a shift of the source.

        Example:
            >>> spline = ThinPlateSpline(points=2)
            >>> mirrored = -spline.identity()
            >>> twisted = spline.identity() * torch.tensor([1, 1, 1, 1, -1, -1, -1, -1])
            >>> spline.bending_energy(torch.stack((mirrored, twisted))) > 0
            tensor([False,  True])
        """
        self.check_theta(theta)
        dtype = torch.float32 if theta.device.type == "mps" else torch.float64
        with without_autocast(theta.device):
            weights = self._coefficients(theta, dtype)[:, :-3]  # (B, n, 2)
            energy = 8 * math.pi * (weights * self._moved(theta.to(dtype))).sum((1, 2))  # wᵀ K w = wᵀ v
        return energy.clamp(min=0).to(theta.dtype)  # rounding may leave a little less than nothing

    def _moved(self, theta: Theta) -> Tensor:
        """How far from itself each control point looks: (B, n_params) → (B, n, 2)."""
        return theta.unflatten(1, (-1, 2)) - _constant(
            _control_points, self.points, dtype=theta.dtype, device=theta.device
        )

    def _coefficients(self, theta: Theta, dtype: torch.dtype) -> Tensor:
        """The w and the a of f(p) − p: (B, n_params) → (B, n + 3, 2)."""
        return _constant(_solution, self.points, dtype=dtype, device=theta.device) @ self._moved(theta.to(dtype))

    def with_pull_back(self, points: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, PullBack]]:
        centres = _control_points(self.points)
        basis = _terms(points, centres) @ _solution(self.points)  # (N, n)

        def looks(theta: np.ndarray) -> tuple[np.ndarray, PullBack]:
            source = points + basis @ (theta.reshape(-1, 2) - centres)
            return source, lambda push: (basis.T @ push).ravel()

        return looks

    def formula(self, theta: Sequence[float]) -> str:
        """Write where the control points look, a line for each row of them."""
        pairs = [f"({_short(x)}, {_short(y)})" for x, y in zip(theta[::2], theta[1::2])]
        return "\n".join("  ".join(pairs[at : at + self.points]) for at in range(0, len(pairs), self.points))


def _short(number: float) -> str:
    return (f"{round(number, 2) + 0.0:5.2f}" if abs(number) < 100 else f"{number:5.0e}").replace("-", "−")


def _whole(points: int) -> int:
    try:
        if isinstance(points, bool):
            raise TypeError
        points = operator.index(points)
    except TypeError:
        raise TypeError(f"expected points as a whole number, as many a row as rows, got {points!r}") from None
    if points < 2:
        raise ValueError(f"expected points as 2 or more, so that they span the target, got {points}")
    return points


# What does not depend on θ, by NumPy in float64: nothing of it is recorded by `torch.export` or `torch.jit.trace`. A
# regular lattice of two or more points a row does not lie on one line, so its system always has a solution.


def _control_points(points: int) -> np.ndarray:
    """Of the target: (n, 2), n = points²."""
    return _lattice(*2 * [np.linspace(-1, 1, points).astype(np.float32).astype(np.float64)])


def _lattice(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _terms(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Each U(|p − c_i|), 1, x and y: (N, 2), (n, 2) → (N, n + 3)."""
    squared = np.square(places[:, None] - centres).sum(-1)
    radial = squared * np.log(np.where(squared > 0, squared, 1)) / 2
    return np.concatenate((radial, np.ones((len(places), 1)), places), axis=1)


@lru_cache(16)
def _solution(points: int) -> np.ndarray:
    """The matrix that takes v to w and a: (n + 3, n)."""
    centres = _control_points(points)
    upper = _terms(centres, centres)  # (K P)
    lower = np.pad(upper[:, -3:].T, ((0, 0), (0, 3)))  # (Pᵀ 0)
    return np.linalg.inv(np.concatenate((upper, lower)))[:, : len(centres)]


def _basis(points: int, size: Size, align_corners: bool) -> np.ndarray:
    """Each b_i at each pixel of the target: (n, H · W)."""
    y, x = (
        np.linspace(-1, 1, n) if align_corners and n > 1 else np.arange(1, 2 * n, 2) / n - 1  # one is in the middle
        for n in size
    )
    return (_terms(_lattice(x, y), _control_points(points)) @ _solution(points)).T


def _constant(make: Callable[..., np.ndarray], *arguments, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What `make` makes, as a tensor that is kept for the next time, so that nobody waits for a copy to a GPU."""
    # under `torch.compile`, `torch.export` and their like what is made may have a shape alone, and must not be kept
    if torch.compiler.is_compiling() or type(torch.empty(0)) is not Tensor:
        return _made(make, arguments, dtype, device)
    return _kept(make, arguments, dtype, device)


@torch.compiler.assume_constant_result
def _made(make: Callable[..., np.ndarray], arguments: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(make(*arguments)), dtype=dtype, device=device)


_kept = lru_cache(16)(torch.inference_mode(False)(_made))  # what is kept must serve in training, too
