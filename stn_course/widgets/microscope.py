"""A microscope for interpolation: one sampling point moves over a small image, and everything follows from it."""

from collections.abc import Mapping

import ipywidgets
from torch import Tensor

from stn_course.drawing import microscope_plates as plates
from stn_course.drawing.microscope import BEYOND, SIZE, MicroscopeScene
from stn_course.drawing.sampling_point import KERNELS, Reading
from stn_course.palette import GRADIENT
from stn_course.sampling import PADDING_MODES
from stn_course.transforms import Range
from stn_course.widgets.base import Explorer
from stn_course.widgets.sliders import number_slider, whole_slider

LABEL, WIDE, NARROW = "92px", "400px", ipywidgets.Layout(width="320px")


class InterpolationMicroscope(Explorer):
    """Move a sampling point over a small image and see where its value and its gradient come from.

    Everything moves by mouse and by keyboard. The image is that of `drawing.microscope.MicroscopeScene`.

    Built in: 02, "Four neighbours: bilinear".

    Example:
        >>> microscope = InterpolationMicroscope()
        >>> microscope.x.value = 1.5
        >>> microscope.reset.click()
        >>> microscope.x.value
        1.3
    """

    scene: MicroscopeScene

    def __init__(self, image: Tensor | None = None):
        super().__init__(MicroscopeScene(image), SIZE[0])
        self.image, self.read = self.scene.image, self.scene.read
        height, width = self.scene.image.shape[1:]
        start, label = self.scene.start, {"description_width": LABEL}
        self.x, self.y = (
            number_slider(f"{name} (pixels)", Range(-BEYOND, n - 1 + BEYOND, 0.05), start[name], LABEL, WIDE)
            for name, n in (("x", width), ("y", height))
        )
        self.zoom = whole_slider("zoom", 2, 16, start["zoom"], LABEL, WIDE)
        self.kernel = ipywidgets.ToggleButtons(
            options=list(KERNELS), description="kernel", style={**label, "button_width": "100px"}, layout=NARROW
        )
        self.kernel.add_class("widget-inline-hbox")  # its description beside it, as with the other controls
        self.padding = ipywidgets.Dropdown(
            options=list(PADDING_MODES), description="padding", style=label, layout=NARROW
        )
        self.align_corners = ipywidgets.Checkbox(False, description="align_corners", style=label, layout=NARROW)
        self.readout = ipywidgets.HTML()
        settings = {name: getattr(self, name) for name in start}
        self.controls = {**settings, "reset": self.reset}
        columns = ([self.x, self.y, self.zoom], [self.kernel, self.padding, self.align_corners], [self.reset])
        controls = ipywidgets.HBox(
            [ipywidgets.VBox(column) for column in columns], layout=ipywidgets.Layout(flex_flow="row wrap")
        )
        self.widget = ipywidgets.VBox([controls, self.message, self.picture, self.readout])
        self._begin(settings)

    def _follow(self) -> None:
        state = self.state()
        reading = self.scene.read(**{name: value for name, value in state.items() if name != "zoom"})
        self.readout.value = self._read_out(reading, state)

    def _read_out(self, reading: Reading, state: Mapping) -> str:
        """Write the numbers in words, always in as many lines."""
        decimals = self.scene.map.decimals
        height, width = self.scene.image.shape[1:]
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
    """Say in one line what is special about this point."""
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
