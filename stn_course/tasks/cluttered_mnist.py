"""Cluttered MNIST: a digit anywhere on 60×60, among 16 pieces of 6×6 pixels cut out of other digits.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

import functools

from stn_course.data import load_mnist
from stn_course.distortions import RTS, Clutter
from stn_course.models import ClutterCNN, ClutterFCN, ClutterSTCNN, ClutterSTFCN, CropSTCNN
from stn_course.tasks.papers_table import TRIES, TRIES_WITHOUT
from stn_course.tasks.recipe import Profile, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task
from stn_course.transforms import Attention

ANYWHERE = RTS(canvas=60, degrees=0, scale=(1, 1))

TASK = Task(
    "cluttered-mnist",
    load_mnist,
    profiles(
        smoke=Profile(1, train_images=128, test_images=100), quick=Profile(3, train_images=10_000), full=Profile(20)
    ),
    distortion=Clutter(ANYWHERE),
)

COURSE = {"course": course_recipe(1e-3, batch_size=64, weight_decay=0.01)}

CONTESTANTS = {
    "fcn": Contestant("FCN", ClutterFCN, COURSE, tries=TRIES_WITHOUT, paper=13.2),
    "cnn": Contestant("CNN", ClutterCNN, COURSE, tries=TRIES_WITHOUT, paper=3.5),
    "st-fcn": Contestant("ST-FCN, affine", ClutterSTFCN, COURSE, tries=TRIES, baseline="fcn", paper=2.0),
    "st-cnn": Contestant("ST-CNN, affine", ClutterSTCNN, COURSE, tries=TRIES, baseline="cnn", paper=1.7),
    "st-cnn-attention": Contestant(
        "ST-CNN, attention", functools.partial(ClutterSTCNN, Attention()), COURSE, tries=TRIES, baseline="cnn"
    ),
    "st-cnn-crop": Contestant("ST-CNN, looks low, crops high", CropSTCNN, COURSE, tries=TRIES, baseline="cnn"),
}
