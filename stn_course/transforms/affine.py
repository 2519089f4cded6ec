"""Affine transforms: any scale, rotation, shear and shift.

Target coordinates enter the product on the right, so read the parts of a matrix from there:

    M  =  shift · rotation · scale · shear

         ⎡1  0  t_x⎤   ⎡cos φ  −sin φ  0⎤   ⎡s_x   0   0⎤   ⎡1  k  0⎤
      =  ⎢0  1  t_y⎥ · ⎢sin φ   cos φ  0⎥ · ⎢ 0   s_y  0⎥ · ⎢0  1  0⎥
         ⎣0  0   1 ⎦   ⎣  0       0    1⎦   ⎣ 0    0   1⎦   ⎣0  0  1⎦

Every affine θ has such parts (it is the QR decomposition). All of them say what happens to the *frame* in which the
sampler looks, and the picture does the opposite: a frame turned clockwise shows a picture turned counter-clockwise, a
smaller frame shows a larger picture.

In normalised coordinates a unit along x is as long as a unit along y only in a square picture; in any other this turn
would shear. In a picture of H×W pixels rotation, scale and shear therefore act in pixels, between D = diag(W, H, 1) and
its inverse:

    M  =  shift · D⁻¹ · rotation · scale · shear · D

              ⎡    cos φ     −H/W · sin φ  0⎤
    rotation: ⎢W/H · sin φ       cos φ     0⎥     shear: k · H/W in place of k     scale: as above
              ⎣     0              0       1⎦

Source: Jaderberg et al., 2015 (arXiv:1506.02025), equation 1.
"""

import torch
from torch import Tensor

from stn_course.checks import Theta
from stn_course.transforms.matrix import MatrixTransform
from stn_course.transforms.transform import Range


class Affine(MatrixTransform):
    """Six parameters: any scale, rotation, shear and shift. Parallels stay parallel (equation 1).

        x_s = θ11 x_t + θ12 y_t + θ13
        y_s = θ21 x_t + θ22 y_t + θ23

    Built in: 01, "Six numbers: affine".

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
    part_names = ("rotation", "scale_x", "scale_y", "shear", "shift_x", "shift_y")
    ranges = {"rotation": Range(-180, 180, 1)}
    linear = True
    presets = {
        "zoom in": {"scale_x": 0.5, "scale_y": 0.5},
        "zoom out": {"scale_x": 1.5, "scale_y": 1.5},
        "shift": {"shift_x": 0.5},
        "rotate 30°": {"rotation": 30.0},
        "mirror": {"scale_x": -1.0},
        "shear": {"shear": 0.5},
        "flatten to a line": {"scale_y": 0.0},
    }

    def identity(self) -> Theta:
        return torch.tensor([1.0, 0, 0, 0, 1, 0])

    def matrix(self, theta: Theta) -> Tensor:
        self.check_theta(theta)
        n = theta.shape[0]  # unlike len(), it stays open in an exported network
        return torch.cat((theta, theta.new_zeros(n, 2), theta.new_ones(n, 1)), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Theta:
        return matrix[:, :2].flatten(1)

    def parts_to_theta(self, parts: Tensor, ratio: float) -> Theta:
        a, b, c, d = corner_of_parts(parts[:, :4], ratio)
        shift_x, shift_y = parts[:, 4:].unbind(1)
        return torch.stack((a, b, shift_x, c, d, shift_y), dim=1)

    def theta_to_parts(self, theta: Theta, ratio: float) -> Tensor:
        matrix = self.matrix(theta)
        return torch.cat((parts_of_corner(matrix[:, :2, :2], ratio), matrix[:, :2, 2]), dim=1)


def corner_of_parts(parts: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make the upper left 2×2 entries of a matrix, row by row, (B,) each, of a picture `ratio` times as high as wide.

    The parts are rotation in degrees, scale_x, scale_y and shear, (B, 4).
    """
    rotation, scale_x, scale_y, shear = parts.unbind(1)
    cos, sin = torch.cos(torch.deg2rad(rotation)), torch.sin(torch.deg2rad(rotation))
    a, b = cos * scale_x, (cos * scale_x * shear - sin * scale_y) * ratio
    c, d = sin * scale_x / ratio, sin * scale_x * shear + cos * scale_y
    return a, b, c, d


def parts_of_corner(corner: Tensor, ratio: float) -> Tensor:
    """Read rotation, scales and shear off the upper left 2×2 entries, (B, 2, 2) → (B, 4); see `algebra.to_parts`."""
    a, b, c, d = corner.flatten(1).unbind(1)
    b, c = b / ratio, c * ratio  # in pixels
    none = torch.finfo(corner.dtype).tiny  # below it there are not enough digits left to tell a direction
    flat = torch.hypot(a, c) <= none * torch.stack((b, d)).abs().amax(0).clamp(min=1)
    scale_x = torch.where(flat, 0, torch.hypot(torch.where(flat, 1, a), torch.where(flat, 0, c)))
    x, y = torch.where(flat, d, a), torch.where(flat, -b, c)  # which way the frame's x axis points
    nowhere = torch.hypot(x, y) <= none
    x, y = torch.where(nowhere, 1, x), torch.where(nowhere, 0, y)
    length = torch.hypot(x, y)
    cos, sin = x / length, y / length
    scale_y = cos * d - sin * b
    shear = torch.where(flat, 0, (cos * b + sin * d) / torch.where(flat, 1, scale_x))
    return torch.stack((torch.rad2deg(torch.atan2(sin, cos)), scale_x, scale_y, shear), dim=1)
