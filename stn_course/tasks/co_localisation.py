"""Co-localisation: ten sets of pictures, of one digit each, anywhere on 84×84; find it, without any label.

The ten sets lie one over the other as ten channels, and ten localisers learn at once. The labels are the true boxes:
the score needs them, the loss does not.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.2.
"""

import functools
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import stn_course
from stn_course.checks import Theta, describe
from stn_course.data import ImageData, load_mnist
from stn_course.distortions import RTS, Distortion, EachChannel
from stn_course.files import load_tensors
from stn_course.models import CoLocaliser
from stn_course.recovery import box, box_overlap
from stn_course.tasks.recipe import Profile, course_recipe, profiles
from stn_course.tasks.task import TEST_SEED, Contestant, Task, distort
from stn_course.transforms import Attention

SETS, PICTURES = 10, 1000  # at most so many of each digit
KNOWS_DIGITS = Path(stn_course.__file__).parent / "results" / "mnist" / "tutorial-st-baseline" / "course-0.pt"
MARGIN, ENOUGH = 1.0, 0.5
ANYWHERE = RTS(canvas=84, degrees=0, scale=(1, 1))


def ten_sets(distortion: Distortion, split: str, offline: bool | None = None) -> ImageData:
    """Load ten sets of pictures: (N, 10, 84, 84), channel c has digit c; labels (N, 10, 4), the boxes of the digits.

    `distortion` puts each picture on its canvas, by one fixed draw a split, the same on every machine. A box is left,
    top, right, bottom: that of all 28×28 pixels, in coordinates of the canvas.
    """
    data = load_mnist(split, offline=offline)
    digits = [data.images[data.labels == digit, 0] for digit in range(SETS)]
    n = min(PICTURES, *map(len, digits))
    if not n:
        raise ValueError(f"expected pictures of every digit from 0 to 9, got none of one in {data.source}")
    images, each = torch.stack([some[:n] for some in digits], dim=1), EachChannel(distortion, SETS)
    generator = torch.Generator().manual_seed(TEST_SEED + (split == "train"))
    theta = each.sample(n, generator, dtype=torch.float64)
    centre = distortion.pose(theta.unflatten(1, (SETS, -1)).flatten(0, 1)).centre.unflatten(0, (n, SETS))
    half = torch.tensor([distortion.image[axis] / distortion.canvas[axis] for axis in (1, 0)])
    return replace(
        data,
        images=distort(images, each, theta, at_once=100),
        labels=torch.cat((centre - half, centre + half), dim=2).float(),
        source=f"{data.source}, {n:,} of each digit, distorted ({distortion.label})",
    )


def triplet_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """Compute the mean over all pictures n and m of a set of max(0, ‖fₙ − fₘ‖ − ‖fₙ − f elsewhere in n‖ + margin).

    `outputs` are those of a `CoLocaliser`, (B, sets, 3 + 2 · features). All pairs of a batch count; the labels do not.
    """
    seen, random = _features(outputs)
    apart = torch.cdist(seen, seen)  # (sets, B, B)
    elsewhere = (seen - random).norm(dim=-1)
    hinge = (apart - elsewhere[..., None] + MARGIN).clamp(min=0)
    n = hinge.shape[-1]
    others = 1 - torch.eye(n, dtype=hinge.dtype, device=hinge.device)
    return (hinge * others).sum((1, 2)).mean() / max(n * (n - 1), 1)


def found(outputs: Tensor, labels: Tensor) -> Tensor:
    """Find which share of the ten digits of each picture is found: (B,). Found is a box whose overlap exceeds 0.5.

    It is the box of a digit, 28×28 pixels, round the middle of the look. `labels` are the true boxes, (B, 10, 4).
    """
    if outputs.ndim != 3 or labels.shape != (*outputs.shape[:2], 4):
        raise ValueError(
            f"expected a θ and a box for each picture, (B, sets, …) and (B, sets, 4), got {describe(outputs)} and "
            f"{describe(labels)}"
        )
    return (box_overlap(boxes(outputs[..., :3]), labels) > ENOUGH).float().mean(1)


def boxes(theta: Theta) -> Tensor:
    """Put the box of a digit round the middle of each look: attention (..., 3) → left, top, right, bottom (..., 4).

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    """
    size = ANYWHERE.image[0] / ANYWHERE.canvas[0]
    look = torch.cat((torch.full_like(theta[..., :1], size), theta[..., 1:]), dim=-1)
    return box(look.reshape(-1, 3), Attention()).reshape(*theta.shape[:-1], 4)


def _features(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Take the features out of the outputs: of the crops and of others, (sets, B, features) each."""
    if outputs.ndim != 3 or outputs.shape[2] < 5 or outputs.shape[2] % 2 == 0:
        raise ValueError(f"expected outputs (B, sets, 3 + 2 · features) of a CoLocaliser, got {describe(outputs)}")
    seen, random = outputs[..., 3:].unflatten(2, (2, -1)).permute(2, 1, 0, 3)
    return seen, random


def localiser() -> CoLocaliser:
    """Make the network, untrained, with features of a network that has learnt to read MNIST."""
    model = CoLocaliser()
    model.features.load_state_dict(load_tensors(KNOWS_DIGITS))
    return model


def first_of_each_set(data: ImageData) -> Tensor:
    """Pick the first picture of each set: (1, 10, 84, 84), float32 in [0, 1]."""
    return data.images[:1].float() / 255


TASK = Task(
    "co-localisation",
    functools.partial(ten_sets, ANYWHERE),
    profiles(
        smoke=Profile(1, train_images=32, test_images=20),
        quick=Profile(4, train_images=400, test_images=200),
        full=Profile(30),
    ),
    probe_images=first_of_each_set,
    loss=triplet_hinge,
    score=found,
)
CONTESTANTS = {
    "attention": Contestant("ten localisers, attention", localiser, {"course": course_recipe(1e-2, batch_size=32)})
}
