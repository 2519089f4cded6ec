"""The networks for cluttered MNIST, on 60×60: those of distorted MNIST in other sizes, and one that crops.

The CNNs have 24 channels and fewer, where those for 42×42 have 36: a step on 60×60 pixels costs twice as much.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4, which gives all its networks about 400,000 parameters,
as the FCNs have here.
"""

from torch import nn

from stn_course.models.distorted_mnist import CNN, FCN, halve, localisation_cnn, localisation_fcn
from stn_course.models.st_network import STClassifier
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Attention, Transform

SIZE, CROP = 60, 28


class ClutterCNN(CNN):
    """The baseline: (B, 1, 60, 60) → (B, 10). 150,776 parameters."""

    def __init__(self):
        super().__init__(channels=24, size=SIZE)


class ClutterSTCNN(STClassifier):
    """A slimmer one behind a transformer that sees the halved canvas: (B, 1, 60, 60) → (B, 10). 149,506 parameters.

    It has so many with an affine transformer.
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = localisation_cnn(transform, channels=16, size=SIZE // 2, smaller=halve())
        super().__init__(SpatialTransformer(localisation, transform), CNN(channels=20, size=SIZE))


class ClutterFCN(FCN):
    """The baseline without convolutions: (B, 1, 60, 60) → (B, 10). 397,943 parameters."""

    def __init__(self):
        super().__init__(hidden=107, pixels=SIZE * SIZE)


class ClutterSTFCN(STClassifier):
    """A slimmer FCN behind a transformer, fully connected as well: (B, 1, 60, 60) → (B, 10). 394,077 parameters.

    Built in: 09, "Where does it look?".
    """

    def __init__(self, transform: Transform = Affine()):
        localisation = localisation_fcn(transform, pixels=SIZE * SIZE)
        classifier = FCN(hidden=75, pixels=SIZE * SIZE)
        super().__init__(SpatialTransformer(localisation, transform), classifier)


class CropSTCNN(STClassifier):
    """Look low, crop high: (B, 1, 60, 60) → (B, 10). 148,205 parameters.

    The localisation network sees the canvas at a third of its size, 20×20 pixels. The classifier sees 28×28 pixels,
    which the transformer takes from the canvas itself: attention, so that it may move and zoom. It is as large as the
    others, yet never touches 3,600 pixels, which is where their arithmetic goes.

    Built in: 09, "Look low, crop high: what does that save?".
    """

    def __init__(self, transform: Transform = Attention()):
        localisation = localisation_cnn(transform, channels=16, size=SIZE // 3, smaller=nn.AvgPool2d(3))
        transformer = SpatialTransformer(localisation, transform, output_size=(CROP, CROP))
        super().__init__(transformer, CNN(channels=50, size=CROP))
