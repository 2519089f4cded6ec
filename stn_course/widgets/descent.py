"""Gradient descent on θ alone, live: a crooked digit is turned upright by nothing but the gradient of a picture.

There is no network here. Image → grid → sampler → output; the mean squared difference between output and template is
the loss; θ goes against its gradient, step by step. That is how every spatial transformer learns where to look.
"""

import math
from collections.abc import Sequence
from html import escape

import ipywidgets
import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from stn_course.algebra import from_parts, part_names
from stn_course.checks import describe
from stn_course.data import load_mnist
from stn_course.distortions import RTS, Pose
from stn_course.drawing.descent import input_panel, loss_panel, outline_of, output_panel
from stn_course.drawing.panel import Still, below, beside
from stn_course.drawing.trajectory import SAMPLERS, Trajectory, blurred
from stn_course.sampling import nearest_sample
from stn_course.spatial_transformer import grid_sample, warp
from stn_course.transforms import Affine, Attention, Transform
from stn_course.widgets.base import Explorer

STEPS = 120
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FIRST = {"rate": 0.1, "blur": 0.0, "sampler": "bilinear", "rotation": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}
FAR = {"scale": 0.5, "shift_x": -0.65, "shift_y": 0.65}  # the frame lies in an empty corner
PRESETS = {
    "works": FIRST,
    "crawls": FIRST | {"rate": 0.01},
    "overshoots": FIRST | {"rate": 0.2},
    "runs away to a blank picture": FIRST | {"rate": 5.0},
    "nearest: does not move": FIRST | {"sampler": "nearest"},
    "stuck in the wrong valley": FIRST | {"shift_x": -0.4},
    "too far away: no gradient reaches": FIRST | FAR,
    "the same, blurred": FIRST | FAR | {"blur": 11.0},
}
"""Settings worth seeing, each with what happens under it; the step is left where it is."""
OWN = "your own"
REMEMBERED = 64  # trajectories
LABELS = {"description_width": "88px"}


