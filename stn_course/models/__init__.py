"""The networks that the course trains. Every network with a transformer is an `STNetwork`: it says where it looks.

Each has a baseline without a transformer whose parameter count is within 2 %: the difference between the two is what
the transformer does. All give logits; the log-softmax of the originals is part of the loss (`F.cross_entropy`).
"""

from stn_course.models.cifar10 import CifarCNN, CifarLeNet, CifarLeNetSTN, CifarSTN, PooledCNN, RtsCifarSTN
from stn_course.models.distorted_mnist import CNN, FCN, STCNN, STFCN, TwiceSTCNN
from stn_course.models.fourier import FourierConv2d
from stn_course.models.grey import GreyConv2d
from stn_course.models.mnist import TutorialCNN, TutorialSTN
from stn_course.models.residual import ResidualCNN, ResidualSTN
from stn_course.models.signs import FindSign, Resized, SignCNN, SignST, where
from stn_course.models.st_network import Look, STClassifier, STNetwork, look, looks_of

__all__ = [
    "CNN",
    "FCN",
    "STCNN",
    "STFCN",
    "CifarCNN",
    "CifarLeNet",
    "CifarLeNetSTN",
    "CifarSTN",
    "FindSign",
    "FourierConv2d",
    "GreyConv2d",
    "Look",
    "PooledCNN",
    "ResidualCNN",
    "ResidualSTN",
    "Resized",
    "RtsCifarSTN",
    "STClassifier",
    "STNetwork",
    "SignCNN",
    "SignST",
    "TutorialCNN",
    "TutorialSTN",
    "TwiceSTCNN",
    "look",
    "looks_of",
    "where",
]
