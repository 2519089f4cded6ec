"""Draw the stand-in for a folder of photographs: road signs of eight kinds, small, tilted, anywhere in large pictures.

Each picture has one sign, and things that are none. All signs look alike from afar (a red ring on a pole); the black
figure inside, about eight pixels wide, says which kind it is. Pictures have five shapes, wide and high.
"""

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.checks import Size, lookup
from stn_course.data.folder import on_canvas
from stn_course.data.images import ImageData

SIDE = 160  # pixels, of the longest side of a picture
SHAPES: tuple[Size, ...] = ((120, 160), (160, 120), (160, 160), (100, 160), (144, 108))
LENGTH = {"train": 1200, "test": 600}
RADIUS = 8, 14  # pixels
MOST_TILT = 25  # degrees
SMOOTH = 2  # drawn twice as large, then reduced

Outline = list[tuple[float, float]]


def _box(left: float, top: float, right: float, bottom: float) -> Outline:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


_RIGHT = [(-1, -0.28), (0.1, -0.28), (0.1, -0.85), (1, 0), (0.1, 0.85), (0.1, 0.28), (-1, 0.28)]
FIGURES: dict[str, list[Outline]] = {  # in the unit square, y down
    "ahead": [[(y, -x) for x, y in _RIGHT]],
    "bar": [_box(-1, -0.3, 1, 0.3)],
    "cross": [_box(-1, -0.28, 1, 0.28), _box(-0.28, -1, 0.28, 1)],
    "left": [[(-x, y) for x, y in _RIGHT]],
    "lock": [_box(-0.9, -0.9, -0.4, 0.9), _box(0.4, -0.9, 0.9, 0.9), _box(-0.9, 0.4, 0.9, 0.9)],
    "right": [_RIGHT],
    "tee": [_box(-0.9, -0.9, 0.9, -0.35), _box(-0.28, -0.9, 0.28, 0.95)],
    "two bars": [_box(-0.8, -0.9, -0.25, 0.9), _box(0.25, -0.9, 0.8, 0.9)],
}
KINDS = tuple(FIGURES)
_CIRCLE = [(math.cos(turn), math.sin(turn)) for turn in np.arange(40) * math.pi / 20]


class Sign(NamedTuple):
    """A picture, uint8 (H, W, 3), and what is true of its sign: place and radius in pixels, tilt in degrees."""

    picture: np.ndarray
    kind: str
    x: float
    y: float
    radius: float
    tilt: float


def draw_signs(split: str, images: int | None = None) -> Iterator[Sign]:
    """Draw the pictures of a split one after the other, the same on every call; `images` of them, or all.

    Built in: 10, "A folder, and what is wrong with it".

    Example:
        >>> next(draw_signs("test")).picture.shape
        (120, 160, 3)
    """
    length = lookup("split", split, LENGTH)
    kinds = np.random.default_rng([2015, split == "test"]).permutation(np.arange(length) % len(KINDS))
    for i, kind in enumerate(kinds[:images].tolist()):
        yield _draw(KINDS[kind], np.random.default_rng([2015, split == "test", i]))


def write_signs(folder: str | os.PathLike, split: str, images: int | None = None) -> Path:
    """Write pictures of a split as an image folder, KIND/0000.png, and return it. It takes about 3 ms a picture.

    Built in: 10, "A folder, and what is wrong with it".
    """
    folder = Path(folder)
    for i, sign in enumerate(draw_signs(split, images)):
        path = folder / sign.kind / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sign.picture).save(path, compress_level=1)
    return folder


@cache
def load_signs(split: str, images: int | None = None) -> tuple[ImageData, Tensor]:
    """Draw a split on square canvases of 160 pixels: the pictures, and where each sign is, (N, 3): x, y and size.

    They are the numbers of the square frame that just holds the sign, t_x, t_y and s of an attention θ.

    Built in: 10, "Does the whole picture need to be seen?".

    Example:
        >>> data, poses = load_signs("test", 8)
        >>> data.images.shape, poses.shape
        (torch.Size([8, 3, 160, 160]), torch.Size([8, 3]))
    """
    signs = [*draw_signs(split, images)]
    poses = []
    for sign in signs:
        height, width = sign.picture.shape[:2]
        left, top = (SIDE - width) // 2, (SIDE - height) // 2
        poses.append([2 * (sign.x + left) / SIDE - 1, 2 * (sign.y + top) / SIDE - 1, 2 * sign.radius / SIDE])
    data = ImageData(
        torch.stack([on_canvas(sign.picture, SIDE) for sign in signs]),
        torch.tensor([KINDS.index(sign.kind) for sign in signs]),
        f"road signs drawn by the package, {len(signs):,} for {split}ing",
        complete=len(signs) == LENGTH[split],
        classes=KINDS,
    )
    return data, torch.tensor(poses)


def _draw(kind: str, random: np.random.Generator) -> Sign:
    height, width = SHAPES[random.integers(len(SHAPES))]
    picture = Image.new("RGB", (width * SMOOTH, height * SMOOTH), _colour(random.integers(60, 230, 3)))
    pen = ImageDraw.Draw(picture)
    horizon = random.uniform(0.4, 0.7) * height * SMOOTH
    pen.rectangle((0, horizon, width * SMOOTH, height * SMOOTH), fill=_colour(random.integers(30, 180, 3)))
    for _ in range(random.integers(8, 16)):  # things that are no signs: greyish, and none is red
        x, y = random.uniform(0, width * SMOOTH), random.uniform(0, height * SMOOTH)
        half_width, half_height = SMOOTH * random.uniform(3, 25, 2)
        grey = random.integers(20, 220) + random.integers(-30, 31, 3)
        shape = pen.rectangle if random.random() < 0.6 else pen.ellipse
        shape((x - half_width, y - half_height, x + half_width, y + half_height), fill=_colour(grey))
    radius, tilt = random.uniform(*RADIUS), random.uniform(-MOST_TILT, MOST_TILT)
    x, y = random.uniform(radius, width - radius), random.uniform(radius, height - radius)
    pen.rectangle((SMOOTH * (x - 1), SMOOTH * y, SMOOTH * (x + 1), height * SMOOTH), fill=(120, 120, 120))
    light = random.uniform(0.6, 1)
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))

    def place(outline: Outline, size: float) -> Outline:
        return [
            (SMOOTH * (x + size * (cos * a - sin * b)), SMOOTH * (y + size * (sin * a + cos * b))) for a, b in outline
        ]

    pen.polygon(place(_CIRCLE, radius), fill=_colour(light * np.array((200, 20, 30))))
    pen.polygon(place(_CIRCLE, 0.78 * radius), fill=_colour(light * np.array((245, 245, 240))))
    for outline in FIGURES[kind]:
        pen.polygon(place(outline, 0.5 * radius), fill=(20, 20, 25))
    pixels = np.asarray(picture.reduce(SMOOTH), np.int16) + random.integers(-12, 13, (height, width, 3), np.int16)
    return Sign(pixels.clip(0, 255).astype(np.uint8), kind, x, y, radius, tilt)


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    return tuple(int(value) for value in values.clip(0, 255))
