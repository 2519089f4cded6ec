"""Samplers against `F.grid_sample`, and equation 3 against loops over single numbers."""

import math
from functools import partial

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from strategies import (
    TOLERANCE,
    batches,
    channels,
    dtypes,
    few,
    lay_out,
    layouts,
    off_lattice_grid,
    paddings,
    seeds,
    sizes,
    uniform,
)
from torch._subclasses import FakeTensorMode

from stn_course.sampling import (
    PADDING_MODES,
    bilinear_kernel,
    bilinear_sample,
    check_sampling,
    integer_kernel,
    kernel_sample,
    nearest_sample,
    to_normalised,
    to_pixels,
)

SAMPLERS = [bilinear_sample, nearest_sample, partial(kernel_sample, kernel=bilinear_kernel)]
samplers = pytest.mark.parametrize("sampler", SAMPLERS, ids=["bilinear", "nearest", "kernel"])
padding_modes = pytest.mark.parametrize("padding_mode", PADDING_MODES)
corners = pytest.mark.parametrize("align_corners", [False, True])
dtype_of_coordinates = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def assert_close(actual, expected):
    assert actual.dtype == expected.dtype
    tolerance = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def pytorch_sample(images, grid, padding_mode="zeros", align_corners=False, mode="bilinear"):
    return F.grid_sample(images.contiguous(), grid.contiguous(), mode, padding_mode, align_corners)


def looped_sample(images, grid, kernel, align_corners):
    """Equation 3, one multiplication at a time; `kernel` takes a number."""
    B, C, height, width = images.shape
    out_height, out_width = grid.shape[1:3]
    pixels, points = images.tolist(), grid.tolist()
    result = torch.zeros(B, C, out_height, out_width, dtype=images.dtype)
    for b in range(B):
        for i in range(out_height):
            for j in range(out_width):
                x, y = points[b][i][j]
                if align_corners:
                    x, y = (x + 1) / 2 * (width - 1), (y + 1) / 2 * (height - 1)
                else:
                    x, y = (x + 1) / 2 * width - 0.5, (y + 1) / 2 * height - 0.5
                for c in range(C):
                    result[b, c, i, j] = sum(
                        pixels[b][c][n][m] * kernel(x - m) * kernel(y - n) for n in range(height) for m in range(width)
                    )
    return result


# Coordinates


def test_to_pixels_by_hand():
    points = torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0], [0.5, -0.5]])
    assert to_pixels(points, (2, 4)).tolist() == [[-0.5, -0.5], [1.5, 0.5], [3.5, 1.5], [2.5, 0.0]]
    assert to_pixels(points, (3, 5), align_corners=True).tolist() == [[0, 0], [2, 1], [4, 2], [3, 0.5]]


@few
@given(sizes, st.booleans(), dtypes, seeds)
def test_to_pixels_undoes_normalising(size, align_corners, dtype, seed):
    height, width = size
    extent = torch.tensor([width, height], dtype=dtype)
    pixels = uniform(seed, 5, 3, 2, low=-1, high=2, dtype=dtype) * extent
    if align_corners:
        pixels = torch.where(extent == 1, 0, pixels)  # a single pixel is everywhere
    back = to_pixels(to_normalised(pixels, size, align_corners), size, align_corners)
    torch.testing.assert_close(back, pixels, rtol=0, atol=64 * 4 * torch.finfo(dtype).eps)


@few
@given(sizes, st.booleans(), seeds)
def test_pixel_centres_are_whole_numbers(size, align_corners, seed):
    height, width = size
    row, column = seed % height, seed % width
    centre = to_normalised(torch.tensor([column, row], dtype=torch.float64), size, align_corners)
    torch.testing.assert_close(to_pixels(centre, size, align_corners), centre.new_tensor([column, row]))


# Bilinear


