"""`warp` against PyTorch's grid and sampler; the layer, its head and its gradients."""

import copy
import pickle
import warnings
from functools import partial

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from strategies import TOLERANCE, channels, dtypes, few, lay_out, layouts, paddings, seeds, sizes, uniform
from torch import nn
from torch._subclasses import FakeTensorMode

from stn_course.sampling import PADDING_MODES, bilinear_kernel, bilinear_sample, kernel_sample, nearest_sample
from stn_course.spatial_transformer import SpatialTransformer, grid_sample, theta_head, warp
from stn_course.transforms import FAMILIES, Affine, Attention, Projective

families = pytest.mark.parametrize("transform", FAMILIES, ids=repr)
padding_modes = pytest.mark.parametrize("padding_mode", PADDING_MODES)
corners = pytest.mark.parametrize("align_corners", [False, True])
samplers = pytest.mark.parametrize(
    "sampler",
    [
        grid_sample,
        bilinear_sample,
        nearest_sample,
        lambda images, grid, padding_mode, align_corners: kernel_sample(images, grid, bilinear_kernel, align_corners),
    ],
    ids=["pytorch", "bilinear", "nearest", "kernel"],
)


def pytorch_warp(images, theta, size, padding_mode="zeros", align_corners=False):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Since version 1.3.0, affine_grid behavior has changed for unit-size grids")
        grid = F.affine_grid(theta.reshape(-1, 2, 3), [*images.shape[:2], *size], align_corners)
    return F.grid_sample(images, grid, "bilinear", padding_mode, align_corners)


def near_identity(seed, batch, transform, spread=0.2, dtype=torch.float64):
    noise = uniform(seed, batch, transform.n_params, low=-spread, high=spread)
    return (transform.identity() + noise).to(dtype)


def transformer(transform=Affine(), size=(6, 7), seed=0, **settings):
    """A small layer whose localisation net has random weights, also in its head."""
    torch.manual_seed(seed)
    localisation = nn.Sequential(nn.Flatten(), nn.Linear(2 * size[0] * size[1], 8), nn.Tanh(), theta_head(8, transform))
    nn.init.normal_(localisation[-1].weight, std=0.1)
    return SpatialTransformer(localisation, transform, **settings)


# warp against PyTorch


@few
@given(sizes, sizes, st.sampled_from([1, 2, 5]), channels, paddings, st.booleans(), dtypes, layouts, seeds)
def test_warp_equals_affine_grid_and_grid_sample(
    size, out, batch, depth, padding_mode, align_corners, dtype, layout, seed
):
    images = lay_out(uniform(seed, batch, depth, *size, dtype=dtype), layout)
    theta = uniform(seed, batch, 6, low=-1, dtype=dtype)
    warped = warp(images, theta, output_size=out, padding_mode=padding_mode, align_corners=align_corners)
    assert warped.shape == (batch, depth, *out)
    assert warped.dtype == dtype
    # two right grids may differ in their last bit, which float32 turns into 1e-5 of a pixel for each of 32 pixels
    tolerance = 5 * TOLERANCE[dtype]
    expected = pytorch_warp(images, theta, out, padding_mode, align_corners)
    torch.testing.assert_close(warped, expected, rtol=tolerance, atol=tolerance)


@few
@given(sizes, sizes, st.sampled_from([0, 1, 3]), channels, paddings, st.booleans(), seeds)
def test_the_sampler_from_scratch_slots_in_unchanged(size, out, batch, depth, padding_mode, align_corners, seed):
    images = uniform(seed, batch, depth, *size)
    for transform in FAMILIES:
        theta = near_identity(seed, batch, transform, spread=0.4)
        settings = {"output_size": out, "padding_mode": padding_mode, "align_corners": align_corners}
        torch.testing.assert_close(
            warp(images, theta, transform, sampler=bilinear_sample, **settings),
            warp(images, theta, transform, **settings),
            rtol=1e-10,
            atol=1e-10,
        )


def test_warp_defaults():
    images, theta = uniform(1, 2, 3, 5, 6), near_identity(2, 2, Affine(), spread=0.5)
    expected = pytorch_warp(images, theta, (5, 6), "zeros", False)
    torch.testing.assert_close(warp(images, theta), expected, rtol=1e-10, atol=1e-10)
    grid = Affine().grid(theta, (5, 6))
    assert torch.equal(grid_sample(images, grid, "zeros", False), warp(images, theta))


