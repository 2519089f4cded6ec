"""Gradient descent on θ alone, live: nothing but the gradient of a picture turns a crooked digit upright.

No network finds θ here: `drawing.descent` draws what the controls say.
"""

import math
from collections.abc import Sequence

import ipywidgets
import numpy as np
import traitlets
from torch import Tensor, nn

from stn_course.drawing.descent import STARTS, STEPS, DescentScene, RecognitionScene
from stn_course.drawing.trajectory import SAMPLERS, Trajectory
from stn_course.transforms import Affine, Range, Transform
from stn_course.widgets.base import Explorer
from stn_course.widgets.sliders import number_slider, whole_slider

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
READING_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
YOUR_OWN = "your own"
A_LINE = 8  # numbers of θ in the read-out
LABEL, WIDE = "88px", "384px"
LABELS = {"description_width": LABEL}
SLIDERS = {  # setting → what it is called, and what it goes through
    "blur": ("blur (pixels)", Range(0, 12, 0.5)),
    "rotation": ("rotation (°)", Range(-180, 180, 5)),
    "scale": ("scale", Range(0.3, 2, 0.05)),
    "shift_x": ("shift x", Range(-1.5, 1.5, 0.05)),
    "shift_y": ("shift y", Range(-1.5, 1.5, 0.05)),
}


class _Descent(Explorer):
    """The controls of a descent: which settings there are, the scene says."""

    scene: DescentScene

    def __init__(self, scene: DescentScene, rates: Sequence[float]):
        super().__init__(scene)
        self.trajectory = scene.trajectory
        self.preset = ipywidgets.Dropdown(
            options=[*scene.presets, YOUR_OWN],
            description="preset",
            style=LABELS,
            layout=ipywidgets.Layout(width=WIDE),
        )
        self.play = ipywidgets.Play(value=0, min=0, max=STEPS, step=1, interval=120)
        self.step = whole_slider("step", 0, STEPS, 0, LABEL, WIDE)
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:g}", rate) for rate in rates],
            value=scene.first["rate"],
            description="rate",
            style=LABELS,
            layout=ipywidgets.Layout(width=WIDE, margin="2px"),  # the sliders' own margin
        )
        for setting, choices in (("sampler", SAMPLERS), ("digits", [*scene.aims])):
            if setting in scene.first:
                setattr(self, setting, _one_of(setting, choices))
        for setting, (name, numbers) in SLIDERS.items():
            if setting in scene.first:
                setattr(self, setting, number_slider(name, numbers, scene.first[setting], LABEL, WIDE))
        for setting in STARTS:
            getattr(self, setting).disabled = not scene.sets(setting)  # a family may never turn
        self._lay_out()
        traitlets.link((self.play, "value"), (self.step, "value"))
        self.preset.observe(self._follow_preset, names="value")
        self._begin({name: getattr(self, name) for name in scene.start})

    def _lay_out(self) -> None:
        self.controls = {name: getattr(self, name) for name in ("preset", "play", "reset", *self.scene.start)}
        lines = 1 + math.ceil(self.scene.transform.n_params / A_LINE)
        self.readout = ipywidgets.HTML(layout=ipywidgets.Layout(height=f"{12 + 20 * lines}px"))
        going = [getattr(self, name) for name in ("step", "rate", "blur", "sampler", "digits") if name in self.controls]
        going.insert(0, ipywidgets.HTML("<b>the descent</b>"))
        start = [ipywidgets.HTML("<b>where it starts</b>"), *(getattr(self, setting) for setting in STARTS)]
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

    def _follow_preset(self, change: dict) -> None:
        if self._by_hand and change["new"] in self.scene.presets:
            self.set(**self.scene.presets[change["new"]])

    def _start_again(self) -> None:
        setattr(self.play, "playing" if self.play.has_trait("playing") else "_playing", False)  # ipywidgets 8 and 7
        super()._start_again()

    def _follow(self) -> None:
        settings = self.state()
        step = settings.pop("step")
        descent = self.scene.trajectory(**settings)
        self.readout.value = _in_words(descent, step)
        self.message.value = (
            "" if descent.ended is None or step <= descent.ended
            else f"After step {descent.ended} θ runs out of all bounds: the descent ends there."
        )  # fmt: skip
        with self._unheard():  # the preset follows the other controls here, not they it
            self.preset.value = next(
                (name for name, preset in self.scene.presets.items() if _alike(preset, settings)), YOUR_OWN
            )


class ThetaDescent(_Descent):
    """Step through, or play, gradient descent on θ alone; see it work, overshoot, run away, or not move at all.

    Left the input with the frame where the sampler looks, where it started (pale), and green arrows: where the gradient
    pushes the corners, or the control points of a family that has some. In the middle the output, in the outline of the
    template that it should become. Right the loss up to the step that is shown. With a blur, the first steps show
    blurred pictures; the loss is always that of the sharp ones.

    The arguments are those of `drawing.descent.DescentScene`.

    Built in: 02, "Descent on θ, played".
    """

    def __init__(self, image: Tensor | None = None, template: Tensor | None = None, transform: Transform = Affine()):
        super().__init__(DescentScene(image, template, transform), RATES)
        self.image, self.template = self.scene.image, self.scene.template


class ClassifierDescent(_Descent):
    """Step through, or play, gradient descent on θ alone, where the loss is that of a classifier which stays as it is.

    As `ThetaDescent`, but nothing is said of what the output should look like, only what it should be read as. One
    digit has a θ for itself, or all of them share one; the first is drawn.

    The arguments are those of `drawing.descent.RecognitionScene`.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Why does a classifier's loss turn a picture?".
    """

    def __init__(self, images: Tensor, classifier: nn.Module, labels: Tensor, transform: Transform = Affine()):
        super().__init__(RecognitionScene(images, classifier, labels, transform), READING_RATES)


def _one_of(setting: str, choices: Sequence) -> ipywidgets.ToggleButtons:
    buttons = ipywidgets.ToggleButtons(
        options=[(str(choice), choice) for choice in choices],
        description=setting,
        style=LABELS | {"button_width": "110px"},
        layout=ipywidgets.Layout(margin="2px"),
    )
    buttons.add_class("widget-inline-hbox")  # its description beside it, as with the other controls
    return buttons


def _alike(preset: dict, settings: dict) -> bool:
    return all(
        settings[name] == value if isinstance(value, str) else math.isclose(settings[name], value, abs_tol=1e-9)
        for name, value in preset.items()
    )


def _in_words(descent: Trajectory, step: int) -> str:
    """Write the numbers of a step in two aligned lines, in the theme's own colours."""
    numbers = [f"{value:7.3f}".replace("-", "−") for value in descent.theta(step) + 0.0]
    theta = "\n   ".join("  ".join(numbers[at : at + A_LINE]) for at in range(0, len(numbers), A_LINE))
    size = np.linalg.norm(descent.gradient(step))
    blur = f"    blur {descent.blur(step):.1f} px" if descent.blur(0) else ""
    return (
        '<pre style="margin: 4px 0; line-height: 1.4; overflow-x: auto">'
        f"step {step:3d}    loss {descent.loss(step):.4f}    |gradient| {size:.4f}{blur}\n"
        f"θ  {theta}</pre>"
    )
