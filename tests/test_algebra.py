"""`algebra`: products, inverses and parts of θ, against matrices written out by hand and against the warp itself."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import batches, dtypes, few, seeds, uniform

from stn_course.algebra import compose, from_parts, invert, part_names, to_parts
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective

FAMILIES = [Affine(), Attention(), Projective()]
families = st.sampled_from(FAMILIES)
CLOSE = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float64: {"rtol": 1e-9, "atol": 1e-9}}


def some_theta(transform, batch, seed, dtype=torch.float64):
    """Random θ near the identity, far from singular."""
    return (transform.identity() + uniform(seed, batch, transform.n_params, low=-0.2, high=0.2)).to(dtype)


def some_parts(transform, batch, seed, dtype=torch.float64):
    """Random parts: any rotation, scales of either sign along y."""
    low = {"rotation": -179.0, "scale": 0.3, "scale_x": 0.3, "scale_y": -2.0, "perspective_x": -0.4}
    high = {"rotation": 179.0, "scale": 2.0, "scale_x": 2.0, "scale_y": 2.0, "perspective_x": 0.4}
    columns = [
        uniform(seed + i, batch, low=low.get(name, -1.0), high=high.get(name, 1.0))
        for i, name in enumerate(part_names(transform))
    ]
    return torch.stack(columns, dim=1).to(dtype)


@few
@given(families, batches, seeds, dtypes)
def test_a_matrix_gives_its_theta_back(transform, batch, seed, dtype):
    theta = some_theta(transform, batch, seed, dtype)
    assert torch.equal(transform.from_matrix(transform.matrix(theta)), theta)


def test_a_projective_matrix_may_have_any_scale():
    theta = some_theta(Projective(), 3, 0)
    matrix = Projective().matrix(theta) * torch.tensor([2.0, -3.0, 0.5], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(Projective().from_matrix(matrix), theta, rtol=1e-12, atol=1e-12)


def test_a_projective_matrix_without_a_last_entry_has_no_theta():
    with pytest.raises(ValueError, match="last entry is not 0"):
        Projective().from_matrix(torch.tensor([[[1.0, 0, 0], [0, 1, 0], [1, 0, 0]]]))


@few
@given(families, batches, seeds, dtypes)
def test_a_product_moves_points_as_its_factors_do(transform, batch, seed, dtype):
    first, then = (some_theta(transform, batch, seed + i, dtype) for i in (0, 1))
    points = torch.cat((uniform(seed, 2, 7, low=-1), torch.ones(1, 7)))
    inner = np.asarray(transform.matrix(then).double()) @ points.numpy()
    outer = np.asarray(transform.matrix(first).double()) @ inner  # the target goes through the last warp first
    ours = np.asarray(transform.matrix(compose(first, then, transform)).double()) @ points.numpy()
    np.testing.assert_allclose(ours[:, :2] / ours[:, 2:], outer[:, :2] / outer[:, 2:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_two_warps_are_one(transform):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    image = torch.exp(-8 * ((x - 0.1) ** 2 + 2 * (y + 0.05) ** 2))[None, None]  # smooth: resampling hardly shows
    first, then = (transform.from_matrix(m[None]) for m in matrices(transform))
    twice = warp(warp(image, first, transform), then, transform)
    once = warp(image, compose(first, then, transform), transform)
    other = warp(image, compose(then, first, transform), transform)
    assert (twice - once).abs().max() < 0.01
    assert (twice - other).abs().max() > 0.05


def matrices(transform):
    turn = torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, 0], [0, 0, 1]])
    shift = torch.tensor([[0.7, 0, 0.2], [0, 0.7, -0.1], [0, 0, 1]])
    tilt = torch.tensor([[1.0, 0, 0.1], [0, 1, 0], [0.3, 0.1, 1]])
    aside = torch.tensor([[1.0, 0, 0.3], [0, 1, -0.2], [0, 0, 1]])
    closer = torch.tensor([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]])
    return {Affine: (turn, shift), Attention: (aside, closer), Projective: (tilt, turn)}[type(transform)]


@few
@given(families, batches, seeds, dtypes)
def test_an_inverse_undoes(transform, batch, seed, dtype):
    theta = some_theta(transform, batch, seed, dtype)
    identity = transform.identity().to(dtype).expand(batch, -1)
    for pair in ((theta, invert(theta, transform)), (invert(theta, transform), theta)):
        torch.testing.assert_close(compose(*pair, transform), identity, **CLOSE[dtype])


@pytest.mark.parametrize(
    ("transform", "theta"),
    [
        (Affine(), [1.0, 2, 0, 2, 4, 0]),
        (Affine(), [0.0, 0, 0.5, 0, 0, 0.5]),
        (Affine(), [1.0, 0, 0, 0, 1e-9, 0]),
        (Affine(), [float("nan"), 0, 0, 0, 1, 0]),
        (Attention(), [0.0, 0.1, 0.2]),
        (Projective(), [1.0, 0, 1, 0, 1, 0, 1, 0]),
    ],
    ids=str,
)
def test_a_singular_theta_has_no_inverse(transform, theta):
    with pytest.raises(ValueError, match=r"expected theta with an inverse, got \[\["):
        invert(torch.tensor([transform.identity().tolist(), theta]), transform)


def test_an_inverse_that_no_theta_says_is_refused():
    theta = torch.tensor([[1.0, 0, 0, 0, 0, 1, 0, 1]])  # its inverse has 0 in the last entry
    with pytest.raises(ValueError, match="last entry is not 0"):
        invert(theta, Projective())


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_there_are_as_many_parts_as_parameters(transform):
    assert len(part_names(transform)) == transform.n_params
    assert torch.equal(to_parts(transform.identity()[None], transform), NEUTRAL[type(transform)])


NEUTRAL = {
    Affine: torch.tensor([[0.0, 1, 1, 0, 0, 0]]),
    Attention: torch.tensor([[1.0, 0, 0]]),
    Projective: torch.tensor([[0.0, 1, 1, 0, 0, 0, 0, 0]]),
}


@few
@given(families, batches, seeds, dtypes)
def test_parts_give_themselves_back(transform, batch, seed, dtype):
    parts = some_parts(transform, batch, seed, dtype)
    again = to_parts(from_parts(parts, transform), transform)
    torch.testing.assert_close(again, parts, rtol=CLOSE[dtype]["rtol"], atol=2e-3 if dtype == torch.float32 else 1e-9)


@few
@given(families, batches, seeds, dtypes)
def test_theta_gives_itself_back(transform, batch, seed, dtype):
    theta = uniform(seed, batch, transform.n_params, low=-2, high=2, dtype=dtype)
    torch.testing.assert_close(from_parts(to_parts(theta, transform), transform), theta, **CLOSE[dtype])


@pytest.mark.parametrize(
    "theta", [[0, 0, 0.3, 0, 0, 0.1], [0, 0.6, 0, 0, 0.8, 0], [0, -1, 0, 0, 0, 0], [0.6, 0, 0, 0.8, 0, 0]], ids=str
)
def test_a_flat_theta_has_parts_too(theta):
    theta = torch.tensor([theta], dtype=torch.float64)
    torch.testing.assert_close(from_parts(to_parts(theta)), theta, rtol=1e-12, atol=1e-12)


@few
@given(seeds)
def test_parts_are_the_product_that_the_module_writes_down(seed):
    parts = some_parts(Projective(), 1, seed)
    angle, s_x, s_y, k, t_x, t_y, p_x, p_y = parts[0].tolist()
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    shift = np.array([[1, 0, t_x], [0, 1, t_y], [0, 0, 1]])
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    scale, shear = np.diag([s_x, s_y, 1]), np.array([[1, k, 0], [0, 1, 0], [0, 0, 1]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [p_x, p_y, 1]])
    expected = shift @ rotation @ scale @ shear @ perspective
    np.testing.assert_allclose(Projective().matrix(from_parts(parts, Projective()))[0], expected, atol=1e-12)
    affine = shift @ rotation @ scale @ shear
    np.testing.assert_allclose(Affine().matrix(from_parts(parts[:, :6]))[0], affine, atol=1e-12)


def test_a_frame_turned_clockwise_shows_the_picture_turned_counter_clockwise():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 0, 4] = 1  # a mark at the top
    turned = warp(image, from_parts(torch.tensor([[90.0, 1, 1, 0, 0, 0]])))
    assert turned[0, 0, 4, 0] > 0.99  # is now on the left


@pytest.mark.parametrize("function", [from_parts, to_parts, invert])
@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (torch.zeros(1, 5), ValueError, r"\(B, 6\).*got a tensor of shape \(1, 5\)"),
        (torch.zeros(6), ValueError, r"got a tensor of shape \(6,\)"),
        (torch.zeros(1, 6, dtype=torch.int64), TypeError, "float32 or float64 tensor, got a tensor .*int64"),
        ([1.0] * 6, TypeError, "got a list"),
    ],
    ids=["short", "no batch", "integer", "list"],
)
def test_what_does_not_fit_is_refused(function, value, kind, message):
    with pytest.raises(kind, match=message):
        function(value)
