"""What all distortions share: they put each image on a canvas, by a θ that is drawn at random."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stn_course.checks import Images, Points, Size, Theta, check_size, describe
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform


class Pose(NamedTuple):
    """How digits lie on their canvas; each field has one entry an image.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 05, "A crooked digit is a θ".
    """

    degrees: Tensor
    """(B,) rotation, counter-clockwise as seen on the screen."""
    scale: Tensor
    """(B,) size against the original."""
    centre: Points
    """(B, 2) where the centre of the image's box lies on the canvas."""


class Distortion:
    """Images on a canvas, each by a θ of its own: all that a task asks of a distortion. A subclass draws the θ.

    A subclass must have `label`, `sample` and `weaker`, and `transform` if its θ is not affine; it may have `pose`.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 08, "Four ways to be hard to read".

    Args:
        canvas: size of the result in pixels: (H', W'), or one number for both.
        image: size of the images in pixels: (H, W), or one number for both.
        scale: the smallest and the largest scale.

    Raises:
        ValueError: if the canvas is too small for the image, or a range is empty or out of bounds.
    """

    label: str
    """What the names of distorted data call it: "RTS"."""
    transform: Transform = Affine()
    """The family of θ."""

    def __init__(self, canvas: int | Size, image: int | Size, scale: tuple[float, float]):
        self.canvas, self.image = _size("canvas", canvas), _size("image", image)
        if self.canvas[0] < self.image[0] or self.canvas[1] < self.image[1]:
            raise ValueError(
                f"expected a canvas of at least the image's {_times(self.image)} pixels, got {_times(self.canvas)}"
            )
        if not 0 < scale[0] <= scale[1] < math.inf:
            raise ValueError(f"expected scale as (low, high) with 0 < low ≤ high, both finite, got {scale}")
        self.scale = tuple(scale)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, n_params), canvas → image, on the generator's device."""
        raise NotImplementedError(f"expected {type(self).__name__} to say how it draws θ, got no method sample")

    def weaker(self, strength: float) -> "Distortion":
        """Make the same distortion with a share of what it does: 1 is all of it, 0 nothing."""
        raise NotImplementedError(f"expected {type(self).__name__} to say what is weaker, got no method weaker")

    def pose(self, theta: Theta) -> Pose | None:
        """Find the pose behind a θ; None if no turn, size and place say what the distortion does."""
        return None

    def apply(self, images: Images, theta: Theta) -> Images:
        """Put images on their canvas by known θ: (B, C, H, W), (B, n_params) → (B, C, H', W')."""
        self.check(images)
        return warp(images, theta, self.transform, output_size=self.canvas)

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Images:
        """Put images on their canvas, each by a random θ: (B, C, H, W) → (B, C, H', W')."""
        self.check(images)
        dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
        return self.apply(images, self.sample(len(images), generator, dtype).to(images.device))

    def check(self, images: Images) -> None:
        """Raise a TypeError or a ValueError, in words, unless images are floating-point and of the right size."""
        if not isinstance(images, Tensor) or not images.is_floating_point():
            raise TypeError(f"expected images as a floating-point tensor (B, C, H, W), got {describe(images)}")
        if images.shape[-2:] != self.image:
            raise ValueError(f"expected images of {_times(self.image)} pixels, got {describe(images)}")


def check_spread(spread: float) -> float:
    """Return a standard deviation in pixels, or raise a ValueError that shows what came.

    Example:
        >>> check_spread(-1)
        Traceback (most recent call last):
        ValueError: expected spread in pixels, at least 0 and finite, got -1
    """
    if not 0 <= spread < math.inf:
        raise ValueError(f"expected spread in pixels, at least 0 and finite, got {spread}")
    return float(spread)


def weaker_scale(scale: tuple[float, float], strength: float) -> tuple[float, float]:
    """Bring a range of scales nearer to 1: strength 1 leaves it, 0 makes it (1, 1).

    Example:
        >>> weaker_scale((0.7, 1.2), 0.5)
        (0.85, 1.1)
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"expected strength from 0 to 1, got {strength}")
    return tuple(1 + (end - 1) * strength for end in scale)


def _size(name: str, value: int | Size) -> Size:
    try:
        return check_size(value if isinstance(value, Sequence) else (value, value))
    except ValueError:
        raise ValueError(f"expected {name} as (H, W) or one whole number, at least 1, got {value!r}") from None


def _times(size: Size) -> str:
    return "×".join(map(str, size))
