"""One sampling point under a microscope: the image with the point on it, the patches, the weights and the sum.

Four centres of pixels lie around the point. Its row and column cut the square between them into four rectangles, and
the weight of a neighbour is the area of the rectangle in the *opposite* corner, drawn in the neighbour's colour.
"""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.checks import check_image, describe
from stn_course.drawing import microscope_plates as plates
from stn_course.drawing.panel import font
from stn_course.drawing.sampling_point import KERNELS, Reading, read_point
from stn_course.drawing.scene import Scene
from stn_course.palette import INK, PAPER
from stn_course.sampling import to_normalised

SIDES = (2, 10)
BEYOND = 1.5  # in pixels from the outermost centres: how far out the point can go
REACH = 1.5  # in pixels: how far a patch goes to each side of the point

GAP, MARGIN, TITLE = 12, 8, 24
RIGHT = MARGIN + plates.MAP + 16
LOWER = MARGIN + TITLE + plates.PATCH + GAP
SIZE = (RIGHT + 2 * plates.PATCH + GAP + MARGIN, MARGIN + TITLE + plates.MAP + MARGIN)

STROKE = torch.tensor(
    [
        [0.1, 0.1, 0.2, 0.4, 0.7, 0.9],
        [0.1, 0.2, 0.5, 0.9, 1.0, 0.8],
        [0.2, 0.4, 0.8, 1.0, 0.7, 0.4],
        [0.3, 0.7, 1.0, 0.8, 0.4, 0.2],
        [0.6, 0.9, 0.8, 0.5, 0.2, 0.1],
        [0.9, 0.8, 0.5, 0.3, 0.1, 0.0],
    ]
)[None]
"""A slanted stroke, (1, 6, 6), in grey values that are easy to reckon with."""


class MicroscopeScene(Scene):
    """The pictures of a sampling point on a small image. The numbers are those of the package's own samplers.

    `image` is (1, H, W), float in [0, 1], both sides from 2 to 10 pixels; a slanted stroke if None.

    Built in: 02, "Four neighbours: bilinear".

    Example:
        >>> MicroscopeScene().read(1.5, 1.6).value
        0.5
    """

    def __init__(self, image: Tensor | None = None):
        self.image = _check_small(STROKE if image is None else image)
        height, width = self.image.shape[1:]
        self.map = plates.Map(self.image)
        self.start = {
            "x": max(0, (width - 1) // 2 - 1) + 0.3,
            "y": max(0, (height - 1) // 2 - 1) + 0.6,
            "kernel": "bilinear",
            "padding": "zeros",
            "align_corners": False,
            "zoom": 8,
        }

    def compose(
        self,
        x: float,
        y: float,
        kernel: str = "bilinear",
        padding: str = "zeros",
        align_corners: bool = False,
        zoom: int = 8,
    ) -> Image.Image:
        """Draw the image with the point on it, the patches, the weights and the sum.

        A ValueError says when the point lies farther out than its sliders go.
        """
        reading = self.read(x, y, kernel, padding, align_corners)
        sheet = Image.new("RGB", SIZE, PAPER)
        draw = ImageDraw.Draw(sheet)

        def place(title: str, picture: Image.Image, left: int, top: int) -> None:
            draw.text((left, top + 2), title, INK, font(14))
            sheet.paste(picture, (left, top + TITLE))

        title = "input: in pixels (top, left), normalised (bottom, right)"
        place(title, self.map.picture(x, y, padding, align_corners, reading, REACH), MARGIN, MARGIN)
        for i, (name, patch) in enumerate(self.patches(x, y, padding, align_corners, zoom).items()):
            left = RIGHT + i * (plates.PATCH + GAP)
            place(f"output: {name}, zoom {zoom}", plates.patch(patch, name == kernel), left, MARGIN)
        rule = "weight = opposite area" if kernel == "bilinear" else "the nearest takes all"
        place(rule, plates.lens(x, y, reading, self.map.decimals), RIGHT, LOWER)
        place("V = Σ weight × value", plates.sum_of(reading, self.map.decimals), RIGHT + plates.LENS + GAP, LOWER)
        return sheet

    def read(
        self, x: float, y: float, kernel: str = "bilinear", padding: str = "zeros", align_corners: bool = False
    ) -> Reading:
        """Read the numbers behind the picture, for the points that `compose` draws; see `sampling_point.read_point`."""
        for name, value, n in (("x", x, self.image.shape[2]), ("y", y, self.image.shape[1])):
            if not -BEYOND <= value <= n - 1 + BEYOND:
                raise ValueError(f"expected {name} from {-BEYOND} to {n - 1 + BEYOND} pixels, got {value}")
        return read_point(self.image, x, y, kernel, padding, align_corners)

    def patches(
        self, x: float, y: float, padding: str = "zeros", align_corners: bool = False, zoom: int = 8
    ) -> dict[str, Tensor]:
        """Sample the three by three pixels around the point `zoom` times as finely: (1, 3·zoom, 3·zoom) a kernel."""
        steps = (torch.arange(round(2 * REACH * zoom), dtype=torch.float64) + 0.5) / zoom - REACH
        rows, columns = torch.meshgrid(steps + y, steps + x, indexing="ij")
        grid = to_normalised(torch.stack((columns, rows), dim=-1), self.image.shape[1:], align_corners)[None]
        return {
            name: KERNELS[name](self.image[None], grid, padding, align_corners)[0] for name in ("nearest", "bilinear")
        }

    def in_words(self, states: Sequence[Mapping]) -> str:
        points = "; ".join(
            f"({state['x']:g}, {state['y']:g}), {state['kernel']}, {state['padding']}" for state in states
        )
        return f"a sampling point on a small image, its neighbours, their weights and its value, at {points}"


def _check_small(image: Tensor) -> Tensor:
    image = check_image("image", image)
    low, high = SIDES
    if not all(low <= side <= high for side in image.shape[1:]):
        raise ValueError(
            f"expected an image of shape (1, H, W) with H and W from {low} to {high}, got {describe(image)}"
        )
    if not ((image >= 0) & (image <= 1)).all():
        raise ValueError(f"expected grey values in [0, 1], got {image.min().item():g} to {image.max().item():g}")
    return image.double()