@corners
@padding_modes
def test_grid_and_sampler_are_told_the_same(padding_mode, align_corners):
    images, theta = uniform(1, 2, 3, 5, 6), near_identity(2, 2, Attention())

    def sampler(images, grid, padding_mode, align_corners):
        heard.update(grid=grid, padding_mode=padding_mode, align_corners=align_corners)
        return images

    heard = {}
    warp(images, theta, Attention(), (3, 4), padding_mode, align_corners, sampler)
    assert torch.equal(heard.pop("grid"), Attention().grid(theta, (3, 4), align_corners))
    assert heard == {"padding_mode": padding_mode, "align_corners": align_corners}


@families
@pytest.mark.parametrize("out", [None, (1, 1), (3, 9), torch.Size([8, 2]), [4, 5]])
def test_output_size(transform, out):
    images = torch.rand(2, 3, 5, 6)
    theta = transform.identity().expand(2, -1)
    assert warp(images, theta, transform, out).shape == (2, 3, *(out or (5, 6)))


@families
def test_all_channels_are_warped_alike(transform):
    images = uniform(3, 2, 4, 6, 7)
    theta = near_identity(4, 2, transform)
    alone = torch.cat([warp(images[:, c : c + 1], theta, transform) for c in range(4)], dim=1)
    torch.testing.assert_close(warp(images, theta, transform), alone, rtol=1e-12, atol=1e-12)


@families
def test_each_image_has_its_own_theta(transform):
    images = uniform(3, 3, 2, 6, 7)
    theta = near_identity(4, 3, transform)
    alone = torch.cat([warp(images[b : b + 1], theta[b : b + 1], transform) for b in range(3)])
    torch.testing.assert_close(warp(images, theta, transform), alone, rtol=1e-12, atol=1e-12)


@families
def test_warping_nothing(transform):
    theta = torch.zeros(0, transform.n_params)
    assert warp(torch.rand(0, 3, 5, 6), theta, transform, (2, 3)).shape == (0, 3, 2, 3)


@families
@corners
@pytest.mark.parametrize("size", [(42, 42), (28, 28), (5, 9), (1, 4), (1, 1), (64, 48)])
def test_the_identity_passes_images_through(transform, align_corners, size):
    images = torch.rand(2, 3, *size)
    warped = warp(images, transform.identity().expand(2, -1), transform, align_corners=align_corners)
    torch.testing.assert_close(warped, images, rtol=0, atol=1e-5)


# Direction: θ says where each *output* pixel looks


def test_looking_to_the_right_moves_the_picture_left():
    images = uniform(5, 1, 1, 4, 8)
    shift = torch.tensor([[1.0, 0, 2 * 3 / 8, 0, 1, 0]], dtype=torch.float64)  # three pixels of eight
    torch.testing.assert_close(warp(images, shift), F.pad(images[..., 3:], (0, 3)))


def test_looking_down_moves_the_picture_up():
    images = uniform(5, 1, 1, 4, 8)
    shift = torch.tensor([[1.0, 0, 0, 0, 1, 2 * 1 / 4]], dtype=torch.float64)  # one pixel of four
    torch.testing.assert_close(warp(images, shift), F.pad(images[..., 1:, :], (0, 0, 0, 1)))


@pytest.mark.parametrize("transform", [Affine(), Attention()])
def test_a_small_scale_zooms_in(transform):
    images = torch.zeros(1, 1, 16, 16)
    images[..., 6:10, 6:10] = 1
    theta = (transform.identity() * torch.tensor([0.5, 1, 1, 1, 0.5, 1][: transform.n_params]))[None]
    zoomed = warp(images, theta, transform)
    assert (zoomed[..., 5:11, 5:11] == 1).all()
    torch.testing.assert_close(zoomed.sum(), 4 * images.sum())


def test_attention_cuts_out_a_crop():
    images = uniform(6, 1, 1, 8, 8)
    theta = torch.tensor([[0.5, 0.5, -0.5]], dtype=torch.float64)  # the upper right quarter
    torch.testing.assert_close(warp(images, theta, Attention(), (4, 4)), images[..., :4, 4:])


