"""Two planes and what θ says about them: where the sampler looks, what comes out, and both in space.

Lines stay in homogeneous coordinates (x, y, w) until they are drawn. A matrix takes a straight line to a straight line,
and a line is cut where it would leave the view or cross the horizon w = 0: each cut is one comparison of numbers that
change evenly along the line, whatever θ is. So no transform, however wild, draws a line where there is none. A line
that a family may bend is drawn in short straight pieces.
"""

from functools import cache, lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.drawing.panel import SMOOTH, Panel, aspect, to_picture
from stn_course.palette import FAINT, INK, OUTSIDE, PAPER, SOURCE, TARGET
from stn_course.transforms import Transform

PANEL = 296  # the side of a panel, in pixels of the screen
REACH_INPUT = PANEL / 182  # how far the input panel sees: the image is 182 pixels wide in it
REACH_OUTPUT = PANEL / 252
REACH_SPACE, LOWER = 2.2, 0.2
LINES = 9
PIECES = 16  # into which a line is cut that a transform may bend
CORNERS = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])  # from the top left, clockwise
BORDER = np.stack((CORNERS, np.roll(CORNERS, -1, axis=0)), axis=1)  # (4, 2, 2)
NOWHERE = 1e-9
FAR_AWAY = 1e3

AZIMUTH, ELEVATION, APART = np.radians(24.0), np.radians(31.0), 2.55


@cache
def grid_lines(lines: int = LINES) -> np.ndarray:
    """Make the rows and columns of the regular grid between its borders: (2·(lines − 2), 2, 2), ends in (x, y)."""
    at = np.linspace(-1, 1, lines)[1:-1]
    one = np.ones_like(at)
    rows = np.stack((np.stack((-one, at), 1), np.stack((one, at), 1)), axis=1)
    return np.concatenate((rows, rows[:, :, ::-1]))


def clipped(segments: np.ndarray, reach_x: float, reach_y: float) -> np.ndarray:
    """Cut line segments to what lies within |x| ≤ reach_x, |y| ≤ reach_y.

    Takes (N, 2, 3), both ends in homogeneous coordinates, where w may change its sign on the way; returns (M, 2, 2),
    ends in (x, y). A segment that crosses the horizon may leave two pieces; one out of view, or not finite, leaves
    none.

    Example:
        >>> over_the_horizon = np.array([[[1.0, 0, 1], [1, 0, -1]]])  # x runs from 1 to +∞, and on from −∞ to −1
        >>> clipped(over_the_horizon, 2, 2).tolist()
        [[[1.0, 0.0], [2.0, 0.0]], [[-2.0, 0.0], [-1.0, 0.0]]]
    """
    segments = segments[np.isfinite(segments).all((1, 2))]
    pieces = []
    for sign in (1, -1):  # this side of the horizon, and beyond it
        x, y, w = np.moveaxis(sign * segments, 2, 0)  # (N, 2) each
        room = np.stack((w - NOWHERE, reach_x * w - x, reach_x * w + x, reach_y * w - y, reach_y * w + y))  # ≥ 0 inside
        start, change = room[..., 0], room[..., 1] - room[..., 0]  # (5, N)
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = -start / change
        first = np.where(change > 0, cut, 0).max(0).clip(0)
        last = np.where(change < 0, cut, 1).min(0).clip(max=1)
        seen = (first < last) & ~((change == 0) & (start < 0)).any(0)
        a, b = segments[seen, None, 0], segments[seen, None, 1]
        at = np.stack((first[seen], last[seen]), axis=1)[..., None]
        ends = a + at * (b - a)  # (M, 2, 3)
        pieces.append(ends[..., :2] / ends[..., 2:])
    return np.concatenate(pieces)


def line_through(line: np.ndarray) -> np.ndarray:
    """Make the line a x + b y + c = 0, longer than any view: (1, 2, 3), or (0, 2, 3) if a = b = 0."""
    a, b, c = line / max(np.abs(line).max(), NOWHERE)
    length = np.hypot(a, b)
    if length < NOWHERE:
        return np.zeros((0, 2, 3))
    middle, along = -c * np.array([a, b]) / length**2, FAR_AWAY * np.array([-b, a]) / length
    return np.array([[[*(middle - along), 1], [*(middle + along), 1]]])


