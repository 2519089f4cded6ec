"""A residual network for CIFAR-10, meant for a GPU, and a spatial transformer before it.

    block(x) = x + f(x)      f: two convolutions, each with batch normalisation and ReLU

Source: the blocks are those of He et al., "Deep Residual Learning for Image Recognition" (2016). Nine layers with two
blocks are the usual shape in contests for the shortest training time on CIFAR-10.
"""

from torch import Tensor, nn

from stn_course.models.st_network import STClassifier
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Transform


class Residual(nn.Module):
    """x + f(x), for two 3×3 convolutions f: (B, channels, H, W) → the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.f = nn.Sequential(*_convolution(channels, channels), *_convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class ResidualCNN(nn.Module):
    """Nine layers, two residual blocks: (B, 3, 32, 32) → (B, 10). 6,573,130 parameters."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(3, 64),
            *_convolution(64, 128),
            nn.MaxPool2d(2),  # (B, 128, 16, 16)
            Residual(128),
            *_convolution(128, 256),
            nn.MaxPool2d(2),  # (B, 256, 8, 8)
            *_convolution(256, 512),
            nn.MaxPool2d(2),  # (B, 512, 4, 4)
            Residual(512),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(512, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class ResidualSTN(STClassifier):
    """A spatial transformer before a `ResidualCNN`: (B, 3, 32, 32) → (B, 10). 6,658,608 parameters (affine).

    The transformer has only 1.3 % of the parameters, so the bare network is its baseline. It searches the halved image,
    and beyond the edge it sees the edge repeated: zeros would be a grey frame.
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = nn.Sequential(
            nn.AvgPool2d(2),  # (B, 3, 16, 16)
            *_convolution(3, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            nn.MaxPool2d(2),  # (B, 64, 4, 4)
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64),
            nn.ReLU(),
            theta_head(64, transform),
        )
        super().__init__(SpatialTransformer(localisation, transform, padding_mode="border"), ResidualCNN())


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
