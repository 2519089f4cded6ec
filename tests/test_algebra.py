"""`algebra`: products, inverses and parts of θ, against matrices written out by hand and against the warp itself."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import MATRICES, batches, dtypes, few, seeds, uniform

from stn_course.algebra import compose, from_parts, invert, part_names, to_parts
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective, Translation

families = st.sampled_from(MATRICES)
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
    near = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(transform.from_matrix(transform.matrix(theta)), theta, rtol=near, atol=near)


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


@pytest.mark.parametrize("transform", MATRICES, ids=repr)
def test_two_warps_are_one(transform):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    image = torch.exp(-8 * ((x - 0.1) ** 2 + 2 * (y + 0.05) ** 2))[None, None]  # smooth: resampling hardly shows
    first, then = of_parts(transform, TURNED), of_parts(transform, CLOSER)
    twice = warp(warp(image, first, transform), then, transform)
    once = warp(image, compose(first, then, transform), transform)
    other = warp(image, compose(then, first, transform), transform)
    assert (twice - once).abs().max() < 0.01
    if not isinstance(transform, Translation):  # shifts alone can change places
        assert (twice - other).abs().max() > 0.05


TURNED = {"rotation": 37.0, "shift_x": 0.3, "shift_y": -0.2, "perspective_x": 0.3}
CLOSER = {"scale": 0.6, "scale_x": 0.6, "scale_y": 0.6, "shift_x": 0.2}


def of_parts(transform, parts):
    """A θ with those of some parts that the family has; the others are the identity's."""
    neutral = dict.fromkeys(part_names(transform), 0.0) | {"scale": 1.0, "scale_x": 1.0, "scale_y": 1.0} | parts
    return from_parts(torch.tensor([[neutral[name] for name in part_names(transform)]]), transform)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "theta",
    [
        [1.0, 0, 0, 0, 0, 1, 0, 1],
        [1.0, 2, 0, 3, 6, 1, 0, 1],
        [0.1, 0.2, 0, 0.3, 0.6, 1, 1, 0],
        [1e-1, 2e1, 0, 3e-1, 6e1, 1, 0, 1],
        [0.1, 0.7, 0.2, 0.3, 2.1, 1, 0.5, 1],
    ],
    ids=str,
)
def test_an_inverse_that_no_theta_says_is_refused(theta, dtype):
    """θ11 θ22 = θ12 θ21: the last entry of the inverse is 0, though rounding may give it another value."""
    theta = torch.tensor([Projective().identity().tolist(), theta], dtype=dtype)
    with pytest.raises(ValueError, match="the last entry of the inverse matrix would be 0"):
        invert(theta, Projective())


def test_an_inverse_with_a_small_last_entry_is_given():
    theta = torch.tensor([[1.0, 2, 0, 3, 6.001, 1, 0, 1]], dtype=torch.float64)
    identity = Projective().identity().double()[None]
    torch.testing.assert_close(
        compose(theta, invert(theta, Projective()), Projective()), identity, **CLOSE[theta.dtype]
    )


@pytest.mark.parametrize("transform", MATRICES, ids=repr)
def test_there_are_as_many_parts_as_parameters(transform):
    assert len(part_names(transform)) == transform.n_params
    neutral = torch.tensor([[float(name.startswith("scale")) for name in part_names(transform)]])
    assert torch.equal(to_parts(transform.identity()[None], transform), neutral)


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


# Pictures that are not square

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))
SPOTS = torch.tensor([[-9.0, -4.0], [10.0, 3.0]], dtype=torch.float64)  # (x, y) in pixels from the middle


@few
@given(families, batches, seeds, dtypes, SIZES)
def test_parts_give_themselves_back_at_any_size(transform, batch, seed, dtype, size):
    parts = some_parts(transform, batch, seed, dtype)
    again = to_parts(from_parts(parts, transform, size), transform, size)
    torch.testing.assert_close(again, parts, rtol=CLOSE[dtype]["rtol"], atol=2e-3 if dtype == torch.float32 else 1e-9)


@few
@given(families, batches, seeds, SIZES)
def test_theta_gives_itself_back_at_any_size(transform, batch, seed, size):
    theta = uniform(seed, batch, transform.n_params, low=-2, high=2)
    again = from_parts(to_parts(theta, transform, size), transform, size)
    torch.testing.assert_close(again, theta, **CLOSE[theta.dtype])


@few
@given(families, batches, seeds, dtypes, st.integers(1, 300))
def test_a_square_size_is_none(transform, batch, seed, dtype, side):
    parts = some_parts(transform, batch, seed, dtype)
    theta = from_parts(parts, transform)
    assert torch.equal(from_parts(parts, transform, (side, side)), theta)
    assert torch.equal(to_parts(theta, transform, (side, side)), to_parts(theta, transform))


@few
@given(seeds, SIZES)
def test_the_parts_act_in_pixels(seed, size):
    """The same product, with the middle three written for pixels, and taken there and back."""
    parts = some_parts(Projective(), 1, seed)
    angle, s_x, s_y, k, t_x, t_y, p_x, p_y = parts[0].tolist()
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    height, width = size
    to_pixels = np.diag([width / 2, height / 2, 1])
    frame = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([s_x, s_y, 1]) @ [[1, k, 0], [0, 1, 0], [0, 0, 1]]
    shift = np.array([[1, 0, t_x], [0, 1, t_y], [0, 0, 1]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [p_x, p_y, 1]])
    affine = shift @ np.linalg.inv(to_pixels) @ frame @ to_pixels
    np.testing.assert_allclose(Affine().matrix(from_parts(parts[:, :6], size=size))[0], affine, rtol=1e-10, atol=1e-10)
    theta = from_parts(parts, Projective(), size)
    np.testing.assert_allclose(Projective().matrix(theta)[0], affine @ perspective, rtol=1e-10, atol=1e-10)


