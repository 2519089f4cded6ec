"""What θ does, under the reader's own hands: sliders for θ and for its parts, and the picture that follows them."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape

import ipywidgets
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.algebra import from_parts, invert, part_names, to_parts
from stn_course.checks import Size, describe
from stn_course.drawing.panel import Still, below, font
from stn_course.drawing.planes import SIZE, Planes
from stn_course.drawing.sample_images import digit, read_image, test_card, uploaded_file
from stn_course.palette import INK, PAPER, QUIET
from stn_course.plots import height_to_width
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform
from stn_course.widgets.base import Explorer, one_further
from stn_course.widgets.presets import presets
from stn_course.widgets.sliders import number_slider, on_a_step, take_over
from stn_course.widgets.theta_text import DECIMALS, checked_theta, matrix_html, read_theta, write_theta

GAP, MARGIN, TITLE, NOTE = 16, 8, 26, 24  # of the picture, in pixels
WIDTH, MINIMAL = 3 * SIZE + 2 * GAP + 2 * MARGIN, 286
OWN = "own file"
NONE_OF_THEM = "—"


class TransformationExplorer(Explorer):
    """Move θ, and see where the sampler looks, what comes out, and both planes in space.

    θ is one and the same whichever control changes it: its own sliders, those of its parts, a preset, or numbers
    pasted into the text field. It has six decimals, and the text field shows all of them. A slider stands on the step
    next to its number, or at the end of its range; θ stays what it is until that slider itself is moved.

    Parts and presets are those for the size of the image that is shown, so a turned frame keeps its right angles in
    any. Another image leaves θ as it is; if it has another aspect ratio, the same θ has other parts.

    Args:
        transform: the family; it decides which sliders there are.
        images: name → image (C, H, W), C 1 or 3, float in [0, 1]; a real digit and a test card if None.

    Raises:
        TypeError, ValueError: if an image is not such a tensor; the message shows what came.

    Example:
        >>> from stn_course.transforms import Attention
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
        self.theta = presets(transform)["identity"]
        """θ as it is now: a tuple of n_params numbers."""
        self._parts: tuple[float, ...] | None = None
        self._shape: float | None = None  # of the image that the parts are for
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
        self.theta_sliders = [number_slider(name) for name in self.transform.names]
        self.part_sliders = [number_slider(name) for name in part_names(self.transform)]
        self.preset = ipywidgets.Dropdown(
            options=[NONE_OF_THEM, *self.presets], description="preset", layout=_wide(244), style=style
        )
        self.invert = ipywidgets.Button(description="invert", tooltip="the θ that undoes this one", layout=_wide(84))
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the first picture", layout=_wide(84))
        self.theta_text = ipywidgets.Text(
            description="θ", continuous_update=False, layout=_wide(480), style={"description_width": "20px"}
        )
        self.matrix, self.message = ipywidgets.HTML(), ipywidgets.HTML(layout=ipywidgets.Layout(min_height="32px"))
        self.picture = ipywidgets.Image(format="webp", layout=_wide(WIDTH))
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
        row = torch.as_tensor(theta, dtype=torch.float32).detach().cpu().reshape(1, -1)
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
            sheet.paste(_words(note, NOTE, 13.5, QUIET), (left, MARGIN + TITLE + SIZE))
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
        named = presets(self.transform, self._size(image))
        for state in states:
            theta = named[state] if isinstance(state, str) else checked_theta(state, self.transform)
            name = f"{state}:  " if isinstance(state, str) else ""
            words.append(f"{name}θ = {write_theta(theta)}")
            picture = self.compose(theta, image)
            caption = Image.new("RGB", (picture.width, 26), PAPER)
            ImageDraw.Draw(caption).text((MARGIN, 8), words[-1], INK, font(15))
            pictures += [caption, picture]
        return Still(below(pictures, 0), alt or f"where the sampler looks, and what comes out: {'; '.join(words)}")

    @property
    def presets(self) -> dict[str, tuple[float, ...]]:
        """Named θ, for the image that is shown."""
        return presets(self.transform, self._size(self.image.value))

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
        image = self.image.value
        shape = height_to_width(self.images[image])
        self._parts = None if parts is None or shape != self._shape else tuple(parts)
        self._shape = shape
        self._say("")
        self._send(
            {"theta": self.theta, "image": image},
            lambda: (then := ahead()) and {"theta": checked_theta(then, self.transform), "image": image},
        )

    def _follow(self) -> None:
        with self._unheard():
            for sliders, values in ((self.theta_sliders, self.theta), (self.part_sliders, self.parts)):
                for slider, value in zip(sliders, values):
                    slider.value = on_a_step(value, slider)
            self.theta_text.value = write_theta(self.theta)
            names = (name for name, known in self.presets.items() if known == self.theta)
            self.preset.value = next(names, NONE_OF_THEM)
        self._theta_rows.layout.display = "grid" if self.mode.value == "θ" else "none"
        self._part_rows.layout.display = "grid" if self.mode.value == "parts" else "none"
        self.matrix.value = matrix_html(self.transform, self.theta)

    def _say(self, message: str) -> None:
        self.message.value = (
            f'<div role="status" style="height: 1.8em; line-height: 1.8em; overflow: hidden">{escape(message)}</div>'
        )

    def _changed(self, change: dict) -> None:
        """A control was moved: by hand, not by `_show`."""
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
            else:  # another image, or the other set of sliders
                self._show(theta, self._parts)
        except ValueError as error:
            self._say(str(error))

    def _size(self, image: str | None) -> Size:
        return self.images[image if image is not None else next(iter(self.images))].shape[1:]

    def _to_parts(self, theta: Sequence[float]) -> tuple[float, ...]:
        row, size = torch.tensor([theta], dtype=torch.float64), self._size(self.image.value)
        return tuple(to_parts(row, self.transform, size)[0].tolist())

    def _from_parts(self, parts: Sequence[float]) -> list[float]:
        row, size = torch.tensor([parts], dtype=torch.float64), self._size(self.image.value)
        return from_parts(row, self.transform, size)[0].tolist()

    def _uploaded(self, change: dict) -> None:
        if not self._by_hand or not change["new"]:
            return
        try:
            name, data = uploaded_file(change["new"])
            self.images[OWN] = read_image(data, name)
            self._encoded.cache_clear()  # the name stands for another picture now
        except ValueError as error:
            self._say(str(error))
            return
        with self._unheard():
            self.image.options = [*self.images]
            self.image.value = OWN
        self._show(self.theta, self._parts)

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
        with self._unheard():
            self.image.value, self.mode.value = next(iter(self.images)), "θ"
        self._show(self.presets["identity"])


def _moved_once_more(numbers: Sequence[float], index: int, change: dict) -> list[float] | None:
    """The numbers after one more such change of the one at `index`; None if there is no telling."""
    further = one_further(change)
    return None if further is None else [*numbers[:index], round(further, DECIMALS), *numbers[index + 1 :]]


@lru_cache(32)
def _words(text: str, height: int, size: float, colour: str) -> Image.Image:
    """A line of text as wide as a panel; drawn once, as drawing text takes longer than pasting it."""
    strip = Image.new("RGB", (SIZE, height), PAPER)
    ImageDraw.Draw(strip).text((0, height / 2), text, colour, font(size), "lm")
    return strip


def _checked(name: str, image: Tensor) -> Tensor:
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(f"expected the image {name!r} as a floating-point tensor (C, H, W), got {describe(image)}")
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"expected the image {name!r} as (C, H, W) with C 1 or 3, got {describe(image)}")
    return image.detach().cpu().float().clone()  # whatever becomes of the caller's


def _wide(pixels: int) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=f"{pixels}px", max_width="100%")
