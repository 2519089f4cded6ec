"""Translation: a frame of the picture's own size, moved about.

Source: Hartley and Zisserman, "Multiple View Geometry in Computer Vision", section 2.4: a similarity without scale and
rotation.
"""

import torch
from torch import Tensor

from stn_course.checks import Theta
from stn_course.transforms.matrix import MatrixTransform


class Translation(MatrixTransform):
    """Two parameters (t_x, t_y): the frame keeps its size and its angle, and only its place changes.

        x_s = x_t + t_x
        y_s = y_t + t_y

    It is the control for all other families: what it reaches, place alone is worth.

    Built in: 05, "One family for each part of the pose".

    Example:
        >>> Translation().matrix(torch.tensor([[0.25, -0.25]]))
        tensor([[[ 1.0000,  0.0000,  0.2500],
                 [ 0.0000,  1.0000, -0.2500],
                 [ 0.0000,  0.0000,  1.0000]]])
    """

    names = ("t_x", "t_y")
    part_names = ("shift_x", "shift_y")
    keeps = ("straight lines", "parallels", "angles", "directions")
    linear = True
    presets = {
        "shift": {"shift_x": 0.5},
        "shift back": {"shift_x": -0.5},
        "up": {"shift_y": -0.5},
        "down": {"shift_y": 0.5},
        "top left": {"shift_x": -0.5, "shift_y": -0.5},
        "bottom right": {"shift_x": 0.5, "shift_y": 0.5},
    }

    def identity(self) -> Theta:
        return torch.zeros(2)

    def matrix(self, theta: Theta) -> Tensor:
        self.check_theta(theta)
        t_x, t_y = theta.unbind(1)
        zero, one = torch.zeros_like(t_x), torch.ones_like(t_x)
        return torch.stack((one, zero, t_x, zero, one, t_y, zero, zero, one), dim=1).unflatten(1, (3, 3))

    def from_matrix(self, matrix: Tensor) -> Theta:
        return matrix[:, :2, 2]