class ThetaDescent(Explorer):
    """Step through, or play, gradient descent on θ alone; see it work, overshoot, run away, or not move at all.

    Left the input with the frame where the sampler looks, where it started (pale), and green arrows: where the
    gradient pushes the corners. In the middle the output, in the outline of the template that it should become.
    Right the loss up to the step that is shown. With a blur, the first steps see blurred pictures, and these are what
    is shown; the loss is always that of the sharp ones.

    Args:
        image: (1, H, W), float in [0, 1]; a crooked digit if None.
        template: (1, H', W'), what the output should become; the same digit upright if None.
        transform: the family θ belongs to.

    Raises:
        TypeError, ValueError: if image or template is not such an image, or only one of them is given.

    Example:
        >>> descent = ThetaDescent()
        >>> descent.preset.value = "works"
        >>> descent.step.value = 120
        >>> first, last = (descent.trajectory().loss(step) for step in (0, 120))
        >>> last < first / 10
        True
    """

    def __init__(self, image: Tensor | None = None, template: Tensor | None = None, transform: Transform = Affine()):
        if (image is None) != (template is None):
            raise ValueError("expected an image and a template, or neither, got one of them")
        image, template = crooked_and_upright() if image is None else (image, template)
        self.image, self.template = _checked("image", image), _checked("template", template)
        self.transform = transform
        self._outline = outline_of(self.template[0])
        self._blank = float(self.template.square().mean())
        self._trajectories: dict[tuple, Trajectory] = {}
        self._build()
        self._redraw()

    def trajectory(
        self,
        rate: float = FIRST["rate"],
        sampler: str = FIRST["sampler"],
        blur: float = FIRST["blur"],
        rotation: float = FIRST["rotation"],
        scale: float = FIRST["scale"],
        shift_x: float = FIRST["shift_x"],
        shift_y: float = FIRST["shift_y"],
    ) -> Trajectory:
        """The whole descent under these settings: its `.theta(step)`, `.loss(step)`, `.gradient(step)`.

        Args:
            rate: the learning rate.
            sampler: "bilinear" or "nearest".
            blur: of both pictures at step 0, in pixels; see `Trajectory`.
            rotation, scale, shift_x, shift_y: the frame at the start, as in `algebra.from_parts` for the image's size;
                both scales alike.
        """
        if sampler not in SAMPLERS:
            raise ValueError(f"expected sampler as one of {', '.join(SAMPLERS)}, got {sampler!r}")
        key = (rate, sampler, blur, rotation, scale, shift_x, shift_y)
        if key not in self._trajectories:
            if len(self._trajectories) >= REMEMBERED:
                del self._trajectories[next(iter(self._trajectories))]  # the oldest
            parts = {"rotation": rotation, "scale": scale, "scale_x": scale, "scale_y": scale}
            parts |= {"shift_x": shift_x, "shift_y": shift_y}
            start = torch.tensor([[parts.get(name, 0.0) for name in part_names(self.transform)]], dtype=torch.float64)
            theta = from_parts(start, self.transform, self.image.shape[1:])[0]
            self._trajectories[key] = Trajectory(
                self.image[0], self.template[0], theta, self.transform, rate, sampler, blur
            )
        return self._trajectories[key]

    def compose(self, step: int = 0, **settings) -> Image.Image:
        """The picture after a step, under the settings that `trajectory` takes."""
        settings = FIRST | settings
        descent = self.trajectory(**settings)
        theta = descent.theta(step)
        image = self._seen(descent.blur(step))
        sampler = {"bilinear": grid_sample, "nearest": nearest_sample}[settings["sampler"]]
        output = warp(
            image[None], torch.from_numpy(theta)[None].float(), self.transform, self.template.shape[1:], sampler=sampler
        )[0]
        losses = descent.losses(step)
        blur = f"blur {settings['blur']:g} px" if settings["blur"] else "no blur"
        return beside(
            [
                input_panel(image, theta, descent.theta(0), descent.gradient(step), self.transform),
                output_panel(output, self._outline, len(losses) - 1, losses[-1]),
                loss_panel(losses, self._blank, STEPS, f"rate {settings['rate']:g} · {settings['sampler']} · {blur}"),
            ],
            gap=20,
        )

    def figure(self, states: Sequence[dict], alt: str | None = None) -> Still:
        """A still strip: the picture of each of these states, one below the other, for readers without a kernel.

        Args:
            states: what `compose` takes, as dicts: `[{"step": 20}, PRESETS["overshoots"] | {"step": 9}]`.
            alt: what the strip shows, in words.
        """
        told = []
        for state in states:
            step, settings = state.get("step", 0), {name: value for name, value in state.items() if name != "step"}
            told.append(f"after step {step} at rate {(FIRST | settings)['rate']:g} the loss is "
                        f"{self.trajectory(**settings).loss(step):.2g}")  # fmt: skip
        return Still(below([self.compose(**state) for state in states]), alt or f"descent on θ: {'; '.join(told)}")

    @property
    def settings(self) -> dict:
        """What the controls say, as `trajectory` takes it: all but the step."""
        return {name: self.controls[name].value for name in FIRST}

    def _build(self) -> None:
        self.preset = ipywidgets.Dropdown(
            options=[*PRESETS, OWN], description="preset", style=LABELS, layout=ipywidgets.Layout(width="384px")
        )
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the first settings and to step 0")
        self.play = ipywidgets.Play(value=0, min=0, max=STEPS, step=1, interval=120)
        self.step = _slider(ipywidgets.IntSlider, "step", 0, 0, STEPS, 1)
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:g}", rate) for rate in RATES],
            value=FIRST["rate"],
            description="rate",
            style=LABELS,
            layout=ipywidgets.Layout(width="384px", margin="2px"),  # the sliders' own margin
        )
        self.blur = _slider(ipywidgets.FloatSlider, "blur (pixels)", FIRST["blur"], 0, 12, 0.5, ".1f")
        self.sampler = ipywidgets.ToggleButtons(
            options=list(SAMPLERS),
            description="sampler",
            style=LABELS | {"button_width": "110px"},
            layout=ipywidgets.Layout(margin="2px"),
        )
        self.rotation = _slider(ipywidgets.FloatSlider, "rotation (°)", FIRST["rotation"], -180, 180, 5, ".0f")
        self.scale = _slider(ipywidgets.FloatSlider, "scale", FIRST["scale"], 0.3, 2, 0.05, ".2f")
        self.shift_x = _slider(ipywidgets.FloatSlider, "shift x", FIRST["shift_x"], -1.5, 1.5, 0.05, ".2f")
        self.shift_y = _slider(ipywidgets.FloatSlider, "shift y", FIRST["shift_y"], -1.5, 1.5, 0.05, ".2f")
        self.rotation.disabled = isinstance(self.transform, Attention)  # that family never turns
        self.sampler.add_class("widget-inline-hbox")  # its description beside it, as with the other controls
        self.controls = {name: getattr(self, name) for name in ("preset", "play", "reset", "step", *FIRST)}
        self.picture = ipywidgets.Image(
            format="webp", layout=ipywidgets.Layout(max_width="100%", align_self="flex-start")
        )
        self.readout = ipywidgets.HTML(layout=ipywidgets.Layout(height="52px"))
        self.message = ipywidgets.HTML(layout=ipywidgets.Layout(height="28px"))
        going = [ipywidgets.HTML("<b>the descent</b>"), self.step, self.rate, self.blur, self.sampler]
        start = [ipywidgets.HTML("<b>where it starts</b>"), self.rotation, self.scale, self.shift_x, self.shift_y]
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HBox([self.preset, self.play, self.reset], layout=wrap),
                ipywidgets.HBox([ipywidgets.VBox(going), ipywidgets.VBox(start)], layout=wrap),
                self.picture,
                self.readout,
                self.message,
            ]
        )
        traitlets.link((self.play, "value"), (self.step, "value"))
        for name in ("step", *FIRST):
            self.controls[name].observe(self._redraw, names="value")
        self.preset.observe(self._follow_preset, names="value")
        self.reset.on_click(self._start_again)

    def _follow_preset(self, change: dict) -> None:
        if self._by_hand and change["new"] in PRESETS:
            self._set(PRESETS[change["new"]])

    def _start_again(self, _: ipywidgets.Button) -> None:
        setattr(self.play, "playing" if self.play.has_trait("playing") else "_playing", False)  # ipywidgets 8 and 7
        self._set({"step": 0} | FIRST)

    def _set(self, values: dict) -> None:
        """Set several controls, and redraw once."""
        with self._unheard():
            for name, value in values.items():
                self.controls[name].value = value
        self._redraw()

    def _redraw(self, change: dict | None = None) -> None:
        if not self._by_hand:
            return
        state = {"step": self.step.value} | self.settings
        try:
            self._send(state, lambda: self._moved_once_more(state, change))
        except ValueError as error:
            self.message.value = f"<b>Not drawn:</b> {escape(str(error))}"

    def _follow(self) -> None:
        step, settings = self.step.value, self.settings
        descent = self.trajectory(**settings)
        self.readout.value = _in_words(descent, step)
        self.message.value = (
            "" if descent.ended is None or step <= descent.ended
            else f"After step {descent.ended} θ runs out of all bounds: the descent ends there."
        )  # fmt: skip
        with self._unheard():  # the preset follows the other controls here, not they it
            self.preset.value = next((name for name, preset in PRESETS.items() if _alike(preset, settings)), OWN)

    def _seen(self, blur: float) -> Tensor:
        """The image, as blurred as descent sees it, but as bright as ever: (1, H, W)."""
        if not blur:
            return self.image
        image = torch.from_numpy(blurred(self.image[0].double().numpy(), blur)).float()
        return (image * (self.image.max() / image.max().clamp(min=1e-12)))[None]


