"""Families whose θ fills a homogeneous matrix: they keep straight lines straight.

    (x_s, y_s, 1)ᵀ  ~  M(θ) (x_t, y_t, 1)ᵀ

Source: Jaderberg et al., 2015 (arXiv:1506.02025), equation 1.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stn_course.checks import Grid, Points, Size, Theta, check_size
from stn_course.transforms.transform import PullBack, Transform, aligned, target_coordinates, without_autocast


class MatrixTransform(Transform):
    """θ → homogeneous matrix (B, 3, 3) → points. A family says how θ fills it: `matrix`, and back: `from_matrix`.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Can a matrix move everything to the right?".
    """

    keeps = ("straight lines", "parallels")
    invertible = True
    linear = False
    """Whether every entry of the matrix is a constant plus a weighted sum of the entries of θ."""
    scale = ""
    """The factor of the source point in the formula: "w" if the family divides by it."""

    def from_matrix(self, matrix: Tensor) -> Theta:
        """Read θ off homogeneous matrices of this family, undoing `matrix`: (B, 3, 3) → (B, n_params).

        It ignores entries that θ does not have, except the scale of a projective matrix: θ33 is 1.

        Raises:
            ValueError: if a projective matrix has 0 in its last entry: no θ gives that.

        Example:
            >>> from stn_course.transforms import Affine
            >>> Affine().from_matrix(torch.eye(3)[None])
            tensor([[1., 0., 0., 0., 1., 0.]])
        """
        raise NotImplementedError

    def inverse_has_no_theta(self, matrix: Tensor) -> Tensor:
        """Say whether no θ gives the inverse of a matrix, up to rounding: (B, 3, 3) → (B,)."""
        return torch.zeros(matrix.shape[:1], dtype=torch.bool, device=matrix.device)

    def map(self, theta: Theta, points: Points) -> Points:
        return self.from_homogeneous(self.homogeneous(theta, points))

    def homogeneous(self, theta: Theta, points: Points) -> Tensor:
        matrix = self.matrix(theta)
        self.check_points(theta, points)
        points = points.to(theta.dtype)
        with without_autocast(theta.device):
            source = points[:, None].flatten(1, -2) @ matrix[:, :, :2].mT + matrix[:, None, :, 2]  # (B, N, 3)
        return source.reshape(*points.shape[:-1], 3)

    def grid(self, theta: Theta, size: Size, align_corners: bool = False) -> Grid:
        matrix = self.matrix(theta)
        height, width = check_size(size)
        x, y = target_coordinates(height, width, align_corners, theta.dtype, theta.device)
        points = torch.stack((x, y, x.new_ones(()).expand_as(x)))  # (3, H, W): a column (x_t, y_t, 1) for each pixel
        with without_autocast(theta.device):  # a bfloat16 coordinate is off by a visible part of a pixel
            source = torch.mm(matrix.flatten(0, 1), points.flatten(1))  # (B · 3, H · W): all in one product
        source = source.unflatten(0, (-1, 3)).unflatten(2, (height, width))  # (B, 3, H, W)
        return self.from_homogeneous(source.permute(0, 2, 3, 1))

    def from_homogeneous(self, source: Tensor) -> Points:
        """Take the (x, y) of source points as the matrix gives them: (..., 3) → (..., 2)."""
        return source[..., :2]  # the third coordinate is 1

    def with_pull_back(self, points: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, PullBack]]:
        target = np.stack((*points.T, np.ones(len(points))))  # (3, N), homogeneous

        def looks(theta: np.ndarray) -> tuple[np.ndarray, PullBack]:
            matrix, slopes = self._matrix_and_slopes(theta)
            source = matrix @ target
            xy = self.from_homogeneous(torch.from_numpy(source.T)).numpy()

            def pull_back(push: np.ndarray) -> np.ndarray:
                (x, y), (to_x, to_y) = xy.T, push.T
                to_source = np.stack((to_x, to_y, -(to_x * x + to_y * y))) / source[2]  # ∂L/∂(x, y, w)
                return slopes @ (to_source @ target.T).ravel()

            return xy, pull_back

        return looks

    def _matrix_and_slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of one θ, (n_params,): its matrix, (3, 3), and the derivatives of its entries, (n_params, 9)."""
        if self.linear:
            constant, slopes = _linear(self)
            return (constant + theta @ slopes).reshape(3, 3), slopes
        leaf = torch.from_numpy(theta)
        slopes = torch.autograd.functional.jacobian(lambda entries: self.matrix(entries[None]).flatten(), leaf)
        return self.matrix(leaf[None])[0].numpy(), slopes.T.numpy()

    def formula(self, theta: Sequence[float]) -> str:
        """Write the formula (x_s, y_s, 1)ᵀ ~ M (x_t, y_t, 1)ᵀ with the numbers of M."""
        matrix = self.matrix(torch.tensor([theta], dtype=torch.float64))[0].tolist()
        rows = []
        for i, entries in enumerate(matrix):
            left, right = ("⎡⎢⎣"[i], "⎤⎥⎦"[i])
            scale = (f"{self.scale} · " if i == 1 else "    ") if self.scale else ""
            rows.append(
                f"{scale}{left} {('x_s', 'y_s', ' 1 ')[i]} {right} {'=' if i == 1 else ' '} "
                f"{left}{''.join(map(aligned, entries))} {right} {left} {('x_t', 'y_t', ' 1 ')[i]} {right}"
            )
        return "\n".join(rows)


@lru_cache(16)
def _linear(transform: MatrixTransform) -> tuple[np.ndarray, np.ndarray]:
    """Find the constant of each entry of the matrix, (9,), and what each entry of θ adds to it, (n_params, 9)."""
    unit = torch.cat((torch.zeros(1, transform.n_params), torch.eye(transform.n_params))).double()
    matrices = transform.matrix(unit).flatten(1).numpy()
    return matrices[0], matrices[1:] - matrices[0]
