"""What every family of transforms does, in every room of the package; also one that says no more than it must.

A family in `FAMILIES` needs no line here.
"""

import inspect
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import few, seeds, uniform

import stn_course.transforms
from stn_course import plots
from stn_course.algebra import compose, from_parts, invert, part_names, presets, target_border, to_parts
from stn_course.drawing.descent import PRESETS, DescentScene
from stn_course.drawing.descent_panels import SIDE, TITLE, VIEW, input_panel
from stn_course.drawing.planes import PANEL
from stn_course.drawing.theta_text import checked_theta
from stn_course.models import STCNN
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import FAMILIES, Affine, Bounded, MatrixTransform, Transform, regular_grid
from stn_course.widgets import EpochSlider, ThetaDescent, TransformationExplorer


def of_the_docstring() -> type[Transform]:
    """The family with three numbers that the package's own page on families writes down."""
    page = inspect.getdoc(stn_course.transforms)
    names = {}
    exec(inspect.cleandoc(re.search(r"\n    import torch.*?\n\n(?=\S)", page, flags=re.DOTALL).group()), names)
    return names["Bend"]


class Swirl(Transform):
    """Turns the more the closer to the middle; says what a family must, and no more."""

    names = ("turn", "shift")

    def identity(self):
        return torch.zeros(2)

    def map(self, theta, points):
        turn, shift = self.entries(theta, points)
        x, y = points.unbind(-1)
        angle = turn * torch.exp(-2 * (x * x + y * y))
        return torch.stack((angle.cos() * x - angle.sin() * y + shift, angle.sin() * x + angle.cos() * y), dim=-1)


class Turn(MatrixTransform):
    """A matrix that is not linear in θ."""

    names = ("φ",)

    def identity(self):
        return torch.zeros(1)

    def matrix(self, theta):
        self.check_theta(theta)
        cos, sin, zero = theta[:, 0].cos(), theta[:, 0].sin(), torch.zeros_like(theta[:, 0])
        return torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1), 1).unflatten(1, (3, 3))

    def from_matrix(self, matrix):
        return torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])[:, None]


Bend = of_the_docstring()
Held = Bounded(Affine(), {"rotation": (-60, 90), "scale_x": (0.2, 3), "scale_y": (0.1, 2), "shift_x": (-1, 1.5)})
ALL = [*FAMILIES, Bend(), Swirl(), Turn(), Held]
families = pytest.mark.parametrize("transform", ALL, ids=repr)
matrices = pytest.mark.parametrize("transform", [each for each in ALL if each.invertible], ids=repr)
others = pytest.mark.parametrize("transform", [each for each in ALL if not each.invertible], ids=repr)


def near_identity(transform, seed, n=1, far=0.3):
    return transform.identity().double() + uniform(seed, n, transform.n_params, low=-far, high=far)


@families
def test_the_identity_changes_nothing(transform):
    points = uniform(0, 2, 5, 3, 2, low=-2, high=2)
    theta = transform.identity().double().expand(2, -1)
    torch.testing.assert_close(transform.map(theta, points), points, rtol=0, atol=1e-12)
    image = uniform(1, 1, 2, 6, 7)
    torch.testing.assert_close(warp(image, theta[:1], transform), image, rtol=0, atol=1e-12)


