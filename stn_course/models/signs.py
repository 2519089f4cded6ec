"""Three networks for a small thing in a large picture: the whole resized, the whole as it is, and a crop.

All have the same classifier, whose last step is a maximum over all places, so that it takes pictures of any size:
`Resized` gives it a view of 64 pixels, `Whole` all pixels, and `SignST` a crop of 32 that its transformer has found.
"""

import torch
from torch import Tensor, nn

from stn_course.checks import Images, Size, Theta
from stn_course.look_small import LookSmall, small_view
from stn_course.models.soft_argmax import soft_argmax
from stn_course.models.st_network import Look, STNetwork, look
from stn_course.transforms import Bounded, Similarity, without_autocast

BOUNDS = {"rotation": (-45.0, 45.0), "scale": (0.05, 1.5)}
"""Of the frame, in the square around the picture; its middle is a mean of places, and so inside without any."""
SHARPNESS = 3.0  # of the softmax: at 1 it stayed a mean over the whole picture, and nothing was found
MARGIN = 1.25  # the frame's size over the sign's


class SignCNN(nn.Module):
    """Convolutions, then a maximum over all places: (B, 3, H, W) → (B, classes), for H and W from 8 on.

    Built in: 10, "Resize the whole?".
    """

    def __init__(self, channels: tuple[int, ...] = (12, 24, 48, 48), classes: int = 8):
        super().__init__()
        layers, inputs = [], 3
        for i, outputs in enumerate(channels):
            layers += [nn.MaxPool2d(2)] if i else []
            layers += _convolution(inputs, outputs)
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Resized(nn.Module):
    """A `SignCNN` on a small view of the whole picture.

    Built in: 10, "Resize the whole?".
    """

    def __init__(self, view: int = 64):
        super().__init__()
        self.view, self.classifier = view, SignCNN()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(small_view(x, self.view))


class FindSign(nn.Module):
    """Say where the thing is, how large and how turned: a view (B, 3, h, w) → z (B, 4), of a bounded similarity.

    One channel, the heat, becomes weights of all places by a `soft_argmax`, and the mean place under them is where the
    thing is. The mean features under the same weights tell size and turn.

    Built in: 10, "Does the whole picture need to be seen?".
    """

    def __init__(self, channels: tuple[int, int] = (12, 24)):
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *_convolution(first, second),
        )
        self.heat = nn.Sequential(nn.Conv2d(second, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1))
        self.turn_and_size = nn.Linear(second, 2)
        nn.init.zeros_(self.turn_and_size.weight)
        nn.init.zeros_(self.turn_and_size.bias)

    def forward(self, view: Tensor) -> Tensor:
        features = self.features(view)
        with without_autocast(view.device):  # a place in bfloat16 is off by a visible part of a pixel
            features, heat = features.float(), self.heat(features.float())
            weights, place = soft_argmax(SHARPNESS * heat)  # (B, h · w), (B, 2)
            there = (features.flatten(2) @ weights[..., None])[..., 0]  # (B, second)
            return torch.cat((self.turn_and_size(there), place), dim=1)


class SignST(STNetwork):
    """Look small, crop large: θ from a view of 64 pixels, a `SignCNN` on a crop of 32: (B, 3, H, W) → (B, 8 + 3).

    The three further outputs are x, y and size of what it looks at, for a loss that knows some of them. Without
    `says_where` it says the class alone.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 10, "Does the whole picture need to be seen?".
    """

    def __init__(self, output_size: Size = (32, 32), says_where: bool = True):
        super().__init__()
        family = Bounded(Similarity(), BOUNDS)
        self.spatial_transformer = LookSmall(FindSign(), family, output_size)
        self.classifier = SignCNN()
        self.says_where = says_where

    def looks(self, x: Images) -> list[Look]:
        return [look(self.spatial_transformer, x)]

    def forward(self, x: Tensor) -> Tensor:
        (seen,) = self.looks(x)
        classes = self.classifier(seen.warped)
        return torch.cat((classes, where(seen.theta)), dim=1) if self.says_where else classes


def where(theta: Theta) -> Tensor:
    """Read off affine frames in square pictures what they hold: x, y and size, (B, 6) → (B, 3).

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Can a few labels of places help?".
    """
    a, b, t_x, c, d, t_y = theta.unbind(1)
    size = (a * d - b * c).abs().clamp(min=1e-12).sqrt()
    return torch.stack((t_x, t_y, size / MARGIN), dim=1)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
