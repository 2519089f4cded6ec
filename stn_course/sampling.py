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
from torch import Tensor

from stn_course.transforms import Size, describe

PADDING_MODES = ("zeros", "border", "reflection")


def to_pixels(grid: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """Normalised coordinates to pixel coordinates, where the centre of pixel m is at m.

    Args:
        grid: (..., 2), last axis (x, y), normalised.
        size: (H, W) of the image that is looked at.
        align_corners: False: ±1 are the outer edges, x ↦ ((x + 1) W − 1) / 2. True: ±1 are the centres of the border
            pixels, x ↦ (x + 1) (W − 1) / 2.

    Returns:
        (..., 2), in pixels.

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


def to_normalised(pixels: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """Pixel coordinates (x, y) to normalised ones, (..., 2): what `to_pixels` undoes.

    Example:
        >>> to_normalised(torch.tensor([-0.5, 0.0]), (1, 4))  # the left edge, the centre of the only row
        tensor([-1.,  0.])
    """
    extent = torch.tensor([size[1], size[0]], dtype=pixels.dtype, device=pixels.device)
    return 2 * pixels / (extent - 1).clamp(min=1) - 1 if align_corners else (2 * pixels + 1) / extent - 1


def bilinear_sample(images: Tensor, grid: Tensor, padding_mode: str = "zeros", align_corners: bool = False) -> Tensor:
    """Sample images at the points of a grid with the bilinear kernel (equation 5).

    Args:
        images: (B, C, H, W), float32 or float64.
        grid: (B, H', W', 2), last axis (x, y), normalised, of the images' dtype and device.
        padding_mode: what lies outside the image: "zeros", "border" (the nearest border pixel) or "reflection".
        align_corners: what ±1 means; see `to_pixels`.

    Returns:
        (B, C, H', W'), differentiable in images and grid. NaN coordinates give NaN.

    Raises:
        TypeError, ValueError: if dtypes, devices, shapes or the padding mode do not fit; the message shows them.

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> bilinear_sample(image, torch.zeros(1, 1, 1, 2))  # the point where the four pixels meet
        tensor([[[[1.5000]]]])
    """
    check_sampling(images, grid, padding_mode)
    height, width = images.shape[2:]
    x, y = _source_pixels(grid, (height, width), padding_mode, align_corners)  # (B, H', W') each
    left, top = x.detach().floor(), y.detach().floor()
    to_right, to_bottom = x - left, y - top  # in [0, 1): how far past the upper left neighbour
    flat = images.flatten(2)  # (B, C, H·W)

    def pixels(row: Tensor, column: Tensor) -> Tensor:
        return _look_up(flat, row, column, (height, width), grid.shape[1:3])  # (B, C, H', W')

    upper = pixels(top, left) * (1 - to_right)[:, None] + pixels(top, left + 1) * to_right[:, None]
    lower = pixels(top + 1, left) * (1 - to_right)[:, None] + pixels(top + 1, left + 1) * to_right[:, None]
    return upper * (1 - to_bottom)[:, None] + lower * to_bottom[:, None]


def nearest_sample(images: Tensor, grid: Tensor, padding_mode: str = "zeros", align_corners: bool = False) -> Tensor:
    """Sample images at the points of a grid by taking the nearest pixel.

    The arguments and errors are `bilinear_sample`'s. Half-way between two pixels the one with the larger index is
    taken, floor(x + 0.5), as in the paper's integer kernel (`F.grid_sample` takes the even one). The result is
    differentiable in the images; its derivative in the grid is zero wherever it exists, so θ learns nothing from it.

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> nearest_sample(image, torch.tensor([[[[-0.1, 0.1]]]]))  # a little left, a little below the middle
        tensor([[[[2.]]]])
    """
    check_sampling(images, grid, padding_mode)
    size = images.shape[2:]
    x, y = _source_pixels(grid, size, padding_mode, align_corners)
    sampled = _look_up(images.flatten(2), (y + 0.5).floor(), (x + 0.5).floor(), size, grid.shape[1:3])
    return sampled + 0 * (x + y)[:, None]  # keeps the grid in the graph, with the zero gradient it deserves


def bilinear_kernel(distance: Tensor) -> Tensor:
    """Equation 5's kernel: max(0, 1 − |d|), d in pixels."""
    return (1 - distance.abs()).clamp(min=0)


def integer_kernel(distance: Tensor) -> Tensor:
    """The integer kernel δ(⌊x + 0.5⌋ − m) with d = x − m in pixels: 1 for the nearest pixel, else 0."""
    return ((distance + 0.5).floor() == 0).to(distance.dtype)


def kernel_sample(
    images: Tensor, grid: Tensor, kernel: Callable[[Tensor], Tensor], align_corners: bool = False
) -> Tensor:
    """Equation 3 as it is written: every output value sums over *all* pixels. Slow, for understanding.

    Args:
        images: (B, C, H, W), float32 or float64.
        grid: (B, H', W', 2), last axis (x, y), normalised.
        kernel: distances in pixels → weights, element by element; `bilinear_kernel`, `integer_kernel` or your own.
        align_corners: what ±1 means; see `to_pixels`.

    Returns:
        (B, C, H', W'). Outside the image there are no pixels, so nothing is added: zero padding.

    Raises:
        TypeError, ValueError: as `bilinear_sample`.

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
        >>> kernel_sample(image, torch.zeros(1, 1, 1, 2), bilinear_kernel)
        tensor([[[[1.5000]]]])
    """
    check_sampling(images, grid, "zeros")
    height, width = images.shape[2:]
    x, y = to_pixels(grid, (height, width), align_corners).unbind(-1)  # (B, H', W') each
    k_x = kernel(x[..., None] - torch.arange(width, dtype=x.dtype, device=x.device))  # (B, H', W', W)
    k_y = kernel(y[..., None] - torch.arange(height, dtype=y.dtype, device=y.device))  # (B, H', W', H)
    return torch.einsum("bcnm,bijn,bijm->bcij", images, k_y, k_x)


def check_sampling(images: Tensor, grid: Tensor, padding_mode: str) -> None:
    """Raise a TypeError or ValueError that says what does not fit between images and grid."""
    for name, value in (("images", images), ("grid", grid)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(f"expected {name} as a floating-point tensor, got {describe(value)}")
    if images.ndim != 4 or 0 in images.shape[2:]:
        raise ValueError(f"expected images of shape (B, C, H, W) with H and W at least 1, got {describe(images)}")
    if grid.ndim != 4 or grid.shape[3] != 2:
        raise ValueError(f"expected a grid of shape (B, H', W', 2), last axis (x, y), got {describe(grid)}")
    if len(images) != len(grid):
        raise ValueError(f"expected as many images as grids, got {describe(images)} and {describe(grid)}")
    if images.dtype != grid.dtype:
        raise TypeError(f"expected images and grid of one dtype, got {describe(images)} and {describe(grid)}")
    if images.device != grid.device:
        raise ValueError(f"expected images and grid on one device, got {describe(images)} and {describe(grid)}")
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"expected padding_mode as one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")


def _source_pixels(grid: Tensor, size: Size, padding_mode: str, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Where the grid looks, in pixels, after the padding mode had its say: x and y, (B, H', W') each."""
    points = to_pixels(grid, size, align_corners).unbind(-1)

    def settle(coordinate: Tensor, n: int) -> Tensor:
        if padding_mode == "zeros":
            return coordinate.clamp(-2, n + 1)  # there and farther out all four neighbours are outside: the same zero
        if padding_mode == "reflection":
            coordinate = _reflect(coordinate, n, align_corners)
        within = (coordinate > 0) & (coordinate < n - 1)  # at the ends PyTorch's versions differ in clamp's gradient
        return torch.where(within, coordinate, coordinate.detach().clamp(0, n - 1))

    height, width = size
    return settle(points[0], width), settle(points[1], height)


def _reflect(coordinate: Tensor, n: int, align_corners: bool) -> Tensor:
    """Mirror back and forth at the image's ends: the border pixels' centres, or their outer edges."""
    low, span = (0.0, n - 1) if align_corners else (-0.5, n)
    if span == 0:
        return torch.zeros_like(coordinate) * coordinate
    distance = (coordinate - low) % (2 * span)
    return torch.where(distance < span, distance, 2 * span - distance) + low


def _look_up(flat: Tensor, row: Tensor, column: Tensor, size: Size, out: Size) -> Tensor:
    """The pixels at whole-numbered rows and columns, zero outside: (B, C, H·W) → (B, C, H', W')."""
    height, width = size
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)  # False for NaN
    index = torch.where(inside, row, 0).long() * width + torch.where(inside, column, 0).long()  # (B, H', W')
    index = index.flatten(1)[:, None].expand(-1, flat.shape[1], -1)
    return flat.gather(2, index).unflatten(2, tuple(out)).where(inside[:, None], flat.new_zeros(()))
