"""A task: images to learn from, and how answers are judged. A contestant: a network that competes at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.data import ImageData, Normalise
from stn_course.distortions import RTS
from stn_course.tasks.recipe import Profile, Recipe
from stn_course.training import Loss, Score, accuracy

TEST_SEED = 20150605


def first_of_each(data: ImageData) -> Tensor:
    """Pick the first image of each class that there is: (classes, C, H, W), float32 in [0, 1].

    Where labels are not one class an image, pick the first ten.
    """
    if data.labels.ndim > 1 or data.labels.is_floating_point():
        return data.images[:10].float() / 255
    first = [data.labels.tolist().index(label) for label in data.labels.unique().tolist()]
    return data.images[first].float() / 255


@dataclass(frozen=True)
class Task:
    """Images, their distortion, a loss and a score; nothing about the network."""

    name: str  # the first half of the names of its experiments: "rts-mnist"
    load: Callable[..., ImageData]  # (split, offline=…), for the splits "train" and "test"
    profiles: Mapping[str, Profile]  # how much is trained and scored, by the profile's name
    distortion: RTS | None = None  # of both splits; an augmentation belongs to a recipe, and to training alone
    normalise: Normalise | None = None  # the last thing that happens to images, in training and in scoring
    probe_images: Callable[[ImageData], Tensor] = first_of_each  # scored → those whose θ each epoch records, in [0, 1]
    loss: Loss = F.cross_entropy
    score: Score = accuracy

    def scored_images(self, data: ImageData) -> ImageData:
        """Put images to score on under one fixed draw of the distortion, if there is one; do not normalise them."""
        return data if self.distortion is None else distorted(data, self.distortion)

    def training_transform(self, recipe: Recipe) -> Callable[[Tensor, torch.Generator | None], Tensor]:
        """Make the function that augments, distorts and normalises a batch of training images, as the task asks."""
        steps = [step for step in (recipe.augmentation, self.distortion, self.normalise) if step is not None]

        def prepare(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
            for step in steps:
                images = step(images, generator)
            return images

        return prepare


@dataclass(frozen=True)
class Contestant:
    """A network and its recipes by name; it knows nothing of the task."""

    title: str  # what tables and figures call it
    model: Callable[[], nn.Module]  # makes the network, untrained
    recipes: Mapping[str, Recipe]  # "course", and "published" where there is something to repeat
    published: float | None = None  # what the original reported, in per cent
    baseline: str | None = None  # the contestant without a transformer to compare with, at the same task
    profiles: Mapping[str, Profile] | None = None  # its own, if the task's do not suit it


def distorted(data: ImageData, distortion: RTS, seed: int = TEST_SEED) -> ImageData:
    """Put a data set under one fixed draw of distortions, the same on every machine.

    The CPU makes it in float64 and rounds to the eight bits that images come in, so that the last bit of a machine's
    arithmetic does not reach the digest.

    Built in: 05, "The honest comparison".
    """
    generator = torch.Generator().manual_seed(seed)
    theta = distortion.sample(len(data), generator, dtype=torch.float64)
    made = [
        distortion.apply(images.double(), thetas).round().to(torch.uint8)
        for images, thetas in zip(data.images.split(1000), theta.split(1000), strict=True)
    ]
    return replace(data, images=torch.cat(made), source=f"{data.source}, distorted (RTS)")