def test_turning_and_flipping():
    images = uniform(7, 1, 2, 6, 6)

    def turned(a, b, c, d):
        return warp(images, torch.tensor([[a, b, 0, c, d, 0]], dtype=torch.float64))

    torch.testing.assert_close(turned(-1, 0, 0, 1), images.flip(3))
    torch.testing.assert_close(turned(1, 0, 0, -1), images.flip(2))
    torch.testing.assert_close(turned(0, 1, 1, 0), images.mT)
    # x_s = −y_t, y_s = x_t: the upper edge (y_t = −1) looks at the right edge, so the picture turns counter-clockwise
    torch.testing.assert_close(turned(0, -1, 1, 0), torch.rot90(images, 1, (2, 3)))


def test_x_and_y_on_an_image_that_is_not_square():
    images = uniform(8, 1, 1, 3, 8)
    transpose = torch.tensor([[0.0, 1, 0, 1, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(warp(images, transpose, output_size=(8, 3)), images.mT)


def test_perspective_enlarges_what_is_near():
    # w = 1 + x_t/2 grows to the right: there the grid is drawn to the middle, and the picture is enlarged
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, 0.5, 0]], dtype=torch.float64)
    rows = torch.linspace(-1, 1, 65, dtype=torch.float64).expand(65, -1).T[None, None].contiguous()
    looked_at = warp(rows, theta, Projective(), align_corners=True)[0, 0]  # y_s at each target pixel
    torch.testing.assert_close(looked_at[-1, 64], looked_at.new_tensor(1 / 1.5))
    torch.testing.assert_close(looked_at[-1, 32], looked_at.new_tensor(1.0))
    torch.testing.assert_close(looked_at[48, 16], looked_at.new_tensor(0.5 / 0.75))


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_of_lower_precision_are_sampled_in_thetas(dtype):
    images = torch.rand(2, 3, 9, 8).to(dtype)
    theta = near_identity(9, 2, Affine(), dtype=torch.float32)
    warped = warp(images, theta)
    assert warped.dtype == dtype
    assert torch.equal(warped, warp(images.float(), theta).to(dtype))
    exact = warp(images, theta.double())
    assert exact.dtype == dtype
    assert torch.equal(exact, warp(images.double(), theta.double()).to(dtype))


@families
@samplers
def test_images_and_theta_of_different_precision(transform, sampler):
    images, theta = uniform(9, 2, 3, 9, 8), near_identity(9, 2, transform)
    for images_dtype, theta_dtype in ((torch.float32, torch.float64), (torch.float64, torch.float32)):
        mixed = warp(images.to(images_dtype), theta.to(theta_dtype), transform, sampler=sampler)
        assert mixed.dtype == images_dtype
        # the coordinates have θ's precision and no more; what is sampled there is computed in float64 either way
        grid = transform.grid(theta.to(theta_dtype), (9, 8)).double()
        exact = sampler(images.to(images_dtype).double(), grid, padding_mode="zeros", align_corners=False)
        assert torch.equal(mixed, exact.to(images_dtype))


@families
@samplers
def test_warp_says_the_shape_where_nothing_is_computed(transform, sampler):
    images, theta = torch.rand(2, 3, 5, 6), near_identity(10, 2, transform, dtype=torch.float32)
    assert warp(images.to("meta"), theta.to("meta"), transform, (3, 4), sampler=sampler).shape == (2, 3, 3, 4)
    with FakeTensorMode() as mode:
        fake = warp(mode.from_tensor(images), mode.from_tensor(theta), transform, (3, 4), sampler=sampler)
    assert fake.shape == (2, 3, 3, 4)
    assert torch.equal(warp(images, theta, transform), warp(images, theta.clone(), transform))  # nothing fake is left


@families
@samplers
def test_warp_is_the_same_under_autocast(transform, sampler):
    images = torch.rand(2, 3, 42, 42)
    theta = near_identity(10, 2, transform, dtype=torch.float32)
    expected = warp(images, theta, transform, sampler=sampler)
    with torch.autocast("cpu", torch.bfloat16):
        warped = warp(images, theta, transform, sampler=sampler)
    assert warped.dtype == torch.float32
    assert torch.equal(warped, expected)


@families
def test_theta_is_float32_under_autocast(transform):
    size = (6, 7)
    head = theta_head(2 * size[0] * size[1], transform)
    nn.init.normal_(head.weight, std=0.02)
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), head), transform)
    x = torch.rand(3, 2, *size)
    theta, expected = layer.theta(x), layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x.flatten(1) @ head.weight.T).dtype == torch.bfloat16  # what the head is spared
        theta_autocast, warped = layer.theta(x), layer(x)
        from_bfloat16 = head(x.flatten(1).bfloat16())
    assert theta_autocast.dtype == from_bfloat16.dtype == torch.float32
    assert torch.equal(theta_autocast, theta)
    assert torch.equal(from_bfloat16, head(x.flatten(1).bfloat16().float()))
    assert warped.dtype == torch.float32
    assert torch.equal(warped, expected)