@few
@given(st.floats(-180, 180), SIZES)
def test_a_rotation_is_the_closed_formula(degrees, size):
    height, width = size
    angle = np.radians(degrees)
    expected = [np.cos(angle), -np.sin(angle) * height / width, 0, np.sin(angle) * width / height, np.cos(angle), 0]
    theta = from_parts(torch.tensor([[degrees, 1, 1, 0, 0, 0]], dtype=torch.float64), size=size)
    np.testing.assert_allclose(theta[0], expected, rtol=1e-12, atol=1e-13)


@few
@given(st.floats(-180, 180), st.floats(0.2, 3), st.floats(0.2, 3), SIZES)
def test_a_turned_frame_keeps_its_right_angles_and_its_sides(degrees, scale_x, scale_y, size):
    height, width = size
    parts = torch.tensor([[degrees, scale_x, scale_y, 0, 0.3, -0.2]], dtype=torch.float64)
    frame = from_parts(parts, size=size).reshape(2, 3)[:, :2].numpy() * [[width], [height]]  # its sides, in pixels
    right, down = frame.T
    assert np.hypot(*right) == pytest.approx(width * scale_x)
    assert np.hypot(*down) == pytest.approx(height * scale_y)
    assert right @ down == pytest.approx(0, abs=1e-9 * width * height)


@pytest.mark.parametrize(
    ("size", "output_size"),
    [((40, 80), None), ((80, 40), None), ((60, 60), None), ((40, 80), (60, 120)), ((40, 80), (80, 80))],
    ids=str,
)
def test_two_spots_turn_by_the_angle_and_keep_their_distance(size, output_size):
    """Measured on pictures. In an output of another aspect ratio: once its own stretch is taken out."""
    turned = spots(warp(two_spots(size), from_parts(THIRTY, size=size), output_size=output_size), size)
    angle, distance = bearing(turned)
    before, length = bearing(spots(two_spots(size), size))
    assert (before - angle) == pytest.approx(
        30, abs=0.1
    )  # a frame that turns clockwise, a picture that turns against it
    assert distance == pytest.approx(length, abs=0.05)


def test_without_the_size_they_do_not():
    """The yardstick measures: the θ of a square picture turns and shears a wide one."""
    turned = spots(warp(two_spots((40, 80)), from_parts(THIRTY)), (40, 80))
    angle, distance = bearing(turned)
    before, length = bearing(spots(two_spots((40, 80)), (40, 80)))
    assert abs(before - angle - 30) > 5 and abs(distance - length) > 1


THIRTY = torch.tensor([[30.0, 1, 1, 0, 0, 0]], dtype=torch.float64)


def two_spots(size):
    """Two smooth spots: (1, 2, H, W), a channel for each."""
    y, x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in size)
    squared = (x - SPOTS[:, 0, None, None]) ** 2 + (y[:, None] - SPOTS[:, 1, None, None]) ** 2
    return torch.exp(-squared / 8)[None]


def spots(images, size):
    """Where the spots lie, (2, 2), (x, y) in pixels of a picture of this size, from the middle."""
    height, width = images.shape[2:]
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5 for n in (height, width))
    ink = images[0].sum((1, 2))
    across, down = (images[0].sum(1) @ x / ink, images[0].sum(2) @ y / ink)
    return torch.stack((across * size[1], down * size[0]), dim=1)


def bearing(points):
    """In which direction, in degrees clockwise, the second of two points lies from the first, and how far."""
    x, y = (points[1] - points[0]).tolist()
    return np.degrees(np.arctan2(y, x)), np.hypot(x, y)


@pytest.mark.parametrize("size", [(0, 4), (4,), 4, (2.5, 4)], ids=str)
@pytest.mark.parametrize("transform", MATRICES, ids=repr)
def test_a_size_that_is_none_is_refused(transform, size):
    theta = transform.identity()[None]
    for function in (from_parts, to_parts):
        with pytest.raises(ValueError, match=r"expected size as \(H, W\)"):
            function(theta, transform, size)


# Where θ hardly says which way x points


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "theta",
    [[0, 0, 0.3, 0, 0, 0.1], [0, 0.6, 0, 0, 0.8, 0], [0, -1, 0, 0, 0, 0], [0.6, 0, 0, 0.8, 0, 0], [1, 2, 0, 2, 4, 0]],
    ids=str,
)
def test_the_gradient_of_the_parts_is_finite_everywhere(theta, dtype):
    theta = torch.tensor([theta], dtype=dtype, requires_grad=True)
    for part in to_parts(theta).unbind(1):
        (gradient,) = torch.autograd.grad(part.sum(), theta, retain_graph=True)
        assert gradient.isfinite().all()


@few
@given(families, seeds, SIZES)
def test_the_gradient_of_the_parts_is_that_of_finite_differences(transform, seed, size):
    theta = from_parts(some_parts(transform, 2, seed), transform, size).requires_grad_()
    assert torch.autograd.gradcheck(lambda theta: to_parts(theta, transform, size), theta, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("small", [5e-324, 1e-310, 1e-308])
def test_an_entry_too_small_to_count_counts_as_zero(small):
    for theta in ([small, 1, 0, 0, 1, 0], [small, 0, 0, small, 0, 0], [small, small, 0, small, -small, 0]):
        theta = torch.tensor([theta], dtype=torch.float64)
        parts = to_parts(theta)
        assert parts.isfinite().all()
        torch.testing.assert_close(from_parts(parts), theta, rtol=1e-15, atol=1e-300)


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
