"""Perspective, the paper's P: each corner of the image pulled aside, as when a camera sees a page askew.

Four corners q₁ … q₄ on the canvas, in homogeneous coordinates and in order round the quadrilateral, and the corners
p₁ … p₄ of the image's box fix the projective map from the one to the other:

    M  ~  p₁ (q₂ × q₃)ᵀ / |q₂ q₃ q₄|  +  p₂ (q₃ × q₁)ᵀ / |q₁ q₃ q₄|  +  p₃ (q₁ × q₂)ᵀ / |q₁ q₂ q₄|

A determinant |q₁ q₂ q₃| is twice the area of a triangle. At q₁ only the first term is not zero, and likewise at q₂ and
q₃; in q₄ all three are one, and p₁ − p₂ + p₃ = p₄ because the box is a parallelogram.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from stn_course.checks import Points, Size, Theta
from stn_course.distortions.distortion import Distortion, check_spread, weaker_scale
from stn_course.transforms import Projective

DRAWS = 4  # for each image
SMALLEST = 0.1  # of the area of each triangle of corners, as a share of what it was


class Perspective(Distortion):
    """Scale, uniform in its range, and then each corner of the image's box displaced by a normal: projective.

    The image is resized in its box, in the middle of the canvas; then each corner of the box moves by a normal of
    standard deviation `spread` along x and along y, in pixels of the canvas, and the picture follows.

    No camera that looks at a page from in front sees its corners out of order. So the corners are drawn again where

    - the triangle of three corners has less than a tenth of the area that it had before, or is turned over: the box is
      folded, dented or nearly so. Then a horizon runs through the image, or close by; or
    - the middle of the canvas does not lie inside them. Then θ, whose last entry is always 1, might not exist.

    With the paper's 5 pixels that happens to one image in 110. Each image has four draws, and the first that will do
    is taken: no value is read back from a GPU. Where none will do, once in 10⁸ images, the corners stay.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 08, "Four ways to be hard to read".

    Args:
        canvas: size of the result in pixels: (H', W'), or one number for both.
        spread: standard deviation of the displacement of each corner, in pixels.
        scale: the smallest and the largest scale.
        image: size of the images in pixels: (H, W), or one number for both.

    Raises:
        ValueError: if the canvas is too small for the image, or a range is empty or out of bounds.

    Example:
        >>> perspective = Perspective()
        >>> perspective.sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 8])
        >>> perspective(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 1, 42, 42])
    """

    label = "perspective"
    transform = Projective()

    def __init__(
        self,
        canvas: int | Size = 42,
        spread: float = 5.0,
        scale: tuple[float, float] = (0.75, 1.0),
        image: int | Size = 28,
    ):
        super().__init__(canvas, image, scale)
        self.spread = check_spread(spread)

    def weaker(self, strength: float) -> "Perspective":
        """Make the same distortion with a share of its scales and displacements: 1 is all of them, 0 none.

        Example:
            >>> Perspective(spread=5).weaker(0.5).spread
            2.5
        """
        return type(self)(self.canvas, self.spread * strength, weaker_scale(self.scale, strength), self.image)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, 8), projective, canvas → image, on the generator's device."""
        device = generator.device if generator is not None else "cpu"
        size = torch.rand(n, generator=generator, device=device, dtype=dtype)
        moves = torch.randn(DRAWS, n, 4, 2, generator=generator, device=device, dtype=dtype) * self.spread
        moves = torch.cat((moves, torch.zeros_like(moves[:1])))  # in the end the corners stay
        box, (low, high) = _corners(dtype, device), self.scale
        drawn = torch.stack(  # (DRAWS + 1, n, 4, 2), on the canvas
            [(box[:, axis] * self.image[1 - axis] + 2 * moves[..., axis]) / self.canvas[1 - axis] for axis in (0, 1)],
            dim=-1,
        )
        order = torch.arange(len(drawn), 0, -1, device=device)[:, None]  # so that the first that will do is the largest
        chosen = (self._will_do(drawn) * order).argmax(0)  # (n,)
        return self.theta(low + size * (high - low), drawn[chosen, torch.arange(n, device=device)])

    def theta(self, scale: Tensor, corners: Points) -> Theta:
        """Find the θ, (B, 8), canvas → image, that resizes images and moves the corners of their boxes.

        `scale` is (B,). `corners` are (B, 4, 2), where on the canvas the corners of the box come to lie, clockwise from
        the top left one; the middle of the canvas lies inside them.
        """
        q = _homogeneous(corners).unbind(1)
        p = _homogeneous(_corners(corners.dtype, corners.device))
        crossed = torch.stack([torch.linalg.cross(q[i], q[j]) for i, j in ((1, 2), (2, 0), (0, 1))], dim=1)  # (B, 3, 3)
        areas = torch.stack([_determinant(*(q[i] for i in each)) for each in ((1, 2, 3), (0, 2, 3), (0, 1, 3))], dim=1)
        matrix = (p[:3, :, None] * (crossed / areas[..., None])[:, :, None]).sum(1)  # (B, 3, 3), canvas → box
        matrix = torch.cat((matrix[:, :2] / scale[:, None, None], matrix[:, 2:]), dim=1)
        return (matrix / matrix[:, 2:, 2:]).flatten(1)[:, :8]

    def _will_do(self, corners: Points) -> Tensor:
        """Say of four corners (..., 4, 2) on the canvas whether they go round its middle, and bulge at each corner."""
        q = _homogeneous(corners)
        following = q.roll(-1, -2)
        triangles = _determinant(q, following, q.roll(-2, -2))  # (..., 4), twice the areas
        before = 4 * math.prod(self.image) / math.prod(self.canvas)
        bulges = triangles > SMALLEST * before
        round_the_middle = torch.linalg.cross(q, following)[..., 2] > 0  # twice the area of two corners and the middle
        return (bulges & round_the_middle).all(-1)


@lru_cache(16)
@torch.inference_mode(False)  # made once a device: a copy in each batch would make a GPU wait
def _corners(dtype: torch.dtype, device: torch.device | str) -> Points:
    """Make the corners of an image's box in its own coordinates, (4, 2), clockwise on the screen."""
    return torch.tensor(((-1, -1), (1, -1), (1, 1), (-1, 1)), dtype=dtype, device=device)


def _homogeneous(points: Points) -> Tensor:
    """Add a third coordinate that is 1: (..., 2) → (..., 3)."""
    return torch.cat((points, torch.ones_like(points[..., :1])), dim=-1)


def _determinant(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Compute the determinants of three columns (..., 3) each → (...)."""
    return (torch.linalg.cross(a, b) * c).sum(-1)
