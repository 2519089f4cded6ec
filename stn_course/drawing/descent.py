"""Descent on θ alone, picture by picture: the input with the frame, the output, and the loss.

Every spatial transformer learns where to look in this way: the gradient of a loss goes back through the sampler to θ.
"""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor, nn

from stn_course.algebra import from_parts, part_names, to_parts
from stn_course.checks import check_image, describe
from stn_course.data import load_mnist
from stn_course.distortions import RTS, Pose
from stn_course.drawing.aims import Aim, Likeness, Recognition, blurred
from stn_course.drawing.descent_panels import input_panel, loss_panel, outline_of, output_panel
from stn_course.drawing.panel import beside
from stn_course.drawing.scene import Scene
from stn_course.drawing.trajectory import SAMPLERS, Trajectory
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
FIRST_READING = {"rate": 0.005, "digits": 1, "rotation": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0}
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
        self._outline = outline_of(self.template[0])
        self._set_up(self.image, {1: Likeness(self.template[0])}, transform, FIRST, PRESETS)

    def _set_up(
        self, images: Tensor, aims: Mapping[int, Aim], transform: Transform, first: dict, presets: dict[str, dict]
    ) -> None:
        """Take images (N, H, W); for how many of them which aim holds; the first settings, and named ones."""
        self.images, self.aims, self.transform = images, aims, check_transform(transform)
        self.first, self.start, self._presets = first, {"step": 0} | first, presets
        self._trajectories: dict[tuple, Trajectory] = {}

    @property
    def presets(self) -> dict[str, dict]:
        """Those that this family can start from."""
        return {
            name: preset
            for name, preset in self._presets.items()
            if all(preset[setting] == self.first[setting] or self.sets(setting) for setting in STARTS)
        }

    def sets(self, setting: str) -> list[str]:
        """List the parts of this family's θ that a setting of the start sets."""
        return [part for part in STARTS[setting] if part in part_names(self.transform)]

    def trajectory(self, **settings) -> Trajectory:
        """Make the whole descent under these settings; what is left out is as in `first`.

        `rotation`, `scale` and the shifts place the frame at the start, as in `algebra.from_parts` for the image's
        size, both scales alike; a family that lacks such a part starts without it. The others are as for `Trajectory`.
        """
        settings = self.first | settings
        if settings.keys() != self.first.keys():
            raise TypeError(f"expected settings out of {', '.join(self.first)}, got {', '.join(settings)}")
        sampler, digits = settings.get("sampler", SAMPLERS[0]), settings.get("digits", 1)
        if sampler not in SAMPLERS:
            raise ValueError(f"expected sampler as one of {', '.join(SAMPLERS)}, got {sampler!r}")
        if digits not in self.aims:
            raise ValueError(f"expected digits as one of {', '.join(map(str, self.aims))}, got {digits!r}")
        key = tuple(settings.values())
        if key not in self._trajectories:
            if len(self._trajectories) >= REMEMBERED:
                del self._trajectories[next(iter(self._trajectories))]  # the oldest
            parts = to_parts(self.transform.identity()[None].double(), self.transform)
            for setting in STARTS:
                for part in self.sets(setting):
                    parts[0, part_names(self.transform).index(part)] = settings[setting]
            theta = from_parts(parts, self.transform, self.images.shape[1:])[0]
            self._trajectories[key] = Trajectory(
                self.images[:digits],
                self.aims[digits],
                theta,
                self.transform,
                settings["rate"],
                sampler,
                settings.get("blur", 0.0),
            )
        return self._trajectories[key]

    def compose(self, step: int = 0, **settings) -> Image.Image:
        """Draw the picture after a step, under the settings that `trajectory` takes."""
        settings = self.first | settings
        descent = self.trajectory(**settings)
        theta, aim, losses = descent.theta(step), self.aims[settings.get("digits", 1)], descent.losses(step)
        sigma = descent.blur(step)
        image = self._seen(sigma)
        outputs = descent.outputs(step, image.double().numpy())
        now = f"blur {sigma:.1f} px" if sigma else "no blur"  # of this step, not of the first
        said = [f"rate {settings['rate']:g}"]
        said += [settings["sampler"], now] if "sampler" in settings else [f"digits {settings['digits']}"]
        output = torch.from_numpy(outputs[:1]).float().view(1, *aim.size)
        return beside(
            [
                input_panel(image, theta, descent.theta(0), descent.gradient(step), self.transform),
                output_panel(output, self._outline, len(losses) - 1, losses[-1], aim.verdict(outputs)),
                loss_panel(losses, aim.blank, STEPS, " · ".join(said), aim.most),
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
        """Return the first image, as blurred as descent sees it, but as bright as ever: (1, H, W)."""
        first = self.images[:1]
        if not blur:
            return first
        image = torch.from_numpy(blurred(first.double().numpy(), blur)).float()
        return image * (first.max() / image.max().clamp(min=1e-12))


class RecognitionScene(DescentScene):
    """The pictures of gradient descents on the cross-entropy of a classifier that stays as it is.

    The first image is drawn; as many as `digits` says share θ, and the loss is the mean of theirs.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Why does a classifier's loss turn a picture?".

    Args:
        images: (N, 1, H, W), float in [0, 1], all crooked in the same way.
        classifier: (B, 1, H, W) → logits (B, classes); trained on what the images shall become.
        labels: (N,), whole numbers: what the classifier shall say.

    Example:
        >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
        >>> scene = RecognitionScene(torch.rand(20, 1, 8, 8), classifier, torch.zeros(20).long())
        >>> sorted(scene.aims), scene.compose(step=3, digits=20).size
        ([1, 20], (938, 368))
    """

    def __init__(self, images: Tensor, classifier: nn.Module, labels: Tensor, transform: Transform = Affine()):
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 1 or not images.numel():
            raise ValueError(f"expected images (N, 1, H, W), got {describe(images)}")
        if not isinstance(labels, Tensor) or labels.shape != images.shape[:1]:
            raise ValueError(f"expected a label for each of {len(images)} images, got {describe(labels)}")
        images = torch.cat([_check_finite("images", image) for image in images])
        self._outline = []
        counts = sorted({1, len(images)})
        aims = {count: Recognition(classifier, labels[:count], images.shape[1:]) for count in counts}
        presets = {"one digit": FIRST_READING}
        if len(counts) > 1:
            presets[f"{counts[-1]} digits, one θ"] = FIRST_READING | {"digits": counts[-1]}
        presets["turned too far"] = FIRST_READING | {"digits": counts[-1], "rotation": 90.0}
        self._set_up(images, aims, transform, FIRST_READING, presets)


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
