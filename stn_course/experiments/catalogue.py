"""The experiments of the course, by name; the published recipe of each, and the course's own."""

import functools

import numpy as np
import torch
from torch import Tensor

from stn_course.augmentation import FlipAndShift
from stn_course.data import SAMPLES, Normalise, load_cifar10
from stn_course.distortions import RTS
from stn_course.experiments.recipes import Experiment, Profile, Recipe
from stn_course.models import (
    CNN,
    STCNN,
    CifarCNN,
    CifarLeNet,
    CifarLeNetSTN,
    CifarSTN,
    ResidualCNN,
    ResidualSTN,
    RtsCifarSTN,
    TutorialCNN,
    TutorialSTN,
)
from stn_course.transforms import Attention, Projective

_course = functools.partial(Recipe, "adamw", one_cycle=True, clip=1.0, autocast=True)

# Distorted MNIST (system B)

RTS_PROFILES = {
    "smoke": Profile(epochs=1, train_images=512, test_images=500, offline=True),
    "quick": Profile(epochs=5),
    "full": Profile(epochs=50, offline=False),
}
RTS_RECIPES = {
    "published": Recipe("sgd", 0.01, batch_size=256),
    # the transformer learns faster than the classifier, or it leaves turned digits turned
    "course": _course(1e-3, batch_size=256, localisation_rate=5.0, weight_decay=0.01),
}
_rts_mnist = functools.partial(Experiment, profiles=RTS_PROFILES, distortion=RTS(), watched=lambda _: ten_digits())

# Plain MNIST (system P)

MNIST_STATISTICS = Normalise(mean=(0.1307,), std=(0.3081,))
TUTORIAL_PROFILES = {
    "smoke": Profile(epochs=1, train_images=512, test_images=500, offline=True),
    "quick": Profile(epochs=3),
    "full": Profile(epochs=20, offline=False),
}
TUTORIAL_RECIPES = {
    "published": Recipe("sgd", 0.01, batch_size=64),
    "course": _course(3e-3, batch_size=128, weight_decay=0.01, augmentation=FlipAndShift(flip=False, shift=2)),
}
_mnist = functools.partial(Experiment, recipes=TUTORIAL_RECIPES, profiles=TUTORIAL_PROFILES, normalise=MNIST_STATISTICS)

# CIFAR-10 (systems C1 and C2), and CIFAR-10 under rotation, translation and scale

