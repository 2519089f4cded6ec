"""MNIST addition: two digits in two channels, each turned, resized and moved about on its own; the answer is their sum.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.1.
"""

import functools

import torch
from torch import Tensor

from stn_course.checks import describe
from stn_course.data import ImageData, load_mnist
from stn_course.distortions import RTS, EachChannel
from stn_course.models import AdditionCNN, AdditionFCN, AdditionSTFCN
from stn_course.tasks.papers_table import FAMILIES
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

# Sums are slow to begin with: for some epochs a network does no better than the commonest sum. It begins sooner on
# digits that are nearly upright. At five times the classifier's rate, as in the paper's table 1, θ ran away at once.
COURSE = {
    "course": course_recipe(
        2e-3,
        batch_size=128,
        localisation_rate=0.2,
        weight_decay=0.01,
        phases=(Phase(1 / 6, distortion=0.15), Phase(1 / 3, distortion=0.5), Phase(1.0)),
    )
}
TRIES = ("128-0.002-0.2", "128-0.001-0.2", "128-0.004-0.2", "128-0.002-1", "64-0.001-0.2")
TRIES_WITHOUT = ("128-0.002-1", "128-0.001-1", "128-0.004-1", "64-0.002-1", "64-0.001-1")

ERRORS = {1: (22.6, 18.5, 19.1), 2: (9.0, 5.9, 5.8)}  # of so many transformers, a family each: the paper's, in per cent

CONTESTANTS = {
    "fcn": Contestant("FCN", AdditionFCN, COURSE, tries=TRIES_WITHOUT, paper=47.7),
    "cnn": Contestant("CNN", AdditionCNN, COURSE, tries=TRIES_WITHOUT, paper=14.7),
}
for transformers, errors in ERRORS.items():
    for family, error in zip(FAMILIES, errors, strict=True):
        label = "" if family == FAMILIES[0] else f"-{family.label}"
        CONTESTANTS[f"{'two-' * (transformers == 2)}st-fcn{label}"] = Contestant(
            f"{'2×' * (transformers == 2)}ST-FCN, {family.label}",
            functools.partial(AdditionSTFCN, family, transformers),
            COURSE,
            tries=TRIES,
            baseline="fcn",
            paper=error,
        )
