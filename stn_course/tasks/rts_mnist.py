"""Distorted MNIST: digits turned, resized and moved about on a 42×42 canvas (system B)."""

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stn_course.data import SAMPLES, load_mnist
from stn_course.distortions import RTS
from stn_course.models import CNN, STCNN, TwiceSTCNN
from stn_course.tasks.recipe import Phase, Profile, Recipe, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task
from stn_course.transforms import FAMILIES


def ten_digits() -> Tensor:
    """Load the ten distorted digits whose θ is recorded on distorted MNIST: float32 (10, 1, 42, 42) in [0, 1].

    They are the first 0, 1, …, 9 of MNIST's test split under the fixed draw of `distorted`, and come with the package.

    Built in: 05, "Watch it learn".

    Example:
        >>> ten_digits().shape
        torch.Size([10, 1, 42, 42])
    """
    with np.load(SAMPLES) as archive:
        return torch.from_numpy(archive["ten_distorted"]).float() / 255


TASK = Task(
    "rts-mnist",
    load_mnist,
    profiles(smoke=Profile(1, train_images=512, test_images=500), quick=Profile(5), full=Profile(50)),
    distortion=RTS(),
    probe_images=lambda _: ten_digits(),
)

# the transformer learns faster than the classifier, or it leaves turned digits turned
COURSE = {"course": course_recipe(1e-3, batch_size=256, localisation_rate=5.0, weight_decay=0.01)}
PUBLISHED = {"published": Recipe("sgd", 0.01, batch_size=256)}
# as many tries for each; where there is no localisation network, its rate does nothing
TRIES = ("64-0.001-5", "64-0.001-1", "64-0.002-1", "64-0.004-1", "256-0.001-5")
TRIES_OF_THE_CNN = ("64-0.001-1", "64-0.002-1", "64-0.004-1", "64-0.008-1", "256-0.001-1")

# first a classifier that knows digits nearly upright; then what is left for the transformer is to turn them so
TURNING = course_recipe(
    1e-3,
    batch_size=64,
    localisation_rate=5.0,
    weight_decay=0.01,
    phases=(Phase(1 / 8, distortion=0.15), Phase(1 / 2, classifier=False), Phase(1.0)),
)
# the same with a classifier that never sees anything but upright digits; at five times the rate θ ran away at once
BEHIND_UPRIGHT = replace(
    TURNING,
    localisation_rate=1.0,
    phases=(Phase(1 / 5, distortion=0.0, localisation=False), Phase(1.0, classifier=False)),
)


def _st_cnns() -> dict[str, Contestant]:
    """Make an ST-CNN for each family; the affine one, which was published, is "st-cnn"."""
    networks = {family.label: functools.partial(STCNN, family) for family in FAMILIES}
    recipes = PUBLISHED | COURSE | {"turning": TURNING, "behind-upright": BEHIND_UPRIGHT}
    affine = Contestant("ST-CNN, affine", networks.pop("affine"), recipes, 97.22, TRIES, baseline="cnn")
    others = {
        f"st-cnn-{label}": Contestant(f"ST-CNN, {label}", model, COURSE, tries=TRIES, baseline="cnn")
        for label, model in networks.items()
    }
    return {"st-cnn": affine} | others


CONTESTANTS = (
    {"cnn": Contestant("CNN", CNN, PUBLISHED | COURSE, 91.76, TRIES_OF_THE_CNN)}
    | _st_cnns()
    | {  # the affine one, changed in one place each
        "st-cnn-wide": Contestant("ST-CNN, affine, wide localisation", functools.partial(STCNN, channels=40), COURSE),
        "st-cnn-sharp": Contestant("ST-CNN, affine, full resolution", functools.partial(STCNN, halved=False), COURSE),
        "st-cnn-twice": Contestant("ST-CNN, affine, two looks", TwiceSTCNN, COURSE),
    }
)
