"""A task: images to learn from, and how answers are judged. A contestant: a network that competes at it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import Images, Theta
from stn_course.data import ImageData, Join, Normalise
from stn_course.distortions import Distortion, Pose
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
    join: Join | None = None  # what belongs together, in each batch of training and in the scored data; before the rest
    distortion: Distortion | None = None  # of both splits; an augmentation belongs to a recipe, and to training alone
    normalise: Normalise | None = None  # the last thing that happens to images, in training and in scoring
    probe_images: Callable[[ImageData], Tensor] = first_of_each  # scored → those whose θ each epoch records, in [0, 1]
    loss: Loss = F.cross_entropy
    score: Score = accuracy

    def scored_images(self, data: ImageData) -> ImageData:
        """Join images to score on, and put them under one fixed draw of the distortion; do not normalise them."""
        if self.join is not None:
            images, labels = self.join(data.images, data.labels)
            in_words = self.join.__name__.replace("_", " ")
            data = replace(data, images=images, labels=labels, source=f"{data.source}, {in_words}")
        return data if self.distortion is None else distorted(data, self.distortion)

    def posed_images(self, data: ImageData) -> tuple[Tensor, Tensor, Pose] | None:
        """Put the first 1,000 images under a draw of the distortion of their own: images, labels and true poses.

        They show how much of the pose a transformer takes back. None if there is no distortion, or it has no poses.
        """
        if self.distortion is None:
            return None
        data = data[:1000]
        theta = self.distortion.sample(len(data), torch.Generator().manual_seed(TEST_SEED + 1))
        if (pose := self.distortion.pose(theta)) is None:
            return None
        images = self.distortion.apply(data.images.float() / 255, theta)
        return images if self.normalise is None else self.normalise(images), data.labels, pose

    def training_transform(
        self, recipe: Recipe, strength: float = 1.0
    ) -> Callable[[Tensor, torch.Generator | None], Tensor]:
        """Make the function that augments, distorts and normalises a batch of training images, as the task asks.

        `strength` is the share of the distortion: 1 is all of it.
        """
        distortion = self.distortion if strength == 1 else self.distortion and self.distortion.weaker(strength)
        steps = [step for step in (recipe.augmentation, distortion, self.normalise) if step is not None]

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
    published: float | None = None  # what the original of the recipe "published" reported, in per cent
    tries: tuple[str, ...] = ()  # the names of recipes to choose from, as many for each rival; see `compare`
    baseline: str | None = None  # the contestant without a transformer to compare with, at the same task
    profiles: Mapping[str, Profile] | None = None  # its own, if the task's do not suit it
    paper: float | None = None  # the test error in the paper that introduced transformers, in per cent

    def recipe(self, name: str) -> Recipe:
        """Return a recipe by its name, or "course" with other numbers: BATCH_SIZE-RATE-LOCALISATION_RATE.

        Example:
            >>> cnn = Contestant("CNN", nn.Identity, {"course": Recipe("adamw", 1e-3, batch_size=256)})
            >>> cnn.recipe("64-0.002-5").batch_size
            64
        """
        if name in self.recipes:
            return self.recipes[name]
        try:
            batch_size, rate, localisation_rate = name.split("-")
            numbers = {
                "batch_size": int(batch_size),
                "learning_rate": float(rate),
                "localisation_rate": float(localisation_rate),
            }
        except (ValueError, AttributeError):
            known = ", ".join(self.recipes)
            raise ValueError(
                f"expected recipe as one of {known}, or as BATCH_SIZE-RATE-LOCALISATION_RATE such as 64-0.001-5, "
                f"got {name!r}"
            ) from None
        if not all(0 < number < math.inf for number in numbers.values()):
            raise ValueError(f"expected the numbers of a recipe above 0, got {name!r}")
        return replace(self.recipes["course"], **numbers)


def distorted(data: ImageData, distortion: Distortion, seed: int = TEST_SEED) -> ImageData:
    """Put a data set under one fixed draw of distortions, the same on every machine.

    The CPU makes it in float64 and rounds to the eight bits that images come in, so that the last bit of a machine's
    arithmetic does not reach the digest.

    Built in: 05, "The honest comparison".
    """
    generator = torch.Generator().manual_seed(seed)
    theta = distortion.sample(len(data), generator, dtype=torch.float64)
    made = distort(data.images, distortion, theta)
    return replace(data, images=made, source=f"{data.source}, distorted ({distortion.label})")


def distort(images: Images, distortion: Distortion, theta: Theta, at_once: int = 1000) -> Images:
    """Put uint8 images on their canvas by known θ, some at once; in float64, and rounded to eight bits again.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    """
    made = [
        distortion.apply(some.double(), thetas).round().to(torch.uint8)
        for some, thetas in zip(images.split(at_once), theta.split(at_once), strict=True)
    ]
    return torch.cat(made)
