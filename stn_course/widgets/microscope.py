"""A microscope for interpolation: one sampling point moved over a small image, and everything that follows from it.

Four centres of pixels lie around the point. Its row and column cut the square between them into four rectangles, and
the weight of a neighbour is the area of the rectangle in the *opposite* corner, drawn in the neighbour's colour.
"""

from collections.abc import Mapping, Sequence
from html import escape

import ipywidgets
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.checks import describe
from stn_course.drawing import microscope as plates
from stn_course.drawing.panel import Still, below, font
from stn_course.drawing.sampling_point import SAMPLERS, Reading, read_point
from stn_course.palette import GRADIENT, INK, PAPER
from stn_course.sampling import PADDING_MODES, to_normalised
from stn_course.widgets.base import Explorer

SIDES = (2, 10)
OUTSIDE = 1.5  # in pixels from the outermost centres: how far out the point can go
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


class InterpolationMicroscope(Explorer):
    """Move a sampling point over a small image and see where its value and its gradient come from.

    The numbers are those of the package's own samplers. Everything moves by mouse and by keyboard.

    Args:
        image: (1, H, W), float in [0, 1], both sides from 2 to 10 pixels; a slanted stroke if None.

    Raises:
        TypeError, ValueError: if the image is something else; the message shows it.

    Example:
        >>> microscope = InterpolationMicroscope()
        >>> microscope.x.value = 1.5
        >>> microscope.read(1.5, 1.6).value
        0.5
        >>> microscope.reset.click()
        >>> microscope.x.value
        1.3
    """

    def __init__(self, image: Tensor | None = None):
        self.image = _check_image(STROKE if image is None else image)
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
        label = {"description_width": "92px"}
        wide, narrow = ipywidgets.Layout(width="400px"), ipywidgets.Layout(width="320px")

        def slide(name: str, n: int) -> ipywidgets.FloatSlider:
            return ipywidgets.FloatSlider(
                self.start[name], min=-OUTSIDE, max=n - 1 + OUTSIDE, step=0.05, readout_format=".2f",
                description=f"{name} (pixels)", continuous_update=True, style=label, layout=wide,
            )  # fmt: skip

        self.x, self.y = slide("x", width), slide("y", height)
        self.zoom = ipywidgets.IntSlider(
            self.start["zoom"], 2, 16, description="zoom", continuous_update=True, style=label, layout=wide
        )
        self.kernel = ipywidgets.ToggleButtons(
            options=list(SAMPLERS), description="kernel", style={**label, "button_width": "100px"}, layout=narrow
        )
        self.kernel.add_class("widget-inline-hbox")  # its description beside it, as with the other controls
        self.padding = ipywidgets.Dropdown(
            options=list(PADDING_MODES), description="padding", style=label, layout=narrow
        )
        self.align_corners = ipywidgets.Checkbox(False, description="align_corners", style=label, layout=narrow)
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the first point and the first settings")
        self.message = ipywidgets.HTML(layout=ipywidgets.Layout(height="28px"))
        self.picture = ipywidgets.Image(format="webp", layout=ipywidgets.Layout(width=f"{SIZE[0]}px", max_width="100%"))
        self.readout = ipywidgets.HTML()
        self._settings = {name: getattr(self, name) for name in self.start}
        self.controls = {**self._settings, "reset": self.reset}
        for control in self._settings.values():
            control.observe(self._redraw, names="value")
        self.reset.on_click(lambda _: self.set(**self.start))
        columns = [
            ipywidgets.VBox([self.x, self.y, self.zoom]),
            ipywidgets.VBox([self.kernel, self.padding, self.align_corners]),
            ipywidgets.VBox([self.reset]),
        ]
        controls = ipywidgets.HBox(columns, layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.widget = ipywidgets.VBox([controls, self.message, self.picture, self.readout])
        self._redraw()

    def set(self, **state) -> None:
        """Set several controls, by name, and redraw once."""
        try:
            with self._unheard():
                for name, value in state.items():
                    self._settings[name].value = value
        finally:
            self._redraw()

    def state(self) -> dict:
        """The values of the controls by name: what `compose` takes."""
        return {name: control.value for name, control in self._settings.items()}

    def compose(
        self,
        x: float,
        y: float,
        kernel: str = "bilinear",
        padding: str = "zeros",
        align_corners: bool = False,
        zoom: int = 8,
    ) -> Image.Image:
        """The picture for one state: the image with the point on it, the patches, the weights and the sum.

        Raises:
            ValueError: if the point is farther out than its sliders go, or not a number, or if there is no such kernel
                or padding.
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
        """The numbers behind the picture: see `sampling_point.read_point`.

        Raises:
            ValueError: as `compose`.
        """
        for name, value, n in (("x", x, self.image.shape[2]), ("y", y, self.image.shape[1])):
            if not -OUTSIDE <= value <= n - 1 + OUTSIDE:
                raise ValueError(f"expected {name} from {-OUTSIDE} to {n - 1 + OUTSIDE} pixels, got {value}")
        return read_point(self.image, x, y, kernel, padding, align_corners)

    def patches(
        self, x: float, y: float, padding: str = "zeros", align_corners: bool = False, zoom: int = 8
    ) -> dict[str, Tensor]:
        """The three by three pixels around the point, sampled `zoom` times as finely: (1, 3·zoom, 3·zoom) a kernel."""
        steps = (torch.arange(round(2 * REACH * zoom), dtype=torch.float64) + 0.5) / zoom - REACH
        rows, columns = torch.meshgrid(steps + y, steps + x, indexing="ij")
        grid = to_normalised(torch.stack((columns, rows), dim=-1), self.image.shape[1:], align_corners)[None]
        return {
            name: SAMPLERS[name](self.image[None], grid, padding, align_corners)[0] for name in ("nearest", "bilinear")
        }

    def figure(self, states: Sequence[Mapping], alt: str | None = None) -> Still:
        """A still strip for readers without a kernel: one picture below the other.

        Args:
            states: for each picture what differs from the first state, such as {"x": 2.0, "kernel": "nearest"}.
            alt: what the strip shows, in words.
        """
        states = [{**self.start, **state} for state in states]
        points = "; ".join(
            f"({state['x']:g}, {state['y']:g}), {state['kernel']}, {state['padding']}" for state in states
        )
        return Still(
            below([self.compose(**state) for state in states], GAP),
            alt or f"a sampling point on a small image, its neighbours, their weights and its value, at {points}",
        )

    def _redraw(self, change: dict | None = None) -> None:
        """The one way to a new picture: read all controls and draw; if that fails, keep what is shown and say why."""
        if not self._by_hand:
            return
        state = self.state()
        try:
            self._send(state, lambda: self._moved_once_more(state, change))
        except ValueError as error:
            self.message.value = f"<b>Not drawn:</b> {escape(str(error))}"
            return
        self.message.value = ""

    def _follow(self) -> None:
        state = self.state()
        reading = self.read(**{name: value for name, value in state.items() if name != "zoom"})
        self.readout.value = self._read_out(reading, state)

    def _read_out(self, reading: Reading, state: Mapping) -> str:
        """The numbers in words, always in as many lines."""
        decimals = self.map.decimals
        height, width = self.image.shape[1:]
        aligned = state["align_corners"]
        units = [(n - 1) / 2 if aligned else n / 2 for n in (width, height)]
        neighbours = [
            f"{_swatch(plates.NEIGHBOURS[n.corner])}({n.column}, {n.row}): "
            f"{n.weight:.4f} × {n.value:.{decimals}f} = {n.weight * n.value:.4f}"
            for n in reading.neighbours
        ]
        axes = (("x", units[0], reading.slopes_x, plates.ACROSS), ("y", units[1], reading.slopes_y, plates.DOWN))
        slopes = [
            f"{_swatch(GRADIENT)}∂V/∂{name} {plates.slope_text([factor * slope for slope in values], sides)} per {word}"
            for word in ("pixel", "unit")
            for name, unit, values, sides in axes
            for factor in [unit if word == "unit" else 1]
        ]
        point = [
            f"in pixels ({state['x']:.2f}, {state['y']:.2f})",
            f"normalised ({reading.normalised[0]:.3f}, {reading.normalised[1]:.3f})",
            f"±1 are {'the centres of the border pixels' if aligned else 'the outer edges of the image'}",
            f"one unit is {units[0]:g} × {units[1]:g} pixels",
        ]
        columns = [
            ("the point (x, y)", point),
            ("neighbours: weight × value", neighbours),
            (f"V = {reading.value:.4f}", slopes),
        ]
        cells = "".join(
            f"<div><b>{title}</b><br>{'<br>'.join((lines + ['&nbsp;'] * 4)[:4])}</div>" for title, lines in columns
        ).replace("-", "−")
        return (
            '<div style="max-width: 940px; line-height: 1.5; font-variant-numeric: tabular-nums; white-space: nowrap; '
            'overflow: hidden"><div style="display: grid; gap: 4px 16px; '
            f'grid-template-columns: repeat(auto-fit, minmax(270px, 1fr))">{cells}</div>'
            f"<div>{_remark(reading, state)}</div></div>"
        )


def _remark(reading: Reading, state: Mapping) -> str:
    """What is special about this point, in one line."""
    if state["kernel"] == "nearest":
        jumps = [name for name in ("x", "y") if round(state[name] % 1, 6) == 0.5]
        if jumps:
            return f"{' and '.join(jumps)} half-way between two pixels: V jumps here, the larger index is taken."
        return "No gradient: V does not change until another pixel is nearest, so θ learns nothing from it."
    kinks = [name for name, (a, b) in (("x", reading.slopes_x), ("y", reading.slopes_y)) if a != b]
    if kinks:
        return f"A kink in {' and '.join(kinks)}: on a pixel's centre the slopes on the two sides differ."
    return "&nbsp;"


def _swatch(colour: str) -> str:
    return f'<span style="color: {colour}">■</span> '


def _check_image(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(f"expected image as a floating-point tensor, got {describe(image)}")
    low, high = SIDES
    if image.ndim != 3 or len(image) != 1 or not all(low <= side <= high for side in image.shape[1:]):
        raise ValueError(
            f"expected an image of shape (1, H, W) with H and W from {low} to {high}, got {describe(image)}"
        )
    if not ((image >= 0) & (image <= 1)).all():
        raise ValueError(f"expected grey values in [0, 1], got {image.min().item():g} to {image.max().item():g}")
    return image.detach().cpu().double()
