"""What θ does, under the reader's own hands: sliders for θ and for its parts, and the picture that follows them."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape

import ipywidgets
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.algebra import from_parts, invert, part_names, to_parts
from stn_course.plots import INK
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Transform, describe
from stn_course.widgets.images import digit, read_image, test_card
from stn_course.widgets.pictures import PAPER, Still, below, font, png
from stn_course.widgets.planes import SIZE, Planes

GAP, MARGIN, TITLE, NOTE = 16, 8, 26, 24  # of the picture, in pixels
WIDTH, MINIMAL = 3 * SIZE + 2 * GAP + 2 * MARGIN, 286
DECIMALS = 6
MOST = 1e6
OWN = "own file"
NONE_OF_THEM = "—"

_CROPS = {  # name → the parts that differ from the identity's
    "identity": {},
    "zoom in": {"scale": 0.5},
    "zoom out": {"scale": 1.5},
    "shift": {"shift_x": 0.5},
    "top left quarter": {"scale": 0.5, "shift_x": -0.5, "shift_y": -0.5},
    "bottom right quarter": {"scale": 0.5, "shift_x": 0.5, "shift_y": 0.5},
    "upside down": {"scale": -1.0},
}
_FRAMES = {
    "identity": {},
    "zoom in": {"scale_x": 0.5, "scale_y": 0.5},
    "zoom out": {"scale_x": 1.5, "scale_y": 1.5},
    "shift": {"shift_x": 0.5},
    "rotate 30°": {"rotation": 30.0},
    "mirror": {"scale_x": -1.0},
    "shear": {"shear": 0.5},
    "flatten to a line": {"scale_y": 0.0},
}
_VIEWS = {
    "turn aside": {"perspective_x": 0.5},
    "tilt back": {"perspective_y": 0.5},
    "look over the horizon": {"perspective_y": 1.5},
}


class TransformationExplorer:
    """Move θ, and see where the sampler looks, what comes out, and both planes in space.

    θ is one and the same whichever control changes it: its own sliders, those of its parts, a preset, or numbers
    pasted into the text field. It has six decimals, and the text field shows all of them. A slider stands on the step
    next to its number, or at the end of its range; θ stays what it is until that slider itself is moved.

    Args:
        transform: the family; it decides which sliders there are.
        images: name → image (C, H, W), C 1 or 3, float in [0, 1]; a real digit and a test card if None.

    Raises:
        TypeError, ValueError: if an image is not such a tensor; the message shows what came.

    Example:
        >>> explorer = TransformationExplorer(Attention())
        >>> explorer.theta_sliders[0].value = 0.5
        >>> explorer.theta_text.value, explorer.preset.value
        ('0.5, 0, 0', 'zoom in')
    """

    def __init__(self, transform: Transform = Affine(), images: Mapping[str, Tensor] | None = None):
        self.transform = transform
        given = {"digit": digit(), "test card": test_card()} if images is None else images
        self.images = {name: _checked(name, image) for name, image in given.items()}
        if not self.images:
            raise ValueError("expected at least one image, got none")
        self.presets = presets(transform)
        self.theta = self.presets["identity"]
        """θ as it is now: a tuple of n_params numbers."""
        self.parts = self._to_parts(self.theta)
        """Its parts. Those that were set stay as they were set, where others would say the same θ."""
        self._busy = False
        self._make_controls()
        self._lay_out()
        self._show(self.theta)

    def _make_controls(self) -> None:
        style = {"description_width": "48px"}
        first = next(iter(self.images))
        self.image = ipywidgets.Dropdown(
            options=[*self.images], value=first, description="image", layout=_wide(164), style=style
        )
        self.upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description=OWN, layout=_wide(120))
        self.mode = ipywidgets.ToggleButtons(
            options=["θ", "parts"], value="θ", layout=_wide(148), style={"button_width": "64px"}
        )
        self.theta_sliders = [_slider(name) for name in self.transform.names]
        self.part_sliders = [_slider(name) for name in part_names(self.transform)]
        self.preset = ipywidgets.Dropdown(
            options=[NONE_OF_THEM, *self.presets], description="preset", layout=_wide(244), style=style
        )
        self.invert = ipywidgets.Button(description="invert", tooltip="the θ that undoes this one", layout=_wide(84))
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the first picture", layout=_wide(84))
        self.theta_text = ipywidgets.Text(
            description="θ", continuous_update=False, layout=_wide(480), style={"description_width": "20px"}
        )
        self.matrix, self.message = ipywidgets.HTML(), ipywidgets.HTML(layout=ipywidgets.Layout(min_height="32px"))
        self.picture = ipywidgets.Image(format="png", layout=_wide(WIDTH))
        self.controls = {
            "image": self.image,
            "upload": self.upload,
            "preset": self.preset,
            "invert": self.invert,
            "reset": self.reset,
            "mode": self.mode,
            **{slider.description: slider for slider in (*self.theta_sliders, *self.part_sliders)},
            "theta_text": self.theta_text,
        }
        for control in (self.image, self.mode, self.preset, self.theta_text, *self.theta_sliders, *self.part_sliders):
            control.observe(self._changed, names="value")
        self.upload.observe(self._uploaded, names="value")
        self.invert.on_click(self._invert)
        self.reset.on_click(self._reset)

    def _lay_out(self) -> None:
        def row(*children: ipywidgets.Widget, justify: str = "flex-start") -> ipywidgets.Box:
            layout = ipywidgets.Layout(
                flex_flow="row wrap", align_items="center", justify_content=justify, max_width=f"{WIDTH}px"
            )
            return ipywidgets.Box(children, layout=layout)

        def columns(sliders: Sequence[ipywidgets.Widget]) -> ipywidgets.Box:
            """Three side by side, like the rows of the matrix and the panels below, or fewer where it is narrow."""
            fit = f"repeat(auto-fill, minmax({MINIMAL}px, 1fr))"
            return ipywidgets.Box(
                sliders, layout=ipywidgets.Layout(grid_template_columns=fit, max_width=f"{WIDTH}px", overflow="hidden")
            )

        self._theta_rows, self._part_rows = columns(self.theta_sliders), columns(self.part_sliders)
        self.widget = ipywidgets.VBox(
            [
                row(self.image, self.upload, self.preset, self.invert, self.reset, self.mode),
                self._theta_rows,
                self._part_rows,
                self.picture,
                row(self.matrix, self.theta_text, justify="space-between"),
                self.message,
            ]
        )

    def compose(self, theta: Sequence[float] | Tensor, image: str | None = None) -> Image.Image:
        """The picture of a θ: input with the sampling grid, output, and the two planes in space.

        Args:
            theta: n_params numbers.
            image: the name of one of the images; the first if None.
        """
        source = self.images[image if image is not None else next(iter(self.images))]
        row = torch.as_tensor(theta, dtype=torch.float32).detach().reshape(1, -1)
        output = warp(source[None], row, self.transform)[0]
        planes = Planes(source, output, self.transform.matrix(row.double())[0].numpy())
        sheet = Image.new("RGB", (WIDTH, TITLE + SIZE + NOTE + 2 * MARGIN), PAPER)
        columns = (
            (
                "input: where the sampler looks",
                planes.input(),
                "dashed: where the grid's parallels meet"
                if len(planes.meeting)
                else "dot: the output's top left corner",
            ),
            (
                "output",
                planes.result(),
                "dashed: the horizon, where w = 0" if len(planes.horizon) else "the same lines, on the regular grid",
            ),
            ("target plane above source plane", planes.space(), "each corner above looks at its corner below"),
        )
        for i, (title, panel, note) in enumerate(columns):
            left = MARGIN + i * (SIZE + GAP)
            sheet.paste(_words(title, TITLE, 16, INK), (left, MARGIN))
            sheet.paste(panel, (left, MARGIN + TITLE))
            sheet.paste(_words(note, NOTE, 13.5, "#666666"), (left, MARGIN + TITLE + SIZE))
        return sheet

    def figure(
        self, states: Sequence[str | Sequence[float]], image: str | None = None, alt: str | None = None
    ) -> Still:
        """A still strip, one state below the other, for readers without a kernel.

        Args:
            states: for each the name of a preset, or a θ.
            image: the name of one of the images; the first if None.
            alt: what the strip shows, in words.
        """
        pictures, words = [], []
        for state in states:
            theta = self.presets[state] if isinstance(state, str) else _checked_theta(state, self.transform)
            name = f"{state}:  " if isinstance(state, str) else ""
            words.append(f"{name}θ = {write_theta(theta)}")
            picture = self.compose(theta, image)
            caption = Image.new("RGB", (picture.width, 26), PAPER)
            ImageDraw.Draw(caption).text((MARGIN, 8), words[-1], INK, font(15))
            pictures += [caption, picture]
        return Still(below(pictures, 0), alt or f"where the sampler looks, and what comes out: {'; '.join(words)}")

    def _show(self, theta: Sequence[float], parts: Sequence[float] | None = None) -> None:
        """Make θ the state, bring all controls in step with it, and redraw once."""
        self.theta = _checked_theta(theta, self.transform)
        self.parts = self._to_parts(self.theta) if parts is None else tuple(parts)
        self.picture.value = png(self.compose(self.theta, self.image.value))  # first: it is what the reader waits for
        busy, self._busy = self._busy, True
        try:
            for sliders, values in ((self.theta_sliders, self.theta), (self.part_sliders, self.parts)):
                for slider, value in zip(sliders, values):
                    slider.value = _on_a_step(value, slider)
            self.theta_text.value = write_theta(self.theta)
            names = (name for name, known in self.presets.items() if known == self.theta)
            self.preset.value = next(names, NONE_OF_THEM)
        finally:
            self._busy = busy
        self._theta_rows.layout.display = "grid" if self.mode.value == "θ" else "none"
        self._part_rows.layout.display = "grid" if self.mode.value == "parts" else "none"
        self.matrix.value = _matrix_html(self.transform, self.theta)
        self._say("")

    def _say(self, message: str) -> None:
        self.message.value = (
            f'<div role="status" style="height: 1.8em; line-height: 1.8em; overflow: hidden">{escape(message)}</div>'
        )

    def _changed(self, change: dict) -> None:
        """A control was moved: by hand, not by `_show`."""
        if self._busy:
            return
        control, theta, parts = change["owner"], list(self.theta), list(self.parts)
        try:
            if control in self.theta_sliders:
                if _takes(control, theta, self.theta_sliders.index(control)):
                    self._show(theta)
            elif control in self.part_sliders:
                if _takes(control, parts, self.part_sliders.index(control)):
                    self._show(self._from_parts(parts), parts)
            elif control is self.theta_text:
                self._show(read_theta(control.value, self.transform))
            elif control is self.preset and control.value in self.presets:
                self._show(self.presets[control.value])
            else:  # another image, or the other set of sliders
                self._show(theta, parts)
        except ValueError as error:
            self._say(str(error))

    def _to_parts(self, theta: Sequence[float]) -> tuple[float, ...]:
        return tuple(to_parts(torch.tensor([theta], dtype=torch.float64), self.transform)[0].tolist())

    def _from_parts(self, parts: Sequence[float]) -> list[float]:
        return from_parts(torch.tensor([parts], dtype=torch.float64), self.transform)[0].tolist()

    def _uploaded(self, change: dict) -> None:
        if self._busy or not change["new"]:
            return
        try:
            name, data = uploaded_file(change["new"])
            self.images[OWN] = read_image(data, name)
        except ValueError as error:
            self._say(str(error))
            return
        self._busy = True
        try:
            self.image.options = [*self.images]
            self.image.value = OWN
        finally:
            self._busy = False
        self._show(self.theta, self.parts)

    def _invert(self, _button: ipywidgets.Button) -> None:
        try:
            inverse = invert(torch.tensor([self.theta], dtype=torch.float64), self.transform)[0].tolist()
            self._show(inverse)
        except ValueError as error:
            why = (
                "it flattens the picture to a line or a point, and what is gone cannot be brought back"
                if "singular" in str(error)
                else "the last entry of the inverse matrix would be 0, and in θ it is always 1"
            )
            self._say(f"this θ cannot be inverted: {why}")

    def _reset(self, _button: ipywidgets.Button) -> None:
        self._busy = True
        try:
            self.image.value, self.mode.value = next(iter(self.images)), "θ"
        finally:
            self._busy = False
        self._show(self.presets["identity"])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


@lru_cache(32)
def _words(text: str, height: int, size: float, colour: str) -> Image.Image:
    """A line of text as wide as a panel; drawn once, as drawing text takes longer than pasting it."""
    strip = Image.new("RGB", (SIZE, height), PAPER)
    ImageDraw.Draw(strip).text((0, height / 2), text, colour, font(size), "lm")
    return strip


def presets(transform: Transform) -> dict[str, tuple[float, ...]]:
    """Named θ of a family, the identity first.

    Example:
        >>> presets(Attention())["top left quarter"]
        (0.5, -0.5, -0.5)
    """
    names = part_names(transform)
    named = _CROPS if isinstance(transform, Attention) else _FRAMES
    if "perspective_x" in names:
        named = named | _VIEWS
    neutral = dict(zip(names, to_parts(transform.identity()[None], transform)[0].tolist()))
    parts = torch.tensor([[*(neutral | changes).values()] for changes in named.values()], dtype=torch.float64)
    thetas = from_parts(parts, transform).tolist()
    return {name: _checked_theta(theta, transform) for name, theta in zip(named, thetas)}


def read_theta(text: str, transform: Transform) -> tuple[float, ...]:
    """θ from text: numbers with commas or spaces between them; brackets and "tensor" are read past.

    Raises:
        ValueError: if there is anything else, or not n_params of them; the message shows what came.

    Example:
        >>> read_theta("tensor([[0.5, 0, −0.25]])", Attention())
        (0.5, 0.0, -0.25)
    """
    words = re.sub(r"tensor|[\[\](){},;]", " ", text.replace("−", "-")).split()
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            raise ValueError(f"expected θ as {transform.n_params} numbers, got {word[:40]!r} among them") from None
    return _checked_theta(numbers, transform)


def write_theta(theta: Sequence[float]) -> str:
    """θ as text that `read_theta` reads back to the same numbers.

    Example:
        >>> write_theta((0.5, 0.0, -0.25))
        '0.5, 0, -0.25'
    """
    return ", ".join(repr(value).removesuffix(".0") for value in theta)


def uploaded_file(value: Mapping | Sequence) -> tuple[str, bytes]:
    """Name and bytes of the first file of a `FileUpload`: a dict in ipywidgets 7, a tuple of dicts in 8.

    Example:
        >>> uploaded_file({"a.png": {"content": b"..."}}) == uploaded_file(({"name": "a.png", "content": b"..."},))
        True
    """
    if isinstance(value, Mapping):
        name, file = next(iter(value.items()))
    else:
        file = value[0]
        name = file["name"]
    return name, bytes(file["content"])


def _checked_theta(theta: Sequence[float] | Tensor, transform: Transform) -> tuple[float, ...]:
    """θ with six decimals, or a ValueError."""
    numbers = [float(value) for value in theta]
    if len(numbers) != transform.n_params:
        names = ", ".join(transform.names)
        raise ValueError(f"expected θ as {transform.n_params} numbers ({names}), got {len(numbers)}")
    for name, number in zip(transform.names, numbers):
        if not abs(number) <= MOST:
            raise ValueError(f"expected numbers between −1,000,000 and 1,000,000, got {name} = {number}")
    return tuple(round(number, DECIMALS) + 0.0 for number in numbers)  # no −0 to be read aloud


def _checked(name: str, image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(f"expected the image {name!r} as a floating-point tensor (C, H, W), got {describe(image)}")
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"expected the image {name!r} as (C, H, W) with C 1 or 3, got {describe(image)}")
    return image.detach().cpu().float().clone()  # whatever becomes of the caller's


def _wide(pixels: int) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=f"{pixels}px", max_width="100%")


def _slider(name: str) -> ipywidgets.FloatSlider:
    """A slider for an entry of θ or for a part of it."""
    reach, step, digits = 2.0, 0.01, ".2f"
    if name == "rotation":
        reach, step, digits = 180.0, 1.0, ".0f"
    elif name in ("θ31", "θ32", "perspective_x", "perspective_y"):
        reach = 1.5
    return ipywidgets.FloatSlider(
        0.0,
        min=-reach,
        max=reach,
        step=step,
        description=name if name in ("t_x", "t_y") else name.replace("_", " "),
        continuous_update=True,
        readout_format=digits,
        style={"description_width": "84px"},
        layout=ipywidgets.Layout(width="auto"),
    )


def _on_a_step(value: float, slider: ipywidgets.FloatSlider) -> float:
    """The number nearest to a value that a slider can stand on, to the last bit as the browser computes it.

    Given any other, ipywidgets 8 rounds it in the browser and sends that back, as if the reader had moved the slider,
    and a late answer of that kind would undo what the reader has done in the meantime.
    """
    span = slider.max - slider.min
    step = slider.step * 100 / span  # the browser reckons in per cent of the track
    place = math.floor((value - slider.min) * 100 / span / step + 0.5) * step
    return min(max(place * span / 100 + slider.min, slider.min), slider.max)


def _takes(slider: ipywidgets.FloatSlider, numbers: list[float], index: int) -> bool:
    """Take over the number of a slider that was moved; one that still stands on its step was only rounded."""
    if _on_a_step(numbers[index], slider) == _on_a_step(slider.value, slider):
        return False
    numbers[index] = round(slider.value, DECIMALS)
    return True


def _matrix_html(transform: Transform, theta: Sequence[float]) -> str:
    """The formula (x_s, y_s, 1)ᵀ ~ M (x_t, y_t, 1)ᵀ with the numbers of M, as text that can be copied."""
    matrix = transform.matrix(torch.tensor([theta], dtype=torch.float64))[0].tolist()
    projective = "θ31" in transform.names
    rows = []
    for i, entries in enumerate(matrix):
        left, right = ("⎡⎢⎣"[i], "⎤⎥⎦"[i])
        numbers = "".join(f"{n:9.3f}" if abs(n) < 1000 else f"{n:9.1e}" for n in entries).replace("-", "−")
        scale = ("w · " if i == 1 else "    ") if projective else ""
        equals = "=" if i == 1 else " "
        rows.append(
            f"{scale}{left} {('x_s', 'y_s', ' 1 ')[i]} {right} {equals} {left}{numbers} {right} "
            f"{left} {('x_t', 'y_t', ' 1 ')[i]} {right}"
        )
    text = "\n".join(rows)
    style = "font-family: var(--jp-code-font-family, monospace); line-height: 1.4; white-space: pre; user-select: text"
    return f'<div style="{style}">{text}</div>'
