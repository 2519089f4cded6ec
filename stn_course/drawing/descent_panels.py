"""The three panels of the descent on θ: the input with the frame, the output in the template's outline, the loss."""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stn_course.algebra import target_border
from stn_course.drawing.panel import Panel, aspect, below, font
from stn_course.palette import BASELINE, GRADIENT, INK, OUTSIDE, PAPER, QUIET, SOURCE, TARGET
from stn_course.transforms import Transform

SIDE = 294  # seven pixels of the screen for each of 42
TITLE, CAPTION = 30, 28
VIEW = 1.4  # how much of the surroundings of the input is seen; 42 of its pixels are five of the screen wide each
START = "#EDA884"  # the vermillion of the source side, paler
OUTLINE = "#56B4E9"  # the blue of the target side, paler: it lies on black and on white
GRID = "#E3E3E3"
PUSH = 0.7  # the longest arrow, in normalised coordinates
HALF_WAY = 0.3  # how strong a push has half of that length
DECADES = 3.5  # losses from the highest down to about 0.0003 of it
STEP_TICKS = 30


def input_panel(
    image: Tensor, theta: np.ndarray, start: np.ndarray, gradient: np.ndarray, transform: Transform
) -> Image.Image:
    """Draw the image (1, H, W), the frame of θ on it, where it started, and where descent pushes what it holds on to.

    These are the corners of the frame, or the control points of a family that has some.
    """
    x, y = VIEW / aspect(image)
    panel = Panel((SIDE, SIDE), (-x, -y, x, y), OUTSIDE)
    panel.image(image)
    panel.line(_frame(start, transform), START, 1.5)
    frame = _frame(theta, transform)
    panel.line(frame, SOURCE, 2.5)
    if len(transform.control_points()):
        panel.dots(_held(theta, transform), SOURCE, 3, PAPER)
    panel.dots(frame[:1], SOURCE, 4.5)
    for point, push in zip(_held(theta, transform), pushes(theta, gradient, transform)):
        panel.arrow(point, point + PUSH * push / (np.hypot(*push) + HALF_WAY), GRADIENT, 2.5)
    legend = (("start", START), ("now", SOURCE), ("−gradient", GRADIENT))
    return _column("input: where the sampler looks", panel, legend)


def pushes(theta: np.ndarray, gradient: np.ndarray, transform: Transform) -> np.ndarray:
    """Say how fast the corners of the frame move, or the control points, when θ goes against its gradient: (N, 2)."""
    little = 1e-5
    return (_held(theta - little * gradient, transform) - _held(theta, transform)) / little


def output_panel(output: Tensor, outline: list[np.ndarray], step: int, loss: float, verdict: str = "") -> Image.Image:
    """Draw the output (1, H', W'), and over it the outline of the template, as `outline_of` gives it, if there is one.

    `verdict` says what a classifier makes of it.
    """
    x, y = 1 / aspect(output)
    panel = Panel((SIDE, SIDE), (-x, -y, x, y))
    panel.image(output)
    panel.lines(outline, OUTLINE, 2)
    x, y = 1 - 3 / SIDE * x, 1 - 3 / SIDE * y  # the border is three pixels wide, and inside
    panel.line([(-1, -y), (x, -y), (x, y), (-x, y), (-x, -y)], TARGET, 3)
    first = (verdict, TARGET) if verdict else ("template", OUTLINE)
    legend = (first, (f"step {step}", None), (f"loss {loss:.3g}", None))
    title = "output, as the classifier gets it" if verdict else "output, in the template's outline"
    return _column(title, panel, legend)


def loss_panel(losses: np.ndarray, blank: float, last: int, settings: str, most: float = 1.0) -> Image.Image:
    """Draw the losses up to the step that is shown, on a logarithmic axis from `most` down, and a blank output's."""
    panel = _axes(blank, last, most).copy()
    curve = np.stack((np.arange(len(losses)), _height(losses, most)), axis=1)
    panel.line(curve, TARGET, 2.5)
    panel.dots(curve[-1:], TARGET, 5, outline="white")
    return _column("loss after each step", panel, ((settings, None),))