class Planes:
    """The three panels for an image (C, H, W), its output (C, H', W') and a θ (n_params,), float64, target → source.

    `point` is the number of a control point to be marked, of families that have some.
    """

    def __init__(self, image: Tensor, output: Tensor, transform: Transform, theta: Tensor, point: int | None = None):
        self.image, self.output, self.point = image, output, point
        self.reach = REACH_INPUT / aspect(image)
        grid, targets = _targets(1 if "straight lines" in transform.keeps else PIECES)
        looks = transform.homogeneous(theta[None], targets)[0].numpy()  # all points at once, (N, 3)
        self.looks = looks[-7:-3]  # of the corners
        self.control = transform.control_points().double()
        self.moved = transform.map(theta[None], self.control[None])[0].numpy() if len(self.control) else self.control
        self.corners = _seen(self.looks, self.reach)
        self.sees_dot = bool(np.isfinite(self.corners[0]).all())
        lines = looks[:-7].reshape(-1, 2, 3)
        self.grid, self.border = clipped(lines[:grid], *self.reach), clipped(lines[grid:], *self.reach)
        origin, right, down = looks[-3:]
        across, along = right - origin, down - origin  # where straight lines stay straight, two columns of a matrix
        self.meeting = clipped(line_through(np.cross(across, along)), *self.reach)
        self.horizon = clipped(line_through(np.array([across[2], along[2], origin[2]])), 1, 1)

    def input(self) -> Image.Image:
        """Draw the input, the sampling grid and the border over it, and the line where the grid's parallels meet."""
        panel = _ready_input(self.image).copy()
        panel.segments(self.grid, SOURCE, 1)
        panel.dashed(self.meeting)
        panel.segments(self.border, SOURCE, 3)
        panel.control(self.moved, self.point, SOURCE)
        _ticks(panel, self.reach, OUTSIDE)  # last, so that no line of the frame hides a number
        panel.corners(self.corners, SOURCE)
        return panel.picture()

    def result(self) -> Image.Image:
        """Draw the output with the regular grid over it, and the horizon."""
        panel = _ready_output(*aspect(self.output).tolist()).copy()
        panel.image(self.output)
        panel.segments(grid_lines(), TARGET, 1)
        panel.segments(BORDER, TARGET, 3)
        panel.dashed(self.horizon)
        panel.control(self.control, self.point, TARGET)
        panel.corners(CORNERS, TARGET)
        return panel.picture()

    def space(self) -> Image.Image:
        """Draw the target plane with the output above the source plane with the input, and join their corners."""
        panel = _ready_space(self.image).copy()
        below, above = _in_space(aspect(self.image), -APART / 2), _in_space(aspect(self.output), APART / 2)
        panel.segments(_on(self.grid, below), SOURCE, 1)
        panel.segments(_on(self.border, below), SOURCE, 2.5)
        panel.corners(_on(self.corners, below), SOURCE)
        looks = self.looks * np.where(self.looks[:, 2:] < 0, -1, 1)  # the same points, on this side of the horizon
        joins = np.stack((np.pad(_on(CORNERS, above), ((0, 0), (0, 1)), constant_values=1), looks @ below.T), axis=1)
        panel.segments(clipped(joins, REACH_SPACE, REACH_SPACE + LOWER), FAINT, 1)
        panel.plane(self.output, _on(CORNERS, above))
        panel.segments(_on(grid_lines(), above), TARGET, 1)
        panel.segments(_on(BORDER, above), TARGET, 2.5)
        panel.corners(_on(CORNERS, above), TARGET)
        return panel.picture()


class _Sheet(Panel):
    """A panel for many lines at once, and for images that lie as parallelograms."""

    def segments(self, ends: np.ndarray, colour: str, width: float) -> None:
        """Draw straight lines (N, 2, 2)."""
        for four in self._pixels(ends).reshape(-1, 4).tolist():
            self._draw.line(four, colour, round(width * SMOOTH))

    def dashed(self, ends: np.ndarray, dashes: int = 25) -> None:
        """Draw dashed lines (N, 2, 2) that show on dark and light."""
        self.segments(ends, PAPER, 3)
        at = np.linspace(0, 1, 2 * dashes).reshape(-1, 2, 1)  # from where to where each dash goes
        for start, end in ends:
            self.segments(start + at * (end - start), INK, 1.5)

    def corners(self, points: np.ndarray, colour: str) -> None:
        """Draw a large dot at the first of four points, the top left corner, and small ones at the others."""
        self.dots(points[1:], colour, 3.2)
        self.dots(points[:1], colour, 6, PAPER)

    def control(self, points: np.ndarray, chosen: int | None, colour: str) -> None:
        """Draw a dot at each of some points, and a ring around the chosen one."""
        if chosen is not None:
            self.dots(points[chosen : chosen + 1], INK, 9, PAPER)
            self.dots(points[chosen : chosen + 1], PAPER, 6.5)
        self.dots(points, colour, 4, PAPER)

    def plane(self, pixels: Tensor, corners: np.ndarray) -> None:
        """Draw an image (C, H, W) with its corners, from the top left clockwise, at these points (4, 2)."""
        at = self._pixels(corners)
        left, top = np.floor(at.min(0)).astype(int).tolist()
        right, bottom = np.ceil(at.max(0)).astype(int).tolist()
        picture = to_picture(pixels)
        edges = np.stack(((at[1] - at[0]) / picture.width, (at[3] - at[0]) / picture.height), axis=1)
        back = np.linalg.inv(edges)  # from the canvas to the picture's pixels
        start = back @ ((left, top) - at[0])
        size = (right - left, bottom - top)
        lying = picture.transform(size, Image.Transform.AFFINE, (*back[0], start[0], *back[1], start[1]))
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([tuple(point) for point in (at - (left, top)).tolist()], 255)
        self._canvas.paste(lying, (left, top), mask)


