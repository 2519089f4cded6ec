"""Thin plate splines, against SciPy's, against affine maps, and against an integral."""

import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy.interpolate import RBFInterpolator
from strategies import dtypes, few, seeds, uniform

from stn_course.algebra import compose, from_parts, invert, presets, to_parts
from stn_course.models import STCNN
from stn_course.transforms import FAMILIES, Affine, ThinPlateSpline, regular_grid
from stn_course.transforms.thin_plate_spline import _kept

lattices = st.sampled_from([2, 3, 4, 5])


def some_theta(spline, seed, n=3, far=0.5, dtype=torch.float64):
    return (spline.identity().double() + uniform(seed, n, spline.n_params, low=-far, high=far)).to(dtype)


def control_points(spline):
    return spline.identity().double().reshape(1, -1, 2)


def affinely(spline, matrix):
    """θ whose control points move as an affine matrix (2, 3) moves them."""
    return (control_points(spline) @ matrix[:, :2].mT + matrix[:, 2]).flatten(1)


# The motion


@few
@given(lattices, seeds, st.sampled_from([1, 3, 30]))
def test_it_is_the_spline_of_scipy(points, seed, reach):
    """Also far outside of the target, where large numbers nearly cancel."""
    spline = ThinPlateSpline(points)
    theta, at = some_theta(spline, seed, 2, far=1), uniform(seed + 1, 2, 20, 2, low=-reach, high=reach)
    for one, places, found in zip(theta, at, spline.map(theta, at)):
        looks = RBFInterpolator(
            control_points(spline)[0].numpy(), one.reshape(-1, 2).numpy(), kernel="thin_plate_spline"
        )
        np.testing.assert_allclose(found, looks(places.numpy()), rtol=1e-10, atol=1e-10)


@few
@given(lattices, st.tuples(st.integers(1, 9), st.integers(1, 9)), st.booleans(), seeds)
def test_the_grid_is_the_map_of_the_regular_grid(points, size, align_corners, seed):
    spline = ThinPlateSpline(points)
    theta = some_theta(spline, seed)
    regular = regular_grid(size, align_corners, torch.float64).expand(3, -1, -1, -1)
    exact = spline.map(theta, regular)
    torch.testing.assert_close(spline.grid(theta, size, align_corners), exact, rtol=0, atol=1e-12)


@few
@given(st.sampled_from([4, 8]), seeds)
def test_float32_is_as_good_as_its_digits(points, seed):
    spline = ThinPlateSpline(points)
    theta, at = some_theta(spline, seed, dtype=torch.float32), uniform(seed, 3, 9, 2, low=-3, high=3).float()
    for single, double in (
        (spline.grid(theta, (9, 7)), spline.grid(theta.double(), (9, 7))),
        (spline.map(theta, at), spline.map(theta.double(), at.double())),
        (spline.bending_energy(theta), spline.bending_energy(theta.double())),
    ):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-6, atol=2e-6)


@few
@given(lattices, seeds, dtypes)
def test_control_points_that_move_affinely_make_an_affine_motion(points, seed, dtype):
    spline, matrix = ThinPlateSpline(points), uniform(seed, 2, 3, low=-1)
    theta = affinely(spline, matrix)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    for align_corners in (False, True):
        expected = Affine().grid(matrix.reshape(1, 6).to(dtype), (7, 5), align_corners)
        torch.testing.assert_close(
            spline.grid(theta.to(dtype), (7, 5), align_corners), expected, rtol=0, atol=tolerance
        )
    assert 0 <= spline.bending_energy(theta) < 1e-12


@few
@given(lattices, seeds)
def test_control_points_look_where_theta_says(points, seed):
    spline = ThinPlateSpline(points)
    theta = some_theta(spline, seed, far=2)
    looks = spline.map(theta, control_points(spline).expand(3, -1, -1))
    torch.testing.assert_close(looks.flatten(1), theta, rtol=0, atol=1e-12)
    assert spline.identity()[:2].tolist() == [-1, -1] and spline.identity()[-2:].tolist() == [1, 1]
    assert spline.identity().reshape(points, points, 2)[0, :, 1].tolist() == [-1] * points  # a row, from the top


