"""Pictures composed as arrays: panels with coordinates, lines, points and text on them, and their files.

Pillow draws. A panel is drawn at twice its size and then halved, which makes slanted lines smooth.
"""

import copy
import io
import math
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Self

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stn_course.palette import INK, PAPER

SMOOTH = 2
CLIPPED_AT = 1e4  # pixels: lines are clipped there, long before Pillow's whole numbers overflow

Points = Tensor | np.ndarray | Sequence[Sequence[float]]


class Still:
    """A picture that a notebook shows as a PNG with alternative text: what is left of a slider without a kernel."""

    def __init__(self, image: Image.Image, alt: str):
        self.image, self.alt = image, alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": png(self.image), "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


class Panel:
    """A drawing area with coordinates of its own, x to the right and y downwards.

    `size` is (width, height) in pixels of the screen; `extent` is (left, top, right, bottom), the coordinates of its
    edges.

    Example:
        >>> panel = Panel((100, 100), (-1, -1, 1, 1))
        >>> panel.line([(-1, -1), (1, 1)], "red")
        >>> panel.picture().getpixel((50, 50))
        (255, 0, 0)
    """

    def __init__(self, size: tuple[int, int], extent: tuple[float, float, float, float], colour: str = PAPER):
        self.size, self.extent = size, extent
        self._canvas = Image.new("RGB", (size[0] * SMOOTH, size[1] * SMOOTH), colour)
        self._draw = ImageDraw.Draw(self._canvas)

    def copy(self) -> Self:
        """Make another panel with the same drawing on it, so that what never changes is drawn only once."""
        twin = copy.copy(self)
        twin._canvas = self._canvas.copy()
        twin._draw = ImageDraw.Draw(twin._canvas)
        return twin

    def image(self, pixels: Tensor) -> None:
        """Draw an image (C, H, W), C 1 or 3, float in [0, 1], its outer edges at ±1; every pixel is a rectangle."""
        (left, top), (right, bottom) = self._pixels([(-1, -1), (1, 1)]).round().astype(int).tolist()
        size = (max(1, right - left), max(1, bottom - top))
        self._canvas.paste(to_picture(pixels).resize(size, Image.Resampling.NEAREST), (left, top))

    def line(self, points: Points, colour: str, width: float = 2) -> None:
        """Draw a line through points (N, 2), broken where a point is not finite."""
        for piece in _finite_pieces(self._pixels(points)):
            if len(piece) > 1:
                self._draw.line(piece.ravel().tolist(), colour, round(width * SMOOTH), joint="curve")

    def lines(self, many: Iterable[Points], colour: str, width: float = 1) -> None:
        """Draw several lines of one colour, such as the rows and columns of a grid."""
        for points in many:
            self.line(points, colour, width)

    def polygon(self, points: Points, fill: str | None = None, outline: str | None = None, width: float = 1) -> None:
        """Draw a closed outline (N, 2), filled or not."""
        corners = [tuple(point) for point in self._pixels(points).tolist()]
        if np.isfinite(corners).all():
            self._draw.polygon(corners, fill, outline, round(width * SMOOTH))

    def dots(self, points: Points, colour: str, radius: float = 2.5, outline: str | None = None) -> None:
        """Draw a dot at each of the points (N, 2) that is finite; the radius is in pixels of the screen."""
        r = radius * SMOOTH
        for x, y in self._pixels(points).tolist():
            if math.isfinite(x) and math.isfinite(y):
                self._draw.ellipse((x - r, y - r, x + r, y + r), colour, outline, SMOOTH if outline else 0)

    def arrow(self, start: Sequence[float], end: Sequence[float], colour: str, width: float = 2.5) -> None:
        """Draw an arrow; none if start and end are closer than a pixel."""
        a, b = self._pixels([start, end])
        length = float(np.hypot(*(b - a)))
        if not math.isfinite(length) or length < SMOOTH:
            return
        along = (b - a) / length
        head = min(length, 4.5 * width * SMOOTH)
        neck, across = b - along * head, np.array([-along[1], along[0]]) * head * 0.45
        self._draw.line([*a, *neck], colour, round(width * SMOOTH))
        self._draw.polygon([tuple(b), tuple(neck + across), tuple(neck - across)], colour)

    def text(
        self,
        point: Sequence[float],
        text: str,
        colour: str = INK,
        size: float = 13,
        anchor: str = "mm",
        halo: str | None = None,
    ) -> None:
        """Write a line of text; `anchor` is Pillow's ("mm" is centred, "ls" starts on the baseline), `halo` a rim."""
        x, y = self._pixels([point])[0].round().astype(int).tolist()
        for ink, rim in ((halo, 2 * SMOOTH), (colour, 0)):
            if ink:
                letters, left, top = _letters(text, size * SMOOTH, anchor, rim)
                self._canvas.paste(ink, (x + left, y + top), letters)

    def picture(self) -> Image.Image:
        """Return the panel at the size it is shown in."""
        return self._canvas.reduce(SMOOTH)

    def _pixels(self, points: Points) -> np.ndarray:
        """Turn coordinates of the panel into pixels of its canvas, (N, 2), far ones pulled in."""
        points = points.detach().cpu().numpy() if isinstance(points, Tensor) else np.asarray(points)
        left, top, right, bottom = self.extent
        scale = np.array(self._canvas.size) / (right - left, bottom - top)
        return ((points.astype(np.float64).reshape(-1, 2) - (left, top)) * scale).clip(-CLIPPED_AT, CLIPPED_AT)


