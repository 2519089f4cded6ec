"""Distorted images in whole batches, made by the course's own grid: RTS, the paper's rotation, translation and scale.

A distortion is a spatial transformer whose θ is drawn at random instead of learnt. θ maps the canvas (target) to the
image (source), so a digit that is turned by +φ and enlarged by s needs the *inverse*: turn back by φ, divide by s.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stn_course.spatial_transformer import warp
from stn_course.transforms import describe


class Pose(NamedTuple):
    """How digits lie on their canvas; each field has one entry an image."""

    degrees: Tensor
    """(B,) rotation, counter-clockwise as seen on the screen."""
    scale: Tensor
    """(B,) size against the original."""
    centre: Tensor
    """(B, 2) where the centre of the image's box lies, (x, y) in normalised canvas coordinates."""


class RTS:
    """Rotation, translation and scale, each uniform in its range, on a larger canvas.

    The image is turned and scaled about the centre of its box; the centre is uniform over the places where the
    *unscaled* box lies on the canvas. What the turned and scaled image covers is drawn whole: nothing is cut off at
    its box, only at the canvas.

    Args:
        canvas: height and width of the result, in pixels.
        degrees: the rotation is drawn from [-degrees, degrees].
        scale: the range the scale is drawn from.
        image: height and width of the images, in pixels.

    Raises:
        ValueError: if the canvas is smaller than the image, or a range is empty or not positive.

    Example:
        >>> rts = RTS()
        >>> digits = torch.rand(5, 1, 28, 28)
        >>> rts(digits, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 1, 42, 42])
    """

    def __init__(
        self,
        canvas: int = 42,
        degrees: float = 45.0,
        scale: tuple[float, float] = (0.7, 1.2),
        image: int = 28,
    ):
        if canvas < image:
            raise ValueError(f"expected a canvas of at least the image's {image} pixels, got {canvas}")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"expected scale as (low, high) with 0 < low ≤ high, got {scale}")
        if not 0 <= degrees <= 180:
            raise ValueError(f"expected degrees from 0 to 180, got {degrees}")
        self.canvas, self.degrees, self.scale, self.image = canvas, float(degrees), tuple(scale), image

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Tensor:
        """Draw n random θ, (n, 6), affine, canvas → image. They lie on the generator's device.

        Example:
            >>> RTS().sample(5, torch.Generator().manual_seed(0)).shape
            torch.Size([5, 6])
        """
        device = generator.device if generator is not None else "cpu"
        turn, size, x, y = torch.rand(4, n, generator=generator, device=device, dtype=dtype)
        room = 1 - self.image / self.canvas  # how far the centre may lie from the middle of the canvas
        low, high = self.scale
        return self.theta(
            Pose(
                degrees=(2 * turn - 1) * self.degrees,
                scale=low + size * (high - low),
                centre=torch.stack((2 * x - 1, 2 * y - 1), dim=1) * room,
            )
        )

    def theta(self, pose: Pose) -> Tensor:
        """The θ, (B, 6), canvas → image, that gives images this pose.

        With p_t = s R p_s + c in pixels from the centres, backwards: p_s = R⁻¹ (p_t − c) / s.
        """
        radians = torch.deg2rad(pose.degrees)
        size = self.canvas / self.image / pose.scale  # canvas units → image units
        cos, sin = (
            size * torch.cos(radians),
            size * torch.sin(radians),
        )  # y points down: R⁻¹ = [[cos, −sin], [sin, cos]]
        c_x, c_y = pose.centre.unbind(1)
        return torch.stack((cos, -sin, sin * c_y - cos * c_x, sin, cos, -sin * c_x - cos * c_y), dim=1)

    def pose(self, theta: Tensor) -> Pose:
        """What `theta` undoes: the pose behind a θ, (B, 6), canvas → image.

        Example:
            >>> rts = RTS()
            >>> rts.pose(rts.theta(Pose(torch.tensor([30.0]), torch.tensor([0.8]), torch.tensor([[0.1, -0.2]])))).scale
            tensor([0.8000])
        """
        a, b, t_x, c, d, t_y = theta.unbind(1)
        determinant = a * d - b * c
        return Pose(
            degrees=torch.rad2deg(torch.atan2(c - b, a + d)),
            scale=self.canvas / self.image / determinant.abs().sqrt(),
            centre=torch.stack((b * t_y - d * t_x, c * t_x - a * t_y), dim=1) / determinant[:, None],
        )

    def apply(self, images: Tensor, theta: Tensor) -> Tensor:
        """Put images on their canvas by known θ: (B, C, H, W), (B, 6) → (B, C, canvas, canvas)."""
        self._check(images)
        return warp(images, theta, output_size=(self.canvas, self.canvas))

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Put images on their canvas in random poses: (B, C, H, W) → (B, C, canvas, canvas)."""
        self._check(images)
        dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
        return self.apply(images, self.sample(len(images), generator, dtype).to(images.device))

    def _check(self, images: Tensor) -> None:
        if not isinstance(images, Tensor) or not images.is_floating_point():
            raise TypeError(f"expected images as a floating-point tensor (B, C, H, W), got {describe(images)}")
        if images.shape[-2:] != (self.image, self.image):
            raise ValueError(f"expected images of {self.image}×{self.image} pixels, got {describe(images)}")
