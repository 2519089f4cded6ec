"""One sampling point taken apart: which pixels count, with what weights, and what value and slopes they add up to.

    V = Σ_n Σ_m U_nm · max(0, 1 − |x − m|) · max(0, 1 − |y − n|)        (equation 5; equations 6 and 7 for the slopes)

The numbers come from the package's own samplers, the slopes from automatic differentiation. Here x and y are in
pixels: the centre of the pixel in column m and row n is at (m, n).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stn_course.sampling import bilinear_sample, nearest_sample, to_normalised

KERNELS = {"bilinear": bilinear_sample, "nearest": nearest_sample}
RING = 2  # pixels of padding around an image: a point within 1.5 pixels of it has no farther neighbours
NUDGE = 1e-9  # in pixels: what "just right of" a point on a kink means
DECIMALS = 6  # of a slider's position: 2.0000000000000004 is 2


class Neighbour(NamedTuple):
    """A pixel that counts, in or around the image."""

    column: int
    row: int
    weight: float
    value: float
    corner: tuple[int, int]  # its place around the point: (0 left or 1 right, 0 upper or 1 lower)


class Reading(NamedTuple):
    """All there is to know about one sampling point."""

    normalised: tuple[float, float]
    neighbours: tuple[Neighbour, ...]
    value: float
    slopes_x: tuple[float, float]  # ∂V/∂x in grey levels per pixel, just left and just right of the point
    slopes_y: tuple[float, float]  # ∂V/∂y, just above and just below it


def read_point(
    image: Tensor, x: float, y: float, kernel: str = "bilinear", padding: str = "zeros", align_corners: bool = False
) -> Reading:
    """Sample one point with the package's sampler, and say how the value came about.

    On a kink of the kernel the slopes on the two sides differ; elsewhere they are the same.

    Args:
        image: (1, H, W), float, both sides at least 2.
        x, y: the point in pixels, within 1.5 of the outermost centres.
        kernel: "bilinear" or "nearest".
        padding: "zeros", "border" or "reflection".

    Example:
        >>> image = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> reading = read_point(image, 0.25, 0.5)
        >>> reading.value, reading.slopes_x, reading.slopes_y
        (1.25, (1.0, 1.0), (2.0, 2.0))
        >>> [neighbour.weight for neighbour in reading.neighbours]
        [0.375, 0.125, 0.375, 0.125]
    """
    if kernel not in KERNELS:
        raise ValueError(f"expected kernel as one of {', '.join(KERNELS)}, got {kernel!r}")
    image, size = image.detach().cpu().double(), image.shape[1:]
    x, y = round(float(x), DECIMALS), round(float(y), DECIMALS)
    point = torch.tensor([x, y], dtype=torch.float64)
    sides = torch.tensor([[1, 1], [-1, 1], [1, -1]], dtype=torch.float64)  # right and below, left, above
    points = (point + NUDGE * sides).requires_grad_()
    grid = to_normalised(points, size, align_corners)[None, None]  # (1, 1, 3, 2)
    values = KERNELS[kernel](image[None], grid, padding, align_corners).flatten()
    (slopes,) = torch.autograd.grad(values.sum(), points)
    (right, below), left, above = slopes[0].tolist(), slopes[1, 0].item(), slopes[2, 1].item()
    return Reading(
        tuple(to_normalised(point, size, align_corners).tolist()),
        _neighbours(padded(image, padding, align_corners), x, y, kernel),
        round(values[0].item(), DECIMALS),
        (round(left, DECIMALS), round(right, DECIMALS)),
        (round(above, DECIMALS), round(below, DECIMALS)),
    )


def padded(image: Tensor, padding: str, align_corners: bool = False) -> Tensor:
    """Surround an image (1, H, W) by the rings of pixels that a padding mode supplies: (H + 2 · RING, W + 2 · RING).

    Example:
        >>> padded(torch.tensor([[[1.0, 2.0, 3.0]] * 3]), "reflection")[2]
        tensor([2., 1., 1., 2., 3., 3., 2.])
    """
    size = image.shape[1:]
    rows, columns = (torch.arange(-RING, n + RING, dtype=image.dtype) for n in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    grid = to_normalised(torch.stack((x, y), dim=-1), size, align_corners)
    return nearest_sample(image[None], grid[None], padding, align_corners)[0, 0]


def _neighbours(values: Tensor, x: float, y: float, kernel: str) -> tuple[Neighbour, ...]:
    left, top = math.floor(x), math.floor(y)
    if kernel == "nearest":
        weights = {(math.floor(x + 0.5) - left, math.floor(y + 0.5) - top): 1.0}
    else:
        across, down = (1 - (x - left), x - left), (1 - (y - top), y - top)
        weights = {(right, low): round(across[right] * down[low], DECIMALS) for low in (0, 1) for right in (0, 1)}
    return tuple(
        Neighbour(left + right, top + low, weight, values[top + low + RING, left + right + RING].item(), (right, low))
        for (right, low), weight in weights.items()
    )
