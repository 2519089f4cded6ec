"""θ → grid, against `F.affine_grid` and, for the projective family, against plain Python."""

import pickle
import warnings

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from strategies import MATRICES, TOLERANCE, batches, dtypes, few, seeds, sizes, uniform

from stn_course.algebra import from_parts, to_parts
from stn_course.checks import check_size, describe
from stn_course.transforms import HORIZON, Affine, Attention, Projective, Similarity, regular_grid

families = pytest.mark.parametrize("transform", MATRICES, ids=repr)


def pytorch_grid(matrices, size, align_corners):
    """`F.affine_grid` of (B, 2, 3) matrices, which itself refuses an empty batch."""
    if len(matrices) == 0:
        return torch.zeros(0, *size, 2, dtype=matrices.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Since version 1.3.0, affine_grid behavior has changed for unit-size grids")
        return F.affine_grid(matrices, [len(matrices), 1, *size], align_corners=align_corners)


def python_grid(theta, size, align_corners):
    """The projective grid, number by number."""
    height, width = size

    def centre(i, n):
        if align_corners:
            return 0.0 if n == 1 else -1 + 2 * i / (n - 1)
        return -1 + (i + 0.5) * 2 / n

    grid = []
    for a, b, c, d, e, f, g, h in theta.tolist():
        rows = []
        for row in range(height):
            y = centre(row, height)
            points = []
            for column in range(width):
                x = centre(column, width)
                w = g * x + h * y + 1
                if abs(w) < HORIZON:
                    w = -HORIZON if w < 0 else HORIZON
                points.append(((a * x + b * y + c) / w, (d * x + e * y + f) / w))
            rows.append(points)
        grid.append(rows)
    return torch.tensor(grid, dtype=theta.dtype).reshape(len(theta), height, width, 2)


def assert_equal_grids(actual, expected):
    assert actual.dtype == expected.dtype
    tolerance = TOLERANCE[actual.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# The regular grid


def test_regular_grid_by_hand():
    edges = regular_grid((2, 4))
    assert edges.shape == (2, 4, 2)
    assert edges[0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]  # x changes along a row
    assert edges[:, 0, 1].tolist() == [-0.5, 0.5]  # y changes down a column
    assert edges[:, :, 1].unique(dim=1).shape == (2, 1)
    centres = regular_grid((2, 3), align_corners=True)
    assert centres[0].tolist() == [[-1, -1], [0, -1], [1, -1]]
    assert centres[1].tolist() == [[-1, 1], [0, 1], [1, 1]]


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_single_pixel_lies_in_the_middle(align_corners):
    assert regular_grid((1, 1), align_corners).tolist() == [[[0, 0]]]
    assert regular_grid((1, 5), align_corners)[..., 1].tolist() == [[0] * 5]
    assert regular_grid((5, 1), align_corners)[..., 0].tolist() == [[0]] * 5


@few
@given(sizes, st.booleans(), dtypes)
def test_regular_grid_is_the_identity_of_pytorch(size, align_corners, dtype):
    identity = torch.eye(2, 3, dtype=dtype)[None]
    assert_equal_grids(regular_grid(size, align_corners, dtype)[None], pytorch_grid(identity, size, align_corners))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regular_grid_to_the_last_bit(dtype):
    """The distorted test splits, whose digests are in every record, are made of it."""
    for n in range(1, 200):
        index = torch.arange(n, dtype=dtype)
        assert torch.equal(regular_grid((1, n), dtype=dtype)[0, :, 0], (2 * index + 1) / n - 1)
        if n > 1:
            assert torch.equal(regular_grid((n, 1), True, dtype)[:, 0, 1], 2 * index / (n - 1) - 1)


@families
@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
def test_grids_on_meta(transform, size):
    grid = transform.grid(torch.zeros(2, transform.n_params, device="meta"), size)
    assert grid.shape == (2, *size, 2)
    assert grid.is_meta


def test_regular_grid_defaults():
    grid = regular_grid((3, 4))
    assert grid.dtype == torch.float32
    assert grid.device.type == "cpu"
    assert torch.equal(grid, regular_grid((3, 4), align_corners=False))


# The families against references


@few
@given(sizes, batches, st.booleans(), dtypes, seeds)
@example((1, 1), 1, True, torch.float32, 0)
@example((1, 1), 2, False, torch.float64, 0)
@example((64, 48), 5, False, torch.float32, 1)
@example((64, 48), 5, True, torch.float64, 1)
def test_affine_equals_affine_grid(size, batch, align_corners, dtype, seed):
    theta = uniform(seed, batch, 6, low=-1, dtype=dtype)
    expected = pytorch_grid(theta.reshape(-1, 2, 3), size, align_corners)
    assert_equal_grids(Affine().grid(theta, size, align_corners), expected)


@few
@given(sizes, batches, st.booleans(), dtypes, seeds)
def test_attention_equals_its_affine_grid(size, batch, align_corners, dtype, seed):
    theta = uniform(seed, batch, 3, low=-1.5, high=1.5, dtype=dtype)
    s, t_x, t_y = theta.T
    zero = torch.zeros_like(s)
    matrices = torch.stack((s, zero, t_x, zero, s, t_y), dim=1).reshape(-1, 2, 3)
    assert_equal_grids(Attention().grid(theta, size, align_corners), pytorch_grid(matrices, size, align_corners))


@few
@given(sizes, st.sampled_from([0, 1, 3]), st.booleans(), dtypes, seeds)
@example((1, 1), 1, True, torch.float32, 0)
@example((64, 48), 3, False, torch.float32, 1)
@example((64, 48), 3, True, torch.float64, 1)
def test_projective_equals_plain_python(size, batch, align_corners, dtype, seed):
    theta = uniform(seed, batch, 8, low=-1, dtype=dtype)
    theta[:, 6:] *= 0.3  # the denominator stays in [0.4, 1.6]
    assert_equal_grids(Projective().grid(theta, size, align_corners), python_grid(theta, size, align_corners))


@few
@given(sizes, st.booleans(), seeds)
def test_projective_equals_plain_python_across_the_horizon(size, align_corners, seed):
    theta = uniform(seed, 2, 8, low=-3, high=3)
    expected = python_grid(theta, size, align_corners)
    assert_equal_grids(Projective().grid(theta, size, align_corners), expected)


@few
@given(sizes, st.booleans(), dtypes, seeds)
def test_projective_without_perspective_is_affine(size, align_corners, dtype, seed):
    affine = uniform(seed, 3, 6, low=-1, dtype=dtype)
    projective = F.pad(affine, (0, 2))
    assert torch.equal(Projective().grid(projective, size, align_corners), Affine().grid(affine, size, align_corners))


@families
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 4), (42, 42)])
def test_the_identity_changes_nothing(transform, dtype, align_corners, size):
    theta = transform.identity().to(dtype).expand(2, -1)
    expected = regular_grid(size, align_corners, dtype).expand(2, -1, -1, -1)
    assert_equal_grids(transform.grid(theta, size, align_corners), expected)
    assert torch.equal(transform.matrix(theta), torch.eye(3, dtype=dtype).expand(2, 3, 3))


