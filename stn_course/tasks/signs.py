"""Road signs, small, in large pictures: resize the whole, see the whole, or look small and crop large.

The labels are (N, 4): class, and x, y and size of the sign, which are known (no NaN) of the first 240 training pictures
alone. A network that says where it looks is told by them; the others are judged by the class.
"""

import functools
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.data import ImageData, load_signs
from stn_course.models import Resized, SignCNN, SignST
from stn_course.tasks.recipe import Profile, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task

CLASSES = 8
POSES = 240  # training pictures whose sign somebody has marked: a fifth


def signs(split: str, offline: bool | None = None) -> ImageData:
    """Draw a split of road signs, with `POSES` known poses in training; with `offline` True only its first pictures."""
    data, poses = load_signs(split, 256 if offline else None)
    known = torch.full_like(poses, torch.nan)
    if split == "train":
        known[:POSES] = poses[:POSES]
    return replace(data, labels=torch.cat((data.labels[:, None].float(), known), dim=1))


def class_and_place(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of the classes, and the distance of place and size where both are said: outputs (B, 8 or 11).

    Distances are in normalised coordinates, and of the size in its logarithm; their mean is over the known poses.

    Built in: 10, "Can a few labels of places help?".
    """
    loss = F.cross_entropy(outputs[:, :CLASSES], labels[:, 0].long())
    if outputs.shape[1] == CLASSES:
        return loss
    known = ~labels[:, 3].isnan()
    told = torch.where(known[:, None], labels[:, 1:], 0.5)
    said = torch.cat((outputs[:, CLASSES:-1], outputs[:, -1:].log()), dim=1)
    away = (said - torch.cat((told[:, :2], told[:, 2:].log()), dim=1)).abs().sum(1)  # (B,)
    return loss + (away * known).sum() / known.sum().clamp(min=1)


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Say which signs are named right: (B, 8 or 11) and (B, 4) → (B,), true or false.

    Built in: 10, "Can a few labels of places help?".
    """
    return outputs[:, :CLASSES].argmax(1) == labels[:, 0]


TASK = Task(
    "signs",
    signs,
    profiles(
        smoke=Profile(1, train_images=64, test_images=64),
        quick=Profile(3, train_images=600, test_images=300),
        full=Profile(8),
    ),
    loss=class_and_place,
    score=accuracy,
)

COURSE = {"course": course_recipe(3e-3, batch_size=32, weight_decay=0.01)}  # one for all; none was tuned

CONTESTANTS = {
    "st": Contestant("look small, crop large", SignST, COURSE),
    "st-classes": Contestant("the same without poses", functools.partial(SignST, says_where=False), COURSE),
    "resized": Contestant("the whole at 64 pixels", Resized, COURSE),
    "whole": Contestant("the whole at full size", SignCNN, COURSE),
}
