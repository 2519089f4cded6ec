"""From θ to a sampling grid: affine, attention and projective transforms.

    (x_s, y_s, 1)ᵀ  ~  M(θ) (x_t, y_t, 1)ᵀ

θ maps **target** (output) coordinates to **source** (input) coordinates: for every output pixel it says where in the
input to look. That is backward warping, and it is why a *small* scale in θ *enlarges* the picture.

Coordinates are normalised: x grows to the right, y downwards, and the image spans [-1, 1] in both. What ±1 means is
the question of `align_corners`: the outer edges of the border pixels (False, the default) or their centres (True).

Source: Jaderberg et al., Spatial Transformer Networks, 2015 (arXiv:1506.02025), section 3.2, equations 1 and 2.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from stn_course.checks import Size, check_size, describe

HORIZON = 1e-4
"""The smallest denominator of a projective transform; see `Projective`."""


def regular_grid(
    size: Size,
    align_corners: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """The normalised coordinates of the pixel centres of an image: the regular grid G over the target.

    Args:
        size: (H, W) of the image.
        align_corners: whether ±1 are the centres of the border pixels (True) or their outer edges (False).
        dtype: float32 or float64.
        device: where the grid is made.

    Returns:
        (H, W, 2), last axis (x, y). An axis with a single pixel has its centre at 0 either way.

    Raises:
        ValueError: if size is not two whole numbers of at least 1.

    Example:
        >>> regular_grid((1, 4))[0, :, 0]
        tensor([-0.7500, -0.2500,  0.2500,  0.7500])
        >>> regular_grid((1, 4), align_corners=True)[0, :, 0]
        tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    height, width = check_size(size)

    x, y = _target(height, width, align_corners, dtype, device)
    return torch.stack((x, y), dim=-1)  # (H, W, 2)


def _target(height: int, width: int, align_corners: bool, dtype: torch.dtype, device) -> tuple[Tensor, Tensor]:
    """The x and the y of the regular grid, (H, W) each, in few steps: each is a kernel that a GPU must be sent."""

    def centres(n: int) -> Tensor:
        if not align_corners:
            return torch.arange(1, 2 * n, 2, dtype=dtype, device=device) / n - 1
        if n == 1:
            return torch.zeros(1, dtype=dtype, device=device)
        return torch.arange(0, 2 * n, 2, dtype=dtype, device=device) / (n - 1) - 1

    x = centres(width)
    y = x if height == width else centres(height)
    return x.expand(height, width), y[:, None].expand(height, width)


