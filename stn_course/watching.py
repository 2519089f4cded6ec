"""Watch θ while a network trains: what goes wrong with it shows there first, and the loss may take epochs to tell.

determinant    the area of the frame over the input's; below 0 the picture is mirrored
shift          how far the middle of the frame is from the input's middle; 1 is an edge
outside        the share of the output's pixels that look outside the input
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stn_course.checks import Images, Theta
from stn_course.models import looks_of
from stn_course.recovery import closest_affine
from stn_course.transforms import Affine, Transform, regular_grid

SMALL = 0.0025  # of the input's area: a twentieth of its side
OUTSIDE = 0.5  # of the output's pixels
FAR_JUMP = 0.5  # normalised: the frame moves by a quarter of the input between two looks
ALIKE = 1e-3  # normalised: the corners of all frames lie within this
RESOLUTION = 8  # points along each side of the output at which `outside` is counted


class Frame(NamedTuple):
    """What is to be seen of each θ, (B,) each; NaN where θ is.

    Built in: 10, "How does one see that θ runs away?".
    """

    determinant: Tensor
    shift: Tensor
    outside: Tensor


def frame(theta: Theta, transform: Transform = Affine()) -> Frame:
    """Measure the frames of θ, of any family: of one that bends by the affine map nearest to it.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "How does one see that θ runs away?".

    Example:
        >>> frame(torch.tensor([[0.5, 0, 0.75, 0, 0.5, 0]]))  # half as wide and high, and a quarter of it outside
        Frame(determinant=tensor([0.2500]), shift=tensor([0.7500]), outside=tensor([0.2500]))
    """
    matrix = closest_affine(theta, transform)
    a, b, c, d = matrix[:, :2, :2].flatten(1).unbind(1)
    points = regular_grid((RESOLUTION, RESOLUTION), dtype=theta.dtype, device=theta.device).flatten(0, 1)
    looked_at = transform.map(theta, points.expand(theta.shape[0], -1, -1))  # (B, N, 2)
    outside = (looked_at.abs() > 1).any(-1).to(theta.dtype).mean(1)
    determinant = a * d - b * c
    return Frame(determinant, matrix[:, :2, 2].norm(dim=1), outside.masked_fill(determinant.isnan(), torch.nan))


@dataclass
class ThetaWatch:
    """A `watch` for `fit` and `run`: it looks through a network's transformers at the same images, again and again.

    Each look is a row: "epoch" (2.5 is half of the third), and for each transformer, by its place, medians of
    "determinant", "shift" and "outside", "apart" (how far the frames of two images differ) and "jump" (how far the
    frames have moved since the row before; the mean over their corners). The first time that something looks wrong, it
    says so in a sentence, into `warnings` as well. The network's mode is left as it was.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 10, "How does one see that θ runs away?".

    Args:
        images: at least two, as the network sees them in training; sixteen are enough.
        every: steps between two looks. A look costs a forward pass.
        say: takes each warning; prints it if not given.

    Example:
        >>> from stn_course.spatial_transformer import SpatialTransformer, theta_head
        >>> layer = SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(64, Affine())))
        >>> watch = ThetaWatch(torch.rand(4, 1, 8, 8), every=1)
        >>> watch(layer, 0.5, 1, torch.tensor(2.3))
        >>> watch.rows[0]["determinant"], watch.warnings
        ([1.0], [])
    """

    images: Images
    every: int = 10
    say: Callable[[str], None] = print
    rows: list[dict] = field(default_factory=list, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    _steps: int = field(default=0, init=False)
    _before: list[Tensor] = field(default_factory=list, init=False)
    _told: set = field(default_factory=set, init=False)

    def __post_init__(self):
        if len(self.images) < 2:
            raise ValueError(f"expected at least two images to watch, got {len(self.images)}")

    def __call__(self, model: nn.Module, done: float, epochs: int, loss: Tensor) -> None:
        """Look, if it is time to: called by `fit` after each step."""
        self._steps += 1
        if self._steps % self.every:
            return
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            with torch.no_grad():
                looks = looks_of(model, self.images)
        finally:
            for module, training in modes.items():
                module.training = training
        corners = [look.layer.transform.grid(look.theta, (2, 2), align_corners=True).flatten(1, 2) for look in looks]
        row = {"epoch": done, "loss": float(loss)}
        for name, values in zip(Frame._fields, zip(*(frame(look.theta, look.layer.transform) for look in looks))):
            row[name] = [value.median().item() for value in values]
        row["apart"] = [(each - each.mean(0)).norm(dim=2).max().item() for each in corners]
        row["jump"] = [(new - old).norm(dim=2).mean().item() for new, old in zip(corners, self._before)]
        self._before = corners
        self.rows.append(row)
        for number in range(len(looks)):
            self._warn(row, number, f"transformer {number + 1}" if len(looks) > 1 else "θ", done, epochs)

    def _warn(self, row: dict, number: int, who: str, done: float, epochs: int) -> None:
        determinant, outside, apart = (row[name][number] for name in ("determinant", "outside", "apart"))
        jump = row["jump"][number] if row["jump"] else 0.0
        found = {
            "no number": (determinant != determinant, "is no number (NaN): every further step spoils more weights"),
            "jump": (
                jump > FAR_JUMP,
                f"jumps: the frames move by {jump:.2f} between two looks. Lower the rate of the localisation network",
            ),
            "outside": (
                outside > OUTSIDE,
                f"looks outside: {outside:.0%} of the pixels of a typical output. Bound its shift and scale, or lower "
                "the rate of the localisation network",
            ),
            "small": (
                abs(determinant) < SMALL,
                f"has shrunk to {abs(determinant):.2%} of the input's area: the output is nearly one colour. Bound its "
                "scale",
            ),
            "mirrored": (determinant < 0, "mirrors the picture: its determinant is below 0. Bound its scale"),
            "alike": (
                apart < ALIKE and done > epochs / 2,
                "is the same for all images after half of the training: the localisation network has learned nothing",
            ),
        }
        for name, (seen, sentence) in found.items():
            if seen and (number, name) not in self._told:
                self._told.add((number, name))
                self.warnings.append(f"epoch {done:.1f}: {who} {sentence}.")
                self.say(self.warnings[-1])
