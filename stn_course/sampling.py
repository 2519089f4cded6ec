"""From an image and a grid to an image: the sampler, from scratch.

    V_i = Σ_n Σ_m U_nm · k(x_i − m) · k(y_i − n)

Every output value is a weighted sum of input pixels; the kernel k says how far a pixel reaches. With the bilinear
kernel k(d) = max(0, 1 − |d|) only the four pixels around (x_i, y_i) count, and the result can be differentiated in
both the image and the coordinates: that is what lets a localisation network learn.

In the formula x and y are in *pixels* (the centre of pixel m is at m); grids come in normalised coordinates.
`to_pixels` is the step between them.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), section 3.3, equations 3 to 7.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.checks import Grid, Images, Points, Size, describe
from stn_course.transforms import without_autocast

PADDING_MODES = ("zeros", "border", "reflection")
FAR = 1e30  # normalised; a point farther out counts as here, where its pixel coordinates are still finite
RING = 2  # rows and columns of zeros around an image, where a point outside finds its neighbours


def to_pixels(grid: Points, size: Size, align_corners: bool = False) -> Tensor:
    """Turn normalised coordinates into pixel coordinates, where the centre of pixel m is at m.

    x ↦ ((x + 1) W − 1) / 2, or with `align_corners` x ↦ (x + 1) (W − 1) / 2, in an image of size (H, W).

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 02, "What lies between the pixels?".

    Example:
        >>> to_pixels(torch.tensor([-1.0, 0.0]), (3, 4))
        tensor([-0.5000,  1.0000])
        >>> to_pixels(torch.tensor([-1.0, 0.0]), (3, 4), align_corners=True)
        tensor([0., 1.])
    """

    def pixels(coordinate: Tensor, n: int) -> Tensor:
        return (coordinate + 1) * ((n - 1) / 2) if align_corners else ((coordinate + 1) * n - 1) / 2

    height, width = size
    return torch.stack((pixels(grid[..., 0], width), pixels(grid[..., 1], height)), dim=-1)


def to_normalised(pixels: Tensor, size: Size, align_corners: bool = False) -> Points:
    """Turn pixel coordinates (x, y) into normalised ones, (..., 2), undoing `to_pixels`.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 02, "What lies between the pixels?".

    Example:
        >>> to_normalised(torch.tensor([-0.5, 0.0]), (1, 4))  # the left edge, the centre of the only row
        tensor([-1.,  0.])
    """
    extent = torch.tensor([size[1], size[0]], dtype=pixels.dtype, device=pixels.device)
    return 2 * pixels / (extent - 1).clamp(min=1) - 1 if align_corners else (2 * pixels + 1) / extent - 1


def bilinear_sample(images: Images, grid: Grid, padding_mode: str = "zeros", align_corners: bool = False) -> Images:
    """Sample images at the points of a grid with the bilinear kernel (equation 5).

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 02, "Four neighbours: bilinear".

    Args:
        grid: (B, H', W', 2), float32 or float64; half precision would be off by up to a pixel. If the images have
            another dtype, the sampler computes in the more precise of the two.
        padding_mode: what lies outside the image: "zeros", "border" (the nearest border pixel) or "reflection" (back
            and forth, as far as ±10³⁰; a point farther out, infinity too, counts as there).

    Returns:
        (B, C, H', W') of the images' dtype, differentiable in images and grid, twice and in forward mode too. NaN
        coordinates give NaN.

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> bilinear_sample(image, torch.zeros(1, 1, 1, 2))  # the point where the four pixels meet
        tensor([[[[1.5000]]]])
    """
    check_sampling(images, grid, padding_mode)
    pixels, grid = in_one_dtype(images, grid)
    x, y = _source_pixels(grid, images.shape[2:], padding_mode, align_corners)  # (B, H', W') each
    left, top = x.detach().floor(), y.detach().floor()
    to_right, to_bottom = (x - left)[:, None], (y - top)[:, None]  # in [0, 1): how far past the upper left neighbour
    pixel = _neighbours(pixels, top, left)
    upper = torch.lerp(pixel(0, 0), pixel(0, 1), to_right)  # (1 − to_right) · left + to_right · right
    lower = torch.lerp(pixel(1, 0), pixel(1, 1), to_right)
    return torch.lerp(upper, lower, to_bottom).to(images.dtype)


def nearest_sample(images: Images, grid: Grid, padding_mode: str = "zeros", align_corners: bool = False) -> Images:
    """Sample images at the points of a grid by taking the nearest pixel.

    The arguments are `bilinear_sample`'s. Half-way between two pixels it takes the one with the larger index,
    floor(x + 0.5), as the paper's integer kernel does (`F.grid_sample` takes the even one). The result is
    differentiable in the images; its derivative in the grid is zero wherever it exists, so θ learns nothing from it.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 02, "The nearest pixel".

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> nearest_sample(image, torch.tensor([[[[-0.1, 0.1]]]]))  # a little left, a little below the middle
        tensor([[[[2.]]]])
    """
    check_sampling(images, grid, padding_mode)
    pixels, grid = in_one_dtype(images, grid)
    x, y = _source_pixels(grid, images.shape[2:], padding_mode, align_corners)
    sampled = _neighbours(pixels, (y + 0.5).floor(), (x + 0.5).floor())(0, 0)
    sampled = sampled + 0 * (x + y)[:, None]  # keeps the grid in the graph, with the zero gradient it deserves
    return sampled.to(images.dtype)


def bilinear_kernel(distance: Tensor) -> Tensor:
    """Weigh a pixel by equation 5's kernel: max(0, 1 − |d|), d in pixels.

    Built in: 02, "One formula for all of them".
    """
    return (1 - distance.abs()).clamp(min=0)


def integer_kernel(distance: Tensor) -> Tensor:
    """Weigh a pixel by the integer kernel δ(⌊x + 0.5⌋ − m), d = x − m in pixels: 1 for the nearest one, else 0.

    Built in: 02, "One formula for all of them".
    """
    return ((distance + 0.5).floor() == 0).to(distance.dtype)


def kernel_sample(
    images: Images, grid: Grid, kernel: Callable[[Tensor], Tensor], align_corners: bool = False
) -> Images:
    """Compute equation 3 as it is written: every output value sums over *all* pixels. Slow, for understanding.

    Arguments and result are `bilinear_sample`'s with zero padding. `kernel` turns distances in pixels into weights,
    element by element: `bilinear_kernel`, `integer_kernel` or your own.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 02, "One formula for all of them".

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> kernel_sample(image, torch.zeros(1, 1, 1, 2), bilinear_kernel)
        tensor([[[[1.5000]]]])
    """
    check_sampling(images, grid, "zeros")
    pixels, grid = in_one_dtype(images, grid)
    height, width = images.shape[2:]
    x, y = to_pixels(grid, (height, width), align_corners).unbind(-1)  # (B, H', W') each
    k_x = kernel(x[..., None] - torch.arange(width, dtype=x.dtype, device=x.device))  # (B, H', W', W)
    k_y = kernel(y[..., None] - torch.arange(height, dtype=y.dtype, device=y.device))  # (B, H', W', H)
    with without_autocast(images.device):
        return torch.einsum("bcnm,bijn,bijm->bcij", pixels, k_y, k_x).to(images.dtype)


def check_sampling(images: Images, grid: Grid, padding_mode: str) -> None:
    """Raise a TypeError or ValueError that says what does not fit between images and grid.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    """
    for name, value in (("images", images), ("grid", grid)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(f"expected {name} as a floating-point tensor, got {describe(value)}")
    if images.ndim != 4 or 0 in images.shape[2:]:
        raise ValueError(f"expected images of shape (B, C, H, W) with H and W at least 1, got {describe(images)}")
    if grid.ndim != 4 or grid.shape[3] != 2:
        raise ValueError(f"expected a grid of shape (B, H', W', 2), last axis (x, y), got {describe(grid)}")
    if images.shape[0] != grid.shape[0]:
        raise ValueError(f"expected as many images as grids, got {describe(images)} and {describe(grid)}")
    if grid.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"expected a grid in float32 or float64, got {describe(grid)}")
    if images.device != grid.device:
        raise ValueError(f"expected images and grid on one device, got {describe(images)} and {describe(grid)}")
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"expected padding_mode as one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")


def in_one_dtype(images: Images, grid: Grid) -> tuple[Images, Grid]:
    """Convert both to the more precise of their dtypes, float32 at least.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    """
    dtype = torch.float64 if torch.float64 in (images.dtype, grid.dtype) else torch.float32
    return images.to(dtype), grid.to(dtype)


def _source_pixels(grid: Grid, size: Size, padding_mode: str, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Find where the grid looks, in pixels, once the padding mode has acted: x and y, (B, H', W') each."""
    if padding_mode == "reflection":
        grid = grid.clamp(-FAR, FAR)
    points = to_pixels(grid, size, align_corners).unbind(-1)

    def apply_padding(coordinate: Tensor, n: int) -> Tensor:
        if padding_mode == "zeros":
            return coordinate.clamp(-1.5, n + 0.5)  # from there on all neighbours are outside: the same zero
        if padding_mode == "reflection":
            coordinate = _reflect(coordinate, n, align_corners)
        within = (coordinate > 0) & (coordinate < n - 1)  # at the ends PyTorch's versions differ in clamp's gradient
        return torch.where(within, coordinate, coordinate.detach().clamp(0, n - 1))

    height, width = size
    return apply_padding(points[0], width), apply_padding(points[1], height)


