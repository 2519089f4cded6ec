"""Mirrored and shifted images: each is one of the few that it may be, each as often as it should be, batch by batch."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import channels, few, lay_out, layouts, seeds, uniform

from stn_course.augmentation import FlipAndShift, FlipShiftAndCut


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def all_that_may_come_out(image, augmentation):
    """(how it was altered, the image): every mirrored and shifted version of one image (C, H, W), by slicing."""
    s, (height, width) = augmentation.shift, image.shape[1:]
    versions = {}
    for mirrored in (False, True) if augmentation.flip else (False,):
        padded = F.pad(image.flip(2) if mirrored else image, [s] * 4)
        for i in range(2 * s + 1):
            for j in range(2 * s + 1):
                versions[mirrored, s - i, s - j] = padded[:, i : i + height, j : j + width]
    return versions


@few
@given(
    n=st.sampled_from([0, 1, 5]),
    c=channels,
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    shift=st.integers(0, 3),
    flip=st.booleans(),
    seed=seeds,
    layout=layouts,
)
def test_each_image_is_one_of_those_it_may_become(n, c, height, width, shift, flip, seed, layout):
    images = lay_out(uniform(seed, n, c, height, width), layout) if n else uniform(seed, n, c, height, width)
    before = images.clone()
    altered = FlipAndShift(flip, shift)(images, generator(seed))
    assert torch.equal(images, before)
    assert (altered.shape, altered.dtype) == (images.shape, images.dtype)
    for image, result in zip(images, altered):
        versions = all_that_may_come_out(image, FlipAndShift(flip, shift)).values()
        assert any(torch.equal(result, version) for version in versions)


def test_every_version_is_drawn_equally_often():
    n = 20_000
    image = uniform(1, 1, 3, 4)  # so that no two versions are alike
    altered = FlipAndShift(shift=1)(image.expand(n, -1, -1, -1), generator())
    versions = all_that_may_come_out(image, FlipAndShift(shift=1))
    drawn = Counter(next(how for how, v in versions.items() if torch.equal(v, result)) for result in altered)
    assert set(drawn) == set(versions)
    expected = n / len(versions)
    chi_square = sum((count - expected) ** 2 / expected for count in drawn.values())
    assert chi_square < 40.8  # 17 degrees of freedom: one draw in a thousand lies above


def test_each_image_of_a_batch_is_altered_on_its_own():
    image = uniform(2, 1, 8, 8).expand(64, -1, -1, -1)
    assert len(FlipAndShift()(image, generator()).unique(dim=0)) > 40


def test_a_seed_decides_and_goes_on():
    images = uniform(3, 9, 3, 8, 8)
    once = generator(5)
    first, second = (FlipAndShift()(images, once) for _ in range(2))
    assert torch.equal(FlipAndShift()(images, generator(5)), first)
    assert not torch.equal(first, second)


def test_without_flip_and_shift_nothing_is_altered():
    images = uniform(4, 5, 3, 8, 8)
    assert torch.equal(FlipAndShift(flip=False, shift=0)(images, generator()), images)


@pytest.mark.parametrize("shift", [-1, 1.5, "4", None, True])
def test_a_shift_that_is_none_is_refused(shift):
    with pytest.raises(ValueError, match=f"whole number of at least 0, got {shift!r}"):
        FlipAndShift(shift=shift)


@pytest.mark.parametrize("images", [torch.rand(3, 8, 8), [[1.0]], None])
def test_what_is_no_batch_of_images_is_refused(images):
    with pytest.raises(TypeError, match=r"\(B, C, H, W\)"):
        FlipAndShift()(images)


def test_a_draw_is_made_where_the_generator_is():
    """The `meta` device stands for a GPU: nothing is computed on it, and what lies on two devices is refused."""
    images = torch.empty(5, 3, 8, 8, device="meta")
    used = generator()
    before = used.get_state()
    assert FlipAndShift()(images, used).shape == images.shape
    assert not torch.equal(used.get_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_images_on_a_gpu_stay_there():
    images = torch.rand(5, 3, 8, 8, device="cuda")
    altered = FlipAndShift()(images, torch.Generator("cuda").manual_seed(0))
    assert altered.device == images.device


# Cut out


def squares(height, width, side):
    """Every mask (H, W) that may be cut out of an image, by slicing: some reach beyond its edges."""
    masks = []
    for row in range(height):
        for column in range(width):
            mask = torch.zeros(height, width, dtype=torch.bool)
            top, left = row - side // 2, column - side // 2
            mask[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = True
            masks.append(mask)
    return masks


@few
@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(0, 5), n=st.integers(0, 4), seed=seeds)
def test_a_square_is_cut_out_of_what_would_come_out_otherwise(height, width, side, n, seed):
    images = 1 + uniform(seed, n, 3, height, width) if n else torch.ones(0, 3, height, width)
    cut = FlipShiftAndCut(shift=2, side=side)(images, generator(seed))
    whole = FlipAndShift(shift=2)(images, generator(seed))
    assert cut.shape == images.shape
    for one, other in zip(cut, whole):
        assert any(torch.equal(one, other.masked_fill(mask, 0)) for mask in squares(height, width, side))


def test_every_square_is_cut_equally_often():
    n, places = 20_000, 5 * 4
    cut = FlipShiftAndCut(flip=False, shift=0, side=1)(torch.ones(n, 1, 5, 4), generator()) == 0
    assert torch.equal(cut.sum((1, 2, 3)), torch.ones(n, dtype=torch.int64))
    chi_square = ((cut.sum((0, 1)) - n / places) ** 2 / (n / places)).sum()
    assert chi_square < 43.8  # 19 degrees of freedom: one draw in a thousand lies above


@pytest.mark.parametrize("side", [-1, 1.5, "4", None, True])
def test_a_side_that_is_none_is_refused(side):
    with pytest.raises(ValueError, match=f"side as a whole number of at least 0, got {side!r}"):
        FlipShiftAndCut(side=side)
    with pytest.raises(ValueError, match="shift as a whole number"):
        FlipShiftAndCut(shift=side)
