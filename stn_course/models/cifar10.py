"""The networks for CIFAR-10, upright and distorted, and their baselines.

In all three spatial transformers the localisation network is as large as the classifier or larger. The baselines spend
these parameters on wider layers instead.

Source: the layer sizes of two public spatial transformers on CIFAR-10, by Gokul P V and by Lavanya Nemani and Shaheer
Fardan; a test holds the parameter counts.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from stn_course.models.fourier import FourierConv2d
from stn_course.models.st_network import STClassifier
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Transform


class CifarCNN(nn.Module):
    """Two convolutions and a wide linear layer, with dropout: (B, 3, size, size) → (B, 10). 1,594,614 parameters.

    With `halved` it sees its images at half their size.

    Built in: 06, "Two networks, and where their parameters are".
    """

    def __init__(self, channels: tuple[int, int] = (30, 60), size: int = 32, hidden: int = 1024, halved: bool = False):
        super().__init__()
        first, second = channels
        seen = size // 2 if halved else size
        side = ((seen - 4) // 2 - 4) // 2  # each convolution takes 4 pixels off, each pooling halves
        self.layers = nn.Sequential(
            *([_halve()] if halved else []),
            nn.Conv2d(3, first, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            FourierConv2d(first, second, 5),
            nn.Dropout2d(),
            nn.MaxPool2d(2),  # (B, second, side, side)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * side * side, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class PooledCNN(nn.Module):
    """Five convolutions and a mean over all places, which asks *what* and forgets *where*: (B, 3, H, W) → (B, 10).

    It has no linear layer whose weights belong to places, so that its size does not grow with the image's.
    1,190,847 parameters.

    Built in: 06, "Give it something to undo".
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 192, 559)):
        super().__init__()
        self.layers = nn.Sequential(
            *(layer for two in pairwise((3, *channels[:-1])) for layer in _convolution_and_pooling(*two)),
            nn.Conv2d(channels[-2], channels[-1], 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(channels[-1], 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class CifarLeNet(nn.Module):
    """LeNet in colour: (B, 3, 32, 32) → (B, 10). As a baseline, 802,611 parameters.

    LeNet's own sizes are channels (6, 16) for the convolutions and hidden (120, 84) for the linear layers.

    Built in: 06, "Two networks, and where their parameters are".
    """

    def __init__(self, channels: tuple[int, int] = (22, 58), hidden: tuple[int, int] = (436, 305)):
        super().__init__()
        first, second = channels
        self.layers = nn.Sequential(
            nn.Conv2d(3, first, 5),  # (B, first, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, first, 14, 14)
            FourierConv2d(first, second, 5),  # (B, second, 10, 10)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, second, 5, 5)
            nn.Flatten(),
            nn.Linear(second * 5 * 5, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class CifarSTN(STClassifier):
    """A spatial transformer before a `CifarCNN`: (B, 3, 32, 32) → (B, 10). 1,585,008 parameters (affine).

    Built in: 06, "Two networks, and where their parameters are".
    """

    def __init__(self, transform: Transform = Affine()):
        super().__init__(SpatialTransformer(_localisation(32, transform), transform), CifarCNN(channels=(16, 32)))


class CifarLeNetSTN(STClassifier):
    """A spatial transformer before a LeNet: (B, 3, 32, 32) → (B, 10). 802,492 parameters (affine).

    Built in: 06, "Two networks, and where their parameters are".
    """

    def __init__(self, transform: Transform = Affine()):
        super().__init__(
            SpatialTransformer(_localisation(32, transform), transform), CifarLeNet(channels=(6, 16), hidden=(120, 84))
        )


class RtsCifarSTN(STClassifier):
    """`CifarSTN` for distorted images on a canvas: (B, 3, 48, 48) → (B, 10). 1,191,792 parameters (affine).

    It searches the canvas at half its size and gives the classifier 32×32 pixels, those of the image if it finds it. At
    first it looks at the middle of the canvas at the image's own size. Past the edge it sees more of the black canvas.

    Built in: 06, "Give it something to undo".
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = nn.Sequential(_halve(), *_localisation(24, transform))  # halved: (B, 3, 24, 24)
        with torch.no_grad():
            localisation[-1].bias.mul_(32 / 48)  # the identity, enlarged: 32 of the canvas' 48 pixels
        super().__init__(
            SpatialTransformer(localisation, transform, output_size=(32, 32), padding_mode="border"),
            CifarCNN(channels=(16, 32)),
        )


def _halve() -> nn.Module:
    return nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False)


def _convolution_and_pooling(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]


def _localisation(size: int, transform: Transform) -> nn.Sequential:
    """Make the localisation network of both public networks: (B, 3, size, size) → θ (B, n_params)."""
    side = ((size - 6) // 2 - 4) // 2
    return nn.Sequential(
        FourierConv2d(3, 64, 7),
        nn.MaxPool2d(2),
        nn.ReLU(),
        FourierConv2d(64, 128, 5),
        nn.MaxPool2d(2),  # (B, 128, side, side)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * side * side, 256),
        nn.ReLU(),
        theta_head(256, transform),
    )
