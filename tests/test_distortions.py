"""RTS: what it draws, what it draws it with, and the same from torchvision's own tools."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from stn_course.data import load_mnist
from stn_course.distortions import RTS, Distortion, Pose, StraightRTS

N = 20_000
LIMIT = 1.95  # of √n times the Kolmogorov-Smirnov distance; a true hypothesis exceeds it once in a thousand times


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pose(degrees=0.0, scale=1.0, x=0.0, y=0.0, dtype=torch.float64):
    """One pose; x and y are the centre's, in pixels from the middle of a canvas of 42."""
    degrees, scale, centre = (torch.tensor(value, dtype=dtype) for value in ([degrees], [scale], [[x / 21, y / 21]]))
    return Pose(degrees, scale, centre)


def distance_to_uniform(sample, low, high):
    """√n times the largest difference between the sample's distribution function and the uniform one."""
    values, n = ((sample - low) / (high - low)).double().sort().values, len(sample)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    return n**0.5 * torch.maximum((steps[1:] - values).max(), (values - steps[:-1]).max()).item()


def distance_between(one, other):
    """√(n/2) times the largest difference between the distribution functions of two samples of n."""
    n = len(one)
    assert len(other) == n
    everything = torch.cat((one, other)).double()
    below = [torch.searchsorted(sample.double().sort().values, everything, right=True) / n for sample in (one, other)]
    return (n / 2) ** 0.5 * (below[0] - below[1]).abs().max().item()


@pytest.fixture(scope="module")
def digits():
    """1,000 real digits, float32 in [0, 1]."""
    return load_mnist("train", offline=True).images[:1000].float() / 255


@pytest.fixture(scope="module")
def drawn():
    rts = RTS()
    return rts.pose(rts.sample(N, seeded(), torch.float64))


# What is drawn


def test_ranges(drawn):
    for values, low, high in (
        (drawn.degrees, -45, 45),
        (drawn.scale, 0.7, 1.2),
        (drawn.centre[:, 0], -7 / 21, 7 / 21),
        (drawn.centre[:, 1], -7 / 21, 7 / 21),
    ):
        reach, slack = high - low, 1e-9
        assert low - slack <= values.min() < low + 0.001 * reach
        assert high - 0.001 * reach < values.max() <= high + slack


def test_each_is_uniform_in_its_range(drawn):
    assert distance_to_uniform(drawn.degrees, -45, 45) < LIMIT
    assert distance_to_uniform(drawn.scale, 0.7, 1.2) < LIMIT
    assert distance_to_uniform(drawn.centre[:, 0], -1 / 3, 1 / 3) < LIMIT
    assert distance_to_uniform(drawn.centre[:, 1], -1 / 3, 1 / 3) < LIMIT
    assert distance_to_uniform(drawn.scale, 0.71, 1.19) > LIMIT  # the yardstick measures


def test_they_are_independent(drawn):
    parts = torch.stack((drawn.degrees / 45, (drawn.scale - 0.95) / 0.25, *(3 * drawn.centre.T)))  # each in [-1, 1]
    correlation = torch.corrcoef(torch.cat((parts, parts.square(), parts.roll(1, dims=1))))
    for of, to in (
        (0, 0),
        (4, 4),
    ):  # each part with the others, and how far it is from the middle with how far they are
        block = correlation[of : of + 4, to : to + 4]
        assert (block - torch.eye(4)).abs().max() < 4.5 / N**0.5
    assert correlation[:4, 4:].abs().max() < 4.5 / N**0.5  # with the squares, and with the digit next in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"degrees": 0}, {"degrees": (0, 0)}),
        ({"degrees": 180}, {"degrees": (-180, 180)}),
        ({"scale": (0.5, 0.6)}, {"scale": (0.5, 0.6)}),
        ({"scale": (1, 1)}, {"scale": (1, 1)}),
        ({"canvas": 28}, {"centre": (0, 0)}),
        ({"canvas": 56}, {"centre": (-0.5, 0.5)}),
        ({"canvas": 60, "image": 20}, {"centre": (-2 / 3, 2 / 3)}),
    ],
)
def test_settings(settings, expected):
    rts = RTS(**settings)
    poses = rts.pose(rts.sample(1000, seeded(), torch.float64))
    for name, (low, high) in expected.items():
        values = getattr(poses, name)
        slack = 0.01 * (high - low)
        torch.testing.assert_close(values.min().item(), float(low), rtol=0, atol=slack + 1e-9)
        torch.testing.assert_close(values.max().item(), float(high), rtol=0, atol=slack + 1e-9)


