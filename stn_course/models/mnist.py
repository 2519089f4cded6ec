"""The networks for plain MNIST: the gentlest spatial transformer, and the same kind of CNN without one.

Source: the layer sizes of PyTorch's tutorial on spatial transformers, by Ghassen Hamrouni; a test holds the parameter
counts.
"""

from torch import Tensor, nn

from stn_course.models.grey import GreyConv2d
from stn_course.models.st_network import STClassifier
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Transform


class TutorialCNN(nn.Module):
    """A small classifier with dropout: (B, 1, 28, 28) → (B, 10). As a baseline, 27,296 parameters.

    Built in: 04, "What was it worth?".
    """

    def __init__(self, channels: tuple[int, int] = (12, 24)):
        super().__init__()
        first, second = channels
        self.layers = nn.Sequential(
            GreyConv2d(1, first, 5),  # (B, first, 24, 24)
            nn.MaxPool2d(2),  # (B, first, 12, 12)
            nn.ReLU(),
            nn.Conv2d(first, second, 5),  # (B, second, 8, 8)
            nn.Dropout2d(),
            nn.MaxPool2d(2),  # (B, second, 4, 4)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * 4 * 4, 50),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(50, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TutorialSTN(STClassifier):
    """The same classifier, slimmer, behind a spatial transformer: (B, 1, 28, 28) → (B, 10). 27,360 parameters (affine).

    Built in: 04, "Any network, and a transformer in front".
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = nn.Sequential(
            GreyConv2d(1, 8, 7),  # (B, 8, 22, 22)
            nn.MaxPool2d(2),  # (B, 8, 11, 11)
            nn.ReLU(),
            nn.Conv2d(8, 10, 5),  # (B, 10, 7, 7)
            nn.MaxPool2d(2),  # (B, 10, 3, 3)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(10 * 3 * 3, 32),
            nn.ReLU(),
            theta_head(32, transform),
        )
        super().__init__(SpatialTransformer(localisation, transform), TutorialCNN(channels=(10, 20)))
