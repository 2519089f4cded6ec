"""MNIST addition: two digits in two channels, each turned, resized and moved about on its own; the answer is their sum.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.1.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from stn_course.checks import describe
from stn_course.data import ImageData, load_mnist
from stn_course.distortions import RTS, EachChannel
from stn_course.models import AdditionCNN, AdditionFCN, AdditionSTFCN
from stn_course.tasks.papers_table import FAMILIES, TRIES_WITHOUT
from stn_course.tasks.recipe import Phase, Profile, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task

PROBES = 4  # pairs whose θ each epoch records: a thin plate spline has 32 numbers a look


def in_pairs(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Put each image of a batch and the one before it into one, as two channels; its label is the sum of both.

    (B, 1, H, W) and (B,) → (B, 2, H, W) and (B,). A batch in random order is paired at random, and each digit is first
    once and second once.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).

    Example:
        >>> in_pairs(torch.zeros(3, 1, 28, 28), torch.tensor([1, 2, 5]))[1]
        tensor([6, 3, 7])
    """
    if images.ndim != 4 or images.shape[1] != 1 or labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"expected images (B, 1, H, W) and a class for each, int64 (B,), got {describe(images)} and "
            f"{describe(labels)}"
        )
    return torch.cat((images, images.roll(1, 0)), dim=1), labels + labels.roll(1)


def first_pairs(data: ImageData) -> Tensor:
    """Pick the first pairs: (pairs, 2, H, W), float32 in [0, 1]."""
    return data.images[:PROBES].float() / 255


TASK = Task(
    "mnist-addition",
    load_mnist,
    profiles(
        smoke=Profile(1, train_images=128, test_images=100), quick=Profile(3, train_images=10_000), full=Profile(60)
    ),
    join=in_pairs,
    distortion=EachChannel(RTS(), channels=2),
    probe_images=first_pairs,
)

# at five times the classifier's rate, as in the paper's table 1, θ runs away in the first epoch
COURSE = course_recipe(1e-3, batch_size=64, weight_decay=0.01)
# sums are slow to begin with: some epochs pass before a network does better than the commonest sum; digits that are
# nearly upright at first may shorten that
RISING = replace(COURSE, phases=(Phase(1 / 6, distortion=0.2), Phase(1 / 3, distortion=0.6), Phase(1.0)))
RECIPES = {"course": COURSE, "rising": RISING}
TRIES = ("64-0.001-1", "64-0.001-0.1", "64-0.002-1", "64-0.002-0.1", "256-0.001-1")

ERRORS = {1: (22.6, 18.5, 19.1), 2: (9.0, 5.9, 5.8)}  # of so many transformers, a family each: the paper's, in per cent

CONTESTANTS = {
    "fcn": Contestant("FCN", AdditionFCN, RECIPES, tries=TRIES_WITHOUT, paper=47.7),
    "cnn": Contestant("CNN", AdditionCNN, RECIPES, tries=TRIES_WITHOUT, paper=14.7),
}
for transformers, errors in ERRORS.items():
    for family, error in zip(FAMILIES, errors, strict=True):
        label = "" if family == FAMILIES[0] else f"-{family.label}"
        CONTESTANTS[f"{'two-' * (transformers == 2)}st-fcn{label}"] = Contestant(
            f"{'2×' * (transformers == 2)}ST-FCN, {family.label}",
            functools.partial(AdditionSTFCN, family, transformers),
            RECIPES,
            tries=TRIES,
            baseline="fcn",
            paper=error,
        )