def _reflect(coordinate: Tensor, n: int, align_corners: bool) -> Tensor:
    """Mirror back and forth at the image's ends: the border pixels' centres, or their outer edges."""
    low, span = (0.0, n - 1) if align_corners else (-0.5, n)
    if span == 0:
        return torch.zeros_like(coordinate) * coordinate
    distance = (coordinate - low) % (2 * span)
    return torch.where(distance < span, distance, 2 * span - distance) + low


def _neighbours(images: Images, row: Tensor, column: Tensor) -> Callable[[int, int], Images]:
    """Return a function that finds the pixels so many rows below and columns right of a place, 0 outside the image.

    `row` and `column` are whole numbers, (B, H', W'); the function returns (B, C, H', W').
    """
    padded = F.pad(images, [RING] * 4)
    flat, width = padded.flatten(2), padded.shape[3]  # (B, C, (H + 2 RING)(W + 2 RING))
    row, column = row.nan_to_num().long(), column.nan_to_num().long()  # any pixel for NaN, whose weight is NaN too
    index = ((row + RING) * width + column + RING).flatten(1)[:, None]  # (B, 1, H'·W')

    def pixel(down: int, right: int) -> Images:
        there = (index + (down * width + right)).expand(-1, flat.shape[1], -1)  # every channel alike
        return flat.gather(2, there).unflatten(2, row.shape[1:])

    return pixel
