"""Distorted MNIST, the paper's R: digits turned by up to 90° either way, in the middle of the canvas.

The diagonal of their 28×28 pixels is 39.6 long, so that a canvas of 42×42 cuts nothing off, however they lie.
"""

from stn_course.data import load_mnist
from stn_course.distortions import RTS
from stn_course.models import FeatureSTCNN, RewarpedSTCNN, TwiceSTCNN
from stn_course.tasks.papers_table import COURSE, PROFILES, TRIES, contestants
from stn_course.tasks.task import Contestant, Task

TASK = Task("r-mnist", load_mnist, PROFILES, distortion=RTS(degrees=90, scale=(1, 1), shift=0))

# the affine ST-CNN, arranged in three other ways, each of its size
CONTESTANTS = contestants("R") | {
    name: Contestant(title, model, COURSE, tries=TRIES, baseline="cnn")
    for name, title, model in (
        ("st-cnn-twice", "ST-CNN, affine, two looks", TwiceSTCNN),
        ("st-cnn-rewarped", "ST-CNN, affine, the warped warped again", RewarpedSTCNN),
        ("st-cnn-features", "ST-CNN, affine, warps feature maps", FeatureSTCNN),
    )
}
