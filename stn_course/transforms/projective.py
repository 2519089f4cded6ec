"""Projective transforms: what a camera sees of a plane.

Its parts are those of an affine matrix (see `affine`), and a perspective before them:

                                             ⎡ 1    0   0⎤
    M  =  shift · rotation · scale · shear · ⎢ 0    1   0⎥
                                             ⎣p_x  p_y  1⎦

Source: Jaderberg et al., 2015 (arXiv:1506.02025), section 3.2.
"""

import torch
from torch import Tensor

from stn_course.checks import Points, Theta
from stn_course.transforms.affine import Affine, corner_of_parts, parts_of_corner
from stn_course.transforms.matrix import MatrixTransform
from stn_course.transforms.transform import Range

HORIZON = 1e-4
"""The smallest denominator of a projective transform; see `Projective`."""


class Projective(MatrixTransform):
    """Eight parameters: what a camera sees of a plane. Straight lines stay straight, parallels may meet.

        x_s = (θ11 x_t + θ12 y_t + θ13) / w      w = θ31 x_t + θ32 y_t + 1
        y_s = (θ21 x_t + θ22 y_t + θ23) / w

    The horizon, where w is 0, maps to infinity. So that no output is ever NaN, `from_homogeneous` replaces a |w| below
    `HORIZON` by ±`HORIZON` (0 counts as positive), which looks far outside any image; no gradient flows through w
    there. Beyond the horizon w is negative, and the same formula mirrors the picture.

    Built in: 01, "Eight numbers: projective".

    Example:
        >>> theta = Projective().identity()[None] + torch.tensor([[0, 0, 0, 0, 0, 0, 0.5, 0]])
        >>> Projective().grid(theta, (1, 2))[0, 0]  # w is 0.75 on the left, 1.25 on the right
        tensor([[-0.6667,  0.0000],
                [ 0.4000,  0.0000]])
    """

    names = ("θ11", "θ12", "θ13", "θ21", "θ22", "θ23", "θ31", "θ32")
    part_names = (*Affine.part_names, "perspective_x", "perspective_y")
    keeps = ("straight lines",)
    scale = "w"
    ranges = Affine.ranges | dict.fromkeys(("θ31", "θ32", "perspective_x", "perspective_y"), Range(-1.5, 1.5))
    linear = True
    presets = Affine.presets | {
        "turn aside": {"perspective_x": 0.5},
        "tilt back": {"perspective_y": 0.5},
        "look over the horizon": {"perspective_y": 1.5},
    }

    def identity(self) -> Theta:
        return torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0])

    def matrix(self, theta: Theta) -> Tensor:
        self.check_theta(theta)
        return torch.cat((theta, theta.new_ones(theta.shape[0], 1)), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Theta:
        last = matrix[:, 2, 2]
        if (last == 0).any():
            raise ValueError(f"expected projective matrices whose last entry is not 0, got {matrix.tolist()}")
        return (matrix / last[:, None, None]).flatten(1)[:, :8]

    def inverse_has_no_theta(self, matrix: Tensor) -> Tensor:
        a, b, c, d = matrix[:, :2, :2].flatten(1).unbind(1)
        noise = 10 * torch.finfo(matrix.dtype).eps * ((a * d).abs() + (b * c).abs())
        return (a * d - b * c).abs() <= noise  # over the determinant of the matrix: the inverse's last entry

    def from_homogeneous(self, source: Tensor) -> Points:
        w = source[..., 2:]
        horizon = w.new_full((), HORIZON)
        nearest_allowed = torch.where(w < 0, -horizon, horizon)
        return source[..., :2] / torch.where(w.abs() < HORIZON, nearest_allowed, w)

    def parts_to_theta(self, parts: Tensor, ratio: float) -> Theta:
        a, b, c, d = corner_of_parts(parts[:, :4], ratio)
        x, y, p_x, p_y = parts[:, 4:].unbind(1)
        return torch.stack((a + x * p_x, b + x * p_y, x, c + y * p_x, d + y * p_y, y, p_x, p_y), dim=1)

    def theta_to_parts(self, theta: Theta, ratio: float) -> Tensor:
        matrix = self.matrix(theta)
        shift, perspective = matrix[:, :2, 2], matrix[:, 2, :2]
        corner = matrix[:, :2, :2] - shift[:, :, None] * perspective[:, None]
        return torch.cat((parts_of_corner(corner, ratio), shift, perspective), dim=1)
