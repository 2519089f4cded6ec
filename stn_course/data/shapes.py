"""Draw the stand-in for CIFAR-10: coloured shapes of ten kinds.

Place, size, turn, colours and background are random; only the shape tells the class.
"""

import math
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from stn_course.data.images import ImageData

LENGTH = {"train": 2000, "test": 1000}
SIZE, SMOOTH = 32, 4  # pixels; drawn four times as large, then reduced
MOST_TURN = math.radians(20)

Outline = list[tuple[float, float]]


def _star(points: int, inner: float, turn: float = 0.0) -> Outline:
    """Make corners on the unit circle and, between them, at `inner`; the first one at the top."""
    steps = np.arange(2 * points) * math.pi / points + turn
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return list(zip((radius * np.sin(steps)).tolist(), (-radius * np.cos(steps)).tolist(), strict=True))


def _regular(corners: int, turn: float = 0.0) -> Outline:
    return _star(corners, math.cos(math.pi / corners), turn)


_CROSS = [(-1, -0.3), (-0.3, -0.3), (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3)]
_T = [
    (-0.9, -0.9),
    (0.9, -0.9),
    (0.9, -0.35),
    (0.28, -0.35),
    (0.28, 0.95),
    (-0.28, 0.95),
    (-0.28, -0.35),
    (-0.9, -0.35),
]
_ARROW = [(-1, -0.25), (0.1, -0.25), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.25), (-1, 0.25)]
_HALF = [(math.cos(t), 0.5 - math.sin(t)) for t in np.linspace(0, math.pi, 24).tolist()]

OUTLINES: dict[str, tuple[Outline, ...]] = {  # each in the unit circle; a second outline is cut out of the first
    "disc": (_regular(40),),
    "ring": (_regular(40), [(0.55 * x, 0.55 * y) for x, y in _regular(40)]),
    "square": (_regular(4, math.pi / 4),),
    "frame": (_regular(4, math.pi / 4), [(0.5 * x, 0.5 * y) for x, y in _regular(4, math.pi / 4)]),
    "triangle": (_regular(3),),
    "cross": (_CROSS + [(-x, -y) for x, y in _CROSS],),
    "star": (_star(5, 0.4),),
    "T": (_T,),
    "arrow": (_ARROW,),
    "half disc": (_HALF,),
}


@cache
def load_shapes(split: str) -> ImageData:
    """Draw the stand-in for a split of CIFAR-10: as many of each shape, in mixed order, the same on every call.

    Example:
        >>> load_shapes("test").labels.bincount().tolist()
        [100, 100, 100, 100, 100, 100, 100, 100, 100, 100]
    """
    random = np.random.default_rng([2015, split == "test"])
    labels = random.permutation(np.arange(LENGTH[split]) % len(OUTLINES))
    outlines = list(OUTLINES.values())
    images = np.stack([_draw(outlines[label], random) for label in labels])
    return ImageData(
        torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        torch.from_numpy(labels.astype(np.int64)),
        f"coloured shapes drawn by the package, {len(labels):,} for {split}ing",
        complete=False,
        classes=tuple(OUTLINES),
    )


def _draw(outlines: tuple[Outline, ...], random: np.random.Generator) -> np.ndarray:
    """Draw one image, uint8 (32, 32, 3): a shape on two colours that run into one another, and a little noise."""
    ink = random.integers(0, 256, 3)
    while True:  # until the shape stands out from both
        ends = random.integers(0, 256, (2, 3))
        if np.abs(ends - ink).max(1).min() > 90:
            break
    along = np.linspace(0, 1, SIZE)[:, None, None] * np.ones((SIZE, SIZE, 1))
    ground = ends[0] + (along if random.random() < 0.5 else along.transpose(1, 0, 2)) * (ends[1] - ends[0])
    turn, radius = random.uniform(-MOST_TURN, MOST_TURN), random.uniform(8, 13)
    x, y = random.uniform(radius, SIZE - radius, 2)
    cos, sin = radius * math.cos(turn), radius * math.sin(turn)
    mask = Image.new("L", (SIZE * SMOOTH, SIZE * SMOOTH))
    for outline, level in zip(outlines, (255, 0), strict=False):
        corners = [(SMOOTH * (x + cos * a - sin * b), SMOOTH * (y + sin * a + cos * b)) for a, b in outline]
        ImageDraw.Draw(mask).polygon(corners, level)
    share = np.asarray(mask.reduce(SMOOTH), np.float64)[..., None] / 255
    noise = random.normal(0, 8, (SIZE, SIZE, 3))
    return (ground + share * (ink - ground) + noise).clip(0, 255).round().astype(np.uint8)