@families
def test_align_corners_is_off_unless_said(transform):
    theta = transform.identity()[None]
    assert torch.equal(transform.grid(theta, (3, 4)), transform.grid(theta, (3, 4), align_corners=False))
    assert not torch.equal(transform.grid(theta, (3, 4)), transform.grid(theta, (3, 4), align_corners=True))


@families
def test_the_grid_is_the_matrix_applied_to_the_regular_grid(transform):
    theta = transform.identity() + uniform(3, 4, transform.n_params, low=-0.2, high=0.2)
    grid = transform.grid(theta, (5, 3))
    x, y = regular_grid((5, 3), dtype=torch.float64)[4, 1].tolist()
    points = transform.matrix(theta) @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    torch.testing.assert_close(grid[:, 4, 1], points[:, :2] / points[:, 2:])


# θ and its matrix


def test_how_theta_fills_the_matrix():
    affine = torch.tensor([[1.0, 2, 3, 4, 5, 6]])
    assert Affine().matrix(affine).tolist() == [[[1, 2, 3], [4, 5, 6], [0, 0, 1]]]
    attention = torch.tensor([[2.0, 3, 4]])
    assert Attention().matrix(attention).tolist() == [[[2, 0, 3], [0, 2, 4], [0, 0, 1]]]
    projective = torch.tensor([[2.0, 3, 4, 5, 6, 7, 8, 9]])
    assert Projective().matrix(projective).tolist() == [[[2, 3, 4], [5, 6, 7], [8, 9, 1]]]


@pytest.mark.parametrize(("transform", "n"), [(Affine(), 6), (Attention(), 3), (Projective(), 8)])
def test_number_of_parameters(transform, n):
    assert transform.n_params == n
    assert len(set(transform.names)) == n
    assert transform.identity().shape == (n,)
    assert transform.identity().dtype == torch.float32


@families
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_an_empty_batch(transform, dtype):
    theta = torch.zeros(0, transform.n_params, dtype=dtype)
    assert transform.matrix(theta).shape == (0, 3, 3)
    grid = transform.grid(theta, (4, 5))
    assert grid.shape == (0, 4, 5, 2)
    assert grid.dtype == dtype


