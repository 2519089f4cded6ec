"""Distorted MNIST: digits turned, resized and moved about on a 42×42 canvas (system B)."""

import functools

import numpy as np
import torch
from torch import Tensor

from stn_course.data import SAMPLES, load_mnist
from stn_course.distortions import RTS
from stn_course.models import CNN, STCNN
from stn_course.tasks.recipe import Profile, Recipe, course_recipe, profiles
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
RECIPES = {"published": Recipe("sgd", 0.01, batch_size=256)} | COURSE


def _st_cnns() -> dict[str, Contestant]:
    """Make an ST-CNN for each family; the affine one, which was published, is "st-cnn"."""
    networks = {family.label: functools.partial(STCNN, family) for family in FAMILIES}
    affine = Contestant("ST-CNN, affine", networks.pop("affine"), RECIPES, published=97.22, baseline="cnn")
    others = {
        f"st-cnn-{label}": Contestant(f"ST-CNN, {label}", model, COURSE, baseline="cnn")
        for label, model in networks.items()
    }
    return {"st-cnn": affine} | others


CONTESTANTS = {"cnn": Contestant("CNN", CNN, RECIPES, published=91.76)} | _st_cnns()
