"""Elastic, the paper's E: the image printed on rubber, which is pulled about at 16 points.

The thin plate spline (see `transforms.thin_plate_spline`) goes backwards, as all θ do: it takes the canvas to the
image. Its control points lie regularly in the image's box on the canvas, and each looks at a place near by.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

from functools import lru_cache

import torch
from torch import Tensor

from stn_course.checks import Grid, Points, Size, Theta, check_size
from stn_course.distortions.distortion import Distortion, check_spread, weaker_scale
from stn_course.transforms import ThinPlateSpline, regular_grid, without_autocast


class Elastic(Distortion):
    """Scale, uniform in its range, and then each of 4 × 4 control points displaced by a normal: a thin plate spline.

    The image is resized in its box, in the middle of the canvas. The control points span this box, from corner to
    corner. Each looks in the resized image not at its own place, but at one that is displaced by a normal of standard
    deviation `spread` along x and along y, in pixels of the canvas, which are those of the image at scale 1. (The paper
    does not say which of the two ends is displaced. To see the picture moved by +d, a point looks aside by −d, and a
    normal prefers no side.) The plate is square; an oblong box stretches it.

    With the paper's 1.5 pixels, the spline folds the image somewhere in its box in 6 of 1,000 images, and in the middle
    20×20 pixels, where digits have their ink, in 2 of 1,000. They stay as they are.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 08, "Four ways to be hard to read".

    Args:
        canvas: size of the result in pixels: (H', W'), or one number for both.
        spread: standard deviation of the displacement of each control point, in pixels.
        scale: the smallest and the largest scale.
        image: size of the images in pixels: (H, W), or one number for both.

    Raises:
        ValueError: if the canvas is too small for the image, or a range is empty or out of bounds.

    Example:
        >>> elastic = Elastic()
        >>> elastic.sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 32])
        >>> elastic(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 1, 42, 42])
    """

    label = "elastic"

    def __init__(
        self,
        canvas: int | Size = 42,
        spread: float = 1.5,
        scale: tuple[float, float] = (0.75, 1.0),
        image: int | Size = 28,
    ):
        super().__init__(canvas, image, scale)
        self.spread = check_spread(spread)
        self.transform = BoxSpline(tuple(canvas / image for canvas, image in zip(self.canvas[::-1], self.image[::-1])))

    def weaker(self, strength: float) -> "Elastic":
        """Make the same distortion with a share of its scales and displacements: 1 is all of them, 0 none.

        Example:
            >>> Elastic(spread=1.5).weaker(0.5).spread
            0.75
        """
        return type(self)(self.canvas, self.spread * strength, weaker_scale(self.scale, strength), self.image)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, 32), on the generator's device: where in the image the control points look."""
        device, (low, high) = generator.device if generator is not None else "cpu", self.scale
        size = torch.rand(n, generator=generator, device=device, dtype=dtype)
        shifts = torch.randn(n, 16, 2, generator=generator, device=device, dtype=dtype) * self.spread
        x, y = (2 / length * shifts[..., axis] for axis, length in enumerate(self.image[::-1]))  # in units of the box
        looks = _control_points(dtype, device) + torch.stack((x, y), dim=-1)
        return (looks / (low + size * (high - low))[:, None, None]).flatten(1)


class BoxSpline(ThinPlateSpline):
    """A thin plate spline whose 4 × 4 control points span a box in the middle of the target, not all of it.

    `stretch` says along x and y how many times as long as the box the target is. The identity shows the source in the
    box.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    """

    def __init__(self, stretch: tuple[float, float]):
        super().__init__(points=4)
        self.stretch = stretch

    def map(self, theta: Theta, points: Points) -> Points:
        return super().map(theta, torch.stack([one * by for one, by in zip(points.unbind(-1), self.stretch)], dim=-1))

    def grid(self, theta: Theta, size: Size, align_corners: bool = False) -> Grid:
        self.check_theta(theta)
        size = check_size(size)
        start, basis = _start_and_basis(self, size, align_corners, theta.dtype, theta.device)
        with without_autocast(theta.device):
            moved = (theta.unflatten(1, (16, 2)) - _control_points(theta.dtype, theta.device)).mT.flatten(0, 1)
            return start + (moved @ basis).unflatten(0, (-1, 2)).unflatten(2, size).permute(0, 2, 3, 1)


# Made once a device: a copy in each batch would make a GPU wait


@lru_cache(16)
@torch.inference_mode(False)
def _control_points(dtype: torch.dtype, device: torch.device | str) -> Points:
    """Make the control points in the box's own coordinates, (16, 2)."""
    return ThinPlateSpline().identity().reshape(16, 2).to(dtype).to(device)


@lru_cache(16)
@torch.inference_mode(False)
def _start_and_basis(
    spline: BoxSpline, size: Size, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Grid, Tensor]:
    """Find where each pixel of the target looks at first, (1, H, W, 2), and its share in each control point's motion.

    The shares are (16, H · W). A spline is linear in θ, so each share is what one control point brings about alone.
    """
    points = regular_grid(size, align_corners, torch.float64)[None]  # (1, H, W, 2)
    theta = spline.identity()[None].double()  # (1, 32)
    one_by_one = theta + torch.eye(32, dtype=torch.float64)[::2]  # (16, 32), each x in its turn
    start = spline.map(theta, points)
    basis = spline.map(one_by_one, points.expand(16, -1, -1, -1))[..., 0] - start[..., 0]  # (16, H, W)
    return start.to(dtype).to(device), basis.flatten(1).to(dtype).to(device)