@few
@given(sizes, sizes, batches, channels, paddings, st.booleans(), dtypes, layouts, layouts, seeds)
@example((1, 1), (1, 1), 1, 1, "zeros", True, torch.float32, "contiguous", "contiguous", 0)
@example((1, 1), (3, 2), 1, 1, "reflection", True, torch.float64, "contiguous", "contiguous", 0)
@example((1, 7), (3, 2), 2, 2, "reflection", False, torch.float32, "strided", "transposed", 0)
@example((64, 48), (64, 48), 5, 3, "zeros", False, torch.float32, "channels_last", "contiguous", 0)
@example((64, 48), (48, 64), 5, 3, "reflection", True, torch.float64, "contiguous", "strided", 0)
def test_bilinear_equals_grid_sample(
    size, out, batch, depth, padding_mode, align_corners, dtype, image_layout, grid_layout, seed
):
    images = lay_out(uniform(seed, batch, depth, *size, dtype=dtype), image_layout)
    reach = 3 if dtype == torch.float32 else 100
    grid = uniform(seed + 1, batch, *out, 2, low=-1.2, high=1.2, dtype=dtype)
    grid[:, ::2] *= reach / 1.2
    grid = lay_out(grid, grid_layout)
    sampled = bilinear_sample(images, grid, padding_mode, align_corners)
    assert sampled.shape == (batch, depth, *out)
    assert_close(sampled, pytorch_sample(images, grid, padding_mode, align_corners))


@few
@given(sizes, paddings, st.booleans(), layouts, layouts, seeds)
@example((1, 1), "zeros", True, "contiguous", "contiguous", 0)
@example((1, 6), "reflection", False, "strided", "strided", 0)
def test_bilinear_gradients_equal_those_of_grid_sample(
    size, padding_mode, align_corners, image_layout, grid_layout, seed
):
    images = uniform(seed, 2, 2, *size).requires_grad_()
    grid = off_lattice_grid(seed, 2, (5, 6), size, align_corners).requires_grad_()
    incoming = uniform(seed + 2, 2, 2, 5, 6, low=-1)
    arguments = lay_out(images, image_layout), lay_out(grid, grid_layout), padding_mode, align_corners
    ours = torch.autograd.grad(bilinear_sample(*arguments), (images, grid), incoming)
    theirs = torch.autograd.grad(pytorch_sample(*arguments), (images, grid), incoming)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-10)


@padding_modes
@corners
@pytest.mark.parametrize("size", [(4, 5), (1, 3), (1, 1)])
def test_bilinear_gradcheck(padding_mode, align_corners, size):
    images = uniform(7, 2, 2, *size).requires_grad_()
    grid = off_lattice_grid(8, 2, (3, 4), size, align_corners).requires_grad_()
    assert torch.autograd.gradcheck(
        partial(bilinear_sample, padding_mode=padding_mode, align_corners=align_corners), (images, grid)
    )


def test_bilinear_by_hand():
    image = torch.tensor([[[[0.0, 1, 2], [10, 11, 12]]]])  # 2 × 3
    pixels = torch.tensor([[[[0.5, 0.0], [2.0, 0.5], [1.25, 0.25], [2.5, 0.0], [-0.25, 1.0]]]])
    grid = to_normalised(pixels, (2, 3), False)
    expected = torch.tensor([[[[0.5, 7.0, 3.75, 1.0, 7.5]]]])  # the last two look half and a quarter outside
    torch.testing.assert_close(bilinear_sample(image, grid), expected)
    expected[..., 3:] = torch.tensor([2.0, 10.0])
    torch.testing.assert_close(bilinear_sample(image, grid, "border"), expected)
    torch.testing.assert_close(bilinear_sample(image, grid, "reflection"), expected)
    aligned = to_normalised(pixels, (2, 3), True)
    expected[..., 3:] = torch.tensor([1.5, 10.25])  # reflected about the pixel centres
    torch.testing.assert_close(bilinear_sample(image, aligned, "reflection", align_corners=True), expected)


@padding_modes
def test_sampling_at_the_pixel_centres_gives_the_image(padding_mode):
    images = uniform(9, 2, 3, 8, 16)  # powers of two: the normalised centres are exact
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(16.0), indexing="ij")
    grid = to_normalised(torch.stack((columns, rows), -1).double(), (8, 16), False).expand(2, -1, -1, -1)
    assert torch.equal(bilinear_sample(images, grid, padding_mode), images)
    assert torch.equal(nearest_sample(images, grid, padding_mode), images)


def test_samplers_default_to_zeros_and_unaligned_corners():
    images, grid = uniform(10, 1, 1, 4, 5), uniform(11, 1, 6, 6, 2, low=-2, high=2)
    for sampler in (bilinear_sample, nearest_sample):
        assert torch.equal(sampler(images, grid), sampler(images, grid, "zeros", False))
    assert torch.equal(
        kernel_sample(images, grid, bilinear_kernel), kernel_sample(images, grid, bilinear_kernel, False)
    )


