"""The networks for MNIST addition: two channels of 42×42, a digit in each, and the sum as one of 19 classes.

The transformers give the classifier 28×28 pixels of each channel, as many as a digit has.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.1, which gives all its networks about 400,000 parameters,
as the FCNs have here.
"""

import torch
from torch import Tensor, nn

from stn_course.checks import Images
from stn_course.models.distorted_mnist import CNN, FCN, localisation_fcn
from stn_course.models.st_network import Look, STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Transform

CANVAS, SEEN, SUMS = 42, 28, 19


class AdditionCNN(CNN):
    """The baseline with convolutions: (B, 2, 42, 42) → (B, 19). 115,427 parameters, as many as that of one digit."""

    def __init__(self):
        super().__init__(inputs=2, classes=SUMS)


class AdditionFCN(FCN):
    """The baseline without convolutions: (B, 2, 42, 42) → (B, 19). 402,509 parameters."""

    def __init__(self):
        super().__init__(hidden=110, pixels=2 * CANVAS * CANVAS, classes=SUMS)


class AdditionSTFCN(STNetwork):
    """An FCN behind some transformers side by side: (B, 2, 42, 42) → (B, 19). 400,833 parameters with one
    affine transformer, 398,755 with two.

    Each transformer sees both channels and warps both alike, so that it can set one digit upright at most. The
    classifier sees what all of them saw: two channels of each.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 09, "Two digits, one sum: do two looks divide the work?".
    """

    def __init__(self, transform: Transform = Affine(), transformers: int = 1):
        super().__init__()
        pixels, hidden = 2 * CANVAS * CANVAS, {1: (32, 163), 2: (20, 79)}[transformers]
        self.transformers = nn.ModuleList(
            SpatialTransformer(localisation_fcn(transform, hidden[0], pixels), transform, output_size=(SEEN, SEEN))
            for _ in range(transformers)
        )
        self.classifier = FCN(hidden[1], 2 * transformers * SEEN * SEEN, SUMS)

    def looks(self, x: Images) -> list[Look]:
        return [look(layer, x) for layer in self.transformers]

    def forward(self, x: Images) -> Tensor:
        return self.classifier(torch.cat([one.warped for one in self.looks(x)], dim=1))
