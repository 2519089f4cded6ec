"""The small view against PyTorch's own resizing, and the crop against coordinates by hand, in pictures of any shape."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import few, uniform
from test_export import assert_the_same, exported, traced
from torch import nn

from stn_course.algebra import to_parts
from stn_course.look_small import LookSmall, in_picture, small_view
from stn_course.models import looks_of
from stn_course.models.signs import BOUNDS, MARGIN, FindSign, SignCNN, SignST, where
from stn_course.spatial_transformer import theta_head
from stn_course.transforms import Affine, Attention, Bounded, Projective, Similarity, regular_grid


@pytest.mark.parametrize("size", [(160, 160), (120, 160), (160, 81), (32, 16)])
def test_the_view_is_the_picture_in_a_black_square_resized_as_pillow_resizes(size):
    images = uniform(0, 1, 1, *size, dtype=torch.float32)
    square = Image.new("F", (max(size), max(size)))
    square.paste(Image.fromarray(images[0, 0].numpy()), tuple((max(size) - n) // 2 for n in size[::-1]))
    expected = np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR))
    torch.testing.assert_close(small_view(images, 64)[0, 0], torch.from_numpy(expected.copy()), rtol=0, atol=1e-5)


@few
@given(st.integers(8, 200), st.integers(8, 200))
def test_a_view_holds_the_whole_picture_where_the_frame_around_it_says(height, width):
    """Each picture is its own x or y, which the view must show at the place that `in_picture` gives it.

    A pixel of the view is 0.125 wide in the square; a weighted mean may be off by a sixth of it.
    """
    longest = max(height, width)
    theta = in_picture(torch.eye(3, dtype=torch.float64)[None], (height, width))
    places = Affine().grid(theta, (16, 16))[0]  # where the view's pixels look, in the picture
    x, y = regular_grid((height, width), dtype=torch.float64).unbind(-1)
    view = small_view(torch.stack((x, y))[None], 16)[0]
    edge = 2.5 * longest / 16 / torch.tensor([width, height])  # what a triangle of the view may reach, and a pixel
    edge = edge + 2 / torch.tensor([width, height])
    deep = (places.abs() < 1 - edge).all(-1)
    half_a_pixel = 1 / min(height, width)  # where the zeros have an odd number of rows or columns
    torch.testing.assert_close(
        view.permute(1, 2, 0)[deep], places[deep], rtol=0, atol=0.02 * longest / min(height, width) + half_a_pixel
    )
    assert (view[:, (places.abs() > 1 + edge).any(-1)] == 0).all()


def layer(family, output_size=(8, 8), z=None):
    made = LookSmall(nn.Sequential(nn.Flatten(), theta_head(2 * 16 * 16, family)), family, output_size, view=16)
    if z is not None:
        with torch.no_grad():
            made.localisation[1].bias.copy_(torch.tensor(z))
    return made


@pytest.mark.parametrize("size", [(40, 80), (90, 30), (50, 50)])
def test_a_frame_is_as_wide_as_high_in_pixels_and_a_turn_is_true(size):
    made = layer(Similarity(), z=[0.5, 0.4, 0.1, -0.2])
    parts = to_parts(made.theta(torch.rand(1, 2, *size)), size=size)[0]
    longest = max(size)
    sizes = torch.tensor([0.5 * longest / size[1], 0.5 * longest / size[0]])
    torch.testing.assert_close(parts[0].item(), torch.rad2deg(torch.tensor(0.4)).item(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(parts[1] * size[1], parts[2] * size[0])  # W · scale_x = H · scale_y, in pixels
    torch.testing.assert_close(parts[1:4], torch.tensor([*sizes, 0]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parts[4:], torch.tensor([0.1 * longest / size[1], -0.2 * longest / size[0]]))


@pytest.mark.parametrize("size", [(40, 80), (81, 60)])
def test_a_crop_of_the_frames_own_pixels_is_cut_out_of_the_picture(size):
    """Eight pixels by eight, eight wide: each is a pixel of the picture, untouched."""
    images, longest = uniform(3, 1, 2, *size, dtype=torch.float32), max(size)
    left, top = 12, 20
    middle = [(2 * (left + 4) - size[1]) / longest, (2 * (top + 4) - size[0]) / longest]
    cut = layer(Attention(), z=[8 / longest, *middle])(images)
    torch.testing.assert_close(cut, images[..., top : top + 8, left : left + 8], rtol=0, atol=1e-4)


def test_it_is_a_layer_like_others_and_says_where_it_looks():
    made, images = layer(Bounded(Similarity(), BOUNDS)), torch.rand(2, 2, 30, 40)
    model = nn.Sequential(made, SignCNNof2())
    (seen,) = looks_of(model, images)
    assert seen.layer.transform == Affine() and seen.theta.shape == (2, 6)
    torch.testing.assert_close(seen.warped, made(images))
    (seen.warped.square().mean()).backward()
    assert made.localisation[1].bias.grad.abs().max() > 0


class SignCNNof2(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def test_what_it_cannot_take_is_told():
    with pytest.raises(ValueError, match=r"keeps parallels, such as Attention\(\), got Projective\(\)"):
        LookSmall(nn.Identity(), Projective(), (8, 8))
    with pytest.raises(ValueError, match=r"shape \(B, C, H, W\), got a tensor of shape \(3, 8, 8\)"):
        small_view(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="floating-point"):
        small_view(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


# The networks for road signs


class HalfOfRed(nn.Module):
    def forward(self, view):
        return nn.functional.avg_pool2d(view[:, :1], 2).expand(-1, 24, -1, -1)


class OfRed(nn.Module):
    def forward(self, features):
        return features[:, :1]


def test_the_middle_of_the_frame_is_where_the_heat_is_and_never_outside():
    localisation = FindSign()
    localisation.features, localisation.heat = HalfOfRed(), OfRed()
    view = torch.zeros(1, 3, 20, 40)
    view[0, 0, 4:6, 30:32] = 20.0
    z = localisation(view)[0]  # rotation, scale, x, y
    torch.testing.assert_close(z, torch.tensor([0, 0, (2 * 15 + 1) / 20 - 1, 5 / 10 - 1]), rtol=0, atol=1e-4)
    assert FindSign()(1e3 * torch.randn(50, 3, 16, 16))[:, 2:].abs().max() <= 1


def test_it_says_its_frame_in_the_square_beside_the_classes():
    model, images = SignST().eval(), torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        model.spatial_transformer.localisation.turn_and_size.bias.copy_(torch.tensor([0.3, -1.0]))
        outputs, z = model(images), model.spatial_transformer.localisation(small_view(images))
    parts = to_parts(Bounded(Similarity(), BOUNDS).unbounded(z), Similarity())
    torch.testing.assert_close(outputs[:, 8:], torch.stack((parts[:, 2], parts[:, 3], parts[:, 1] / MARGIN), 1))
    assert SignST(says_where=False)(images).shape == (2, 8) and len(model.localisation_parameters()) == 11
    torch.testing.assert_close(where(torch.tensor([[0.0, -0.5, 0.1, 0.5, 0, 0.2]])), torch.tensor([[0.1, 0.2, 0.4]]))


def test_the_classifier_takes_pictures_of_any_size_from_eight_on():
    model = SignCNN().eval()
    assert all(model(torch.rand(1, 3, *size)).shape == (1, 8) for size in ((8, 8), (33, 64), (160, 120)))


def trained():
    """A network whose θ differs from picture to picture."""
    torch.manual_seed(0)
    model = SignST()
    with torch.no_grad():
        model.spatial_transformer.localisation.turn_and_size.weight.normal_(std=0.5)
    return model.eval()


def test_theta_is_computed_in_float32_under_autocast():
    model, images = trained(), torch.rand(2, 3, 40, 60)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        theta = model.spatial_transformer.theta(images)
        assert theta.dtype == torch.float32 and model(images).shape == (2, 11)
    torch.testing.assert_close(theta, model.spatial_transformer.theta(images), rtol=0, atol=0.05)


@pytest.mark.skipif("STN_COURSE_ARITHMETIC" in os.environ, reason="what PyTorch records it computes its own way")
@pytest.mark.slow
def test_it_is_exported_for_any_number_of_pictures_of_a_shape():
    assert_the_same(exported, trained(), lambda batch: (uniform(1, batch, 3, 33, 50, dtype=torch.float32),))


@pytest.mark.skipif("STN_COURSE_ARITHMETIC" in os.environ, reason="what PyTorch records it computes its own way")
def test_the_layer_is_traced():
    layer = trained().spatial_transformer
    assert_the_same(traced, layer, lambda batch: (uniform(1, batch, 3, 33, 50, dtype=torch.float32),))
