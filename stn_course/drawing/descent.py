"""Descent on θ alone, picture by picture: the input with the frame, the output, and the loss.

Every spatial transformer learns where to look in this way: the gradient of a loss goes back through the sampler to θ.
"""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from stn_course.algebra import from_parts, part_names, to_parts
from stn_course.checks import check_image
from stn_course.data import load_mnist
from stn_course.distortions import RTS, Pose
from stn_course.drawing.descent_panels import input_panel, loss_panel, outline_of, output_panel
from stn_course.drawing.panel import beside
from stn_course.drawing.scene import Scene
from stn_course.drawing.trajectory import SAMPLERS, Trajectory, blurred
from stn_course.sampling import nearest_sample
from stn_course.spatial_transformer import grid_sample, warp
from stn_course.transforms import Affine, Transform, check_transform

STEPS = 120
FIRST = {"rate": 0.1, "blur": 0.0, "sampler": "bilinear", "rotation": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}
EMPTY_CORNER = {"scale": 0.5, "shift_x": -0.65, "shift_y": 0.65}  # the frame lies in an empty corner
PRESETS = {
    "works": FIRST,
    "crawls": FIRST | {"rate": 0.01},
    "overshoots": FIRST | {"rate": 0.2},
    "runs away to a blank picture": FIRST | {"rate": 5.0},
    "nearest: does not move": FIRST | {"sampler": "nearest"},
    "stuck in the wrong valley": FIRST | {"shift_x": -0.4},
    "too far away: no gradient reaches": FIRST | EMPTY_CORNER,
    "the same, blurred": FIRST | EMPTY_CORNER | {"blur": 11.0},
}
"""Settings worth seeing, each with what happens under it; the step is left where it is."""
STARTS = {  # a setting of the start → the parts of θ that it sets, as far as the family has them
    "rotation": ("rotation",),
    "scale": ("scale", "scale_x", "scale_y"),
    "shift_x": ("shift_x",),
    "shift_y": ("shift_y",),
}
REMEMBERED = 64  # trajectories


class DescentScene(Scene):
    """The pictures of gradient descents from one image to one template.

    Built in: 02, "Descent on θ, played".

    Args:
        image: (1, H, W), float in [0, 1]; a crooked digit if None.
        template: (1, H', W'), what the output should become; the same digit upright if None.

    Example:
        >>> descent = DescentScene().trajectory()
        >>> descent.loss(120) < descent.loss(0) / 10
        True
    """

    def __init__(self, image: Tensor | None = None, template: Tensor | None = None, transform: Transform = Affine()):
        if (image is None) != (template is None):
            raise ValueError("expected an image and a template, or neither, got one of them")
        image, template = crooked_and_upright() if image is None else (image, template)
        self.image, self.template = _check_finite("image", image), _check_finite("template", template)
        self.transform = check_transform(transform)
        self.start = {"step": 0} | FIRST
        self._outline = outline_of(self.template[0])
        self._blank = float(self.template.square().mean())
        self._trajectories: dict[tuple, Trajectory] = {}

    @property
    def presets(self) -> dict[str, dict]:
        """Those of `PRESETS` that this family can start from."""
        return {
            name: preset
            for name, preset in PRESETS.items()
            if all(preset[setting] == FIRST[setting] or self.sets(setting) for setting in STARTS)
        }

    def sets(self, setting: str) -> list[str]:
        """List the parts of this family's θ that a setting of the start sets."""
        return [part for part in STARTS[setting] if part in part_names(self.transform)]

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
        """Make the whole descent under these settings.

        `rotation`, `scale` and the shifts place the frame at the start, as in `algebra.from_parts` for the image's
        size, both scales alike; a family that lacks such a part starts without it. The others are as for `Trajectory`.
        """
        if sampler not in SAMPLERS:
            raise ValueError(f"expected sampler as one of {', '.join(SAMPLERS)}, got {sampler!r}")
        key = (rate, sampler, blur, rotation, scale, shift_x, shift_y)
        if key not in self._trajectories:
            if len(self._trajectories) >= REMEMBERED:
                del self._trajectories[next(iter(self._trajectories))]  # the oldest
            parts = to_parts(self.transform.identity()[None].double(), self.transform)
            for setting, value in zip(STARTS, (rotation, scale, shift_x, shift_y)):
                for part in self.sets(setting):
                    parts[0, part_names(self.transform).index(part)] = value
            theta = from_parts(parts, self.transform, self.image.shape[1:])[0]
            self._trajectories[key] = Trajectory(
                self.image[0], self.template[0], theta, self.transform, rate, sampler, blur
            )
        return self._trajectories[key]

    def compose(self, step: int = 0, **settings) -> Image.Image:
        """Draw the picture after a step, under the settings that `trajectory` takes."""
        settings = FIRST | settings
        descent = self.trajectory(**settings)
        theta = descent.theta(step)
        sigma = descent.blur(step)  # of this step, not of the first
        image = self._seen(sigma)
        sampler = {"bilinear": grid_sample, "nearest": nearest_sample}[settings["sampler"]]
        output = warp(
            image[None], torch.from_numpy(theta)[None].float(), self.transform, self.template.shape[1:], sampler=sampler
        )[0]
        losses = descent.losses(step)
        blur = f"blur {sigma:.1f} px" if sigma else "no blur"
        return beside(
            [
                input_panel(image, theta, descent.theta(0), descent.gradient(step), self.transform),
                output_panel(output, self._outline, len(losses) - 1, losses[-1]),
                loss_panel(losses, self._blank, STEPS, f"rate {settings['rate']:g} · {settings['sampler']} · {blur}"),
            ],
            gap=20,
        )

    def in_words(self, states: Sequence[Mapping]) -> str:
        said = []
        for state in states:
            settings = {name: value for name, value in state.items() if name != "step"}
            loss = self.trajectory(**settings).loss(state["step"])
            said.append(f"after step {state['step']} at rate {settings['rate']:g} the loss is {loss:.2g}")
        return f"descent on θ: {'; '.join(said)}"

    def _seen(self, blur: float) -> Tensor:
        """Return the image, as blurred as descent sees it, but as bright as ever: (1, H, W)."""
        if not blur:
            return self.image
        image = torch.from_numpy(blurred(self.image[0].double().numpy(), blur)).float()
        return (image * (self.image.max() / image.max().clamp(min=1e-12)))[None]


def crooked_and_upright() -> tuple[Tensor, Tensor]:
    """Make a real digit, small and turned, and the same digit large and upright: (1, 42, 42) each, in [0, 1]."""
    digits = load_mnist("test", offline=True)
    four = digits.images[(digits.labels == 4).nonzero()[4]].float() / 255  # a bold one: (1, 1, 28, 28)
    rts = RTS(canvas=42)
    poses = Pose(torch.tensor([-25.0, 0.0]), torch.tensor([0.9, 1.2]), torch.tensor([[0.12, -0.08], [0.0, 0.0]]))
    crooked, upright = rts.apply(four.expand(2, -1, -1, -1), rts.theta(poses))
    return crooked, upright


def _check_finite(name: str, image: Tensor) -> Tensor:
    image = check_image(name, image)
    if not image.isfinite().all():
        raise ValueError(f"expected {name} with finite values, got NaN or infinity in it")
    return image.float()