@families
def test_strided_theta(transform):
    n = transform.n_params
    theta = transform.identity() + uniform(4, 3, n, low=-0.2, high=0.2)
    expected = transform.grid(theta, (4, 5))
    assert torch.equal(transform.grid(theta.T.contiguous().T, (4, 5)), expected)
    assert torch.equal(transform.grid(torch.stack((theta, -theta), dim=-1)[..., 0], (4, 5)), expected)
    assert torch.equal(transform.grid(theta[:1].expand(3, n), (4, 5)), transform.grid(theta[:1].repeat(3, 1), (4, 5)))


@families
@pytest.mark.parametrize("align_corners", [False, True])
def test_gradient_of_the_grid_in_theta(transform, align_corners):
    theta = (transform.identity() + uniform(5, 2, transform.n_params, low=-0.2, high=0.2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda theta: transform.grid(theta, (3, 4), align_corners), theta)


@families
def test_autocast_leaves_the_grid_alone(transform):
    theta = transform.identity() + uniform(6, 2, transform.n_params, low=-0.3, high=0.3, dtype=torch.float32)
    expected = transform.grid(theta, (42, 42))
    with torch.autocast("cpu", torch.bfloat16):
        grid = transform.grid(theta, (42, 42))
    assert grid.dtype == torch.float32
    assert torch.equal(grid, expected)


def test_bfloat16_coordinates_would_be_off_by_a_visible_part_of_a_pixel():
    theta = torch.tensor([[0.9, 0.3, 0.1, -0.3, 0.9, -0.2]])
    right = Affine().grid(theta, (42, 42))
    with torch.autocast("cpu", torch.bfloat16):
        target = F.pad(regular_grid((42, 42)).reshape(1, -1, 2), (0, 1), value=1)
        naive = target @ theta.reshape(1, 2, 3).mT
    off = (naive.float().reshape(right.shape) - right).abs().max() * 42 / 2
    assert naive.dtype == torch.bfloat16
    assert off > 0.05, f"{off:.3f} pixels"


@families
def test_families_compare_print_and_pickle(transform):
    assert transform == type(transform)()
    assert hash(transform) == hash(type(transform)())
    assert sum(transform == other for other in MATRICES) == 1
    assert repr(transform) == f"{type(transform).__name__}()"
    assert pickle.loads(pickle.dumps(transform)) == transform


# The horizon of the projective family


def test_the_horizon_is_near_and_looks_far():
    assert (
        1e-6 <= HORIZON <= 1e-4
    )  # denominators that a picture may need are left alone, and 1/HORIZON lies far outside


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_on_the_horizon_the_denominator_is_replaced(dtype):
    # with the corners aligned x_t is −1, 0, 1, so that w = x_t·θ31 + 1 is 0, 1, 2: exactly 0 on the left
    theta = torch.tensor([[1.0, 0, 0.5, 0, 1, 0.25, 1, 0]], dtype=dtype)
    left, middle, right = Projective().grid(theta, (1, 3), align_corners=True)[0, 0]
    expected = torch.tensor([-0.5 / HORIZON, 0.25 / HORIZON], dtype=dtype)
    torch.testing.assert_close(left, expected, rtol=TOLERANCE[dtype], atol=0)
    assert middle.tolist() == [0.5, 0.25]
    assert right.tolist() == [0.75, 0.125]


@pytest.mark.parametrize(
    ("w", "used"),
    [
        (2 * HORIZON, 2 * HORIZON),
        (0.5 * HORIZON, HORIZON),
        (0.0, HORIZON),
        (-0.5 * HORIZON, -HORIZON),
        (-2 * HORIZON, -2 * HORIZON),
        (-1.0, -1.0),
    ],
)
def test_denominators_near_zero(w, used):
    theta = torch.tensor([[0, 0, 1.0, 0, 0, -2.0, w - 1, 0]], dtype=torch.float64)
    right = Projective().grid(theta, (1, 3), align_corners=True)[0, 0, 2]
    torch.testing.assert_close(right, torch.tensor([1 / used, -2 / used], dtype=torch.float64), rtol=1e-10, atol=0)


def test_no_gradient_through_a_replaced_denominator():
    theta = torch.tensor([[1.0, 0, 0.5, 0, 1, 0.25, 1, 0]], dtype=torch.float64, requires_grad=True)
    left = Projective().grid(theta, (1, 3), align_corners=True)[0, 0, 0]
    (gradient,) = torch.autograd.grad(left.sum(), theta)
    expected = torch.tensor([-1.0, 0, 1, -1, 0, 1, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(gradient[0] * HORIZON, expected, rtol=1e-6, atol=0)


@few
@given(sizes, st.booleans(), dtypes, seeds)
@example((3, 3), True, torch.float32, 0)
def test_no_horizon_gives_nan_or_infinity(size, align_corners, dtype, seed):
    theta = uniform(seed, 6, 8, low=-4, high=4, dtype=dtype)
    theta[:3] = theta[:3].round()  # whole numbers meet w = 0 exactly where the corners are aligned
    theta[0, 6:] = torch.tensor([1.0, 0.0])
    theta.requires_grad_()
    grid = Projective().grid(theta, size, align_corners)
    assert grid.isfinite().all()
    grid.sum().backward()
    assert theta.grad.isfinite().all()


@families
def test_nan_flows_through(transform):
    theta = transform.identity().repeat(2, 1)
    theta[1, -1] = torch.nan
    grid = transform.grid(theta, (3, 4))
    assert grid[0].isfinite().all()
    assert grid[1].isnan().any()
    theta[1] = torch.nan
    assert transform.grid(theta, (3, 4))[1].isnan().all()


# Bad input


@families
def test_theta_of_the_wrong_length(transform):
    n = transform.n_params
    for length in (0, n - 1, n + 1, 9):
        with pytest.raises(
            ValueError, match=rf"expected theta of shape \(B, {n}\) for {type(transform).__name__}"
        ) as error:
            transform.grid(torch.zeros(2, length), (3, 4))
        assert f"got a tensor of shape (2, {length}), float32, on cpu" in str(error.value)
        assert transform.names[-1] in str(error.value)


@families
@pytest.mark.parametrize("shape", [(), (8,), (2, 3, 3), (1, 2, 3)])
def test_theta_of_the_wrong_rank(transform, shape):
    for method in (transform.matrix, lambda theta: transform.grid(theta, (3, 4))):
        with pytest.raises(ValueError, match=r"expected theta of shape \(B, \d\).* got a tensor of shape \(") as error:
            method(torch.zeros(shape))
        assert str(shape) in str(error.value)


@families
def test_theta_that_is_no_tensor(transform):
    with pytest.raises(TypeError, match="expected theta as a float32 or float64 tensor, got a list"):
        transform.grid([transform.identity().tolist()], (3, 4))
    with pytest.raises(TypeError, match="expected theta as a float32 or float64 tensor, got a ndarray"):
        transform.matrix(transform.identity()[None].numpy())


@families
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16, torch.bfloat16, torch.complex64])
def test_theta_of_another_dtype(transform, dtype):
    with pytest.raises(TypeError, match="expected theta as a float32 or float64 tensor, got a tensor") as error:
        transform.grid(torch.ones(2, transform.n_params, dtype=dtype), (3, 4))
    assert str(dtype).removeprefix("torch.") in str(error.value)


@pytest.mark.parametrize(
    "size",
    [
        (0, 3),
        (3, 0),
        (-1, 3),
        (3,),
        (3, 4, 5),
        2.5,
        3,
        "ab",
        "34",
        None,
        (2.5, 3),
        (float("nan"), 3),
        (float("inf"), 3),
    ],
)
def test_bad_sizes(size):
    message = r"expected size as \(H, W\), two whole numbers of at least 1, got "
    for method in (check_size, regular_grid, lambda size: Affine().grid(torch.zeros(1, 6), size)):
        with pytest.raises(ValueError, match=message) as error:
            method(size)
        assert str(error.value).endswith(f"got {size!r}")


@pytest.mark.parametrize("size", [(3, 4), [3, 4], torch.Size([3, 4]), torch.tensor([3, 4]), (3.0, 4.0)])
def test_good_sizes(size):
    height, width = check_size(size)
    assert (height, width) == (3, 4)
    assert type(height) is type(width) is int


def test_describe():
    assert describe(torch.zeros(2, 3, dtype=torch.int64)) == "a tensor of shape (2, 3), int64, on cpu"
    assert describe(torch.zeros((), device="meta")) == "a tensor of shape (), float32, on meta"
    assert describe([1]) == "a list"
    assert describe(1) == "an int"
    assert describe(None) == "a NoneType"


# The similarity


@few
@given(seeds, st.sampled_from([None, (30, 60), (60, 30), (28, 28)]))
def test_a_similarity_is_an_affine_turn_of_one_scale_in_pixels(seed, size):
    """Against the affine parts, in pictures of any aspect ratio."""
    s, turn, t_x, t_y = theta = uniform(seed, 4, low=0.2, high=1.5)
    parts = torch.stack((torch.rad2deg(turn), s, s, 0 * s, t_x, t_y))[None]
    expected = Affine().matrix(from_parts(parts, size=size))
    similarity = Similarity(size)
    torch.testing.assert_close(similarity.matrix(theta[None]), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(similarity.from_matrix(expected), theta[None], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(to_parts(theta[None], similarity), parts[:, [0, 1, 4, 5]])


@pytest.mark.parametrize("size", [(0, 4), "large", (3,)])
def test_a_similarity_of_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"expected size as \(H, W\)"):
        Similarity(size)
