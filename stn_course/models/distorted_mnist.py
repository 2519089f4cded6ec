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

    It takes other sizes, images of several channels and more classes, too.

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, channels: int = 36, size: int = 42, inputs: int = 1, classes: int = 10):
        super().__init__()
        side = ((size - 8) // 2 - 6) // 2
        self.layers = nn.Sequential(
            GreyConv2d(inputs, channels, 9),  # (B, channels, 34, 34)
            nn.MaxPool2d(2),  # (B, channels, 17, 17)
            nn.ReLU(),
            FourierConv2d(channels, channels, 7),  # (B, channels, 11, 11)
            nn.MaxPool2d(2),  # (B, channels, 5, 5)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * side * side, 50),
            nn.ReLU(),
            nn.Linear(50, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class STCNN(STClassifier):
    """The same network, slimmer, behind a spatial transformer: (B, 1, 42, 42) → (B, 10). 110,478 parameters (affine).

    The localisation network gets the input at half size: where a digit lies can be seen from afar. It has 20 channels.

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, transform: Transform = Affine(), channels: int = 20, halved: bool = True):
        localisation = (
            localisation_cnn(transform, channels)
            if halved
            else localisation_cnn(transform, channels, 42, nn.Identity())
        )
        super().__init__(SpatialTransformer(localisation, transform), CNN(channels=32))


class FCN(nn.Module):
    """The baseline without convolutions: (B, 1, 42, 42) → (B, 10). 399,566 parameters with 202 hidden units a layer.

    It knows nothing of neighbours: with the pixels in another order it would learn as well. It takes images of any
    number of pixels, all channels together, and more classes.

    Built in: 08, "Eight networks, two sizes".
    """

    def __init__(self, hidden: int = 202, pixels: int = 42 * 42, classes: int = 10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class STFCN(STClassifier):
    """The same network, slimmer, behind a spatial transformer: (B, 1, 42, 42) → (B, 10). 400,225 parameters (affine).

    The localisation network is fully connected, too: three layers of 32 hidden units on the whole input.

    Built in: 08, "Eight networks, two sizes".
    """

    def __init__(self, transform: Transform = Affine()):
        super().__init__(SpatialTransformer(localisation_fcn(transform), transform), FCN(hidden=175))


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
        self.spatial_transformer = SpatialTransformer(localisation_cnn(transform), transform)
        self.classifier = CNN(channels=32)

    def looks(self, x: Images) -> list[Look]:
        layer = self.spatial_transformer
        first = look(layer, x)
        theta = compose(first.theta, layer.theta(first.warped), layer.transform)
        return [first, Look(layer, theta, x, layer.warp(x, theta))]

    def forward(self, x: Images) -> Tensor:
        return self.classifier(self.looks(x)[-1].warped)


class RewarpedSTCNN(TwiceSTCNN):
    """`TwiceSTCNN` without the product of the two θ: the second look warps what the first has warped already.

    What the first look cuts off is lost to the second, and each pixel is interpolated twice.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 09, "A second look: at what?".
    """

    def looks(self, x: Images) -> list[Look]:
        first = look(self.spatial_transformer, x)
        return [first, look(self.spatial_transformer, first.warped)]


class FeatureSTCNN(STNetwork):
    """An ST-CNN whose transformer stands behind the first convolution: (B, 1, 42, 42) → (B, 10). 110,408 parameters.

    It warps the 32 feature maps of 17×17 pixels, not the image, and its localisation network sees nothing else. It can
    lay the maps elsewhere; what they show was found in the image as it was.

    Source: Finnveden, Jansson and Lindeberg, "Understanding when spatial transformer networks do not support
    invariance, and what to do about it", 2020 (arXiv:2004.11678).

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """

    def __init__(self, transform: Transform = Affine(), channels: int = 14):
        super().__init__()
        layers = CNN(channels=32).layers
        localisation = localisation_cnn(transform, channels, 17, nn.Identity(), inputs=32)
        self.features = layers[:3]  # (B, 32, 17, 17)
        self.spatial_transformer = SpatialTransformer(localisation, transform)
        self.classifier = layers[3:]

    def looks(self, x: Images) -> list[Look]:
        return [look(self.spatial_transformer, self.features(x))]

    def forward(self, x: Images) -> Tensor:
        return self.classifier(self.looks(x)[0].warped)


def halve() -> nn.Module:
    """Make a layer that halves images by bilinear interpolation: each pixel is the mean of four."""
    return nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False)


def localisation_cnn(
    transform: Transform, channels: int = 20, size: int = 21, smaller: nn.Module | None = None, inputs: int = 1
) -> nn.Sequential:
    """Make the localisation network of a CNN: images, made smaller first, to `size` → θ (B, n_params).

    `smaller` makes them so; it halves them if None.
    """
    side = (size - 4) // 2 - 4  # after both convolutions
    return nn.Sequential(
        halve() if smaller is None else smaller,  # (B, 1, 21, 21)
        GreyConv2d(inputs, channels, 5),  # (B, channels, 17, 17)
        nn.MaxPool2d(2),  # (B, channels, 8, 8)
        nn.ReLU(),
        nn.Conv2d(channels, channels, 5),  # (B, channels, 4, 4)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * side * side, channels),
        nn.ReLU(),
        theta_head(channels, transform),
    )


def localisation_fcn(transform: Transform, hidden: int = 32, pixels: int = 42 * 42) -> nn.Sequential:
    """Make the localisation network of an FCN, with three hidden layers: images of so many pixels → θ (B, n_params)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        theta_head(hidden, transform),
    )
