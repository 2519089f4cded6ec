"""What is taken back of a known pose, and the pose that a θ of any family stands for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from stn_course.distortions import RTS, Pose
from stn_course.recovery import closest_affine, recovered_pose, slant, taken_back
from stn_course.spatial_transformer import warp
from stn_course.transforms import FAMILIES, Affine, Attention, Projective, ThinPlateSpline, Translation

LABELS = torch.arange(200) % 10


def poses(seed, n=200, **settings):
    rts = RTS(**settings)
    return rts.pose(rts.sample(n, torch.Generator().manual_seed(seed), dtype=torch.float64))


class Unnamed(Affine):
    keeps = ("straight lines",)  # so that it is fitted


@pytest.mark.parametrize("transform", [*(each for each in FAMILIES if "parallels" in each.keeps), Unnamed()], ids=repr)
def test_the_closest_affine_map_of_an_affine_family_is_its_matrix(transform):
    theta = transform.identity() + 0.3 * torch.randn(5, transform.n_params, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(closest_affine(theta, transform), transform.matrix(theta), atol=1e-5, rtol=1e-5)


def test_of_a_spline_that_moves_affinely_it_is_that_motion():
    spline, matrix = ThinPlateSpline(), torch.tensor([[0.9, -0.3, 0.1], [0.2, 1.1, -0.2]], dtype=torch.float64)
    theta = Affine().map(matrix.reshape(1, 6), spline.control_points().double()[None]).flatten(1)
    torch.testing.assert_close(closest_affine(theta, spline)[0, :2], matrix)


def test_of_a_projective_map_it_is_the_fit_that_least_squares_finds():
    theta = torch.tensor([[1, 0.2, 0.1, 0, 0.8, 0, 0.2, -0.1]], dtype=torch.float64)
    axis = (torch.arange(8, dtype=torch.float64) + 0.5) / 4 - 1
    points = torch.cartesian_prod(axis, axis)
    looked_at = Projective().map(theta, points[None])[0]
    found = torch.linalg.lstsq(torch.cat((points, torch.ones(64, 1)), dim=1), looked_at).solution
    torch.testing.assert_close(closest_affine(theta, Projective())[0, :2], found.mT)


@given(seeds)
def test_a_transformer_that_undoes_the_distortion_has_found_the_pose(seed):
    rts = RTS(canvas=(42, 60), degrees=170)
    given_theta = rts.sample(20, torch.Generator().manual_seed(seed), dtype=torch.float64)
    perfect = torch.linalg.inv(Affine().matrix(given_theta))[:, :2].flatten(1)
    for found, true in zip(recovered_pose(rts, perfect), rts.pose(given_theta), strict=True):
        torch.testing.assert_close(found, true)


def test_what_a_family_has_no_numbers_for_it_never_takes_back():
    rts, true = RTS(), poses(0)
    centre = torch.cat((true.scale[:, None], true.centre), dim=1)  # a perfect attention
    shares = taken_back(true, recovered_pose(rts, centre, Attention()), LABELS)
    assert shares["angle"] == (0, 0) and shares["size"] == pytest.approx((1, 1))
    shares = taken_back(true, recovered_pose(rts, true.centre, Translation()), LABELS)
    assert shares["angle"] == pytest.approx((0, 0), abs=1e-9) and shares["size"].slope == pytest.approx(0, abs=1e-9)
    assert shares["x"] == pytest.approx((1, 1)) and shares["y"] == pytest.approx((1, 1))


@given(seeds, st.floats(-1.5, 1.5), st.floats(-30, 30))
def test_a_share_of_the_pose_is_the_slope_wherever_each_class_has_its_own_pose(seed, share, of_its_own):
    true = poses(seed)
    its_own = torch.sin(torch.arange(10.0, dtype=torch.float64))[LABELS]
    found = Pose(
        degrees=share * true.degrees + of_its_own * its_own,
        scale=true.scale**share * its_own.exp(),
        centre=share * true.centre + its_own[:, None],
    )
    for slope, correlation in taken_back(true, found, LABELS).values():
        assert slope == pytest.approx(share, abs=1e-5)
        assert correlation == pytest.approx(math.copysign(1, share), abs=1e-3) or abs(share) < 1e-3


def test_noise_lowers_the_correlation_and_not_the_slope():
    true = poses(3, n=20_000)
    labels = torch.arange(20_000) % 10
    noise = 26 * torch.randn(20_000, generator=torch.Generator().manual_seed(0))  # as wide as the turns themselves
    angle = taken_back(true, true._replace(degrees=true.degrees + noise), labels)["angle"]
    assert angle.slope == pytest.approx(1, abs=0.03) and angle.correlation == pytest.approx(0.5**0.5, abs=0.02)


def test_a_turn_by_a_whole_circle_is_none():
    true = poses(4, degrees=180)
    assert taken_back(true, true._replace(degrees=true.degrees + 360), LABELS)["angle"].slope == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_the_distortion_leaves_as_it_is_has_no_share(dtype):
    rts = RTS(degrees=90, scale=(1, 1), shift=0)
    true = rts.pose(rts.sample(200, torch.Generator().manual_seed(0), dtype=dtype))
    found = poses(1)  # whatever a network makes of it
    assert set(taken_back(true, found, LABELS)) == {"angle"}
    wider = true._replace(scale=1 + true.degrees / 9000)  # by up to a hundredth
    assert set(taken_back(wider, found, LABELS)) == {"angle", "size"}


def test_flat_frames_are_left_out_and_only_flat_ones_are_an_error():
    true = poses(5)
    flat = true._replace(scale=torch.where(torch.arange(200) < 20, math.inf, true.scale))
    assert taken_back(true, flat, LABELS)["size"].slope == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one image"):
        taken_back(true, true._replace(scale=torch.full((200,), math.nan)), LABELS)


# How far ink leans


@given(st.floats(-0.8, 0.8), seeds)
def test_a_sheared_picture_leans_by_the_shear(shear, seed):
    """Pulling each row aside by `shear` pixels adds that much to the slant of any picture that stays inside."""
    picture = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    blob = torch.rand(9, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    picture[0, 0, 16:25, 18:23] = blob
    theta = torch.tensor([[1, -shear, 0, 0, 1, 0]], dtype=torch.float64)
    assert slant(warp(picture, theta)) == pytest.approx(slant(picture) + shear, abs=0.08)  # resampling blurs


def test_a_stroke_leans_by_its_own_slope_and_no_ink_has_no_slant():
    strokes = torch.stack((torch.eye(7), torch.eye(7).flip(1), torch.eye(7)[3].expand(7, 7)))
    assert slant(strokes[:, None]).tolist() == pytest.approx([1, -1, 0])
    assert slant(torch.zeros(1, 1, 4, 4)).isnan().all()