def crooked_and_upright() -> tuple[Tensor, Tensor]:
    """A real digit, small and turned, and the same digit large and upright: (1, 42, 42) each, in [0, 1]."""
    digits = load_mnist("test", offline=True)
    four = digits.images[(digits.labels == 4).nonzero()[4]].float() / 255  # a bold one: (1, 1, 28, 28)
    rts = RTS(canvas=42)
    poses = Pose(torch.tensor([-25.0, 0.0]), torch.tensor([0.9, 1.2]), torch.tensor([[0.12, -0.08], [0.0, 0.0]]))
    crooked, upright = rts.apply(four.expand(2, -1, -1, -1), rts.theta(poses))
    return crooked, upright


def _checked(name: str, pixels: Tensor) -> Tensor:
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
        raise TypeError(f"expected {name} as a floating-point tensor of shape (1, H, W), got {describe(pixels)}")
    if pixels.ndim != 3 or len(pixels) != 1 or 0 in pixels.shape:
        raise ValueError(f"expected {name} of shape (1, H, W), got {describe(pixels)}")
    if not pixels.isfinite().all():
        raise ValueError(f"expected {name} with finite values, got NaN or infinity in it")
    return pixels.detach().cpu().float()


def _slider(kind: type, description: str, value: float, low: float, high: float, by: float, form: str = "d"):
    return kind(
        value=value, min=low, max=high, step=by,
        description=description, readout_format=form, continuous_update=True,
        style=LABELS, layout=ipywidgets.Layout(width="384px"),
    )  # fmt: skip


def _alike(preset: dict, settings: dict) -> bool:
    return all(
        settings[name] == value if isinstance(value, str) else math.isclose(settings[name], value, abs_tol=1e-9)
        for name, value in preset.items()
    )


def _in_words(descent: Trajectory, step: int) -> str:
    """The numbers of a step in two aligned lines, in the theme's own colours."""
    theta = "  ".join(f"{value:7.3f}" for value in descent.theta(step) + 0.0).replace("-", "−")
    size = np.linalg.norm(descent.gradient(step))
    blur = descent.blur(step)
    return (
        '<pre style="margin: 4px 0; line-height: 1.4; overflow-x: auto">'
        f"step {step:3d}    loss {descent.loss(step):.4f}    |gradient| {size:.4f}    blur {blur:.1f} px\n"
        f"θ  {theta}</pre>"
    )
