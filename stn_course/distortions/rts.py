"""RTS, the paper's rotation, translation and scale: each image turned, resized and moved about on a larger canvas.

An image that is turned by +φ and enlarged by s needs the *inverse* in its θ: turn back by φ, divide by s.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

import torch
from torch import Tensor

from stn_course.checks import Images, Size, Theta
from stn_course.distortions.distortion import Distortion, Pose, weaker_scale
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine


class RTS(Distortion):
    """Rotation, translation and scale, each uniform in its range, on a larger canvas.

    The image is turned and scaled about the centre of its box; the centre is uniform over the places where the
    *unscaled* box lies on the canvas. Only the canvas cuts the turned and scaled image off, never its own box. It
    turns in pixels, so it is not sheared when canvas or image are not square.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 05, "A crooked digit is a θ".

    Args:
        canvas: size of the result in pixels: (H', W'), or one number for both.
        degrees: the largest rotation, either way.
        scale: the smallest and the largest scale.
        image: size of the images in pixels: (H, W), or one number for both.
        shift: the share of the free room that the centre uses, from 0 (always the middle) to 1.
        disc: whether to cut a disc out of each image first. On a black canvas the edges of a whole image give its turn
            away, whatever it shows; those of a disc do not.

    Raises:
        ValueError: if the canvas is too small for the image, or a range is empty or out of bounds.

    Example:
        >>> rts = RTS()
        >>> digits = torch.rand(5, 1, 28, 28)
        >>> rts(digits, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 1, 42, 42])
        >>> RTS(canvas=(42, 60))(digits).shape
        torch.Size([5, 1, 42, 60])
    """

    label = "RTS"

    def __init__(
        self,
        canvas: int | Size = 42,
        degrees: float = 45.0,
        scale: tuple[float, float] = (0.7, 1.2),
        image: int | Size = 28,
        shift: float = 1.0,
        disc: bool = False,
    ):
        super().__init__(canvas, image, scale)
        if not 0 <= degrees <= 180:
            raise ValueError(f"expected degrees from 0 to 180, got {degrees}")
        if not 0 <= shift <= 1:
            raise ValueError(f"expected shift from 0 to 1, got {shift}")
        self.degrees, self.shift, self.disc = float(degrees), float(shift), disc

    def weaker(self, strength: float) -> "RTS":
        """Make the same distortion with a share of its turns, scales and shifts: 1 is all of them, 0 none.

        Example:
            >>> RTS(degrees=45, scale=(0.7, 1.2)).weaker(0.5).scale
            (0.85, 1.1)
        """
        scale = weaker_scale(self.scale, strength)
        return type(self)(self.canvas, self.degrees * strength, scale, self.image, self.shift * strength, self.disc)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, 6), affine, canvas → image, on the generator's device."""
        device = generator.device if generator is not None else "cpu"
        turn, size, x, y = torch.rand(4, n, generator=generator, device=device, dtype=dtype)
        # how far the centre may lie from the middle of the canvas
        room_y, room_x = (self.shift * (1 - image / canvas) for image, canvas in zip(self.image, self.canvas))
        low, high = self.scale
        return self.theta(
            Pose(
                degrees=(2 * turn - 1) * self.degrees,
                scale=low + size * (high - low),
                centre=torch.stack(((2 * x - 1) * room_x, (2 * y - 1) * room_y), dim=1),
            )
        )

    def theta(self, pose: Pose) -> Theta:
        """Find the θ, (B, 6), canvas → image, that gives images this pose.

        With p_t = s R p_s + c in pixels from the centres, backwards: p_s = R⁻¹ (p_t − c) / s. A unit of the canvas is
        W'/2 pixels long along x and H'/2 along y, a unit of the image W/2 and H/2.
        """
        radians = torch.deg2rad(pose.degrees)
        cos, sin = torch.cos(radians), torch.sin(radians)  # y points down: R⁻¹ = [[cos, −sin], [sin, cos]]
        (high, wide), (height, width) = self.canvas, self.image
        a, b = wide / width / pose.scale * cos, high / width / pose.scale * sin
        c, d = wide / height / pose.scale * sin, high / height / pose.scale * cos
        c_x, c_y = pose.centre.unbind(1)
        return torch.stack((a, -b, b * c_y - a * c_x, c, d, -c * c_x - d * c_y), dim=1)

    def pose(self, theta: Theta) -> Pose:
        """Find the pose behind a θ, (B, 6), canvas → image, undoing `theta`.

        No pose gives a θ that flattens: its centre and scale come out as NaN or infinity.

        Example:
            >>> rts = RTS()
            >>> rts.pose(rts.theta(Pose(torch.tensor([30.0]), torch.tensor([0.8]), torch.tensor([[0.1, -0.2]])))).scale
            tensor([0.8000])
        """
        a, b, t_x, c, d, t_y = theta.unbind(1)
        centre = torch.stack((b * t_y - d * t_x, c * t_x - a * t_y), dim=1) / (a * d - b * c)[:, None]
        canvas, image = (height / width for height, width in (self.canvas, self.image))
        b, c, d = b / canvas, c * image, d * image / canvas  # in pixels, but for the widths
        return Pose(
            degrees=torch.rad2deg(torch.atan2(c - b, a + d)),
            scale=self.canvas[1] / self.image[1] / (a * d - b * c).abs().sqrt(),
            centre=centre,
        )

    def apply(self, images: Images, theta: Theta) -> Images:
        """Put images on their canvas by known θ: (B, C, H, W), (B, 6) → (B, C, H', W')."""
        self.check(images)
        return super().apply(images * _disc(images) if self.disc else images, theta)


class StraightRTS(RTS):
    """`RTS`, and undone again by the true pose: what a perfect spatial transformer would make of each canvas.

    What lay beyond the canvas is lost, and each pixel is interpolated twice, so these are not the images as they were.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 06, "Give it something to undo".

    Example:
        >>> StraightRTS(canvas=48, image=32)(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 3, 32, 32])
    """

    def apply(self, images: Images, theta: Theta) -> Images:
        """Put images on their canvas by known θ, and back: (B, C, H, W), (B, 6) → (B, C, H, W)."""
        back = torch.linalg.inv_ex(Affine().matrix(theta)).inverse  # (B, 3, 3); a pose always has one
        return warp(super().apply(images, theta), back[:, :2].flatten(1), output_size=self.image)


def _disc(images: Images) -> Tensor:
    """Make a mask (H, W) of the largest disc in an image: 1 inside, 0 outside, falling off over its last two pixels.

    A sharper edge would show how its own steps are turned.
    """
    down, across = (torch.arange(n, dtype=images.dtype, device=images.device) - (n - 1) / 2 for n in images.shape[-2:])
    radius = torch.hypot(down[:, None], across)
    return ((min(images.shape[-2:]) / 2 - radius) / 2).clamp(0, 1)
