"""Clutter and channels apart: what they draw, and the same picture from plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import few
from test_distortions import LIMIT, distance_to_uniform

from stn_course.data import load_mnist
from stn_course.distortions import RTS, Clutter, EachChannel, Elastic
from stn_course.tasks import distorted

N = 4_000
T = RTS(canvas=60, degrees=0, scale=(1, 1))  # the paper's T: anywhere


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pieces_of(theta, clutter):
    return theta[:, -5 * clutter.pieces :].unflatten(1, (clutter.pieces, 5))


@pytest.fixture(scope="module")
def drawn():
    return pieces_of(Clutter(T).sample(N, seeded(), torch.float64), Clutter(T))  # (N, 16, 5)


# What is drawn


@pytest.mark.parametrize(("number", "places"), [(1, 23), (2, 23), (3, 55), (4, 55)])
def test_every_place_of_a_piece_in_the_image_and_on_the_canvas_is_as_likely(drawn, number, places):
    values = drawn[..., number].flatten()
    assert torch.equal(values, values.round())
    counts = torch.bincount(values.long(), minlength=places)
    assert len(counts) == places
    expected = len(values) / places
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - (places - 1)) < 4.5 * (2 * (places - 1)) ** 0.5


def test_whose_a_piece_is_is_uniform_and_each_piece_has_its_own(drawn):
    assert (
        distance_to_uniform(drawn[..., 0].flatten(), 0, 1) < LIMIT < distance_to_uniform(drawn[..., 0, 0, None], 0, 0.5)
    )
    of_two = torch.corrcoef(drawn[:, :2].flatten(1).T)
    assert (of_two - torch.eye(10)).abs().max() < 4.5 / N**0.5


@pytest.mark.parametrize("batch", [2, 3, 50])
def test_pieces_come_from_all_other_images_of_the_batch_alike_and_never_from_the_image_itself(batch):
    clutter = Clutter(T)
    images = torch.arange(1.0, batch + 1).expand(1, 28, 28, -1).permute(3, 0, 1, 2) * torch.ones(1, 1, 28, 28)
    theta = clutter.sample(batch, seeded())
    theta[:, :6] = torch.tensor([1.0, 0, 9, 0, 1, 0])  # the image itself lies far out
    seen = [set(picture.unique().long().tolist()) - {0} for picture in clutter.apply(images, theta)]
    for own, found in enumerate(seen, start=1):
        assert found and own not in found and found <= set(range(1, batch + 1))
    share = torch.cat([pieces_of(clutter.sample(batch, seeded(seed)), clutter)[..., 0] for seed in range(200)])
    steps = 1 + (share * (batch - 1)).long()
    assert set(steps.unique().tolist()) == set(range(1, batch))


def test_a_seed_means_the_same_clutter_for_ever():
    """The test split hangs on the order of the draws: the digits' places, then whose, then rows and columns."""
    generator, clutter = seeded(1), Clutter(T, pieces=3)
    expected = [T.sample(6, generator, torch.float64), torch.rand(6, 3, 1, generator=generator, dtype=torch.float64)]
    places = [torch.randint(end, (6, 3, 1), generator=generator) for end in (23, 23, 55, 55)]
    theta = clutter.sample(6, seeded(1), torch.float64)
    assert torch.equal(theta[:, :6], expected[0])
    assert torch.equal(pieces_of(theta, clutter), torch.cat((expected[1], *places), dim=2))