# Nearest


@few
@given(sizes, sizes, batches, channels, paddings, st.booleans(), dtypes, layouts, layouts, seeds)
@example((1, 1), (2, 2), 1, 1, "zeros", True, torch.float32, "contiguous", "contiguous", 0)
@example((64, 48), (64, 48), 5, 3, "reflection", False, torch.float32, "channels_last", "strided", 0)
def test_nearest_equals_grid_sample_off_ties(
    size, out, batch, depth, padding_mode, align_corners, dtype, image_layout, grid_layout, seed
):
    images = lay_out(uniform(seed, batch, depth, *size, dtype=dtype), image_layout)
    grid = lay_out(off_lattice_grid(seed, batch, out, size, align_corners).to(dtype), grid_layout)
    sampled = nearest_sample(images, grid, padding_mode, align_corners)
    assert sampled.shape == (batch, depth, *out)
    assert torch.equal(sampled, pytorch_sample(images, grid, padding_mode, align_corners, "nearest"))


@padding_modes
@pytest.mark.parametrize("axis", ["x", "y"])
def test_half_way_the_larger_index_is_nearest(padding_mode, axis):
    n = 8  # a power of two: the normalised ties are exact
    line = torch.arange(1.0, n + 1)
    images = line.expand(1, 1, n, n) if axis == "x" else line[:, None].expand(1, 1, n, n)
    ties = torch.arange(-1.0, n) + 0.5  # −0.5, 0.5, …, n − 0.5
    pixels = torch.stack((ties, torch.full_like(ties, 3)), dim=-1)
    grid = to_normalised(pixels if axis == "x" else pixels.flip(-1), (n, n), False)[None, None]
    expected = torch.cat((line, torch.tensor([0.0 if padding_mode == "zeros" else n])))
    assert torch.equal(nearest_sample(images, grid, padding_mode)[0, 0, 0], expected)
    assert torch.equal(kernel_sample(images, grid, integer_kernel)[0, 0, 0], torch.cat((line, torch.zeros(1))))


@few
@given(sizes, paddings, st.booleans(), seeds)
def test_nearest_gradients(size, padding_mode, align_corners, seed):
    images = uniform(seed, 2, 2, *size).requires_grad_()
    grid = off_lattice_grid(seed, 2, (5, 6), size, align_corners).requires_grad_()
    incoming = uniform(seed + 2, 2, 2, 5, 6, low=-1)
    ours = torch.autograd.grad(nearest_sample(images, grid, padding_mode, align_corners), (images, grid), incoming)
    theirs = torch.autograd.grad(
        pytorch_sample(images, grid, padding_mode, align_corners, "nearest"), (images, grid), incoming
    )
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-10)
    assert torch.equal(ours[1], torch.zeros_like(grid))  # zero, not None: the derivative that exists


# Any kernel


KERNELS = {
    "bilinear": (bilinear_kernel, lambda d: max(0.0, 1 - abs(d))),
    "integer": (integer_kernel, lambda d: float(math.floor(d + 0.5) == 0)),
    "gaussian": (lambda d: torch.exp(-(d**2)), lambda d: math.exp(-(d**2))),
    "one-sided": (lambda d: ((d >= 0) & (d < 2)).to(d.dtype) * d, lambda d: d if 0 <= d < 2 else 0.0),
}


@pytest.mark.parametrize("kernel", KERNELS)
@few
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
    st.sampled_from([0, 1, 2]),
    channels,
    st.booleans(),
    dtypes,
    layouts,
    seeds,
)
def test_kernel_sample_equals_loops(kernel, size, out, batch, depth, align_corners, dtype, layout, seed):
    in_torch, in_python = KERNELS[kernel]
    images = lay_out(uniform(seed, batch, depth, *size, dtype=dtype), layout)
    grid = lay_out(off_lattice_grid(seed, batch, out, size, align_corners).to(dtype), layout)
    assert_close(
        kernel_sample(images, grid, in_torch, align_corners), looped_sample(images, grid, in_python, align_corners)
    )