@few
@given(lattices, seeds)
def test_an_affine_map_of_the_source_may_come_before_or_after(points, seed):
    spline, matrix = ThinPlateSpline(points), uniform(seed + 1, 2, 3, low=-1)
    theta, at = some_theta(spline, seed), uniform(seed + 2, 3, 20, 2, low=-2, high=2)
    moved = (theta.unflatten(1, (-1, 2)) @ matrix[:, :2].mT + matrix[:, 2]).flatten(1)
    after = spline.map(theta, at) @ matrix[:, :2].mT + matrix[:, 2]
    torch.testing.assert_close(spline.map(moved, at), after, rtol=0, atol=1e-11)


@pytest.mark.parametrize("points", [2, 3, 4, 7, 10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_identity_changes_nothing_to_the_last_bit(points, dtype):
    spline = ThinPlateSpline(points)
    theta, at = spline.identity().to(dtype)[None], uniform(0, 1, 50, 2, low=-3, high=3, dtype=dtype)
    assert torch.equal(spline.map(theta, at), at)
    for align_corners in (False, True):
        assert torch.equal(spline.grid(theta, (42, 30), align_corners)[0], regular_grid((42, 30), align_corners, dtype))


# Its derivatives


def test_gradients_in_theta_and_in_the_points():
    """Some points lie exactly on control points, where the logarithm alone would not be finite."""
    spline = ThinPlateSpline(3)
    theta = some_theta(spline, 1, 2).requires_grad_()
    at = torch.cat((control_points(spline)[:, :5].expand(2, -1, -1), uniform(2, 2, 4, 2, low=-2, high=2)), dim=1)
    assert torch.autograd.gradcheck(spline.map, (theta, at.clone().requires_grad_()), check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda theta: spline.grid(theta, (3, 4)), theta, check_forward_ad=True)
    assert torch.autograd.gradcheck(spline.bending_energy, theta)
    assert torch.autograd.gradgradcheck(spline.map, (theta, at[:, 5:].clone().requires_grad_()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_is_finite_on_a_control_point(dtype):
    spline = ThinPlateSpline()
    theta = some_theta(spline, 3, 1, dtype=dtype).requires_grad_()
    at = control_points(spline).to(dtype).clone().requires_grad_()
    looks, jacobian = spline.map(theta, at), spline.jacobian(theta, at)
    (looks.sum() + jacobian.square().sum()).backward()
    assert looks.isfinite().all() and jacobian.isfinite().all()
    assert theta.grad.isfinite().all() and at.grad.isfinite().all()


def test_functional_derivatives_leave_nothing_behind():
    """What is kept for the next time was first made inside of a derivative, an export, or without gradients."""
    spline = ThinPlateSpline(6)
    theta = some_theta(spline, 0, 1)
    at = uniform(1, 1, 4, 2)
    for first in (
        lambda: torch.func.jacfwd(lambda theta: spline.grid(theta, (3, 3)))(theta),
        lambda: torch.func.hessian(lambda at: spline.map(theta, at).square().sum())(at),
        lambda: torch.func.vmap(lambda theta: spline.map(theta[None], at))(theta),
        lambda: torch.export.export(Grid(spline), (theta,)),
        lambda: torch.inference_mode()(spline.grid)(theta, (3, 3)),
        lambda: torch.inference_mode()(spline.jacobian)(theta, at),
    ):
        _kept.cache_clear()
        first()
        leaf = theta.clone().requires_grad_()
        looks = spline.grid(leaf, (3, 3)).sum() + spline.map(leaf, at).sum()
        assert type(looks) is torch.Tensor
        looks.backward()
        assert leaf.grad.isfinite().all()


class Grid(torch.nn.Module):
    def __init__(self, spline):
        super().__init__()
        self.spline = spline

    def forward(self, theta):
        return self.spline.grid(theta, (3, 3))


def test_what_is_kept_is_bounded_and_told_apart():
    for size in range(1, 100):
        ThinPlateSpline(2).grid(ThinPlateSpline(2).identity()[None], (size, 1))
    assert _kept.cache_info().currsize <= 16
    for spline in (ThinPlateSpline(2), ThinPlateSpline(3)):
        for size in ((2, 3), (3, 2)):
            for align_corners in (False, True):
                for dtype in (torch.float32, torch.float64):
                    grid = spline.grid(spline.identity()[None].to(dtype), size, align_corners)
                    assert torch.equal(grid[0], regular_grid(size, align_corners, dtype))


# How much it bends, and where it folds


def integral(spline, theta, reach=60.0, n=360):
    """∬ |∂²f/∂x²|² + 2 |∂²f/∂x∂y|² + |∂²f/∂y²|² dx dy by second differences on a lattice that is fine in the middle."""
    u = (np.arange(n) + 0.5) / n * 2 - 1
    steepness = np.arcsinh(reach * 40)
    side, width = np.sinh(steepness * u) / 40, steepness * np.cosh(steepness * u) / 40 * 2 / n
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    h = 1e-3

    def f(x, y):
        return spline.map(theta[None], torch.from_numpy(places + np.array((x, y)))[None])[0].numpy()

    middle = f(0, 0)
    xx = (f(h, 0) + f(-h, 0) - 2 * middle) / h**2
    yy = (f(0, h) + f(0, -h) - 2 * middle) / h**2
    xy = (f(h, h) + f(-h, -h) - f(h, -h) - f(-h, h)) / (4 * h**2)
    density = (xx**2 + 2 * xy**2 + yy**2).sum(1).reshape(n, n)
    return float((density * np.outer(width, width)).sum())


@pytest.mark.parametrize("points", [2, 3])
def test_the_bending_energy_is_the_integral_of_the_second_derivatives(points):
    spline = ThinPlateSpline(points)
    theta = some_theta(spline, points, 1)
    assert spline.bending_energy(theta).item() == pytest.approx(integral(spline, theta[0]), rel=0.02)


@few
@given(lattices, seeds)
def test_an_affine_map_adds_no_bending_and_a_turn_keeps_it(points, seed):
    spline, matrix = ThinPlateSpline(points), uniform(seed + 1, 2, 3, low=-1)
    theta = some_theta(spline, seed)
    energy = spline.bending_energy(theta)
    assert energy.shape == (3,) and (energy > 1e-6).all()
    torch.testing.assert_close(spline.bending_energy(theta + affinely(spline, matrix)), energy, rtol=1e-8, atol=1e-10)
    angle = uniform(seed + 2, 1)[0] * 6
    turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos())).reshape(2, 2)
    turned = (3 * theta.unflatten(1, (-1, 2)) @ turn.mT + 0.5).flatten(1)
    torch.testing.assert_close(spline.bending_energy(turned), 9 * energy, rtol=1e-8, atol=1e-10)


def test_a_fold_is_where_the_jacobian_is_mirrored():
    spline = ThinPlateSpline()
    at = regular_grid((20, 20), dtype=torch.float64).reshape(1, -1, 2)
    named = presets(spline)
    folded = {
        name: (spline.jacobian(theta[None], at).det() < 0).double().mean().item() for name, theta in named.items()
    }
    assert 0.1 < folded.pop("fold") < 0.6  # the middle columns have changed places
    assert set(folded.values()) == {0.0}


# A family like the others


def test_what_it_is_called():
    spline = ThinPlateSpline()
    assert spline in FAMILIES and spline.label == "tps"
    assert spline.names[:4] == ("x11", "y11", "x12", "y12") and spline.names[-2:] == ("x44", "y44")
    assert repr(spline) == "ThinPlateSpline(points=4)"
    assert spline == pickle.loads(pickle.dumps(spline)) == ThinPlateSpline(np.int64(4)) != ThinPlateSpline(3)
    assert len({ThinPlateSpline(), ThinPlateSpline(4), ThinPlateSpline(5)}) == 2
    for points in (2, 5, 12):
        spline = ThinPlateSpline(points)
        assert len(set(spline.names)) == len(spline.names) == spline.n_params == len(spline.identity()) == 2 * points**2


def test_theta_as_text_is_a_line_for_each_row():
    spline = ThinPlateSpline(2)
    assert spline.formula([-1, 0.5, -0.001, 2 / 3, 12.345, 1e6, 0, 0]) == (
        "(−1.00,  0.50)  ( 0.00,  0.67)\n(12.35, 1e+06)  ( 0.00,  0.00)"
    )


@pytest.mark.parametrize(("points", "count"), [(2, 2), (3, 5), (4, 7), (5, 7)])
def test_there_are_presets_that_differ(points, count):
    spline = ThinPlateSpline(points)
    named = presets(spline)
    assert len(named) == len({tuple(theta.tolist()) for theta in named.values()}) == count
    if points > 3:
        bent = spline.bending_energy(torch.stack([*named.values()])) > 1e-3
        assert bent.tolist() == [name != "identity" for name in named]


def test_no_theta_undoes_another_and_no_matrix_says_what_it_does():
    spline = ThinPlateSpline()
    theta = spline.identity()[None]
    for use in (lambda: invert(theta, spline), lambda: compose(theta, theta, spline), lambda: spline.matrix(theta)):
        with pytest.raises(TypeError, match=r"expected a family of matrices.* got ThinPlateSpline\(points=4\)"):
            use()
    assert torch.equal(from_parts(theta, spline, (3, 9)), theta) and torch.equal(to_parts(theta, spline), theta)


def test_autocast_leaves_it_alone():
    spline = ThinPlateSpline()
    theta, at = some_theta(spline, 6, 2, dtype=torch.float32), uniform(1, 2, 5, 2, dtype=torch.float32)
    uses = (lambda: spline.grid(theta, (42, 42)), lambda: spline.map(theta, at), lambda: spline.bending_energy(theta))
    expected = [use() for use in uses]
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(use(), one) for use, one in zip(uses, expected))


@pytest.mark.parametrize("batch", [0, 2])
def test_shapes_on_meta_and_of_an_empty_batch(batch):
    spline = ThinPlateSpline()
    for device in ("meta", "cpu"):
        theta, at = torch.zeros(batch, 32, device=device), torch.zeros(batch, 5, 6, 2, device=device)
        assert spline.grid(theta, (3, 5)).shape == (batch, 3, 5, 2)
        assert spline.map(theta, at).shape == (batch, 5, 6, 2) and spline.map(theta, at[:, 0, 0]).shape == (batch, 2)
        assert spline.jacobian(theta, at).shape == (batch, 5, 6, 2, 2)
        assert spline.bending_energy(theta).shape == (batch,)
        assert spline.grid(theta, (3, 5)).device.type == device


def test_nan_flows_through():
    spline = ThinPlateSpline()
    theta = spline.identity().repeat(2, 1)
    theta[1, -1] = torch.nan
    grid = spline.grid(theta, (3, 4))
    assert grid[0].isfinite().all() and grid[1, ..., 0].isfinite().all() and grid[1, ..., 1].isnan().all()
    assert spline.map(theta, torch.zeros(2, 2))[1, 1].isnan() and spline.bending_energy(theta)[1].isnan()


def test_a_network_with_a_finer_lattice():
    torch.manual_seed(0)
    model, images = STCNN(ThinPlateSpline(6)), torch.rand(3, 1, 42, 42)
    assert torch.equal(
        model.spatial_transformer(images),
        model.spatial_transformer.warp(images, model.spatial_transformer.transform.identity().expand(3, -1)),
    )
    model(images).sum().backward()
    assert model.spatial_transformer.localisation[-1].bias.grad.abs().sum() > 0


# Bad input


@pytest.mark.parametrize("points", [2.5, 4.0, True, "4", None, (4, 4), torch.ones(2)])
def test_what_is_no_whole_number_of_points(points):
    with pytest.raises(TypeError, match="expected points as a whole number") as error:
        ThinPlateSpline(points)
    assert str(error.value).endswith(f"got {points!r}")


@pytest.mark.parametrize("points", [1, 0, -3])
def test_too_few_points(points):
    with pytest.raises(ValueError, match=f"expected points as 2 or more, .* got {points}"):
        ThinPlateSpline(points)


@pytest.mark.parametrize("shape", [(2, 31), (2, 6), (32,), (1, 16, 2)])
def test_theta_of_another_shape(shape):
    spline = ThinPlateSpline()
    for use in (lambda theta: spline.grid(theta, (3, 4)), spline.bending_energy):
        with pytest.raises(
            ValueError, match=r"theta of shape \(B, 32\) for ThinPlateSpline \(x11, y11, .*, x44, y44\)"
        ):
            use(torch.zeros(shape))