class Transform:
    """What the families share: θ → matrix → grid. A family says how θ fills the matrix.

    Convention: θ is (B, n_params), float32 or float64; matrices are (B, 3, 3), homogeneous, target → source.
    """

    names: tuple[str, ...] = ()
    """What each entry of θ is called."""

    @property
    def n_params(self) -> int:
        """How many numbers θ has."""
        return len(self.names)

    def identity(self) -> Tensor:
        """The θ that changes nothing, shape (n_params,)."""
        raise NotImplementedError

    def matrix(self, theta: Tensor) -> Tensor:
        """The homogeneous matrices of θ, target → source: (B, n_params) → (B, 3, 3)."""
        raise NotImplementedError

    def from_matrix(self, matrix: Tensor) -> Tensor:
        """The θ of homogeneous matrices of this family, undoing `matrix`: (B, 3, 3) → (B, n_params).

        What the family has no entry for is not looked at, except the scale of a projective matrix: θ33 is 1.

        Raises:
            ValueError: if a projective matrix has 0 in its last entry: no θ says that.

        Example:
            >>> Affine().from_matrix(torch.eye(3)[None])
            tensor([[1., 0., 0., 0., 1., 0.]])
        """
        raise NotImplementedError

    def grid(self, theta: Tensor, size: Size, align_corners: bool = False) -> Tensor:
        """The sampling grid T_θ(G): where in the source each target pixel looks.

        Args:
            theta: (B, n_params), float32 or float64.
            size: (H, W) of the target, which need not be the size of the source.
            align_corners: what ±1 means; the sampler must be told the same.

        Returns:
            (B, H, W, 2), last axis (x, y), normalised source coordinates, of θ's dtype.

        Raises:
            TypeError: if θ is not a float32 or float64 tensor.
            ValueError: if θ is not (B, n_params) or size is not (H, W).
        """
        matrix = self.matrix(theta)
        height, width = check_size(size)
        x, y = _target(height, width, align_corners, theta.dtype, theta.device)
        points = torch.stack((x, y, x.new_ones(()).expand_as(x)))  # (3, H, W): a column (x_t, y_t, 1) for each pixel
        with without_autocast(theta.device):  # a bfloat16 coordinate is off by a visible part of a pixel
            source = torch.mm(matrix.flatten(0, 1), points.flatten(1))  # (B · 3, H · W): all in one product
        source = source.unflatten(0, (-1, 3)).unflatten(2, (height, width))  # (B, 3, H, W)
        return self.from_homogeneous(source.permute(0, 2, 3, 1))

    def from_homogeneous(self, source: Tensor) -> Tensor:
        """Source points (..., 3), as the matrix gives them, to (x, y): (..., 2)."""
        return source[..., :2]  # the third coordinate is 1

    def _check(self, theta: Tensor) -> None:
        if not isinstance(theta, Tensor) or theta.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"expected theta as a float32 or float64 tensor, got {describe(theta)}")
        if theta.ndim != 2 or theta.shape[1] != self.n_params:
            raise ValueError(
                f"expected theta of shape (B, {self.n_params}) for {type(self).__name__} "
                f"({', '.join(self.names)}), got {describe(theta)}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class Affine(Transform):
    """Six parameters: any scale, rotation, shear and shift. Parallels stay parallel (equation 1).

        x_s = θ11 x_t + θ12 y_t + θ13
        y_s = θ21 x_t + θ22 y_t + θ23

    Example:
        >>> Affine().identity()
        tensor([1., 0., 0., 0., 1., 0.])
        >>> Affine().grid(
        ...     torch.tensor([[0.5, 0, 0.25, 0, 0.5, 0]]), (1, 2)
        ... )  # look at half the width, right of the middle
        tensor([[[[0.0000, 0.0000],
                  [0.5000, 0.0000]]]])
    """

    names = ("θ11", "θ12", "θ13", "θ21", "θ22", "θ23")

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0])

    def matrix(self, theta: Tensor) -> Tensor:
        self._check(theta)
        n = theta.shape[0]  # unlike len(), it stays open in an exported network
        return torch.cat((theta, theta.new_zeros(n, 2), theta.new_ones(n, 1)), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return matrix[:, :2].flatten(1)


class Attention(Transform):
    """Three parameters (s, t_x, t_y): a crop of one scale, moved about, never turned (equation 2).

        x_s = s x_t + t_x
        y_s = s y_t + t_y

    Example:
        >>> Attention().matrix(torch.tensor([[0.5, 0.25, -0.25]]))
        tensor([[[ 0.5000,  0.0000,  0.2500],
                 [ 0.0000,  0.5000, -0.2500],
                 [ 0.0000,  0.0000,  1.0000]]])
    """

    names = ("s", "t_x", "t_y")

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0])

    def matrix(self, theta: Tensor) -> Tensor:
        self._check(theta)
        s, t_x, t_y = theta.unbind(1)
        zero, one = torch.zeros_like(s), torch.ones_like(s)
        return torch.stack((s, zero, t_x, zero, s, t_y, zero, zero, one), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Tensor:
        return torch.stack((matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 2]), dim=1)


class Projective(Transform):
    """Eight parameters: what a camera sees of a plane. Straight lines stay straight, parallels may meet.

        x_s = (θ11 x_t + θ12 y_t + θ13) / w      w = θ31 x_t + θ32 y_t + 1
        y_s = (θ21 x_t + θ22 y_t + θ23) / w

    Where w is 0 lies the horizon, which maps to infinity. So that no output is ever NaN, a |w| below `HORIZON` is
    replaced by ±`HORIZON` (0 counts as positive), which looks far outside any image; no gradient flows through w
    there. Beyond the horizon w is negative and the formula holds as it stands: the picture is mirrored.

    Example:
        >>> theta = Projective().identity()[None] + torch.tensor([[0, 0, 0, 0, 0, 0, 0.5, 0]])
        >>> Projective().grid(theta, (1, 2))[0, 0]  # w is 0.75 on the left, 1.25 on the right
        tensor([[-0.6667,  0.0000],
                [ 0.4000,  0.0000]])
    """

    names = ("θ11", "θ12", "θ13", "θ21", "θ22", "θ23", "θ31", "θ32")

    def identity(self) -> Tensor:
        return torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])

    def matrix(self, theta: Tensor) -> Tensor:
        self._check(theta)
        return torch.cat((theta, theta.new_ones(theta.shape[0], 1)), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Tensor:
        last = matrix[:, 2, 2]
        if (last == 0).any():
            raise ValueError(f"expected projective matrices whose last entry is not 0, got {matrix.tolist()}")
        return (matrix / last[:, None, None]).flatten(1)[:, :8]

    def from_homogeneous(self, source: Tensor) -> Tensor:
        w = source[..., 2:]
        horizon = w.new_full((), HORIZON)
        nearest_allowed = torch.where(w < 0, -horizon, horizon)
        return source[..., :2] / torch.where(w.abs() < HORIZON, nearest_allowed, w)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Inside, nothing is computed in a lower precision than it comes in."""
    if device.type == "meta":  # nothing is computed at all, and `torch.autocast` refuses it
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