@few
@given(sizes, batches, channels, st.booleans(), dtypes, layouts, seeds)
@example((1, 1), 1, 1, True, torch.float32, "contiguous", 0)
@example((64, 48), 2, 3, False, torch.float32, "strided", 0)
def test_the_bilinear_kernel_is_bilinear_sampling(size, batch, depth, align_corners, dtype, layout, seed):
    images = lay_out(uniform(seed, batch, depth, *size, dtype=dtype), layout)
    grid = lay_out(uniform(seed + 1, batch, 7, 9, 2, low=-3, high=3, dtype=dtype), layout)
    assert_close(
        kernel_sample(images, grid, bilinear_kernel, align_corners),
        bilinear_sample(images, grid, align_corners=align_corners),
    )


@few
@given(sizes, st.booleans(), seeds)
def test_the_integer_kernel_is_nearest_sampling(size, align_corners, seed):
    images = uniform(seed, 2, 2, *size)
    grid = off_lattice_grid(seed, 2, (4, 5), size, align_corners)
    assert_close(
        kernel_sample(images, grid, integer_kernel, align_corners),
        nearest_sample(images, grid, align_corners=align_corners),
    )


@corners
def test_kernel_sample_gradcheck(align_corners):
    images = uniform(12, 2, 2, 4, 5).requires_grad_()
    grid = off_lattice_grid(13, 2, (2, 3), (4, 5), align_corners).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda images, grid: kernel_sample(images, grid, bilinear_kernel, align_corners), (images, grid)
    )


def test_kernels_by_hand():
    distance = torch.tensor([-1.5, -1.0, -0.75, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0])
    assert bilinear_kernel(distance).tolist() == [0, 0, 0.25, 0.5, 1, 0.75, 0.5, 0, 0]
    assert integer_kernel(distance).tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert integer_kernel(distance.double()).dtype == torch.float64


# Numbers that are no coordinates, and pixels that are no numbers


@padding_modes
@corners
@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])
@pytest.mark.parametrize("entry", [0, 1])
@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_nan_coordinates_give_nan(sampler, padding_mode, align_corners, entry, size):
    images = uniform(14, 1, 2, *size)
    grid = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    grid[0, 1, 0, entry] = torch.nan
    grid.requires_grad_()
    sampled = sampler(images, grid, padding_mode, align_corners)
    assert sampled[0, :, 1, 0].isnan().all()
    assert sampled.isnan().sum() == 2
    sampled.sum().backward()  # no crash


def test_nan_coordinates_give_nan_in_equation_3():
    grid = torch.tensor([[[[torch.nan, 0.0], [0.0, 0.0]]]])
    sampled = kernel_sample(torch.rand(1, 1, 3, 4), grid, bilinear_kernel)
    assert sampled.isnan().flatten().tolist() == [True, False]


@corners
@samplers
@pytest.mark.parametrize("far", [math.inf, -math.inf, 3e38, -3e38, 1e30, 1e10, -1e5, 70.0])
def test_far_outside_there_are_zeros(sampler, align_corners, far):
    images = torch.ones(1, 2, 3, 4)
    grid = torch.tensor([[[[far, 0.0], [0.0, far], [far, far], [far, -far]]]], requires_grad=True)
    sampled = sampler(images, grid, align_corners=align_corners)
    assert torch.equal(sampled, torch.zeros(1, 2, 1, 4))
    (gradient,) = torch.autograd.grad(sampled.sum(), grid)
    assert torch.equal(gradient, torch.zeros_like(grid))


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_exactly_on_the_first_and_the_last_pixel_the_slope_is_pytorchs(padding_mode):
    """PyTorch's versions differ in the gradient of `clamp` at its limits; the sampler must not."""
    images = torch.tensor([[[[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [7.0, 6.0, 8.0]]]], dtype=torch.float64)
    places = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64)  # pixels −1 to 3
    slopes = []
    for sampler in (bilinear_sample, lambda *given: F.grid_sample(*given[:2], "bilinear", *given[2:])):
        grid = torch.cartesian_prod(places, places)[None, None].requires_grad_()
        sampler(images, grid, padding_mode, True).sum().backward()
        slopes.append(grid.grad)
    torch.testing.assert_close(*slopes)


@corners
@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])
@pytest.mark.parametrize("far", [math.inf, 3e38, 1e10])
def test_far_outside_there_is_the_border(sampler, align_corners, far):
    images = torch.arange(12.0).reshape(1, 1, 3, 4)
    grid = torch.tensor([[[[-far, -far], [far, -far], [-far, far], [far, far]]]])
    assert sampler(images, grid, "border", align_corners).flatten().tolist() == [0, 3, 8, 11]