@lru_cache(8)
def _ready_input(image: Tensor) -> _Sheet:
    """Draw the part of the input panel that does not change with θ."""
    reach = REACH_INPUT / aspect(image)
    sheet = _Sheet((PANEL, PANEL), (-reach[0], -reach[1], reach[0], reach[1]), OUTSIDE)
    sheet.image(image)
    return sheet


@lru_cache(8)
def _ready_output(*proportions: float) -> _Sheet:
    reach = REACH_OUTPUT / np.array(proportions)
    sheet = _Sheet((PANEL, PANEL), (-reach[0], -reach[1], reach[0], reach[1]))
    _ticks(sheet, reach)
    return sheet


@lru_cache(8)
def _ready_space(image: Tensor) -> _Sheet:
    shape, plane = aspect(image), _in_space(aspect(image), -APART / 2)
    sheet = _Sheet((PANEL, PANEL), (-REACH_SPACE, LOWER - REACH_SPACE, REACH_SPACE, LOWER + REACH_SPACE))
    sheet.polygon(_on(CORNERS * REACH_INPUT / shape, plane), OUTSIDE)
    sheet.plane(image, _on(CORNERS, plane))
    return sheet


@cache
def _targets(pieces: int) -> tuple[int, Tensor]:
    """How many segments the grid has, and all points of the target that are drawn, (1, N, 2).

    They are the ends of the segments of the grid and of the border, the four corners, (0, 0), (1, 0) and (0, 1).
    """
    grid, border = (_in_pieces(lines, pieces) for lines in (grid_lines(), BORDER))
    points = (grid.reshape(-1, 2), border.reshape(-1, 2), CORNERS, np.array([[0.0, 0], [1, 0], [0, 1]]))
    return len(grid), torch.from_numpy(np.concatenate(points))[None]


def _in_pieces(segments: np.ndarray, pieces: int) -> np.ndarray:
    """Cut straight segments (N, 2, 2) into as many equal pieces each: (N · pieces, 2, 2)."""
    ends = np.linspace(0, 1, pieces + 1)[:, None]
    points = segments[:, :1] + ends * (segments[:, 1:] - segments[:, :1])  # (N, pieces + 1, 2)
    return np.stack((points[:, :-1], points[:, 1:]), axis=2).reshape(-1, 2, 2)


def _in_space(stretch: np.ndarray, height: float) -> np.ndarray:
    """Make the matrix (3, 3) that draws a plane at a height, seen from above and aside (without perspective)."""
    cos, sin, tilt = np.cos(AZIMUTH), np.sin(AZIMUTH), np.sin(ELEVATION)
    seen = np.array([[cos, -sin, 0], [sin * tilt, cos * tilt, -height * np.cos(ELEVATION)], [0, 0, 1]])
    return seen @ np.diag([*stretch, 1])


def _on(points: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Place points (..., 2) of a plane where they are drawn."""
    return points @ plane[:2, :2].T + plane[:2, 2]


def _seen(points: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Turn homogeneous points (N, 3) into (N, 2), NaN where they are out of view."""
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = points[:, :2] / points[:, 2:]
    return np.where((np.abs(flat) <= reach).all(1, keepdims=True), flat, np.nan)


def _ticks(sheet: Panel, reach: np.ndarray, halo: str | None = None) -> None:
    """Write normalised coordinates along the lower and the left edge of an image, with a rim if they cross lines."""
    pixel = 2 * reach / PANEL
    for value, name in ((-1, "−1"), (0, "0"), (0.5, ""), (1, "1")):
        sheet.text((value, 1 + 6 * pixel[1]), name or "x", INK, 12, "mt", halo)
        sheet.text((-1 - 8 * pixel[0], value), name or "y", INK, 12, "rm", halo)
