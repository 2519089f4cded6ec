"""What θ does, in the reader's own hands: sliders for θ and for its parts, and the picture that follows them."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

import ipywidgets
import torch
from torch import Tensor

from stn_course.algebra import NotInvertibleError, from_parts, invert, part_names, to_parts
from stn_course.drawing.sample_images import read_image, uploaded_file
from stn_course.drawing.theta_text import DECIMALS, checked_theta, read_theta, write_theta
from stn_course.drawing.transformation import WIDTH, TransformationScene
from stn_course.transforms import Affine, Range, Transform
from stn_course.widgets.base import Explorer, one_further
from stn_course.widgets.sliders import number_slider, on_a_step, take_over

MINIMAL = 286
OWN_FILE = "own file"
NONE_OF_THEM = "—"
FORMULA = "font-family: var(--jp-code-font-family, monospace); line-height: 1.4; white-space: pre; user-select: text"


class TransformationExplorer(Explorer):
    """Move θ, and see where the sampler looks, what comes out, and both planes in space.

    θ is one and the same whichever control changes it: its own sliders, those of its parts, a preset, or numbers pasted
    into the text field. It has six decimals, and the text field shows all of them. A slider stands on the step next to
    its number, or at the end of its range; θ stays what it is until the reader moves that slider itself.

    Parts and presets are those for the size of the image shown, so a turned frame keeps its right angles in any.
    Another image leaves θ as it is; if it has another aspect ratio, the same θ has other parts.

    A family with control points has a board with a button for each, and the sliders of the chosen one, which has a ring
    in the pictures.

    The arguments are those of `drawing.transformation.TransformationScene`; the family decides which sliders there are.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Play".

    Example:
        >>> from stn_course.transforms import Attention
        >>> explorer = TransformationExplorer(Attention())
        >>> explorer.theta_sliders[0].value = 0.5
        >>> explorer.theta_text.value, explorer.preset.value
        ('0.5, 0, 0', 'zoom in')
    """

    scene: TransformationScene

    def __init__(self, transform: Transform = Affine(), images: Mapping[str, Tensor] | None = None):
        super().__init__(TransformationScene(transform, images), WIDTH)
        self.transform, self.images = transform, self.scene.images
        self.theta = self.scene.start["theta"]  # as it is now: a tuple of n_params numbers
        self._parts: tuple[float, ...] | None = None
        self._shape: float | None = None  # of the image that the parts are for
        self._make_controls()
        self._lay_out()
        self._show(self.theta)

    def _make_controls(self) -> None:
        style = {"description_width": "48px"}
        self.image = ipywidgets.Dropdown(
            options=[*self.images], value=self.scene.first, description="image", layout=_wide(164), style=style
        )
        self.upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description=OWN_FILE, layout=_wide(120))
        self.mode = ipywidgets.ToggleButtons(
            options=["θ", "parts"], value="θ", layout=_wide(148), style={"button_width": "64px"}
        )
        ranges = self.transform.ranges
        self.theta_sliders = [number_slider(name, ranges.get(name, Range())) for name in self.transform.names]
        labels = [name[1:] for name in self.transform.names[::2]] if "point" in self.scene.start else []
        self.point = _board("point", labels)
        parts = [name for name in part_names(self.transform) if name not in self.transform.names]  # or they are θ
        self.part_sliders = [number_slider(name.replace("_", " "), ranges.get(name, Range())) for name in parts]
        self.preset = ipywidgets.Dropdown(
            options=[NONE_OF_THEM, *self.presets], description="preset", layout=_wide(244), style=style
        )
        self.invert = ipywidgets.Button(description="invert", tooltip="the θ that undoes this one", layout=_wide(84))
        self.invert.disabled = not self.transform.invertible
        self.reset.layout.width = "84px"
        if not self.part_sliders:
            self.mode.layout.display = "none"
        self.theta_text = ipywidgets.Text(
            description="θ", continuous_update=False, layout=_wide(480), style={"description_width": "20px"}
        )
        self.matrix = ipywidgets.HTML()
        self.message.layout = ipywidgets.Layout(min_height="32px")
        self.controls = {
            "image": self.image,
            "upload": self.upload,
            "preset": self.preset,
            **({"invert": self.invert} if self.transform.invertible else {}),
            "reset": self.reset,
            **({"mode": self.mode} if parts else {}),
            **({"point": self.point} if labels else {}),
            **{slider.description: slider for slider in (*self.theta_sliders, *self.part_sliders)},
            "theta_text": self.theta_text,
        }
        for control in (
            self.image,
            self.mode,
            self.point,
            self.preset,
            self.theta_text,
            *self.theta_sliders,
            *self.part_sliders,
        ):
            control.observe(self._changed, names="value")
        self.upload.observe(self._uploaded, names="value")
        self.invert.on_click(self._invert)

    def _lay_out(self) -> None:
        def row(*children: ipywidgets.Widget, justify: str = "flex-start") -> ipywidgets.Box:
            layout = ipywidgets.Layout(
                flex_flow="row wrap", align_items="center", justify_content=justify, max_width=f"{WIDTH}px"
            )
            return ipywidgets.Box(children, layout=layout)

        def columns(sliders: Sequence[ipywidgets.Widget]) -> ipywidgets.Box:
            """Set three sliders side by side, like the matrix rows and the panels below; fewer on a narrow page."""
            fit = f"repeat(auto-fill, minmax({MINIMAL}px, 1fr))"
            return ipywidgets.Box(
                sliders, layout=ipywidgets.Layout(grid_template_columns=fit, max_width=f"{WIDTH}px", overflow="hidden")
            )

        self._theta_rows, self._part_rows = columns(self.theta_sliders), columns(self.part_sliders)
        of_theta = self._theta_rows
        if self.point.options:
            self._theta_rows.layout.flex = "1 1 0"
            of_theta = row(self.point, self._theta_rows)
        self.widget = ipywidgets.VBox(
            [
                row(self.image, self.upload, self.preset, self.invert, self.reset, self.mode),
                of_theta,
                self._part_rows,
                self.picture,
                row(self.matrix, self.theta_text, justify="space-between"),
                self.message,
            ]
        )

    def state(self) -> dict:
        point = {"point": self.point.value} if self.point.options else {}
        return {"theta": self.theta, "image": self.image.value} | point

    def set(
        self,
        theta: Sequence[float] | Tensor | None = None,
        image: str | None = None,
        point: int | None = None,
    ) -> None:
        """Set θ, the image, the number of the control point that has the sliders, or all, and redraw once."""
        theta = self.theta if theta is None else checked_theta(theta, self.transform)
        with self._unheard():
            self.image.value = self.image.value if image is None else image
            self.point.value = self.point.value if point is None else point
        self._show(theta)

    @property
    def presets(self) -> dict[str, tuple[float, ...]]:
        """Named θ, for the image that is shown."""
        return self.scene.presets(self.image.value)

    @property
    def parts(self) -> tuple[float, ...]:
        """The parts of θ. Those that were set stay as they were set, where others would say the same θ."""
        if self._parts is None:
            self._parts = self._to_parts(self.theta)
        return self._parts

    def _show(
        self,
        theta: Sequence[float],
        parts: Sequence[float] | None = None,
        ahead: Callable[[], Sequence[float] | None] = lambda: None,
    ) -> None:
        """Make θ the state, redraw once, and bring all controls in step with it; `ahead` gives the θ to expect next."""
        self.theta = checked_theta(theta, self.transform)
        height, width = self.scene.size(self.image.value)
        shape = height / width
        self._parts = None if parts is None or shape != self._shape else tuple(parts)
        self._shape = shape
        self._say("")
        state = self.state()
        self._send(state, lambda: (then := ahead()) and state | {"theta": checked_theta(then, self.transform)})

    def _follow(self) -> None:
        with self._unheard():
            for sliders, values in ((self.theta_sliders, self.theta), (self.part_sliders, self.parts)):
                for slider, value in zip(sliders, values):
                    slider.value = on_a_step(value, slider)
            self.theta_text.value = write_theta(self.theta)
            names = (name for name, known in self.presets.items() if known == self.theta)
            self.preset.value = next(names, NONE_OF_THEM)
        for number, slider in enumerate(self.theta_sliders if self.point.options else ()):
            slider.layout.display = "flex" if number // 2 == self.point.value else "none"
        self._theta_rows.layout.display = "grid" if self.mode.value == "θ" else "none"
        self.point.layout.display = None if self.mode.value == "θ" else "none"
        self._part_rows.layout.display = "grid" if self.mode.value == "parts" else "none"
        self.matrix.value = f'<div style="{FORMULA}">{escape(self.transform.formula(self.theta))}</div>'

    def _say(self, message: str) -> None:
        self.message.value = (
            f'<div role="status" style="height: 1.8em; line-height: 1.8em; overflow: hidden">{escape(message)}</div>'
        )

    def _changed(self, change: dict) -> None:
        """Follow a control that was moved by hand, not by `_show`."""
        if not self._by_hand:
            return
        control, theta = change["owner"], list(self.theta)
        try:
            if control in self.theta_sliders:
                index = self.theta_sliders.index(control)
                if take_over(control, theta, index):
                    self._show(theta, ahead=lambda: _moved_once_more(theta, index, change))
            elif control in self.part_sliders:
                index, parts = self.part_sliders.index(control), list(self.parts)
                if take_over(control, parts, index):
                    self._show(
                        self._from_parts(parts),
                        parts,
                        lambda: (then := _moved_once_more(parts, index, change)) and self._from_parts(then),
                    )
            elif control is self.theta_text:
                self._show(read_theta(control.value, self.transform))
            elif control is self.preset and control.value in self.presets:
                self._show(self.presets[control.value])
            else:  # another image or point, or the other set of sliders
                self._show(theta, self._parts)
        except ValueError as error:
            self._say(str(error))

    def _to_parts(self, theta: Sequence[float]) -> tuple[float, ...]:
        row, size = torch.tensor([theta], dtype=torch.float64), self.scene.size(self.image.value)
        return tuple(to_parts(row, self.transform, size)[0].tolist())

    def _from_parts(self, parts: Sequence[float]) -> list[float]:
        row, size = torch.tensor([parts], dtype=torch.float64), self.scene.size(self.image.value)
        return from_parts(row, self.transform, size)[0].tolist()

    def _uploaded(self, change: dict) -> None:
        if not self._by_hand or not change["new"]:
            return
        try:
            name, data = uploaded_file(change["new"])
            self.images[OWN_FILE] = read_image(data, name)
            self._encoded.cache_clear()  # the name stands for another picture now
        except ValueError as error:
            self._say(str(error))
            return
        with self._unheard():
            self.image.options = [*self.images]
            self.image.value = OWN_FILE
        self._show(self.theta, self._parts)

    def _invert(self, _button: ipywidgets.Button) -> None:
        try:
            self._show(invert(torch.tensor([self.theta], dtype=torch.float64), self.transform)[0].tolist())
        except NotInvertibleError as error:
            self._say(f"this θ cannot be inverted: {error.why}")
        except (TypeError, ValueError) as error:  # no family of matrices; numbers beyond all bounds
            self._say(f"this θ cannot be inverted: {error}")

    def _start_again(self) -> None:
        with self._unheard():
            self.mode.value = "θ"
        self.set(**self.scene.start)


def _moved_once_more(numbers: Sequence[float], index: int, change: dict) -> list[float] | None:
    """Return the numbers after another such change of the one at `index`; None if there is no telling."""
    further = one_further(change)
    return None if further is None else [*numbers[:index], round(further, DECIMALS), *numbers[index + 1 :]]


def _board(name: str, labels: Sequence[str]) -> ipywidgets.ToggleButtons:
    """Make a button for each of some points, in rows like theirs."""
    columns = math.isqrt(len(labels))
    return ipywidgets.ToggleButtons(
        options=[(label, number) for number, label in enumerate(labels)],
        tooltips=[f"{name} {label}" for label in labels],
        layout=_wide(44 * columns + 12),
        style={"button_width": "40px"},
    )


def _wide(pixels: int) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=f"{pixels}px", max_width="100%")