@corners
@dtype_of_coordinates
@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])
@pytest.mark.parametrize("far", [math.inf, -math.inf, 3e38, -3e38, 1e38, 1e30])
@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_reflected_from_however_far_there_is_the_image(sampler, align_corners, dtype, far, size):
    images = (5 + uniform(14, 1, 2, *size, dtype=dtype)).requires_grad_()
    grid = torch.tensor([[[[far, 0.0], [0.0, far], [far, -far]]]], dtype=dtype, requires_grad=True)
    sampled = sampler(images, grid, "reflection", align_corners)
    assert ((sampled >= images.min()) & (sampled <= images.max())).all()
    for gradient in torch.autograd.grad(sampled.sum(), (images, grid)):
        assert gradient.isfinite().all()


# Precision and devices


@samplers
@dtype_of_coordinates
@pytest.mark.parametrize("images_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_of_any_precision_are_sampled_in_the_higher_one(sampler, images_dtype, dtype):
    images = uniform(15, 2, 3, 224, 8).to(images_dtype)
    grid = off_lattice_grid(16, 2, (5, 6), (224, 8), False).to(dtype)
    sampled = sampler(images, grid)
    assert sampled.dtype == images_dtype
    exact = sampler(images.double(), grid.double())
    higher = torch.promote_types(images_dtype, dtype)  # the last of 224 pixels is hundreds of its rounding errors off
    tolerance = torch.finfo(images_dtype).eps + 500 * torch.finfo(higher).eps
    torch.testing.assert_close(sampled.double(), exact, rtol=0, atol=tolerance)


@samplers
def test_samplers_under_autocast(sampler):
    images, grid = uniform(15, 2, 3, 9, 8, dtype=torch.float32), uniform(16, 2, 5, 6, 2, low=-1, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        sampled = sampler(images, grid)
    assert sampled.dtype == torch.float32
    assert torch.equal(sampled, sampler(images, grid))


@samplers
def test_samplers_say_the_shape_where_nothing_is_computed(sampler):
    images, grid = torch.rand(2, 3, 4, 5), torch.rand(2, 6, 7, 2)
    on_meta = sampler(images.to("meta"), grid.to("meta"))
    assert on_meta.shape == (2, 3, 6, 7)
    assert on_meta.is_meta
    with FakeTensorMode() as mode:
        fake = sampler(mode.from_tensor(images), mode.from_tensor(grid))
    assert fake.shape == (2, 3, 6, 7)
    assert fake.device.type == "cpu"


@samplers
def test_samplers_know_second_derivatives_and_forward_mode(sampler):
    images = uniform(7, 1, 2, 4, 5).requires_grad_()
    grid = off_lattice_grid(8, 1, (2, 3), (4, 5), False).requires_grad_()
    assert torch.autograd.gradcheck(sampler, (images, grid), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(sampler, (images, grid))


@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])  # equation 3 itself looks at all pixels
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_pixels_that_are_not_looked_at_do_not_matter(sampler, value):
    images = torch.ones(1, 1, 3, 4)
    images[0, 0, 0, 0] = value
    grid = torch.tensor([[[[2.0, 2.0], [0.4, 0.9], [-2.0, 0.0]]]])  # outside, astride the lower edge, outside
    assert torch.equal(sampler(images, grid), sampler(torch.ones(1, 1, 3, 4), grid))


@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])
def test_an_image_of_more_pixels_than_float32_can_count(sampler):
    height = width = 4200  # 2²⁴ is 4096²
    images = torch.zeros(1, 1, height, width)
    images[0, 0, -1, -9] = 1  # its index in the flattened image is odd
    grid = to_normalised(
        torch.tensor([[[[width - 9, height - 1]]]], dtype=torch.float64), (height, width), False
    ).float()
    torch.testing.assert_close(
        sampler(images, grid), F.grid_sample(images, grid, align_corners=False), rtol=0, atol=1e-2
    )


# Shapes, layouts and bad input


@samplers
def test_empty_batches_channels_and_targets(sampler):
    assert sampler(torch.rand(0, 2, 3, 4), torch.rand(0, 5, 6, 2)).shape == (0, 2, 5, 6)
    assert sampler(torch.rand(2, 0, 3, 4), torch.rand(2, 5, 6, 2)).shape == (2, 0, 5, 6)
    assert sampler(torch.rand(2, 1, 3, 4), torch.rand(2, 0, 6, 2)).shape == (2, 1, 0, 6)