def test_the_digit_lies_anywhere_and_its_pose_is_known():
    clutter = Clutter(T)
    pose = clutter.pose(clutter.sample(N, seeded(), torch.float64))
    for values in pose.centre.T:
        assert distance_to_uniform(values, -32 / 60, 32 / 60) < LIMIT
    torch.testing.assert_close(pose.scale, torch.ones_like(pose.scale))
    assert torch.equal(pose.centre, T.pose(T.sample(N, seeded(), torch.float64)).centre)
    elastic = Clutter(Elastic())
    assert elastic.pose(elastic.sample(2)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("under", [T, RTS(), Elastic()], ids=lambda under: under.label)
def test_shapes_dtypes_and_seeds(under, dtype, n):
    clutter, images = Clutter(under), torch.rand(n, 3, 28, 28, dtype=dtype)
    theta = clutter.sample(n, seeded(), dtype)
    assert theta.shape == (n, under.transform.n_params + 80) and theta.dtype == dtype
    seen = clutter(images, seeded())
    assert seen.shape == (n, 3, *under.canvas) and seen.dtype == dtype
    assert torch.equal(seen, clutter.apply(images, theta))
    assert n == 0 or not torch.equal(theta, clutter.sample(n, seeded(1), dtype))


# What it does


def in_loops(clutter, images, theta):
    """The picture piece by piece and pixel by pixel, in NumPy."""
    (n, channels, _, _), side = images.shape, clutter.side
    canvas = clutter.under.apply(images, theta[:, : -5 * clutter.pieces]).numpy().copy()
    for i in range(n):
        for share, row, column, down, right in pieces_of(theta, clutter)[i].tolist():
            other = (i + 1 + int(share * (n - 1))) % n if n > 1 else i
            for y in range(side):
                for x in range(side):
                    for channel in range(channels):
                        ink = images[other, channel, int(row) + y, int(column) + x].item()
                        place = (i, channel, int(down) + y, int(right) + x)
                        canvas[place] = max(canvas[place], ink)
    return canvas


@few
@given(
    st.integers(1, 5), st.integers(0, 6), st.integers(1, 7), st.integers(1, 2), st.sampled_from([(20, 31), (28, 12)])
)
def test_loops_in_numpy_make_the_same_picture(n, pieces, side, channels, canvas):
    under = RTS(canvas, degrees=20, image=(9, 11))
    clutter = Clutter(under, pieces=min(pieces, (canvas[0] // side) * (canvas[1] // side)), side=side)
    if clutter.pieces == 0:
        return
    images = torch.rand(n, channels, 9, 11, generator=seeded(), dtype=torch.float64)
    theta = clutter.sample(n, seeded(n), torch.float64)
    np.testing.assert_array_equal(clutter.apply(images, theta).numpy(), in_loops(clutter, images, theta))


def test_three_in_ten_pieces_of_digits_are_empty_and_no_ink_is_covered():
    digits = load_mnist("test", offline=True).images.double() / 255
    clutter, theta = Clutter(T), Clutter(T).sample(len(digits), seeded(), torch.float64)
    plain, seen = T.apply(digits, theta[:, :6]), clutter.apply(digits, theta)
    assert (seen >= plain).all() and (seen > plain).flatten(1).any(1).all()
    far = theta.clone()
    far[:, 2] = 9  # without the digits: the pieces alone
    pieces = pieces_of(theta, clutter)
    filled = clutter.apply(digits, far)
    corner = pieces[..., 3:].long()
    patches = torch.stack(
        [filled[i, 0, y : y + 6, x : x + 6].amax() for i in range(100) for y, x in corner[i].tolist()]
    )
    assert 0.15 < (patches == 0).double().mean() < 0.3  # fewer than in truth: pieces overlap


def test_the_fixed_draw_is_the_same_each_time_and_a_thousand_are_cut_out_of_themselves():
    digits = load_mnist("train", offline=True)[:1100]
    made = distorted(digits, Clutter(T))
    assert made.digest == distorted(digits, Clutter(T)).digest and made.source.endswith("distorted (clutter)")
    assert made.images.shape == (1100, 1, 60, 60)
    theta = Clutter(T).sample(1100, seeded(20150605), torch.float64)
    last = Clutter(T).apply(digits.images[1000:].double(), theta[1000:]).round().to(torch.uint8)
    assert torch.equal(made.images[1000:], last)


def test_autocast_changes_nothing():
    clutter, images = Clutter(T), torch.rand(4, 1, 28, 28)
    expected = clutter(images, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(clutter(images, seeded()), expected)


# Settings


def test_a_weaker_one_has_fewer_pieces_over_less_of_the_same():
    clutter = Clutter(RTS(canvas=60), pieces=10, side=4)
    half = clutter.weaker(0.5)
    assert (half.pieces, half.side, half.under.degrees, half.canvas) == (5, 4, 22.5, (60, 60))
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(clutter.weaker(0)(images, seeded()), RTS(canvas=60).weaker(0)(images, seeded()))
    assert torch.equal(clutter.weaker(1)(images, seeded()), clutter(images, seeded()))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"side": 29}, "pieces no larger than the image's 28×28 pixels, got 29×29"),
        ({"pieces": 101}, "a canvas with room for 101 pieces of 6×6 pixels side by side, got 60×60"),
        ({"pieces": -1}, "pieces as a whole number of at least 0, got -1"),
        ({"side": 0}, "side as a whole number of at least 1, got 0"),
        ({"side": 2.0}, "side as a whole number of at least 1, got 2.0"),
    ],
)
def test_clutter_that_cannot_be_is_refused_in_words(settings, said):
    with pytest.raises(ValueError, match=said):
        Clutter(T, **settings)


def test_a_theta_of_another_distortion_is_refused_in_words():
    with pytest.raises(
        ValueError, match=r"theta of shape \(B, 86\), 6 numbers and 5 for each of 16 pieces, got \(2, 6\)"
    ):
        Clutter(T).apply(torch.rand(2, 1, 28, 28), T.sample(2))


# Channels apart


@few
@given(st.integers(0, 4), st.integers(1, 3))
def test_each_channel_is_distorted_as_if_it_were_alone(n, channels):
    apart, images = EachChannel(RTS(), channels), torch.rand(n, channels, 28, 28, dtype=torch.float64)
    theta = apart.sample(n, seeded(), torch.float64)
    seen = apart.apply(images, theta)
    assert theta.shape == (n, 6 * channels) and seen.shape == (n, channels, 42, 42)
    for channel in range(channels):
        alone = RTS().apply(images[:, [channel]], theta[:, 6 * channel : 6 * channel + 6])
        torch.testing.assert_close(seen[:, [channel]], alone)
    assert torch.equal(apart(images, seeded()), seen) and apart.pose(theta) is None


def test_the_channels_are_independent_and_each_is_rts():
    theta = EachChannel(RTS(), 2).sample(N, seeded(), torch.float64).unflatten(1, (2, 6))
    turns = [RTS().pose(theta[:, channel]).degrees for channel in (0, 1)]
    assert all(distance_to_uniform(each, -45, 45) < LIMIT for each in turns)
    assert torch.corrcoef(torch.stack(turns))[0, 1].abs() < 4.5 / N**0.5


def test_a_weaker_one_is_weaker_in_each_channel():
    half = EachChannel(RTS(), 2).weaker(0.5)
    assert (half.each.degrees, half.channels, half.canvas) == (22.5, 2, (42, 42))
    assert half.label == "RTS, each channel apart"


def test_other_numbers_of_channels_are_refused_in_words():
    with pytest.raises(ValueError, match=r"images of 2 channels, got \(3, 1, 28, 28\)"):
        EachChannel(RTS(), 2)(torch.rand(3, 1, 28, 28))
    with pytest.raises(ValueError, match="channels as a whole number of at least 1, got 0"):
        EachChannel(RTS(), 0)