# NaN and the horizon


@families
@padding_modes
@corners
@samplers
def test_nan_in_theta_reaches_the_output(transform, padding_mode, align_corners, sampler):
    images = torch.rand(3, 2, 5, 6, requires_grad=True)
    theta = transform.identity().repeat(3, 1)
    theta[1] = torch.nan
    theta.requires_grad_()
    warped = warp(images, theta, transform, None, padding_mode, align_corners, sampler)
    assert warped[1].isnan().all()
    assert warped[[0, 2]].isfinite().all()
    warped.sum().backward()  # PyTorch's own sampler would write outside the image here
    assert theta.grad[[0, 2]].isfinite().all()
    assert images.grad[[0, 2]].isfinite().all()


@families
@padding_modes
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, 3e38, 1e38])
@pytest.mark.parametrize("sampler", [grid_sample, bilinear_sample, nearest_sample])
def test_a_boundless_theta_does_no_harm(transform, padding_mode, value, sampler):
    images = torch.rand(3, 2, 16, 16, requires_grad=True)
    theta = transform.identity().repeat(3, 1)
    theta[1] = value
    theta[2, -1] = value
    theta.requires_grad_()
    warped = warp(images, theta, transform, None, padding_mode, sampler=sampler)
    assert torch.equal(warped[0], warp(images[:1], theta[:1], transform, None, padding_mode, sampler=sampler)[0])
    warped.sum().backward()
    assert (warped.isnan() | ((warped >= 0) & (warped <= 1 + 1e-5))).all()
    assert theta.grad[0].isfinite().all()


@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_sampler_is_pytorchs_for_ordinary_coordinates(padding_mode, dtype):
    images, grid = uniform(3, 2, 3, 6, 7, dtype=dtype), uniform(4, 2, 5, 6, 2, low=-9, high=9, dtype=dtype)
    images.requires_grad_()
    grid.requires_grad_()
    incoming = uniform(5, 2, 3, 5, 6, low=-1, dtype=dtype)
    ours = grid_sample(images, grid, padding_mode, False)
    theirs = F.grid_sample(images, grid, "bilinear", padding_mode, False)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(sampled, (images, grid), incoming) for sampled in (ours, theirs)]
    assert all(torch.equal(our, their) for our, their in zip(*gradients, strict=True))


@few
@given(sizes, paddings, st.booleans(), seeds)
def test_no_horizon_spoils_the_picture(size, padding_mode, align_corners, seed):
    theta = uniform(seed, 6, 8, low=-4, high=4, dtype=torch.float32)
    theta[:3] = theta[:3].round()  # whole numbers meet w = 0 exactly where the corners are aligned
    theta[0] = torch.tensor([1.0, 0, 0, 0, 1, 0, 1, 0])
    theta.requires_grad_()
    images = torch.rand(6, 2, *size)
    for sampler in (grid_sample, bilinear_sample):
        warped = warp(images, theta, Projective(), None, padding_mode, align_corners, sampler)
        assert warped.isfinite().all()
        assert warped.min() >= 0
        assert warped.max() <= 1 + 1e-5
        (gradient,) = torch.autograd.grad(warped.sum(), theta)
        assert gradient.isfinite().all()


def test_on_the_horizon_lies_nothing():
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, 1, 0]])  # w = 1 + x_t is 0 at the left edge
    warped = warp(torch.ones(1, 1, 3, 3), theta, Projective(), align_corners=True)
    assert warped[0, 0, :, 0].tolist() == [0, 0, 0]
    assert (warped[0, 0, :, 1:] == 1).all()


# Gradients


@families
@padding_modes
@pytest.mark.parametrize("sampler", [grid_sample, bilinear_sample])
def test_warp_gradcheck(transform, padding_mode, sampler):
    images = uniform(11, 2, 2, 5, 6).requires_grad_()
    theta = near_identity(12, 2, transform).requires_grad_()
    check = partial(warp, transform=transform, output_size=(3, 4), padding_mode=padding_mode, sampler=sampler)
    assert torch.autograd.gradcheck(check, (images, theta))