@samplers
def test_no_value_is_looked_at(sampler):
    sampled = sampler(torch.zeros(2, 1, 3, 4, device="meta"), torch.zeros(2, 5, 6, 2, device="meta"))
    assert sampled.shape == (2, 1, 5, 6)  # a tensor without values has none to wait for


@samplers
def test_inputs_are_left_as_they_were(sampler):
    images, grid = torch.rand(2, 1, 3, 4), 4 * torch.rand(2, 5, 6, 2) - 2
    before = images.clone(), grid.clone()
    sampler(images, grid)
    assert torch.equal(images, before[0])
    assert torch.equal(grid, before[1])


IMAGES, GRID = torch.zeros(2, 1, 3, 4), torch.zeros(2, 5, 6, 2)
BAD_INPUT = {
    "integer images": (
        (torch.zeros(2, 1, 3, 4, dtype=torch.uint8), GRID),
        TypeError,
        r"expected images as a floating-point tensor, got a tensor of shape \(2, 1, 3, 4\), uint8, on cpu",
    ),
    "boolean images": ((IMAGES.bool(), GRID), TypeError, "expected images as a floating-point tensor.*bool"),
    "images as a list": (([[[[0.0]]]], GRID), TypeError, "expected images as a floating-point tensor, got a list"),
    "grid as None": ((IMAGES, None), TypeError, "expected grid as a floating-point tensor, got a NoneType"),
    "integer grid": ((IMAGES, GRID.long()), TypeError, "expected grid as a floating-point tensor.*int64"),
    "one image": (
        (IMAGES[0], GRID),
        ValueError,
        r"expected images of shape \(B, C, H, W\).* got a tensor of shape \(1, 3, 4\)",
    ),
    "no pixels": ((IMAGES[:, :, :0], GRID), ValueError, r"H and W at least 1, got a tensor of shape \(2, 1, 0, 4\)"),
    "three coordinates": (
        (IMAGES, torch.zeros(2, 5, 6, 3)),
        ValueError,
        r"expected a grid of shape \(B, H', W', 2\), last axis \(x, y\), got a tensor of shape \(2, 5, 6, 3\)",
    ),
    "coordinates first": (
        (IMAGES, torch.zeros(2, 2, 5, 6)),
        ValueError,
        r"last axis \(x, y\), got a tensor of shape \(2, 2, 5, 6\)",
    ),
    "one grid": ((IMAGES, GRID[0]), ValueError, r"expected a grid of shape .* got a tensor of shape \(5, 6, 2\)"),
    "another batch": (
        (IMAGES, torch.zeros(3, 5, 6, 2)),
        ValueError,
        r"expected as many images as grids, got a tensor of shape \(2, .* and a tensor of shape \(3, ",
    ),
    "one grid for all": ((IMAGES, GRID[:1]), ValueError, "expected as many images as grids"),
    "float16 grid": ((IMAGES, GRID.half()), TypeError, "expected a grid in float32 or float64, got .*float16"),
    "bfloat16 grid": (
        (IMAGES.bfloat16(), GRID.bfloat16()),
        TypeError,
        "expected a grid in float32 or float64, got .*bfloat16",
    ),
    "grid elsewhere": (
        (IMAGES, GRID.to("meta")),
        ValueError,
        "expected images and grid on one device, got .* on cpu and .* on meta",
    ),
    "images elsewhere": (
        (IMAGES.to("meta"), GRID),
        ValueError,
        "expected images and grid on one device, got .* on meta and .* on cpu",
    ),
}


@samplers
@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(sampler, case):
    arguments, error, message = BAD_INPUT[case]
    with pytest.raises(error, match=message):
        sampler(*arguments)
    with pytest.raises(error, match=message):
        check_sampling(*arguments, "zeros")


@pytest.mark.parametrize("sampler", [bilinear_sample, nearest_sample])
@pytest.mark.parametrize("padding_mode", ["mirror", "", "Zeros", None, 0])
def test_an_unknown_padding_mode(sampler, padding_mode):
    with pytest.raises(ValueError, match="expected padding_mode as one of zeros, border, reflection, got ") as error:
        sampler(IMAGES, GRID, padding_mode)
    assert str(error.value).endswith(repr(padding_mode))
