"""Twelve patients: small networks with a spatial transformer, each with one fault, on digits that come with the course.

A patient is a `Healthy` network with one method, one number or one picture changed; the change is the fault. They are
written with PyTorch's own `F.affine_grid` and `F.grid_sample`, as most networks outside the course are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import lookup
from stn_course.data import load_mnist

FAULTS = (
    "no identity",
    "original image",
    "x and y swapped",
    "align_corners mismatched",
    "localisation rate too high",
    "θ has run away",
    "nearest sampler",
    "reach too short",
    "zeros that are not black",
    "H and W swapped",
    "batch norm in evaluation",
    "half precision in the grid",
)
"""The names of the faults, as `clinic.examine` has them."""

SQUARE, LONG, WIDE, SEEN = (20, 20), (20, 28), (40, 40), (20, 20)
RATE = 1e-3  # of the localisation network


class Healthy(nn.Module):
    """A transformer, then a classifier, fully connected both: (B, 1, H, W) → (B, 10). Nothing is wrong with it.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """

    start = (1.0, 0, 0, 0, 1, 0)

    def __init__(self, size: tuple[int, int] = SQUARE, seen: tuple[int, int] | None = None):
        super().__init__()
        height, width = seen or size
        self.seen = seen
        self.localisation = nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 32), nn.ReLU(), nn.Linear(32, 6))
        self.classifier = self.make_classifier(height * width)
        self.begin(self.localisation[-1])

    def make_classifier(self, pixels: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 32), nn.ReLU(), nn.Linear(32, 10))

    def begin(self, head: nn.Linear) -> None:
        nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(self.start)

    def grid(self, theta: Tensor, x: Tensor) -> Tensor:
        return F.affine_grid(theta, (*x.shape[:2], *(self.seen or x.shape[2:])), align_corners=False)

    def sample(self, x: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.localisation(x).view(-1, 2, 3)
        return self.classifier(self.sample(x, self.grid(theta, x)))


class NoIdentity(Healthy):
    def begin(self, head):
        pass  # PyTorch's own start: small random numbers


class OriginalImage(Healthy):
    def forward(self, x):
        super().forward(x)
        return self.classifier(x)


class Swapped(Healthy):
    def grid(self, theta, x):
        return super().grid(theta, x).flip(-1)


class Mismatched(Healthy):
    def grid(self, theta, x):
        return F.affine_grid(theta, x.shape, align_corners=True)


class RunAway(Healthy):
    start = (0.8, 0.3, 2.6, -0.3, 0.8, 2.2)


class Nearest(Healthy):
    def sample(self, x, grid):
        return F.grid_sample(x, grid, mode="nearest", align_corners=False)


class ShortReach(Healthy):
    start = (0.3, 0, 0, 0, 0.3, 0)


class WrongSize(Healthy):
    def grid(self, theta, x):
        (batch, channels), (height, width) = x.shape[:2], x.shape[2:]
        return F.affine_grid(theta, (batch, channels, width, height), align_corners=False)


class Stale(Healthy):
    """Its batch normalisation follows so slowly that what it keeps is what it was made with."""

    def make_classifier(self, pixels):
        layers = [nn.Flatten(), nn.Linear(pixels, 32), nn.BatchNorm1d(32, momentum=1e-4), nn.ReLU(), nn.Linear(32, 10)]
        return nn.Sequential(*layers)


class Rounded(Healthy):
    def grid(self, theta, x):
        return super().grid(theta, x).bfloat16().float()


@dataclass(frozen=True)
class Patient:
    """A network, the rates of its two parts, and the kind of pictures it gets."""

    fault: str
    make: Callable[[], nn.Module]
    pictures: str = "square"
    rate: float = RATE


PATIENTS = {
    "A": Patient("nearest sampler", Nearest),
    "B": Patient("H and W swapped", lambda: WrongSize(LONG), "long"),
    "C": Patient("original image", OriginalImage),
    "D": Patient("θ has run away", RunAway),
    "E": Patient("zeros that are not black", Healthy, "normalised"),
    "F": Patient("x and y swapped", Swapped),
    "G": Patient("localisation rate too high", Healthy, rate=0.2),
    "H": Patient("half precision in the grid", Rounded),
    "I": Patient("no identity", NoIdentity),
    "J": Patient("batch norm in evaluation", Stale),
    "K": Patient("reach too short", lambda: ShortReach(WIDE, SEEN), "wide"),
    "L": Patient("align_corners mismatched", Mismatched),
}
HEALTHY = Patient("", Healthy)


def admit(letter: str) -> tuple[nn.Module, torch.optim.Optimizer, tuple[Tensor, Tensor]]:
    """Bring in a patient, "A" to "L", or "healthy": the model, its optimiser, and 256 images with their labels.

    Every call makes it anew, and the same.
    """
    patient = lookup("patient", letter, {**PATIENTS, "healthy": HEALTHY})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = patient.make()
        data = pictures(patient.pictures)
        if patient.make is Stale:
            for some in data[0].split(64):
                model(some)
    return model, optimiser(model, patient.rate), data


def optimiser(model: Healthy, rate: float = RATE) -> torch.optim.Optimizer:
    """Make Adam with two rates: 0.005 for the classifier, `rate` for the localisation network."""
    groups = [
        {"params": model.classifier.parameters(), "lr": 5e-3},
        {"params": model.localisation.parameters(), "lr": rate},
    ]
    return torch.optim.Adam(groups)


@cache
def pictures(kind: str) -> tuple[Tensor, Tensor]:
    """Lay 256 digits of 14×14 pixels on a canvas, each at a place of its own: images (256, 1, H, W) and labels (256,).

    The canvas is "square", "long" (wider than high) or "wide" (four times a digit's area and more, each digit near a
    corner); "normalised" is the square one, minus its mean, over its standard deviation.
    """
    size = {"square": SQUARE, "normalised": SQUARE, "long": LONG, "wide": WIDE}[kind]
    digits = load_mnist("train", offline=True)[:256]
    small = F.avg_pool2d(digits.images.float() / 255, 2)  # (256, 1, 14, 14)
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(len(small), 1, *size)
    for image, digit in zip(images, small):
        top, left = (int(torch.randint(side - 13, (), generator=generator)) for side in size)
        if kind == "wide":
            top, left = (0 if place < 13 else 26 for place in (top, left))
        image[:, top : top + 14, left : left + 14] = digit
    if kind == "normalised":
        images = (images - images.mean()) / images.std()
    return images, digits.labels