@families
def test_the_gradient_reaches_the_localisation_net(transform):
    layer = transformer(transform)
    layer(torch.rand(3, 2, 6, 7)).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_following_the_gradient_finds_the_shift():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 20), indexing="ij")

    def blob(c_x, c_y):
        return torch.exp(-((x - c_x) ** 2 + (y - c_y) ** 2) / 0.1)[None, None]

    shift = torch.zeros(1, 2)
    for _ in range(100):
        shift.requires_grad_()
        theta = torch.cat((torch.ones(1, 1), shift), dim=1)
        loss = (warp(blob(0.3, -0.2), theta, Attention(), align_corners=True) - blob(0, 0)).square().mean()
        shift = shift.detach() - 0.5 * torch.autograd.grad(loss, shift)[0]
    torch.testing.assert_close(shift[0], torch.tensor([0.3, -0.2]), rtol=0, atol=0.02)


# The head


@families
def test_the_head_starts_at_the_identity(transform):
    head = theta_head(20, transform)
    assert isinstance(head, nn.Linear)
    assert head.weight.shape == (transform.n_params, 20)
    assert torch.equal(head.weight, torch.zeros_like(head.weight))
    assert torch.equal(head.bias, transform.identity())
    assert torch.equal(head(torch.randn(3, 20)), transform.identity().expand(3, -1))


@families
def test_zero_weights_learn_all_the_same(transform):
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(2 * 6 * 7, transform)), transform)
    x = torch.rand(3, 2, 6, 7)
    layer(x).square().sum().backward()
    head = layer.localisation[-1]
    assert head.weight.requires_grad
    learns = (head.weight.grad.abs().amax(dim=1) > 0) & (head.bias.grad.abs() > 0)
    assert learns.all() if transform.invertible else learns.any()  # a centre, say, means nothing at the identity
    before = layer.theta(x)
    with torch.no_grad():
        head.weight -= 1e-3 * head.weight.grad
    assert not torch.equal(layer.theta(x), before)
    assert not torch.equal(layer.theta(x)[0], layer.theta(x)[1])


def test_the_head_in_float64():
    head = theta_head(4, Affine()).double()
    assert head(torch.rand(2, 4, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_of_half_precision_computes_theta_in_float32(dtype):
    layer, x = transformer(), torch.rand(3, 2, 6, 7).to(dtype)
    exact = copy.deepcopy(layer.to(dtype)).float()
    assert layer.theta(x).dtype == torch.float32
    assert layer(x).dtype == dtype
    torch.testing.assert_close(layer.theta(x), exact.theta(x.float()), rtol=0, atol=4 * torch.finfo(dtype).eps)
    torch.testing.assert_close(layer(x).float(), exact(x.float()), rtol=0, atol=16 * torch.finfo(dtype).eps)


# The layer


@families
@pytest.mark.parametrize("size", [(42, 42), (28, 28), (9, 14)])
def test_a_new_layer_changes_nothing(transform, size):
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(2 * size[0] * size[1], transform)), transform)
    x = torch.rand(3, 2, *size)
    torch.testing.assert_close(layer(x), x, rtol=0, atol=1e-5)
    layer, x = layer.double(), x.double()
    torch.testing.assert_close(layer(x), x, rtol=0, atol=1e-12)


@families
def test_theta_forward_and_warp_agree(transform):
    settings = {
        "output_size": (4, 5),
        "padding_mode": "reflection",
        "align_corners": True,
        "sampler": nearest_sample,
    }
    layer = transformer(transform, **settings)
    x = torch.rand(3, 2, 6, 7)
    theta = layer.theta(x)
    assert torch.equal(theta, layer.localisation(x))
    assert theta.shape == (3, transform.n_params)
    assert layer(x).shape == (3, 2, 4, 5)
    assert torch.equal(layer(x), layer.warp(x, theta))
    assert torch.equal(layer(x), warp(x, theta, transform, **settings))
    other = theta + 0.3
    assert torch.equal(layer.warp(x, other), warp(x, other, transform, **settings))


@pytest.mark.parametrize(
    "settings",
    [{}, {"output_size": (3, 3)}, {"padding_mode": "border"}, {"align_corners": True}, {"sampler": nearest_sample}],
)
def test_every_setting_is_heeded(settings):
    layer = transformer(Affine(), **settings)
    x = torch.rand(3, 2, 6, 7)
    theta = layer.theta(x) * 1.3
    warped = layer.warp(x, theta)
    assert torch.equal(warped, warp(x, theta, Affine(), **settings))
    if settings:
        assert not torch.equal(warped, warp(x, theta))