@lru_cache(maxsize=8)
def _axes(blank: float, last: int, most: float) -> Panel:
    panel = Panel((SIDE, SIDE), (-0.2 * last, -0.12, 1.06 * last, DECADES + 0.3))
    for decade in range(int(DECADES) + 1):
        panel.line([(0, decade), (last, decade)], GRID, 1)
        panel.text((-0.03 * last, decade), f"{most * 10.0**-decade:g}", INK, 13, "rm")
    for step in range(0, last + 1, STEP_TICKS):
        panel.line([(step, 0), (step, DECADES)], GRID, 1)
        panel.text((step, DECADES + 0.17), str(step), INK, 13, "mm")
    panel.line([(0, 0), (0, DECADES), (last, DECADES)], INK, 1)
    height = float(_height(blank, most))
    panel.line([(0, height), (last, height)], BASELINE, 1.5)
    panel.text((last, height - 0.12), "a blank output", QUIET, 13, "rm", halo="white")
    return panel


def outline_of(template: Tensor) -> list[np.ndarray]:
    """Outline what is brighter than half of the brightest, along the edges of pixels: closed lines (N, 2).

    Example:
        >>> outline_of(torch.tensor([[0.0, 1.0]]))[0].tolist()  # the right half
        [[0.0, -1.0], [1.0, -1.0], [1.0, 1.0], [0.0, 1.0], [0.0, -1.0]]
    """
    height, width = template.shape
    inside = np.pad((template > template.max() / 2).numpy(), 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}  # corner → next corners, the inside on the right
    for row, column in np.argwhere(inside).tolist():
        x, y = column - 1, row - 1
        ring = ((x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y))
        neighbours = (
            inside[row - 1, column],
            inside[row, column + 1],
            inside[row + 1, column],
            inside[row, column - 1],
        )
        for start, end, hidden in zip(ring, ring[1:], neighbours):
            if not hidden:
                following.setdefault(start, []).append(end)
    outlines = []
    for start in list(following):
        while start in following:
            loop = [start]
            while ends := following.get(loop[-1]):
                loop.append(ends.pop())
                if not ends:
                    del following[loop[-2]]
            outlines.append(np.array(loop) * 2 / (width, height) - 1)
    return outlines


def _height(loss: np.ndarray | float, most: float) -> np.ndarray:
    return -np.log10(np.clip(np.divide(loss, most), 10.0**-DECADES, 1.0))


def _held(theta: np.ndarray, transform: Transform) -> np.ndarray:
    """Where the corners of the target look, or the control points if there are some: (N, 2)."""
    control, one = transform.control_points().double(), torch.from_numpy(theta)
    looks = transform.map(one[None], control[None])[0] if len(control) else target_border(one, transform, 2)[:4]
    return looks.numpy()


def _frame(theta: np.ndarray, transform: Transform) -> np.ndarray:
    return target_border(torch.from_numpy(theta), transform, 2 if "straight lines" in transform.keeps else 33).numpy()


def _column(title: str, panel: Panel, legend: tuple[tuple[str, str | None], ...]) -> Image.Image:
    return below([_strip(TITLE, ((title, None),), 15), panel.picture(), _strip(CAPTION, legend, 14)], 0)


@lru_cache(maxsize=64)
def _strip(height: int, pieces: tuple[tuple[str, str | None], ...], size: int) -> Image.Image:
    """Draw a line of text in pieces, each behind a short line of its colour if it has one."""
    strip = Panel((SIDE, height), (0, 0, SIDE, height))
    left = 0.0
    for text, colour in pieces:
        if colour:
            strip.line([(left, height / 2 + 1), (left + 16, height / 2 + 1)], colour, 4)
            left += 22
        strip.text((left, height / 2), text, INK, size, "lm")
        left += font(size).getlength(text) + 18
    return strip.picture()