CIFAR_STATISTICS = Normalise(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
CIFAR_PROFILES = {
    "smoke": Profile(epochs=1, train_images=256, test_images=200, offline=True),
    "quick": Profile(epochs=3, train_images=10_000),
    "full": Profile(epochs=50, offline=False),
}
RTS_CIFAR_PROFILES = CIFAR_PROFILES | {"full": Profile(epochs=15, offline=False)}
CIFAR_RECIPES = {
    "published": Recipe("sgd", 0.01, batch_size=64),  # the first did not publish its optimiser: the second's is taken
    "course": _course(
        1.5e-3, batch_size=128, localisation_rate=0.3, weight_decay=0.01, augmentation=FlipAndShift(shift=1)
    ),
}
LENET_RECIPES = {  # so small a classifier, without dropout, learns more by larger steps
    "published": CIFAR_RECIPES["published"],
    "course": _course(
        6e-3, batch_size=128, localisation_rate=0.1, weight_decay=0.01, augmentation=FlipAndShift(shift=2)
    ),
}
RTS_CIFAR_RECIPES = {  # the canvas has its own shifts
    "course": _course(
        1.5e-3, batch_size=64, localisation_rate=0.1, weight_decay=0.01, augmentation=FlipAndShift(shift=0)
    ),
}
RESIDUAL_PROFILES = {  # fourteen times the arithmetic of `CifarSTN`: meant for a GPU
    "smoke": Profile(epochs=1, train_images=64, test_images=100, offline=True),
    "quick": Profile(epochs=3, train_images=2000, test_images=2000),
    "full": Profile(epochs=24, offline=False),
}
RESIDUAL_RECIPES = {
    "course": _course(4e-3, batch_size=512, localisation_rate=0.1, weight_decay=0.05, augmentation=FlipAndShift()),
}
_cifar10 = functools.partial(
    Experiment, recipes=CIFAR_RECIPES, profiles=CIFAR_PROFILES, load=load_cifar10, normalise=CIFAR_STATISTICS
)
_residual = functools.partial(_cifar10, recipes=RESIDUAL_RECIPES, profiles=RESIDUAL_PROFILES)
_rts_cifar10 = functools.partial(
    _cifar10, recipes=RTS_CIFAR_RECIPES, profiles=RTS_CIFAR_PROFILES, distortion=RTS(canvas=48, image=32)
)


def _course_only(recipes: dict[str, Recipe]) -> dict[str, Recipe]:
    return {"course": recipes["course"]}


EXPERIMENTS = {
    "rts-mnist/cnn": _rts_mnist("CNN", CNN, RTS_RECIPES, published=91.76),
    "rts-mnist/st-cnn": _rts_mnist("ST-CNN, affine", STCNN, RTS_RECIPES, published=97.22, baseline="rts-mnist/cnn"),
    "rts-mnist/st-cnn-attention": _rts_mnist(
        "ST-CNN, attention",
        functools.partial(STCNN, Attention()),
        _course_only(RTS_RECIPES),
        baseline="rts-mnist/cnn",
    ),
    "rts-mnist/st-cnn-projective": _rts_mnist(
        "ST-CNN, projective",
        functools.partial(STCNN, Projective()),
        _course_only(RTS_RECIPES),
        baseline="rts-mnist/cnn",
    ),
    "mnist/tutorial-st": _mnist("first STN", TutorialSTN, published=98.76, baseline="mnist/tutorial-st-baseline"),
    "mnist/tutorial-st-baseline": _mnist("CNN of its size", TutorialCNN, recipes=_course_only(TUTORIAL_RECIPES)),
    "cifar10/st": _cifar10("STN on CIFAR-10", CifarSTN, published=66.94, baseline="cifar10/st-baseline"),
    "cifar10/st-baseline": _cifar10("CNN of its size", CifarCNN, recipes=_course_only(CIFAR_RECIPES)),
    "cifar10/lenet-st": _cifar10(
        "STN with a LeNet",
        CifarLeNetSTN,
        recipes=LENET_RECIPES,
        published=65.83,
        baseline="cifar10/lenet-st-baseline",
    ),
    "cifar10/lenet-st-baseline": _cifar10("LeNet of its size", CifarLeNet, recipes=_course_only(LENET_RECIPES)),
    "cifar10/st-resnet": _residual("residual STN", ResidualSTN, baseline="cifar10/st-resnet-baseline"),
    "cifar10/st-resnet-baseline": _residual("residual network", ResidualCNN),
    "rts-cifar10/st": _rts_cifar10("STN on distorted CIFAR-10", RtsCifarSTN, baseline="rts-cifar10/st-baseline"),
    "rts-cifar10/st-baseline": _rts_cifar10("CNN of its size", functools.partial(CifarCNN, (32, 64), 48, 219)),
}


def ten_digits() -> Tensor:
    """The ten distorted digits whose θ runs on distorted MNIST record: float32 (10, 1, 42, 42) in [0, 1].

    They are the first 0, 1, …, 9 of MNIST's test split under the fixed draw of `distorted`, and come with the package.

    Example:
        >>> ten_digits().shape
        torch.Size([10, 1, 42, 42])
    """
    with np.load(SAMPLES) as archive:
        return torch.from_numpy(archive["ten_distorted"]).float() / 255


def find(name: str) -> Experiment:
    """The experiment of a name; a ValueError that lists the known ones for any other."""
    return choose("experiment", name, EXPERIMENTS)


def choose(what: str, name: str, known: dict):
    """The entry of a name; a ValueError that lists the known names for any other."""
    if name not in known:
        raise ValueError(f"expected {what} as one of {', '.join(known)}, got {name!r}")
    return known[name]
