"""The networks that the course trains. Every network with a transformer is an `STNetwork`: it says where it looks.

Each has a baseline without a transformer whose parameter count is within 2 %: the difference between the two is what
the transformer does. All give logits; the log-softmax of the originals is part of the loss (`F.cross_entropy`).
"""

from stn_course.models.cifar10 import CifarCNN, CifarLeNet, CifarLeNetSTN, CifarSTN, PooledCNN, RtsCifarSTN
from stn_course.models.cluttered_mnist import ClutterCNN, ClutterFCN, ClutterSTCNN, ClutterSTFCN, CropSTCNN
from stn_course.models.co_localisation import CoLocaliser, DigitFeatures, Search
from stn_course.models.distorted_mnist import CNN, FCN, STCNN, STFCN, FeatureSTCNN, RewarpedSTCNN, TwiceSTCNN
from stn_course.models.fourier import FourierConv2d
from stn_course.models.grey import GreyConv2d
from stn_course.models.mnist import TutorialCNN, TutorialSTN
from stn_course.models.mnist_addition import AdditionCNN, AdditionFCN, AdditionSTFCN
from stn_course.models.residual import ResidualCNN, ResidualSTN
from stn_course.models.signs import FindSign, Resized, SignCNN, SignST, where
from stn_course.models.st_network import Look, STClassifier, STNetwork, look, looks_of

__all__ = [
    "CNN",
    "FCN",
    "STCNN",
    "STFCN",
    "AdditionCNN",
    "AdditionFCN",
    "AdditionSTFCN",
    "CifarCNN",
    "CifarLeNet",
    "CifarLeNetSTN",
    "CifarSTN",
    "ClutterCNN",
    "ClutterFCN",
    "ClutterSTCNN",
    "ClutterSTFCN",
    "CoLocaliser",
    "CropSTCNN",
    "DigitFeatures",
    "FeatureSTCNN",
    "FindSign",
    "FourierConv2d",
    "GreyConv2d",
    "Look",
    "PooledCNN",
    "ResidualCNN",
    "ResidualSTN",
    "Resized",
    "RewarpedSTCNN",
    "RtsCifarSTN",
    "STClassifier",
    "STNetwork",
    "Search",
    "SignCNN",
    "SignST",
    "TutorialCNN",
    "TutorialSTN",
    "TwiceSTCNN",
    "look",
    "looks_of",
    "where",
]