@families
@few
@given(seeds)
def test_grid_maps_the_regular_grid_and_map_takes_points_of_any_shape(transform, seed):
    theta = near_identity(transform, seed, n=3)
    for aligned in (False, True):
        regular = regular_grid((3, 4), aligned, torch.float64)
        grid = transform.grid(theta, (3, 4), aligned)
        for i in range(3):
            points = transform.map(theta[i : i + 1], regular.reshape(1, 12, 2))[0]
            torch.testing.assert_close(grid[i].reshape(12, 2), points, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(transform.map(theta[i : i + 1], regular[None, 1, 2])[0], grid[i, 1, 2])
    homogeneous = transform.homogeneous(theta, regular.expand(3, -1, -1, -1))
    torch.testing.assert_close(homogeneous[..., :2] / homogeneous[..., 2:], grid, rtol=1e-10, atol=1e-10)


@families
def test_theta_and_points_that_do_not_fit_are_told(transform):
    with pytest.raises(ValueError, match=rf"\(B, {transform.n_params}\) for {type(transform).__name__}"):
        transform.map(torch.zeros(1, transform.n_params + 1), torch.zeros(1, 2))
    with pytest.raises(TypeError, match="got a list"):
        transform.grid([0.0] * transform.n_params, (2, 2))
    with pytest.raises(ValueError, match=r"points of shape \(B, ..., 2\), got a tensor of shape \(1, 3\)"):
        transform.map(transform.identity()[None], torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"points for each θ, got a tensor of shape \(2, 2\)"):
        transform.map(transform.identity()[None], torch.zeros(2, 2))


@families
@few
@given(seeds)
def test_the_gradient_by_hand_is_that_of_automatic_differentiation(transform, seed):
    theta, points, push = near_identity(transform, seed)[0], uniform(seed + 1, 7, 2), uniform(seed + 2, 7, 2)
    source, pull_back = transform.with_pull_back(points.numpy())(theta.numpy())
    leaf = theta.clone().requires_grad_()
    expected = transform.map(leaf[None], points[None])[0]
    np.testing.assert_allclose(source, expected.detach(), rtol=1e-10, atol=1e-10)
    (gradient,) = torch.autograd.grad(expected, leaf, push)
    np.testing.assert_allclose(pull_back(push.numpy()), gradient, rtol=1e-8, atol=1e-10)


@families
def test_the_jacobian_is_the_derivative_in_the_points(transform):
    theta, points = near_identity(transform, 4, n=2), uniform(5, 2, 3, 2, low=-1.5, high=1.5)
    jacobian = transform.jacobian(theta, points)
    assert jacobian.shape == (2, 3, 2, 2)
    each = torch.autograd.functional.jacobian(lambda p: transform.map(theta, p), points)  # (2, 3, 2, 2, 3, 2)
    own = each.diagonal(dim1=0, dim2=3).diagonal(dim1=0, dim2=2).permute(2, 3, 0, 1)
    torch.testing.assert_close(jacobian, own, rtol=1e-10, atol=1e-10)
    step = torch.tensor([1e-6, 0], dtype=torch.float64)
    moved = (transform.map(theta, points + step) - transform.map(theta, points - step)) / 2e-6
    torch.testing.assert_close(jacobian[..., 0], moved, rtol=1e-6, atol=1e-6)
    leaf = theta.requires_grad_()
    transform.jacobian(leaf, points).det().sum().backward()  # so that a fold can be made dear
    assert leaf.grad.isfinite().all()
    with pytest.raises(ValueError, match=r"points of shape \(B, ..., 2\)"):
        transform.jacobian(theta, points[..., :1])


@families
@few
@given(seeds)
def test_parts_say_the_same_as_theta(transform, seed):
    theta = near_identity(transform, seed, n=4)
    assert len(part_names(transform)) == transform.n_params
    for size in (None, (30, 60)):
        again = from_parts(to_parts(theta, transform, size), transform, size)
        torch.testing.assert_close(again, theta, rtol=1e-9, atol=1e-9)


@families
def test_presets_begin_with_the_identity_and_name_parts_that_there_are(transform):
    named = presets(transform)
    assert next(iter(named)) == "identity" and torch.equal(named["identity"].float(), transform.identity())
    assert all(set(changes) <= set(part_names(transform)) for changes in transform.presets.values())
    assert set(transform.ranges) <= {*transform.names, *part_names(transform)}


@matrices
@few
@given(seeds)
def test_two_warps_are_one_and_one_is_undone(transform, seed):
    first, then = near_identity(transform, seed, far=0.2), near_identity(transform, seed + 1, far=0.2)
    points = uniform(seed, 1, 9, 2)
    both = transform.map(first, transform.map(then, points))
    torch.testing.assert_close(transform.map(compose(first, then, transform), points), both, rtol=1e-8, atol=1e-8)
    back = transform.map(invert(first, transform), transform.map(first, points))
    torch.testing.assert_close(back, points, rtol=1e-7, atol=1e-7)


@others
def test_a_family_without_a_matrix_says_so(transform):
    theta = transform.identity()[None]
    for use in (lambda: invert(theta, transform), lambda: compose(theta, theta, transform)):
        with pytest.raises(TypeError, match=rf"of matrices, such as Affine\(\), got {re.escape(repr(transform))}"):
            use()


@pytest.mark.parametrize("transform", [each for each in FAMILIES if "angles" in each.keeps], ids=repr)
def test_angles_are_kept(transform):
    theta = near_identity(transform, 3)
    a, b, c = transform.map(theta, torch.tensor([[[0.0, 0], [1, 0], [0, 1]]], dtype=torch.float64))[0]
    assert abs((b - a) @ (c - a)) < 1e-12 and torch.isclose((b - a).norm(), (c - a).norm())


@families
def test_the_label_is_fit_for_the_name_of_an_experiment(transform):
    assert re.fullmatch("[a-z0-9-]+", transform.label)


@families
def test_the_border_is_where_the_edge_of_the_target_looks(transform):
    theta = near_identity(transform, 1)[0]
    border = target_border(theta, transform, points=5)
    assert torch.equal(border[0], border[-1])
    edge = torch.tensor([[-1.0, -1], [0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    torch.testing.assert_close(border[[0, 2, 4, 8, 12]], transform.map(theta[None], edge[None])[0])


# The same in what can be dragged


@families
def test_the_explorer_shows_it(transform):
    explorer = TransformationExplorer(transform)
    explorer.set(theta=transform.identity() + 0.3)
    for slider in (*explorer.theta_sliders, *explorer.part_sliders):
        before = bytes(explorer.picture.value)
        slider.value = slider.value + 25 * slider.step
        assert bytes(explorer.picture.value) != before and "expected" not in explorer.message.value
    explorer.reset.click()
    assert explorer.theta == checked_theta(transform.identity(), transform) and set(transform.presets) < {
        *explorer.presets
    }
    assert explorer.matrix.value.count("\n") >= min(2, transform.n_params) - 1
    assert len(explorer.theta_sliders) == transform.n_params
    has_parts = part_names(transform) != transform.names
    assert len(explorer.part_sliders) == has_parts * transform.n_params
    assert (explorer.mode.layout.display != "none") is has_parts
    assert explorer.invert.disabled is not transform.invertible


@others
def test_bent_lines_are_drawn_bent(transform):
    """The input panel's border against `map`, point by point."""
    explorer = TransformationExplorer(transform, {"grey": torch.full((1, 40, 40), 0.5)})
    theta = (transform.identity() + 0.4).tolist()
    border = target_border(torch.tensor(theta, dtype=torch.float64), transform, 65)
    picture = np.asarray(explorer.compose(theta))[34 : 34 + PANEL, 8 : 8 + PANEL].astype(int)
    red = (picture[..., 0] - picture[..., 2]) > 60
    middle, unit = PANEL / 2, 182 / 2
    shown = [(x * unit + middle, y * unit + middle) for x, y in border.tolist()]
    inside = [(round(x), round(y)) for x, y in shown if 4 < x < PANEL - 4 and 4 < y < PANEL - 4]
    assert len(inside) > 60
    assert all(red[y - 3 : y + 4, x - 3 : x + 4].any() for x, y in inside)


@others
def test_descent_draws_a_bent_frame_bent(transform):
    """The vermillion line of the input panel against `map`, point by point."""
    grey = torch.full((1, 40, 40), 0.5)
    theta = np.array([0.4] * transform.n_params)
    panel = np.asarray(input_panel(grey, theta, 0 * theta, 0 * theta, transform)).astype(int)[TITLE : TITLE + SIDE]
    red = (panel[..., 0] - panel[..., 2]) > 60
    border = target_border(torch.from_numpy(theta), transform, 33)
    shown = ((border / VIEW + 1) * SIDE / 2).round().int().tolist()
    inside = [(x, y) for x, y in shown if 4 < x < SIDE - 4 and 4 < y < SIDE - 4]
    assert len(inside) > 30
    assert all(red[y - 3 : y + 4, x - 3 : x + 4].any() for x, y in inside)


def test_presets_that_a_family_cannot_start_from_are_not_offered():
    assert "too far away: no gradient reaches" in DescentScene().presets
    assert [*DescentScene(transform=Swirl()).presets] == [*PRESETS][:5]


@families
def test_descent_goes_down_and_pushes_the_corners(transform):
    bar = torch.zeros(1, 12, 12)
    bar[0, 3:9, 4:7] = 1
    theta = transform.identity()[None] + 0.15
    descent = ThetaDescent(warp(bar[None], theta, transform)[0], bar, transform)
    course = descent.trajectory(rate=0.02)
    assert course.loss(20) < course.loss(0)
    descent.step.value = 5
    assert descent.message.value == "" and "θ" in descent.readout.value
    assert all("θ" in descent.readout.value for descent.preset.value in [*descent.scene.presets])
    lacking = [name for name in ("rotation", "scale", "shift_x", "shift_y") if descent.controls[name].disabled]
    assert ("rotation" in lacking) is ("rotation" not in part_names(transform))


@families
def test_figures_and_the_epoch_slider_take_it(transform):
    images = uniform(0, 3, 1, 20, 30, dtype=torch.float32)
    thetas = near_identity(transform, 2, n=3).float()
    slider = EpochSlider(images, thetas[None], transform)
    first = bytes(slider.picture.value)
    slider.epoch.value = 1
    assert bytes(slider.picture.value) != first
    seen = warp(images, thetas, transform)
    assert plots.warping(images[0], thetas[0], seen[0], transform).png().startswith(b"\x89PNG")


@families
def test_a_network_learns_with_it(transform):
    """One step of gradient descent moves θ off the identity, whatever the family."""
    torch.manual_seed(0)
    model, images = STCNN(transform), uniform(0, 4, 1, 42, 42, dtype=torch.float32)
    before = model.spatial_transformer.theta(images)
    torch.testing.assert_close(before, transform.identity().expand(4, -1))
    torch.nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
    assert (model.spatial_transformer.theta(images) != before).any()
    figure = plots.learned_transformations(model.eval(), images, torch.arange(4))
    assert figure.png().startswith(b"\x89PNG")


def test_a_layer_says_which_family_does_not_fit():
    layer = SpatialTransformer(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 6)), Swirl())
    with pytest.raises(ValueError, match=r"theta of shape \(B, 2\) for Swirl \(turn, shift\), got .*\(1, 6\)"):
        layer(torch.rand(1, 1, 2, 2))


def test_families_are_told_apart():
    from stn_course.transforms import Similarity

    assert Similarity((30, 60)) == Similarity((40, 80)) != Similarity() != Affine()
    assert len({Similarity(), Similarity((30, 60)), Affine(), Affine()}) == 3
    assert "0.5" in repr(Similarity((30, 60)))


@pytest.mark.parametrize("use", [TransformationExplorer, STCNN, lambda kind: theta_head(4, kind)])
def test_what_is_no_transform_is_told(use):
    with pytest.raises(TypeError, match=r"expected a transform, such as Affine\(\), got the class Affine"):
        use(Affine)
    with pytest.raises(TypeError, match=r"expected a transform, such as Affine\(\), got a str"):
        use("affine")


def test_a_family_that_says_too_little_or_the_wrong_things_is_told():
    class Mute(Transform):
        names = ("k",)

    with pytest.raises(NotImplementedError, match=r"expected Mute to say its identity\(\)"):
        TransformationExplorer(Mute())
    Mute.identity = lambda self: [0.0]
    with pytest.raises(TypeError, match=r"identity of Mute\(\) as a float32 or float64 tensor, got a list"):
        TransformationExplorer(Mute())
    Mute.identity = lambda self: torch.zeros(2)
    with pytest.raises(ValueError, match=r"identity of Mute\(\) of shape \(1,\), got a tensor of shape \(2,\)"):
        TransformationExplorer(Mute())
    Mute.identity = lambda self: torch.zeros(1)
    with pytest.raises(NotImplementedError, match=r"expected Mute to say map\(theta, points\)"):
        TransformationExplorer(Mute())
    with pytest.raises(TypeError, match=r"range of 'k' as a Range\(low, high, step\), got \(0, 1, 0.1\)"):
        type("Pair", (Transform,), {"ranges": {"k": (0, 1, 0.1)}})
    with pytest.raises(TypeError, match=r"preset 'barrel' as a dict, part → number, got \(0.3,\)"):
        type("Pair", (Transform,), {"presets": {"barrel": (0.3,)}})