def test_the_whole_box_fits_the_canvas_before_it_is_scaled(drawn):
    edges = 21 * drawn.centre.abs() + 14
    assert edges.max() <= 21 + 1e-9


def test_the_same_seed_gives_the_same_batch(digits):
    rts = RTS()
    assert torch.equal(rts.sample(50, seeded(1)), rts.sample(50, seeded(1)))
    assert not torch.equal(rts.sample(50, seeded(1)), rts.sample(50, seeded(2)))
    one, same, other = (rts(digits[:50], seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(one, rts.apply(digits[:50], rts.sample(50, seeded(1))))


def test_a_seed_means_the_same_poses_for_ever():
    """The test split and the digest in every record hang on the order of the draws: turn, size, x, y."""
    turn, size, x, y = torch.rand(4, 6, generator=seeded(1), dtype=torch.float64)
    poses = RTS().pose(RTS().sample(6, seeded(1), torch.float64))
    torch.testing.assert_close(poses.degrees, 90 * turn - 45)
    torch.testing.assert_close(poses.scale, 0.7 + 0.5 * size)
    torch.testing.assert_close(poses.centre * 21, torch.stack((14 * x - 7, 14 * y - 7), dim=1))


def test_a_generator_goes_on():
    generator = seeded(1)
    assert not torch.equal(RTS().sample(5, generator), RTS().sample(5, generator))


def test_without_a_generator_the_global_one_is_used():
    torch.manual_seed(3)
    first = RTS().sample(5)
    assert not torch.equal(RTS().sample(5), first)
    torch.manual_seed(3)
    assert torch.equal(RTS().sample(5), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_shapes_and_dtypes(dtype, n):
    rts = RTS()
    theta = rts.sample(n, seeded(), dtype)
    assert theta.shape == (n, 6)
    assert theta.dtype == dtype
    assert [tuple(part.shape) for part in rts.pose(theta)] == [(n,), (n,), (n, 2)]
    images = torch.rand(n, 3, 28, 28, dtype=dtype)
    assert rts(images, seeded()).shape == (n, 3, 42, 42)
    assert rts(images, seeded()).dtype == dtype
    assert torch.equal(rts(images, seeded()), rts.apply(images, theta))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_of_lower_precision_are_placed_like_others(dtype):
    images = torch.rand(3, 1, 28, 28).to(dtype)
    assert torch.equal(RTS()(images, seeded()), RTS()(images.float(), seeded()).to(dtype))


# Poses and θ


def test_theta_by_hand():
    # canvas → image: 42/28 image units for one of the canvas; the digit lies 7 pixels right of and 14 below the middle
    theta = RTS().theta(pose(x=7, y=14))
    torch.testing.assert_close(theta, torch.tensor([[1.5, 0, -0.5, 0, 1.5, -1.0]], dtype=torch.float64))
    # a digit twice as large is looked at in steps of half the length
    torch.testing.assert_close(
        RTS().theta(pose(scale=2)), torch.tensor([[0.75, 0, 0, 0, 0.75, 0]], dtype=torch.float64)
    )
    # turned counter-clockwise by 90°, its right side (x_s = 1) is what the upper edge of the canvas looks towards
    torch.testing.assert_close(
        RTS().theta(pose(degrees=90)), torch.tensor([[0, -1.5, 0, 1.5, 0, 0]], dtype=torch.float64)
    )


@few
@given(
    st.floats(-179, 179), st.floats(0.1, 5), st.floats(-2, 2), st.floats(-2, 2), st.integers(10, 60), st.integers(1, 10)
)
def test_pose_undoes_theta(degrees, scale, x, y, canvas, image):
    rts = RTS(canvas=canvas, image=image)
    before = Pose(*(torch.tensor(value, dtype=torch.float64) for value in ([degrees], [scale], [[x, y]])))
    for part, expected in zip(rts.pose(rts.theta(before)), before, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-9)


def test_theta_undoes_pose():
    theta = RTS().sample(100, seeded(), torch.float64)
    torch.testing.assert_close(RTS().theta(RTS().pose(theta)), theta, rtol=1e-10, atol=1e-10)


@few
@given(st.floats(-180, 180), st.floats(0.5, 1.5), st.floats(-7, 7), st.floats(-7, 7))
def test_theta_takes_the_digit_where_the_pose_says(degrees, scale, x, y):
    """p_t = s R p_s + c, forwards and in pixels, for a point of the digit; θ leads back to it."""
    p_x, p_y = 3.0, -5.0  # right of and above the centre of the box
    angle = math.radians(degrees)
    # counter-clockwise on a screen whose y points down
    turned_x = math.cos(angle) * p_x + math.sin(angle) * p_y
    turned_y = -math.sin(angle) * p_x + math.cos(angle) * p_y
    on_canvas = torch.tensor([(scale * turned_x + x) / 21, (scale * turned_y + y) / 21, 1], dtype=torch.float64)
    theta = RTS().theta(pose(degrees, scale, x, y)).reshape(2, 3)
    torch.testing.assert_close(theta @ on_canvas, torch.tensor([p_x / 14, p_y / 14], dtype=torch.float64))


# Canvases and images that are not square


sides = st.integers(1, 40)


@few
@given(sides, sides, sides, sides, st.floats(-179, 179), st.floats(0.1, 5), st.floats(-2, 2), st.floats(-2, 2))
def test_pose_undoes_theta_at_any_size(height, width, more_below, more_beside, degrees, scale, x, y):
    rts = RTS(canvas=(height + more_below, width + more_beside), image=(height, width))
    before = Pose(*(torch.tensor(value, dtype=torch.float64) for value in ([degrees], [scale], [[x, y]])))
    for part, expected in zip(rts.pose(rts.theta(before)), before, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-9)


@few
@given(sides, sides, sides, sides, st.floats(-180, 180), st.floats(0.5, 1.5), st.floats(-1, 1), st.floats(-1, 1))
def test_theta_turns_in_pixels_whatever_the_sizes(height, width, more_below, more_beside, degrees, scale, x, y):
    """p_t = s R p_s + c for three points of the image, in pixels; θ leads back to them."""
    canvas, image = (height + more_below, width + more_beside), (height, width)
    angle = math.radians(-degrees)  # counter-clockwise on a screen whose y points down
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    in_image = torch.tensor([[0.0, 0], [3, 0], [-2, 5]], dtype=torch.float64)
    to_units = [torch.tensor([2 / size[1], 2 / size[0]], dtype=torch.float64) for size in (canvas, image)]
    on_canvas = (scale * in_image @ turn.T) * to_units[0] + torch.tensor([x, y], dtype=torch.float64)
    theta = RTS(canvas=canvas, image=image).theta(
        Pose(*(torch.tensor(value, dtype=torch.float64) for value in ([degrees], [scale], [[x, y]])))
    )
    looks = torch.cat((on_canvas, torch.ones(3, 1)), dim=1) @ theta.reshape(2, 3).T
    torch.testing.assert_close(looks, in_image * to_units[1], rtol=1e-9, atol=1e-9)


def test_one_number_is_a_square():
    for one, two in ((RTS(), RTS(canvas=(42, 42), image=(28, 28))), (RTS(48, image=32), RTS((48, 48), image=[32, 32]))):
        assert torch.equal(one.sample(50, seeded()), two.sample(50, seeded()))
        theta = one.sample(50, seeded())
        assert all(torch.equal(mine, other) for mine, other in zip(one.pose(theta), two.pose(theta)))


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
@pytest.mark.parametrize(("canvas", "image"), [((42, 60), (20, 30)), ((50, 40), (28, 28)), ((60, 42), (28, 14))])
def test_whole_steps_copy_an_oblong_image_to_an_oblong_canvas(quarter_turns, canvas, image):
    pixels = torch.rand(1, 2, *image, generator=seeded(), dtype=torch.float64)
    turned = torch.rot90(pixels, quarter_turns, (2, 3))
    (high, wide), (height, width) = canvas, turned.shape[2:]
    left, top = (wide - width) // 2 - 3, (high - height) // 2 + 2
    centre = [[(2 * left + width) / wide - 1, (2 * top + height) / high - 1]]
    values = ([90.0 * quarter_turns], [1.0], centre)
    theta = RTS(canvas, image=image).theta(Pose(*(torch.tensor(value, dtype=torch.float64) for value in values)))
    expected = F.pad(turned, (left, wide - width - left, top, high - height - top))
    torch.testing.assert_close(RTS(canvas, image=image).apply(pixels, theta), expected, rtol=0, atol=1e-12)


def test_the_centre_is_uniform_where_the_unscaled_box_lies_on_an_oblong_canvas():
    rts = RTS(canvas=(42, 70), image=(28, 14))
    poses = rts.pose(rts.sample(N, seeded(), torch.float64))
    assert distance_to_uniform(poses.centre[:, 0], -28 / 35, 28 / 35) < LIMIT
    assert distance_to_uniform(poses.centre[:, 1], -7 / 21, 7 / 21) < LIMIT
    assert distance_to_uniform(poses.degrees, -45, 45) < LIMIT
    assert distance_to_uniform(poses.scale, 0.7, 1.2) < LIMIT
    assert rts(torch.rand(3, 1, 28, 14), seeded()).shape == (3, 1, 42, 70)


def test_a_theta_that_flattens_has_no_centre():
    assert not RTS().pose(torch.zeros(1, 6)).centre.isfinite().any()


# What it looks like


@pytest.mark.parametrize(("left", "top"), [(0, 0), (14, 0), (0, 14), (14, 14), (7, 7), (3, 10)])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_steps_copy_the_digit(digits, left, top, quarter_turns, dtype):
    digit = digits[7:8].to(dtype)
    theta = RTS().theta(pose(90 * quarter_turns, 1, left - 7, top - 7, dtype=dtype))
    expected = F.pad(torch.rot90(digit, quarter_turns, (2, 3)), (left, 14 - left, top, 14 - top))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(RTS().apply(digit, theta), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_image(digits, dtype):
    canvas = RTS().apply(digits[:1].to(dtype), RTS().theta(pose(30, 0.8, 2.5, -3.5, dtype=dtype)))
    assert canvas.shape == (1, 1, 42, 42)
    assert canvas.dtype == dtype
    assert canvas.min() >= 0
    assert canvas.max() <= 1
    assert canvas.sum() > 0


def test_a_whole_number_of_times_larger():
    image = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    image[..., 13:15, 13:15] = 1
    canvas = RTS().apply(image, RTS().theta(pose(scale=5)))[0, 0]
    block = canvas[19:23, 19:23]  # of the 10 × 10 pixels those that lie between the centres of the original four
    torch.testing.assert_close(block, torch.ones_like(block))
    torch.testing.assert_close(canvas.sum(), image.sum() * 25)


def test_ink_goes_with_the_square_of_the_scale(digits):
    rts = RTS(canvas=84)  # with room for all of the digit in every pose of the smaller canvas
    poses = rts.pose(rts.sample(1000, seeded(4)))
    theta = rts.theta(poses._replace(centre=poses.centre / 2))
    ink = rts.apply(digits, theta).sum((1, 2, 3)) / digits.sum((1, 2, 3)) / poses.scale.square()
    torch.testing.assert_close(ink.mean().item(), 1.0, rtol=0, atol=0.003)
    assert (ink - 1).abs().max() < 0.1  # a thin stroke meets a few samples more, or a few less
    assert (ink - 1).std() < 0.02
    enlarged = poses.scale > 1.1
    torch.testing.assert_close(ink[enlarged].mean().item(), 1.0, rtol=0, atol=0.003)


def test_nothing_is_cut_off_at_the_box():
    """A box that is all ink: whatever the pose, its whole area arrives, where the canvas has room for it."""
    rts = RTS(canvas=84, degrees=45, scale=(1.2, 1.2))
    theta = rts.sample(200, seeded(5), torch.float64)
    room = 42 - 14 * 1.2 * 2**0.5 - 1
    poses = rts.pose(theta)
    theta = rts.theta(poses._replace(centre=poses.centre.clamp(-room / 42, room / 42)))
    ink = rts.apply(torch.ones(200, 1, 28, 28, dtype=torch.float64), theta).sum((1, 2, 3))
    torch.testing.assert_close(ink, torch.full_like(ink, 28**2 * 1.2**2), rtol=0.01, atol=0)


def test_only_the_canvas_cuts(digits):
    """An enlarged digit on the canvas is the middle of the same digit on a canvas with more room."""
    theta = RTS().theta(pose(40, 1.2, 6, -7, torch.float32))
    wide = RTS(canvas=84).theta(Pose(*(torch.tensor(v) for v in ([40.0], [1.2], [[6 / 42, -7 / 42]]))))
    torch.testing.assert_close(
        RTS().apply(digits[:1], theta), RTS(canvas=84).apply(digits[:1], wide)[..., 21:63, 21:63], rtol=0, atol=1e-4
    )


# The same from torchvision


def moments(canvases):
    """Of each canvas: ink, centre x, centre y, and the angle of the axis along which the ink stretches most."""
    y, x = torch.meshgrid(torch.arange(42.0), torch.arange(42.0), indexing="ij")
    canvases = canvases[:, 0]

    def mean(values):
        return (canvases * values).sum((1, 2)) / ink

    ink = canvases.sum((1, 2))
    c_x, c_y = mean(x), mean(y)
    d_x, d_y = x - c_x[:, None, None], y - c_y[:, None, None]
    angle = torch.atan2(2 * mean(d_x * d_y), mean(d_x**2) - mean(d_y**2)) / 2
    return {"ink": ink, "x": c_x, "y": c_y, "orientation": angle}


@pytest.mark.parametrize("seed", [0, 1])
def test_torchvision_gives_the_same_digits(digits, seed):
    """`RandomAffine` on each PIL image and a random place: for scales up to 1, where its tile cuts nothing off."""
    from torchvision.transforms import InterpolationMode, RandomAffine
    from torchvision.transforms.functional import pil_to_tensor, to_pil_image

    torch.manual_seed(seed)
    turn_and_scale = RandomAffine(45, scale=(0.7, 1.0), interpolation=InterpolationMode.BILINEAR)
    canvases = torch.zeros(1000, 1, 42, 42)
    for canvas, digit in zip(canvases, digits):
        left, top = torch.randint(0, 15, (2,)).tolist()
        canvas[:, top : top + 28, left : left + 28] = pil_to_tensor(turn_and_scale(to_pil_image(digit))) / 255
    theirs = moments(canvases)

    def differences(**settings):
        ours = moments(RTS(**settings)(digits, seeded(seed + 10)))
        return {name: distance_between(ours[name], theirs[name]) for name in theirs}

    same = differences(scale=(0.7, 1.0))
    assert max(same.values()) < LIMIT, same
    # the yardstick measures: other ranges are told apart
    assert differences(scale=(0.7, 1.2))["ink"] > LIMIT
    assert differences(scale=(0.7, 1.0), degrees=5)["orientation"] > LIMIT


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas": 27}, "expected a canvas of at least the image's 28×28 pixels, got 27×27"),
        ({"canvas": 42, "image": 43}, "expected a canvas of at least the image's 43×43 pixels, got 42×42"),
        ({"canvas": (42, 27)}, "expected a canvas of at least the image's 28×28 pixels, got 42×27"),
        ({"canvas": (30, 90), "image": (31, 40)}, "at least the image's 31×40 pixels, got 30×90"),
        ({"image": 0}, r"expected image as \(H, W\) or one whole number, at least 1, got 0"),
        ({"canvas": 42.5}, r"expected canvas as \(H, W\) or one whole number, at least 1, got 42.5"),
        ({"canvas": (42, 42, 1)}, r"expected canvas as \(H, W\) or .* got \(42, 42, 1\)"),
        ({"canvas": "42"}, r"expected canvas as \(H, W\) or .* got '42'"),
        ({"scale": (1, float("inf"))}, r"expected scale .* both finite, got \(1, inf\)"),
        ({"scale": (1.2, 0.7)}, r"expected scale as \(low, high\) with 0 < low ≤ high, both finite, got \(1.2, 0.7\)"),
        ({"scale": (0, 1)}, r"expected scale .* got \(0, 1\)"),
        ({"scale": (-1, 1)}, r"expected scale .* got \(-1, 1\)"),
        ({"scale": (float("nan"), 1)}, r"expected scale .* got \(nan, 1\)"),
        ({"degrees": -1}, "expected degrees from 0 to 180, got -1"),
        ({"degrees": 181}, "expected degrees from 0 to 180, got 181"),
        ({"degrees": float("nan")}, "expected degrees from 0 to 180, got nan"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        RTS(**settings)


THETA = RTS().theta(Pose(torch.zeros(2), torch.ones(2), torch.zeros(2, 2)))
BAD_INPUT = {
    "size": ((torch.rand(2, 1, 32, 32), THETA), ValueError, r"expected images of 28×28 pixels, got .*\(2, 1, 32, 32\)"),
    "not square": ((torch.rand(2, 1, 28, 30), THETA), ValueError, r"expected images of 28×28 pixels, got .*28, 30\)"),
    "one image": ((torch.rand(1, 28, 28), THETA[:1]), ValueError, r"shape \(B, C, H, W\), got .*\(1, 28, 28\)"),
    "integer images": (
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), THETA),
        TypeError,
        "expected images as a floating-point tensor .*got .*uint8",
    ),
    "a list": (([[0.0]], THETA), TypeError, "expected images .* got a list"),
    "theta as a list": ((torch.rand(2, 1, 28, 28), THETA.tolist()), TypeError, "expected theta .* got a list"),
    "another batch": (
        (torch.rand(3, 1, 28, 28), THETA),
        ValueError,
        r"expected one θ for each image.*\(2, 6\).*\(3, 1",
    ),
    "theta too short": (
        (torch.rand(2, 1, 28, 28), THETA[:, :3]),
        ValueError,
        r"theta of shape \(B, 6\).* got .*\(2, 3\)",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input(case):
    arguments, error, message = BAD_INPUT[case]
    with pytest.raises(error, match=message):
        RTS().apply(*arguments)


def test_images_of_another_shape_than_said_are_refused():
    with pytest.raises(ValueError, match=r"expected images of 20×30 pixels, got .*30, 20\)"):
        RTS(image=(20, 30))(torch.rand(2, 1, 30, 20))


@pytest.mark.parametrize("case", ["size", "not square", "one image", "integer images", "a list"])
def test_bad_images_in_random_poses(case):
    (images, _), error, message = BAD_INPUT[case]
    with pytest.raises(error, match=message):
        RTS()(images, seeded())


# Weaker ones


def test_a_weaker_distortion_turns_resizes_and_moves_by_its_share():
    whole, weaker = RTS(degrees=40), RTS(degrees=40).weaker(0.25)
    thetas = (rts.sample(50, torch.Generator().manual_seed(0), dtype=torch.float64) for rts in (whole, weaker))
    full, part = (rts.pose(theta) for rts, theta in zip((whole, weaker), thetas, strict=True))
    torch.testing.assert_close(part.degrees, full.degrees / 4)
    torch.testing.assert_close(part.scale, 1 + (full.scale - 1) / 4)
    torch.testing.assert_close(part.centre, full.centre / 4)


def test_of_strength_one_it_is_the_same_and_of_strength_nothing_it_does_nothing():
    digits, generator = torch.rand(4, 1, 28, 28), torch.Generator()
    once, again = (rts(digits, generator.manual_seed(1)) for rts in (RTS(), RTS().weaker(1)))
    torch.testing.assert_close(once, again)
    torch.testing.assert_close(RTS().weaker(0)(digits), torch.nn.functional.pad(digits, (7, 7, 7, 7)))


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_bounds_is_refused(strength):
    with pytest.raises(ValueError, match=f"strength from 0 to 1, got {strength}"):
        RTS().weaker(strength)
    with pytest.raises(ValueError, match=f"shift from 0 to 1, got {strength}"):
        RTS(shift=strength)


# A disc out of the image


def test_a_disc_is_cut_out_and_the_rest_is_as_it_was():
    rts, images = RTS(canvas=20, image=20, disc=True), torch.rand(2, 3, 20, 20, dtype=torch.float64) + 0.1
    seen = rts.apply(images, rts.theta(Pose(*(entry.expand(2, *entry.shape[1:]) for entry in pose()))))
    across = torch.arange(20, dtype=torch.float64) - 9.5
    radius = (across[:, None] ** 2 + across**2).sqrt()
    torch.testing.assert_close(seen[..., radius <= 8], images[..., radius <= 8])
    assert (seen[..., radius >= 10] < 1e-12).all()
    rim = (radius > 8) & (radius < 10)
    torch.testing.assert_close(seen[..., rim], images[..., rim] * (10 - radius[rim]) / 2)


def test_the_edges_of_a_disc_do_not_tell_how_it_is_turned():
    white = torch.ones(1, 1, 28, 28, dtype=torch.float64)

    def differs(rts):
        turned, upright = (rts.apply(white, rts.theta(pose(degrees))) for degrees in (30.0, 0.0))
        return (turned - upright).abs().mean() / upright.mean()

    assert differs(RTS(disc=True)) < 0.015 < 0.3 < differs(RTS())


def test_an_oblong_image_has_the_largest_disc_that_fits():
    seen = RTS(canvas=(30, 30), image=(10, 20), disc=True).apply(
        torch.ones(1, 1, 10, 20), RTS(30, image=(10, 20)).theta(pose(dtype=torch.float32))
    )
    rows, columns = (seen[0, 0] > 0.2).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 10, 19)


def test_a_weaker_distortion_keeps_its_disc():
    assert RTS(disc=True).weaker(0.5).disc and not RTS().weaker(0.5).disc


# Undone again


def test_straight_images_are_the_images_where_the_canvas_did_not_cut():
    straight = StraightRTS(canvas=60, image=20, scale=(1.5, 1.5), shift=0.1)
    down, across = torch.meshgrid(*[torch.linspace(-2, 2, 20, dtype=torch.float64)] * 2, indexing="ij")
    images = torch.exp(-((down - 0.3) ** 2) - 2 * (across + 0.2) ** 2)[None, None].expand(50, 1, 20, 20)  # smooth
    seen = straight(images, seeded())
    assert seen.shape == images.shape and seen.dtype == images.dtype
    assert (seen - images)[..., 2:-2, 2:-2].abs().max() < 0.05
    plain = RTS(canvas=60, image=20, scale=(1.5, 1.5), shift=0.1)
    assert torch.equal(plain.sample(5, seeded()), straight.sample(5, seeded()))  # the same poses


def test_what_the_canvas_cut_off_is_not_brought_back():
    straight = StraightRTS(canvas=20, image=20, degrees=45, scale=(1, 1), shift=0)
    seen = straight.apply(torch.ones(1, 1, 20, 20), straight.theta(pose(45.0, dtype=torch.float32)))
    assert seen[0, 0, 10, 10] == 1 and seen[0, 0, 0, 0] == 0
    assert isinstance(straight.weaker(0.5), StraightRTS)


# A distortion of one's own


class Mirror(Distortion):
    """Half of the images are mirrored."""

    label = "mirror"

    def __init__(self, canvas=12, image=8, scale=(1, 1)):
        super().__init__(canvas, image, scale)

    def sample(self, n, generator=None, dtype=torch.float32):
        side = 2 * torch.randint(2, (n, 1), generator=generator) - 1
        return torch.tensor([[1.5, 0, 0, 0, 1.5, 0]], dtype=dtype) * torch.cat((side, *[torch.ones(n, 1)] * 5), dim=1)


def test_a_distortion_of_ones_own_says_how_theta_is_drawn():
    mirror, images = Mirror(), torch.rand(50, 2, 8, 8)
    canvas = mirror(images, seeded())[..., 2:10, 2:10]
    theirs = torch.stack(
        [torch.isclose(canvas, some, atol=1e-5).flatten(1).all(1) for some in (images, images.flip(3))]
    )
    assert theirs.any(0).all() and 10 < theirs[0].sum() < 40
    assert mirror.pose(mirror.sample(3, seeded())) is None
    with pytest.raises(ValueError, match="canvas of at least the image's 20×20 pixels, got 12×12"):
        Mirror(image=20)
    with pytest.raises(ValueError, match="expected scale as"):
        Mirror(scale=(1, 0.5))
    with pytest.raises(NotImplementedError, match="expected Mirror to say what is weaker"):
        mirror.weaker(0.5)
    with pytest.raises(NotImplementedError, match="expected Distortion to say how it draws θ"):
        Distortion(12, 8, (1, 1))(images)
