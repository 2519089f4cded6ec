"""Similarities: a frame of any size, turned and moved, and never distorted.

Source: Hartley and Zisserman, "Multiple View Geometry in Computer Vision", section 2.4: isotropic scaling, rotation and
translation, four degrees of freedom.
"""

import torch
from torch import Tensor

from stn_course.checks import Size, Theta, check_size
from stn_course.transforms.matrix import MatrixTransform
from stn_course.transforms.transform import Range


class Similarity(MatrixTransform):
    """Four parameters (s, φ, t_x, t_y): one scale, a rotation, two shifts. Angles stay as they are.

        x_s = s (cos φ x_t − sin φ y_t) + t_x
        y_s = s (sin φ x_t + cos φ y_t) + t_y

    φ is in radians, and turns the frame clockwise as seen on the screen. In a picture of H×W pixels the turn acts in
    pixels, as `affine` explains: −sin φ takes the factor H/W, and sin φ the factor W/H. The family holds just the
    distortions of RTS: an attention never turns, and an affine transform also shears.

    `size` is (H, W) of the input picture; None means square, and only the ratio counts.

    Built in: 01, "Optional E · Families inside one another".

    Example:
        >>> from stn_course.numbers import short
        >>> quarter_turn = torch.tensor([[0.5, torch.pi / 2, 0.25, 0]])
        >>> short(Similarity().matrix(quarter_turn))  # row by row
        [0.0, -0.5, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0]
    """

    names = ("s", "φ", "t_x", "t_y")
    part_names = ("rotation", "scale", "shift_x", "shift_y")
    keeps = ("straight lines", "parallels", "angles")
    ranges = {"φ": Range(-3.15, 3.15), "rotation": Range(-180, 180, 1)}
    presets = {
        "zoom in": {"scale": 0.5},
        "zoom out": {"scale": 1.5},
        "shift": {"shift_x": 0.5},
        "rotate 30°": {"rotation": 30.0},
        "rotate and zoom": {"rotation": 30.0, "scale": 0.5},
        "upside down": {"rotation": 180.0},
    }

    def __init__(self, size: Size | None = None):
        height, width = (1, 1) if size is None else check_size(size)
        self.ratio = height / width

    def identity(self) -> Theta:
        return torch.tensor([1.0, 0, 0, 0])

    def matrix(self, theta: Theta) -> Tensor:
        self.check_theta(theta)
        s, turn, t_x, t_y = theta.unbind(1)
        cos, sin, zero = s * torch.cos(turn), s * torch.sin(turn), torch.zeros_like(s)
        rows = (cos, -sin * self.ratio, t_x, sin / self.ratio, cos, t_y, zero, zero, zero + 1)
        return torch.stack(rows, dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Theta:
        cos, sin = matrix[:, 0, 0], matrix[:, 1, 0] * self.ratio
        return torch.stack((torch.hypot(cos, sin), torch.atan2(sin, cos), matrix[:, 0, 2], matrix[:, 1, 2]), dim=1)

    def parts_to_theta(self, parts: Tensor, ratio: float) -> Theta:
        rotation, scale, shift_x, shift_y = parts.unbind(1)
        return torch.stack((scale, torch.deg2rad(rotation), shift_x, shift_y), dim=1)

    def theta_to_parts(self, theta: Theta, ratio: float) -> Tensor:
        s, turn, t_x, t_y = theta.unbind(1)
        return torch.stack((torch.rad2deg(turn), s, t_x, t_y), dim=1)

    def __repr__(self) -> str:
        return "Similarity()" if self.ratio == 1 else super().__repr__()
