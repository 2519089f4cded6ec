"""Distorted MNIST: digits turned, resized and moved about on a 42×42 canvas (system B)."""

import functools
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stn_course.data import SAMPLES, load_mnist
from stn_course.distortions import RTS
from stn_course.models import STCNN, TwiceSTCNN
from stn_course.tasks.papers_table import COURSE, TRIES, contestants
from stn_course.tasks.recipe import Phase, Profile, Recipe, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task
from stn_course.transforms import FAMILIES, Affine


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

PUBLISHED = {"published": Recipe("sgd", 0.01, batch_size=256)}

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

PAPERS = contestants("RTS")
CONTESTANTS = (
    {
        "cnn": replace(PAPERS["cnn"], recipes=PUBLISHED | COURSE, published=91.76),
        "st-cnn": replace(
            PAPERS["st-cnn"],
            recipes=PUBLISHED | COURSE | {"turning": TURNING, "behind-upright": BEHIND_UPRIGHT},
            published=97.22,
        ),
    }
    | {  # one for each other family
        f"st-cnn-{family.label}": Contestant(
            f"ST-CNN, {family.label}", functools.partial(STCNN, family), COURSE, tries=TRIES, baseline="cnn"
        )
        for family in FAMILIES
        if family != Affine()
    }
    | {  # the affine one, changed in one place each
        "st-cnn-wide": Contestant("ST-CNN, affine, wide localisation", functools.partial(STCNN, channels=40), COURSE),
        "st-cnn-sharp": Contestant("ST-CNN, affine, full resolution", functools.partial(STCNN, halved=False), COURSE),
        "st-cnn-twice": Contestant("ST-CNN, affine, two looks", TwiceSTCNN, COURSE),
    }
    | {name: one for name, one in PAPERS.items() if name not in ("cnn", "st-cnn")}
)
ON_OTHER_DIGITS = {  # three of them, at tasks of the course's own, where nobody has reported anything
    name: replace(CONTESTANTS[name], recipes=COURSE, published=None, paper=None)
    for name in ("cnn", "st-cnn", "st-cnn-attention")
}
