"""The networks for distorted MNIST: a CNN on the 42×42 canvas, and a slimmer one behind a spatial transformer.

Sources: the ST-CNN follows Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4, in the layer sizes of a public
reimplementation on distorted MNIST; a test holds the parameter counts.
"""

from torch import Tensor, nn

from stn_course.models.grey import GreyConv2d
from stn_course.models.st_network import STClassifier
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
            nn.Conv2d(channels, channels, 7),  # (B, channels, 11, 11)
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

    The localisation network gets the input at half size: where a digit lies can be seen from afar.

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = nn.Sequential(
            nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False),  # (B, 1, 21, 21)
            GreyConv2d(1, 20, 5),  # (B, 20, 17, 17)
            nn.MaxPool2d(2),  # (B, 20, 8, 8)
            nn.ReLU(),
            nn.Conv2d(20, 20, 5),  # (B, 20, 4, 4)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * 4 * 4, 20),
            nn.ReLU(),
            theta_head(20, transform),
        )
        super().__init__(SpatialTransformer(localisation, transform), CNN(channels=32))