@lru_cache(1024)
def _letters(text: str, size: float, anchor: str, rim: int) -> tuple[Image.Image, int, int]:
    """Draw a line of text as a mask, once for many uses, and say where its corner lies from the anchor."""
    left, top, right, bottom = map(math.floor, font(size).getbbox(text, anchor=anchor, stroke_width=rim))
    mask = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, font(size), anchor, stroke_width=rim)
    return mask, left, top


def _finite_pieces(points: np.ndarray) -> list[np.ndarray]:
    finite = np.isfinite(points).all(1)
    if finite.all():
        return [points]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False])).astype(int)))
    return [points[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]


def aspect(image: Tensor) -> np.ndarray:
    """Return half the width and half the height of an image (C, H, W), the longer being 1.

    Example:
        >>> aspect(torch.zeros(1, 40, 80)).tolist()
        [1.0, 0.5]
    """
    height, width = image.shape[1:]
    return np.array([width, height]) / max(height, width)


def to_picture(pixels: Tensor) -> Image.Image:
    """Turn an image (C, H, W), C 1 or 3, float in [0, 1], into Pillow's, in RGB; clip what is out of range."""
    levels = (pixels.detach().cpu().float().nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)
    if len(levels) == 1:
        return Image.fromarray(levels[0].numpy()).convert("RGB")
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def beside(pictures: Sequence[Image.Image], gap: int = 16, margin: int = 8) -> Image.Image:
    """Set pictures in a row, aligned at the top, on paper."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1) + 2 * margin
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures) + 2 * margin), PAPER)
    left = margin
    for picture in pictures:
        sheet.paste(picture, (left, margin))
        left += picture.width + gap
    return sheet


def below(pictures: Sequence[Image.Image], gap: int = 10) -> Image.Image:
    """Set pictures one below the other, aligned at the left, on paper."""
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(picture.width for picture in pictures), height), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + gap
    return sheet


def webp(image: Image.Image) -> bytes:
    """Write a picture as a WebP file, to the last bit: as quickly as a PNG, and a third of its size.

    Example:
        >>> sheet = Image.linear_gradient("L").convert("RGB")
        >>> Image.open(io.BytesIO(webp(sheet))).tobytes() == sheet.tobytes()
        True
    """
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=0, method=1)  # of a lossless file this is the effort alone
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    """Write a picture as a small PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


@cache
def font(size: float, mono: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu at a size in pixels: matplotlib carries it, and it has θ, ∂, × and −, which Pillow's font lacks."""
    name = "DejaVuSansMono.ttf" if mono else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)