@families
def test_a_layer_is_saved_copied_and_pickled(transform):
    layer, other = transformer(transform, seed=1), transformer(transform, seed=2)
    x = torch.rand(3, 2, 6, 7)
    assert not torch.equal(layer(x), other(x))
    assert all(name.startswith("localisation.") for name in layer.state_dict())
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert twin.transform == transform


# Bad input

IMAGES, THETA = torch.zeros(2, 1, 3, 4), torch.zeros(2, 6)
BAD_INPUT = {
    "theta too short": (
        (IMAGES, THETA[:, :5]),
        ValueError,
        r"expected theta of shape \(B, 6\) for Affine .* got a tensor of shape \(2, 5\)",
    ),
    "theta of another family": (
        (IMAGES, THETA, Attention()),
        ValueError,
        r"expected theta of shape \(B, 3\) for Attention \(s, t_x, t_y\), got a tensor of shape \(2, 6\)",
    ),
    "one theta": ((IMAGES, THETA[0]), ValueError, r"expected theta of shape \(B, 6\).* got a tensor of shape \(6,\)"),
    "theta as matrices": ((IMAGES, torch.zeros(2, 2, 3)), ValueError, r"got a tensor of shape \(2, 2, 3\)"),
    "theta as a list": (
        (IMAGES, [[0.0] * 6] * 2),
        TypeError,
        "expected theta as a float32 or float64 tensor, got a list",
    ),
    "integer theta": ((IMAGES, THETA.long()), TypeError, "expected theta as a float32 or float64 tensor, got .*int64"),
    "bfloat16 theta": ((IMAGES, THETA.bfloat16()), TypeError, "expected theta as a float32 or float64 .*bfloat16"),
    "more theta than images": (
        (IMAGES, torch.zeros(3, 6)),
        ValueError,
        r"expected one θ for each image, got a tensor of shape \(3, 6\).* and a tensor of shape \(2, 1, 3, 4\)",
    ),
    "one theta for all": ((IMAGES, THETA[:1]), ValueError, "expected one θ for each image"),
    "integer images": (
        (IMAGES.to(torch.uint8), THETA),
        TypeError,
        r"expected images as a floating-point tensor of shape \(B, C, H, W\), got .*uint8",
    ),
    "images as a list": (([[[[0.0]]]], THETA), TypeError, "expected images as a floating-point .* got a list"),
    "one image": (
        (IMAGES[0], THETA[:1]),
        ValueError,
        r"expected images as a .* of shape \(B, C, H, W\), got a tensor of shape \(1, 3, 4\)",
    ),
    "images without pixels": ((IMAGES[..., :0], THETA), ValueError, r"at least 1, got .*3, 0"),
    "float16 theta": ((IMAGES, THETA.half()), TypeError, "expected theta as a float32 or float64 .*float16"),
    "images elsewhere": (
        (IMAGES.to("meta"), THETA),
        ValueError,
        "expected .* on one device, got .* on (cpu and .* on meta|meta and .* on cpu)",
    ),
    "theta elsewhere": (
        (IMAGES, THETA.to("meta")),
        ValueError,
        "expected .* on one device, got .* on (cpu and .* on meta|meta and .* on cpu)",
    ),
    "padding mode": (
        (IMAGES, THETA, Affine(), None, "mirror"),
        ValueError,
        "expected padding_mode as one of zeros, border, reflection, got 'mirror'",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(case):
    arguments, error, message = BAD_INPUT[case]
    with pytest.raises(error, match=message):
        warp(*arguments)


@pytest.mark.parametrize("size", [(0, 3), (3,), 2.5, "ab", (3, 4, 5), (2.5, 3), 0, (), ""], ids=repr)
def test_bad_output_sizes(size):
    with pytest.raises(ValueError, match=r"expected size as \(H, W\), two whole numbers of at least 1, got ") as error:
        warp(IMAGES, THETA, output_size=size)
    assert str(error.value).endswith(f"got {size!r}")


def test_a_localisation_net_of_the_wrong_width():
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), Projective())
    with pytest.raises(
        ValueError, match=r"expected theta of shape \(B, 8\) for Projective .* got a tensor of shape \(2, 6\)"
    ):
        layer(IMAGES)
