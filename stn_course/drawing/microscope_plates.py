"""What the interpolation microscope shows, plate by plate: the map of the pixels, a patch, the weights, the sum.

Each of the four neighbours has a colour, the same in all plates. The other colours mean what they mean in `plots`.
"""

import math
from collections.abc import Sequence
from functools import cache

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.drawing.panel import Panel, font, to_picture
from stn_course.drawing.sampling_point import RING, Reading, padded
from stn_course.palette import FAINT, GRADIENT, INK, OUTSIDE, PAPER, QUIET, SOURCE, TARGET

# upper left, upper right, lower left and lower right: the rest of the Okabe–Ito palette
NEIGHBOURS = {(0, 0): "#E69F00", (1, 0): "#56B4E9", (0, 1): "#CC79A7", (1, 1): "#F0E442"}

MAP, CELLS = 444, 400  # the map, and the part of it that pixels fill
GAP_SIDE = (MAP - CELLS) // 2
PATCH, LENS, SUM = 226, 182, 270
ACROSS, DOWN = ("left", "right"), ("above", "below")  # the two sides of a kink
ARROW = 3  # in pixels of the image: the length of an arrow for a slope of 1

Box = list[tuple[float, float]]


class Map:
    """An image (1, H, W) in its padding, each pixel a square with its grey value on it, and a sampling point on top."""

    def __init__(self, image: Tensor):
        self.image = image
        tenths = torch.allclose(image, image.mul(10).round().div(10), atol=1e-6)
        self.decimals = 1 if tenths else 2
        self._bases: dict[tuple[str, bool], Panel] = {}

    def picture(
        self, x: float, y: float, padding: str, align_corners: bool, reading: Reading, reach: float
    ) -> Image.Image:
        """Draw the map with the point at (x, y), its neighbours, the corners of its patch, and the gradient."""
        if (padding, align_corners) not in self._bases:  # most of the work, the same wherever the point is
            self._bases[padding, align_corners] = self._base(padding, align_corners)
        panel = self._bases[padding, align_corners].copy()
        unit = (panel.extent[2] - panel.extent[0]) / MAP  # a pixel of the screen
        left, top = math.floor(round(x, 6)), math.floor(round(y, 6))
        bilinear = len(reading.neighbours) == 4
        for (a, b), (c, d) in zip(box(x, y, reach), box(x, y, reach - 0.4)):
            panel.line([(c, b), (a, b), (a, d)], SOURCE, 2)
        if bilinear:
            panel.polygon(box(left + 0.5, top + 0.5, 0.5), outline=SOURCE)
            panel.lines([[(left, y), (left + 1, y)], [(x, top), (x, top + 1)]], SOURCE)
        for column, row, weight, value, corner in reading.neighbours:
            panel.polygon(box(column, row, 0.5 - 1.5 * unit), outline=NEIGHBOURS[corner], width=3 if weight else 1)
            panel.polygon(box(column, row, 0.34, 0.18), _grey(value))  # the lines pass behind the number
            self._number(panel, column, row, value)
        wide, high, size = 18 * min(1, 0.03 / unit), 9 * min(1, 0.03 / unit), 13 * min(1, 0.03 / unit)
        for column, row, weight, _, corner in reading.neighbours:
            chip = [
                min(max(centre + side - 0.5, first + (wide + 2) * unit), last - (wide + 2) * unit)
                for centre, side, first, last in zip((column, row), corner, panel.extent[:2], panel.extent[2:])
            ]
            panel.polygon(box(*chip, wide * unit, high * unit), NEIGHBOURS[corner], INK, 0.5)
            panel.text(chip, f"{weight:.2f}", INK, size)
        if bilinear:
            for slope in sorted({(a, b) for a in reading.slopes_x for b in reading.slopes_y}):
                tip = (x + ARROW * slope[0], y + ARROW * slope[1])
                for a, b in box(0, 0, 1.2 * unit):
                    panel.arrow((x + a, y + b), (tip[0] + a, tip[1] + b), PAPER, 3)
                panel.arrow((x, y), tip, GRADIENT, 3)
        panel.dots([(x, y)], PAPER, 6.5)
        panel.dots([(x, y)], SOURCE, 5)
        return panel.picture()

    def _base(self, padding: str, align_corners: bool) -> Panel:
        height, width = self.image.shape[1:]
        middle = ((width - 1) / 2, (height - 1) / 2)
        unit = (max(height, width) + 2 * RING) / CELLS
        reach = MAP / 2 * unit
        panel = Panel((MAP, MAP), (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach))
        panel.polygon(box(*middle, width / 2 + RING, height / 2 + RING), OUTSIDE)
        for n, row in enumerate(padded(self.image, padding, align_corners).tolist(), start=-RING):
            for m, value in enumerate(row, start=-RING):
                inside = 0 <= m < width and 0 <= n < height
                panel.polygon(box(m, n, 0.5 if inside else 0.34), _grey(value), _grey(value))
                self._number(panel, m, n, value, 1 if inside else 0.8)
        panel.polygon(box(*middle, width / 2, height / 2), outline=INK, width=2)
        for axis, n in enumerate((width, height)):
            near, far = (middle[1 - axis] + side * ((height, width)[axis] / 2 + RING) for side in (-1, 1))
            for m in range(-RING, n + RING):
                panel.text(_turned(m, near - 11 * unit, axis), f"{m}".replace("-", "−"), QUIET, 12)
            panel.text(_turned(n + RING - 0.5 + 11 * unit, near - 11 * unit, axis), "xy"[axis], INK, 13)
            for value, label in ((-1, "−1"), (0, "0"), (1, "+1")):
                at = (value + 1) * (n - 1) / 2 if align_corners else ((value + 1) * n - 1) / 2
                panel.line([_turned(at, far - 3 * unit, axis), _turned(at, far + 4 * unit, axis)], INK, 2)
                panel.text(_turned(at, far + (13, 5)[axis] * unit, axis), label, INK, 12, ("mm", "lm")[axis])
        return panel

    def _number(self, panel: Panel, column: int, row: int, value: float, scale: float = 1) -> None:
        cell = CELLS / (max(self.image.shape) + 2 * RING)
        size = scale * min(14, cell * (0.36 if self.decimals == 1 else 0.33))
        panel.text((column, row), f"{value:.{self.decimals}f}", _on_grey(value), size)


