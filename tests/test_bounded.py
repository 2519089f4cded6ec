"""`Bounded`: within its bounds whatever a network says, the identity at 0, and near it the family without bounds."""

import math

import pytest
import torch
from hypothesis import given
from strategies import few, seeds, uniform

from stn_course.algebra import compose, from_parts, to_parts
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Attention, Bounded, Similarity, ThinPlateSpline

BOUNDS = {"rotation": (-30, 60), "scale": (0.1, 1.5), "shift_x": (-1, 1), "shift_y": (-0.5, 2)}
HELD = Bounded(Similarity(), BOUNDS)


@few
@given(seeds)
def test_no_theta_leaves_the_bounds(seed):
    for dtype in (torch.float32, torch.float64):
        z = uniform(seed, 50, 4, low=-1, high=1, dtype=dtype) * 10.0 ** (seed % 6)
        parts = to_parts(HELD.unbounded(z), Similarity())
        for column, (low, high) in zip(parts.T, BOUNDS.values()):
            near = 1e-5 * max(1, abs(low), abs(high))
            assert (column >= low - near).all() and (column <= high + near).all()


def test_the_bounds_themselves_are_reached_and_nothing_overflows():
    parts = to_parts(HELD.unbounded(torch.tensor([[-1e30] * 4, [1e30] * 4])), Similarity())
    torch.testing.assert_close(parts, torch.tensor([*zip(*BOUNDS.values())], dtype=torch.float32), rtol=1e-4, atol=1e-4)


def test_zero_is_the_identity_and_near_it_a_step_is_the_familys_own():
    """Angles in radians, scales in their logarithm, shifts as they are."""
    z = torch.zeros(1, 4, dtype=torch.float64)
    torch.testing.assert_close(HELD.unbounded(z), Similarity().identity().double()[None])
    slopes = torch.autograd.functional.jacobian(lambda z: HELD.unbounded(z)[0], z)[:, 0]  # (4, 4): s, φ, t_x, t_y
    expected = torch.eye(4, dtype=torch.float64)[[1, 0, 2, 3]]  # of rotation, scale, shift_x, shift_y
    torch.testing.assert_close(slopes, expected, rtol=1e-9, atol=1e-9)


def test_by_hand():
    family = Bounded(Attention(), {"scale": (0.25, 4), "shift_x": (-1, 1)})
    z = torch.tensor([[0.7, 0.7, 0.7]], dtype=torch.float64)
    scale = 4 ** math.tanh(0.7 / math.log(4))  # between 1/4 and 4 the middle of the logarithms is 0
    expected = torch.tensor([[scale, math.tanh(0.7), 0.7]], dtype=torch.float64)  # the last one is free
    torch.testing.assert_close(family.unbounded(z), expected)


def test_an_angle_is_true_in_a_picture_that_is_not_square():
    family = Bounded(Affine(), {"rotation": (-90, 90)}, size=(30, 60))
    z = torch.zeros(1, 6, dtype=torch.float64)
    z[0, 0] = 5.0
    parts = to_parts(family.unbounded(z), size=(30, 60))[0]
    turn = math.degrees(math.pi / 2 * math.tanh(5 / (math.pi / 2)))
    torch.testing.assert_close(parts, torch.tensor([turn, 1, 1, 0, 0, 0], dtype=torch.float64))


def test_parts_out_of_bounds_become_the_bound():
    theta = from_parts(torch.tensor([[50.0, 9, -7, 0]]), HELD)
    assert theta.isfinite().all()
    torch.testing.assert_close(to_parts(theta, HELD), torch.tensor([[50.0, 1.5, -1, 0]]), rtol=1e-3, atol=1e-3)


def test_a_layer_takes_it_and_a_nan_flows_through():
    layer = SpatialTransformer(torch.nn.Sequential(torch.nn.Flatten(), theta_head(48, HELD)), HELD)
    images = uniform(0, 2, 3, 4, 4, dtype=torch.float32)
    torch.testing.assert_close(layer(images), images)
    with torch.no_grad():
        layer.localisation[1].bias[0] = torch.nan
    assert layer(images).isnan().all()


def test_it_is_equal_by_what_it_is_made_of():
    assert Bounded(Similarity(), BOUNDS) == HELD and hash(Bounded(Similarity(), BOUNDS)) == hash(HELD)
    assert Bounded(Similarity(), BOUNDS | {"scale": (0.1, 2)}) != HELD


# Bad input


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"scale": (0.1, 0.5)}, r"bounds of scale as two numbers with the identity, 1, between them, got \(0.1, 0.5\)"),
        ({"shift_x": (0, 1)}, "bounds of shift_x as two numbers with the identity, 0, between"),
        ({"rotation": (10, -10)}, "bounds of rotation as two numbers with the identity, 0, between"),
        ({"scale": (0, 2)}, "bounds of scale above 0"),
        ({"scale": (0.5, math.inf)}, "bounds of scale as two numbers"),
        ({"scale": 2}, r"bounds of scale as \(low, high\), got 2"),
        ({"scale_x": (0.5, 2), "tilt": (0, 1)}, r"\(rotation, scale, shift_x, shift_y\), got scale_x, tilt"),
    ],
)
def test_bounds_that_are_none_are_told(bounds, message):
    with pytest.raises(ValueError, match=message):
        Bounded(Similarity(), bounds)


def test_what_cannot_be_chained_says_what_to_do():
    theta = torch.zeros(1, 4)
    with pytest.raises(TypeError, match=r"take .unbounded\(theta\), with Similarity\(\)"):
        compose(theta, theta, HELD)
    with pytest.raises(TypeError, match=r"a family of matrices, such as Affine\(\), got ThinPlateSpline"):
        Bounded(ThinPlateSpline(), {"x11": (-1.5, 0)}).matrix(torch.zeros(1, 32))
    with pytest.raises(ValueError, match=r"\(B, 4\) for Bounded \(z rotation, z scale"):
        HELD.unbounded(torch.zeros(1, 6))
