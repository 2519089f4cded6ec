"""The networks for distorted MNIST: a CNN and an FCN on the 42×42 canvas, and slimmer ones behind a transformer.

FCN means fully connected network. Those with a transformer differ from each other by their family of θ alone.

Sources: all follow Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4: the FCNs in the size that it gives to all
its networks, about 400,000 parameters, and the CNNs in the smaller layers of a public reimplementation on distorted
MNIST. Tests hold the parameter counts.
"""

from torch import Tensor, nn

from stn_course.algebra import compose
from stn_course.checks import Images
from stn_course.models.fourier import FourierConv2d
from stn_course.models.grey import GreyConv2d
from stn_course.models.st_network import Look, STClassifier, STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Transform


class CNN(nn.Module):
    """The baseline for 42×42 distorted digits: (B, 1, 42, 42) → (B, 10). 112,052 parameters with 36 channels.

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, channels: int = 36):
        super().__init__()
        self.layers = nn.Sequential(
            GreyConv2d(1, channels, 9),  # (B, channels, 34, 34)
            nn.MaxPool2d(2),  # (B, channels, 17, 17)
            nn.ReLU(),
            FourierConv2d(channels, channels, 7),  # (B, channels, 11, 11)
            nn.MaxPool2d(2),  # (B, channels, 5, 5)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * 5 * 5, 50),
            nn.ReLU(),
            nn.Linear(50, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class STCNN(STClassifier):
    """The same network, slimmer, behind a spatial transformer: (B, 1, 42, 42) → (B, 10). 110,478 parameters (affine).

    The localisation network gets the input at half size: where a digit lies can be seen from afar. It has 20 channels.

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, transform: Transform = Affine(), channels: int = 20, halved: bool = True):
        super().__init__(SpatialTransformer(_localisation(transform, channels, halved), transform), CNN(channels=32))


class FCN(nn.Module):
    """The baseline without convolutions: (B, 1, 42, 42) → (B, 10). 399,566 parameters with 202 hidden units a layer.

    It knows nothing of neighbours: with the pixels in another order it would learn as well.

    Built in: 08, "Eight networks, two sizes".
    """

    def __init__(self, hidden: int = 202):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(42 * 42, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class STFCN(STClassifier):
    """The same network, slimmer, behind a spatial transformer: (B, 1, 42, 42) → (B, 10). 400,225 parameters (affine).

    The localisation network is fully connected, too: three layers of 32 hidden units on the whole input.

    Built in: 08, "Eight networks, two sizes".
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = nn.Sequential(
            nn.Flatten(),
            nn.Linear(42 * 42, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            nn.Linear(32, 32),
            nn.ReLU(),
            theta_head(32, transform),
        )
        super().__init__(SpatialTransformer(localisation, transform), FCN(hidden=175))


class TwiceSTCNN(STNetwork):
    """An ST-CNN that looks twice with the same localisation network: (B, 1, 42, 42) → (B, 10). 110,478 parameters.

    The second look corrects the first: θ = θ₁ ∘ θ₂, where θ₂ comes from what the first look saw. The input itself is
    sampled by θ, so that nothing is blurred or cut off twice.

    Source: Lin and Lucey, "Inverse Compositional Spatial Transformer Networks", 2017 (arXiv:1612.03897).

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 05, "Does it turn?".
    """

    def __init__(self, transform: Transform = Affine()):
        super().__init__()
        self.spatial_transformer = SpatialTransformer(_localisation(transform), transform)
        self.classifier = CNN(channels=32)

    def looks(self, x: Images) -> list[Look]:
        layer = self.spatial_transformer
        first = look(layer, x)
        theta = compose(first.theta, layer.theta(first.warped), layer.transform)
        return [first, Look(layer, theta, x, layer.warp(x, theta))]

    def forward(self, x: Images) -> Tensor:
        return self.classifier(self.looks(x)[-1].warped)


def _localisation(transform: Transform, channels: int = 20, halved: bool = True) -> nn.Sequential:
    """Make the localisation network: (B, 1, 42, 42) → θ (B, n_params)."""
    side = (17 if halved else 38) // 2 - 4  # after both convolutions
    return nn.Sequential(
        # (B, 1, 21, 21)
        nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False) if halved else nn.Identity(),
        GreyConv2d(1, channels, 5),  # (B, channels, 17, 17)
        nn.MaxPool2d(2),  # (B, channels, 8, 8)
        nn.ReLU(),
        nn.Conv2d(channels, channels, 5),  # (B, channels, 4, 4)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * side * side, channels),
        nn.ReLU(),
        theta_head(channels, transform),
    )
