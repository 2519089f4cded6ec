"""What θ does, in one picture: where the sampler looks, what comes out, and the two planes in space."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course import algebra
from stn_course.checks import Size, check_image
from stn_course.drawing.panel import Still, below, font
from stn_course.drawing.planes import PANEL, Planes
from stn_course.drawing.sample_images import digit, test_card
from stn_course.drawing.scene import Scene
from stn_course.drawing.theta_text import checked_theta, theta_in_short
from stn_course.palette import INK, PAPER, QUIET
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform, check_transform

GAP, MARGIN, TITLE, NOTE, CAPTION = 16, 8, 26, 24, 26  # in pixels
WIDTH = 3 * PANEL + 2 * GAP + 2 * MARGIN


class TransformationScene(Scene):
    """The pictures of a family of transforms, for some images.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "Play".

    Args:
        images: name → image (C, H, W), C 1 or 3, float in [0, 1]; a real digit and a test card if None.

    Example:
        >>> TransformationScene().figure(["zoom in"]).alt
        'where the sampler looks, and what comes out: zoom in:  θ = 0.5, 0, 0, 0, 0.5, 0'
    """

    def __init__(self, transform: Transform = Affine(), images: Mapping[str, Tensor] | None = None):
        self.transform = check_transform(transform)
        given = {"digit": digit(), "test card": test_card()} if images is None else images
        self.images = {
            name: check_image(f"the image {name!r}", image, (1, 3)).float().clone() for name, image in given.items()
        }
        if not self.images:
            raise ValueError("expected at least one image, got none")
        self.start = {"theta": self.presets()["identity"], "image": self.first}
        if len(transform.control_points()):
            self.start["point"] = 0

    @property
    def first(self) -> str:
        """The name of the first image."""
        return next(iter(self.images))

    def size(self, image: str | None = None) -> Size:
        """Return (H, W) of an image; of the first if None."""
        return self.images[image or self.first].shape[1:]

    def presets(self, image: str | None = None) -> dict[str, tuple[float, ...]]:
        """Name some θ for an image; for the first if None."""
        named = algebra.presets(self.transform, self.size(image))
        return {name: checked_theta(theta, self.transform) for name, theta in named.items()}

    def compose(
        self, theta: Sequence[float] | Tensor, image: str | None = None, point: int | None = None
    ) -> Image.Image:
        """Draw the input with the sampling grid, the output, and the two planes in space, for one θ (n_params,).

        `point` is the number of the control point to be marked, in a family that has some.
        """
        source = self.images[image or self.first]
        row = torch.as_tensor(theta, dtype=torch.float32).detach().cpu().reshape(1, -1)
        planes = Planes(source, warp(source[None], row, self.transform)[0], self.transform, row[0].double(), point)
        dot = "dot: the output's top left corner" + ("" if planes.sees_dot else ", out of view")
        dot = dot if point is None else "ring: where the chosen control point looks"
        met = "dashed: where the grid's parallels meet" if len(planes.meeting) else dot
        lost = "dashed: the horizon, where w = 0" if len(planes.horizon) else "the same lines, on the regular grid"
        joined = "each corner above looks at its corner below"
        sheet = Image.new("RGB", (WIDTH, TITLE + PANEL + NOTE + 2 * MARGIN), PAPER)
        for i, (title, panel, note) in enumerate(
            (
                ("input: where the sampler looks", planes.input(), met),
                ("output", planes.result(), lost),
                ("target plane above source plane", planes.space(), joined),
            )
        ):
            left = MARGIN + i * (PANEL + GAP)
            sheet.paste(_words(title, TITLE, 16, INK), (left, MARGIN))
            sheet.paste(panel, (left, MARGIN + TITLE))
            sheet.paste(_words(note, NOTE, 13.5, QUIET), (left, MARGIN + TITLE + PANEL))
        return sheet

    def figure(
        self, states: Sequence[str | Sequence[float]], image: str | None = None, alt: str | None = None
    ) -> Still:
        """Make a still strip for readers without a kernel, one state below the other: presets' names, or θ."""
        pictures, words = [], []
        named = self.presets(image)
        for state in states:
            theta = named[state] if isinstance(state, str) else checked_theta(state, self.transform)
            name = f"{state}:  " if isinstance(state, str) else ""
            words.append(f"{name}{theta_in_short(theta, self.transform)}")
            caption = Image.new("RGB", (WIDTH, CAPTION), PAPER)
            ImageDraw.Draw(caption).text((MARGIN, 8), words[-1], INK, font(15))
            pictures += [caption, self.compose(theta, image)]
        return Still(below(pictures, 0), alt or f"where the sampler looks, and what comes out: {'; '.join(words)}")


@lru_cache(32)
def _words(text: str, height: int, size: float, colour: str) -> Image.Image:
    """Draw a line of text as wide as a panel, once for many uses: drawing takes longer than pasting."""
    strip = Image.new("RGB", (PANEL, height), PAPER)
    ImageDraw.Draw(strip).text((0, height / 2), text, colour, font(size), "lm")
    return strip
