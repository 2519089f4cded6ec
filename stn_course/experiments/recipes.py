"""What an experiment is made of: a network, data, how they are prepared, and how, and how much, is trained."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stn_course.augmentation import FlipAndShift
from stn_course.data import ImageData, Normalise, load_mnist
from stn_course.distortions import RTS

TEST_SEED = 20150605


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `localisation_rate` multiplies the learning rate of the localisation network."""

    optimizer: str
    learning_rate: float
    batch_size: int
    localisation_rate: float = 1.0
    weight_decay: float = 0.0
    one_cycle: bool = False
    clip: float | None = None
    autocast: bool = False
    augmentation: FlipAndShift | None = None

    def make(self, model: nn.Module, steps: int):
        """The optimiser and the schedule (or None) for a model and a number of steps."""
        groups = {False: [], True: []}
        for name, parameter in model.named_parameters():
            groups[".localisation." in f".{name}"].append(parameter)
        rates = {False: self.learning_rate, True: self.learning_rate * self.localisation_rate}
        parameters = [{"params": group, "lr": rates[inside]} for inside, group in groups.items() if group]
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[self.optimizer]
        optimizer = kind(parameters, weight_decay=self.weight_decay, fused=True)  # all parameters in one pass
        if not self.one_cycle:
            return optimizer, None
        highest = [group["lr"] for group in parameters]
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=steps, cycle_momentum=False
        )


@dataclass(frozen=True)
class Profile:
    """How much of an experiment is done: sizes and epochs, never another path through the code."""

    epochs: int
    train_images: int | None = None
    test_images: int | None = None
    offline: bool | None = None


def first_of_each(data: ImageData) -> Tensor:
    """The first image of each class that there is: (classes, C, H, W), float32 in [0, 1]."""
    first = [data.labels.tolist().index(label) for label in data.labels.unique().tolist()]
    return data.images[first].float() / 255


@dataclass(frozen=True)
class Experiment:
    """What is trained on what.

    `distortion` is part of the task and is applied to both splits; an augmentation belongs to a recipe and to training.
    `normalise` is the last thing that is done to images, in training and in scoring. `published` is what the original
    reported, in per cent, or None. `baseline` is the name of the experiment without a transformer to compare with.
    `watched` picks the images whose θ is recorded after each epoch; it is given those that the network is scored on.
    """

    title: str
    model: Callable[[], nn.Module]
    recipes: dict[str, Recipe]
    profiles: dict[str, Profile]
    load: Callable[..., ImageData] = load_mnist
    distortion: RTS | None = None
    normalise: Normalise | None = None
    published: float | None = None
    baseline: str | None = None
    watched: Callable[[ImageData], Tensor] = first_of_each

    def task(self, data: ImageData) -> ImageData:
        """The images to score on: under one fixed draw of the distortion, if there is one; not yet normalised."""
        return data if self.distortion is None else distorted(data, self.distortion)

    def preparation(self, recipe: Recipe) -> Callable[[Tensor, torch.Generator | None], Tensor]:
        """What is done to a batch of training images: augmented, distorted, normalised, as far as each is asked for."""
        steps = [step for step in (recipe.augmentation, self.distortion, self.normalise) if step is not None]

        def prepare(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
            for step in steps:
                images = step(images, generator)
            return images

        return prepare


def distorted(data: ImageData, distortion: RTS, seed: int = TEST_SEED) -> ImageData:
    """A data set under one fixed draw of distortions, the same on every machine.

    It is made on the CPU in float64 and rounded to the eight bits that images come in, so that the last bit of a
    machine's arithmetic does not reach the digest.
    """
    generator = torch.Generator().manual_seed(seed)
    theta = distortion.sample(len(data), generator, dtype=torch.float64)
    made = [
        distortion.apply(images.double(), thetas).round().to(torch.uint8)
        for images, thetas in zip(data.images.split(1000), theta.split(1000), strict=True)
    ]
    return replace(data, images=torch.cat(made), source=f"{data.source}, distorted (RTS)")