def patch(pixels: Tensor, chosen: bool) -> Image.Image:
    """Draw an output patch (1, h, w) with the point in its middle; the chosen kernel's has a thicker frame."""
    picture = to_picture(pixels).resize((PATCH, PATCH), Image.Resampling.NEAREST)
    ImageDraw.Draw(picture).rectangle((0, 0, PATCH - 1, PATCH - 1), outline=TARGET, width=4 if chosen else 1)
    for colour, radius in ((PAPER, 6), (SOURCE, 4.5)):
        mask = _disc(radius)
        picture.paste(colour, ((PATCH - mask.width) // 2, (PATCH - mask.height) // 2), mask)
    return picture


def lens(x: float, y: float, reading: Reading, decimals: int) -> Image.Image:
    """Draw the square between the four centres: each neighbour at its corner, its weight as the opposite area."""
    panel = Panel((LENS, LENS), (-0.3, -0.3, 1.3, 1.3))
    unit = 1.6 / LENS
    x, y = round(x, 6) % 1, round(y, 6) % 1
    bilinear = len(reading.neighbours) == 4
    panel.polygon(box(0.5, 0.5, 0.5), OUTSIDE)
    for _, _, weight, value, corner in reading.neighbours:
        start, end = ((x, y), [1 - side for side in corner]) if bilinear else ((0.5, 0.5), corner)
        middle, half = [(a + b) / 2 for a, b in zip(start, end)], [abs(a - b) / 2 for a, b in zip(start, end)]
        if weight:
            panel.polygon(box(*middle, *half), NEIGHBOURS[corner])
        if half[0] > 17 * unit and half[1] > 8 * unit:
            panel.text(middle, f"{weight:.2f}", INK, 13)
        at = [1.3 * side - 0.15 for side in corner]
        panel.polygon(box(*at, 0.15 - 1.5 * unit), _grey(value), NEIGHBOURS[corner], 3)
        panel.text(at, f"{value:.{decimals}f}", _on_grey(value), 12)
    cut = (x, y) if bilinear else (0.5, 0.5)
    panel.lines([[(0, cut[1]), (1, cut[1])], [(cut[0], 0), (cut[0], 1)]], PAPER, 1.5)
    panel.polygon(box(0.5, 0.5, 0.5), outline=INK)
    panel.dots([(x, y)], PAPER, 6.5)
    panel.dots([(x, y)], SOURCE, 5)
    return panel.picture()


def sum_of(reading: Reading, decimals: int) -> Image.Image:
    """Write out the sum, and the slopes."""
    picture = Image.new("RGB", (SUM, LENS), PAPER)
    draw = ImageDraw.Draw(picture)

    def write(y: int, text: str, swatch: str | None = None, mono: bool = True) -> None:
        if swatch:
            draw.rectangle((0, y - 6, 12, y + 6), swatch, INK)
        draw.text((20, y), text, INK, font(13, mono), "lm")

    for i, n in enumerate(reading.neighbours):
        product = f"{n.weight:.3f} × {n.value:.{decimals}f} = {n.weight * n.value:.3f}"
        write(10 + 23 * i, f"({n.column}, {n.row})".replace("-", "−").ljust(9) + product, NEIGHBOURS[n.corner])
    if len(reading.neighbours) == 1:
        write(54, "no gradient: V is flat where it does", mono=False)
        write(74, "not jump, and θ learns nothing", mono=False)
    draw.line((0, 97, SUM, 97), FAINT)
    write(115, "V".ljust(7) + f"= {reading.value:.3f}", _grey(reading.value))
    for y, name, slopes, sides in ((142, "x", reading.slopes_x, ACROSS), (165, "y", reading.slopes_y, DOWN)):
        unit = " per pixel" if slopes[0] == slopes[1] else ""  # no room for it on a kink
        write(y, f"∂V/∂{name}  {slope_text(slopes, sides)}{unit}", GRADIENT)
    return picture


def slope_text(slopes: Sequence[float], sides: tuple[str, str]) -> str:
    """Write one slope, or on a kink the two.

    Example:
        >>> slope_text((0.5, 0.5), ACROSS), slope_text((0.5, -0.25), ACROSS)
        ('= 0.50', '0.50 left, −0.25 right')
    """
    first, second = (f"{round(slope, 2) + 0.0:.2f}".replace("-", "−") for slope in slopes)  # + 0.0: no −0
    return f"= {first}" if slopes[0] == slopes[1] else f"{first} {sides[0]}, {second} {sides[1]}"


def box(x: float, y: float, half: float, half_height: float | None = None) -> Box:
    """List the corners of a rectangle about a point; of a square unless its half height is given."""
    high = half if half_height is None else half_height
    return [(x - half, y - high), (x + half, y - high), (x + half, y + high), (x - half, y + high)]


def _turned(along: float, across: float, axis: int) -> tuple[float, float]:
    return (along, across) if axis == 0 else (across, along)


def _grey(value: float) -> str:
    return "#" + f"{round(255 * value):02x}" * 3


def _on_grey(value: float) -> str:
    return INK if value > 0.45 else "#F4F4F4"


@cache
def _disc(radius: float) -> Image.Image:
    """Draw a smooth disc, as a mask."""
    side = 2 * math.ceil(radius)
    mask = Image.new("L", (4 * side, 4 * side))
    low, high = 4 * (side / 2 - radius), 4 * (side / 2 + radius) - 1
    ImageDraw.Draw(mask).ellipse((low, low, high, high), 255)
    return mask.reduce(4)
