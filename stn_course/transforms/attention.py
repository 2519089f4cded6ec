"""Attention: a crop of one scale, moved about, never turned.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), equation 2.
"""

import torch
from torch import Tensor

from stn_course.checks import Theta
from stn_course.transforms.matrix import MatrixTransform


class Attention(MatrixTransform):
    """Three parameters (s, t_x, t_y): a crop of one scale, moved about, never turned (equation 2).

        x_s = s x_t + t_x
        y_s = s y_t + t_y

    Built in: 01, "Attention: three numbers".

    Example:
        >>> Attention().matrix(torch.tensor([[0.5, 0.25, -0.25]]))
        tensor([[[ 0.5000,  0.0000,  0.2500],
                 [ 0.0000,  0.5000, -0.2500],
                 [ 0.0000,  0.0000,  1.0000]]])
    """

    names = ("s", "t_x", "t_y")
    part_names = ("scale", "shift_x", "shift_y")
    keeps = ("straight lines", "parallels", "angles", "directions")
    linear = True
    presets = {
        "zoom in": {"scale": 0.5},
        "zoom out": {"scale": 1.5},
        "shift": {"shift_x": 0.5},
        "top left quarter": {"scale": 0.5, "shift_x": -0.5, "shift_y": -0.5},
        "bottom right quarter": {"scale": 0.5, "shift_x": 0.5, "shift_y": 0.5},
        "upside down": {"scale": -1.0},
    }

    def identity(self) -> Theta:
        return torch.tensor([1.0, 0, 0])

    def matrix(self, theta: Theta) -> Tensor:
        self.check_theta(theta)
        s, t_x, t_y = theta.unbind(1)
        zero, one = torch.zeros_like(s), torch.ones_like(s)
        return torch.stack((s, zero, t_x, zero, s, t_y, zero, zero, one), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Theta:
        return torch.stack((matrix[:, 0, 0], matrix[:, 0, 2], matrix[:, 1, 2]), dim=1)
