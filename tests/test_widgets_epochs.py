"""`widgets`: the live pictures show the package's own warp."""

import io

import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from PIL import Image

from stn_course.algebra import from_parts
from stn_course.data import load_cifar10
from stn_course.drawing.epochs import GAP, TILE
from stn_course.experiments import ten_digits
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective
from stn_course.widgets import EpochSlider


@pytest.fixture
def slider():
    thetas = Affine().identity() + 0.1 * torch.randn(4, 10, 6, generator=torch.Generator().manual_seed(0))
    return EpochSlider(ten_digits(), thetas)


def picture(slider) -> Image.Image:
    return Image.open(io.BytesIO(bytes(slider.picture.value))).convert("RGB")


def test_every_epoch_shows_what_the_network_saw_after_it(slider):
    for epoch in range(5):
        slider.epoch.value = epoch
        seen = warp(slider.scene.images, slider.scene.looks[0][epoch])
        shown = np.asarray(picture(slider))
        for i in (0, 9):
            tile = shown[2 + TILE + GAP :, 84 + i * (TILE + GAP) :][:TILE, :TILE, 0]
            expected = Image.fromarray((seen[i, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
            expected = np.asarray(expected.resize((TILE, TILE), Image.Resampling.NEAREST))
            assert np.array_equal(tile[1:-1, 1:-1], expected[1:-1, 1:-1])  # the frame covers the rim


def test_colour_images_are_shown_as_the_network_saw_them_in_colour_and_size():
    images = load_cifar10("test", offline=True).images[:3].float() / 255
    thetas = Affine().identity() + 0.1 * torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
    slider = EpochSlider(images, thetas, output_size=(24, 16))
    seen = warp(images, thetas[1], output_size=(24, 16))
    for i in range(3):
        wide = TILE * 16 // 24
        left = 84 + i * (TILE + GAP) + (TILE - wide) // 2
        tile = np.asarray(slider.compose(2))[2 + TILE + GAP :, left:][:TILE, :wide]
        expected = Image.fromarray((seen[i].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        expected = np.asarray(expected.resize((wide, TILE), Image.Resampling.NEAREST))
        assert np.array_equal(tile[1:-1, 1:-1], expected[1:-1, 1:-1])


def test_an_untrained_network_may_look_elsewhere_and_see_the_edge_go_on():
    thetas = Affine().identity().expand(2, 10, 6)
    closer, aside = torch.tensor([0.5, 0, 0, 0, 0.5, 0]), torch.tensor([1.0, 0, 1.5, 0, 1, 0])
    slider = EpochSlider(1 - ten_digits(), thetas, padding_mode="border", start=closer)
    assert torch.equal(slider.scene.looks[0][0], closer.expand(10, 6)) and torch.equal(
        slider.scene.looks[0][1:], thetas
    )
    white = 1 - ten_digits()
    beyond = EpochSlider(white, thetas, padding_mode="border", start=aside).compose(0).getpixel((84 + 90, 200))
    zeros = EpochSlider(white, thetas, start=aside).compose(0).getpixel((84 + 90, 200))
    assert beyond == (255, 255, 255) and zeros == (0, 0, 0)


def test_a_start_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"start as one θ of shape \(6,\), got \(3,\)"):
        EpochSlider(ten_digits(), torch.zeros(2, 10, 6), start=torch.zeros(3))


def test_it_starts_with_the_untrained_network_and_reset_goes_back_there(slider):
    assert slider.epoch.value == 0
    first = picture(slider).tobytes()
    slider.epoch.value = 4
    assert picture(slider).tobytes() != first
    slider.reset.click()
    assert slider.epoch.value == 0
    assert picture(slider).tobytes() == slider.compose(0).tobytes()


def test_epoch_zero_sees_the_input_itself(slider):
    torch.testing.assert_close(
        warp(slider.scene.images, slider.scene.looks[0][0]), slider.scene.images, atol=1e-5, rtol=0
    )


def test_the_size_of_the_picture_never_changes(slider):
    assert len({slider.compose(epoch).size for epoch in range(5)}) == 1


def test_the_still_strip_holds_the_same_pictures(slider):
    still = slider.figure([0, 4])
    first = slider.compose(0)
    assert still.image.crop((0, 0, *first.size)).tobytes() == first.tobytes()
    data, metadata = still._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG") and set(data) == {"image/png", "text/plain"}
    assert metadata["image/png"]["alt"] == data["text/plain"] == still.alt


@pytest.mark.parametrize("size", [(40, 80), (80, 40)], ids=str)
def test_oblong_images_keep_their_proportions_and_a_turned_border_its_right_angles(size):
    """A blank image, so that the frame is the only vermillion: its extremes are where a true turn puts the corners."""
    theta = from_parts(torch.tensor([[30.0, 0.25, 0.25, 0, 0, 0]]), size=size)
    slider = EpochSlider(torch.zeros(2, 1, *size), theta.expand(1, 2, 6))
    high, wide = (TILE * side // 80 for side in size)
    shown = np.asarray(slider.compose(1)).astype(int)
    assert shown.shape == (2 * (high + GAP) + 20, 84 + 2 * (TILE + GAP), 3)
    left = 84 + (TILE - wide) // 2
    tile = shown[2:, left:][:high, :wide]
    rows, columns = np.nonzero((np.abs(tile - (0xD5, 0x5E, 0x00)).max(-1) < 40)[2:-2, 2:-2])
    turn = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]])
    reach = turn @ (0.125 * wide, 0.125 * high)  # of a turned box, along x and along y
    for at, side, half in ((columns + 2, wide, reach[0]), (rows + 2, high, reach[1])):
        assert at.min() == pytest.approx(side / 2 - half, abs=5)  # the dot on the corner reaches three pixels
        assert at.max() == pytest.approx(side / 2 + half, abs=5)


def test_thetas_of_any_device_that_require_gradients_are_taken(slider):
    there = EpochSlider(
        elsewhere(slider.scene.images),
        elsewhere(slider.scene.looks[0][1:]),
        start=elsewhere(slider.scene.looks[0][0, 0]),
    )
    assert there.compose(2).tobytes() == slider.compose(2).tobytes()


@pytest.mark.parametrize("epoch", [-1, 5])
def test_an_epoch_that_is_none_is_refused(slider, epoch):
    with pytest.raises(ValueError, match=f"expected epoch from 0 to 4, got {epoch}"):
        slider.compose(epoch)


def test_a_projective_transform_is_drawn_too():
    slider = EpochSlider(ten_digits(), Projective().identity().expand(2, 10, 8), Projective())
    assert picture(slider).size == slider.compose(1).size


def test_thetas_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(epochs, 10, 6\), got \(2, 9, 6\)"):
        EpochSlider(ten_digits(), torch.zeros(2, 9, 6))


# Several looks


@pytest.fixture
def two():
    """θ of two looks over three epochs at four images, and their families."""
    generator = torch.Generator().manual_seed(1)
    families = [Affine(), Attention()]
    return families, [
        each.identity() + 0.2 * torch.randn(3, 4, each.n_params, generator=generator) for each in families
    ]


def row(picture, number: int) -> np.ndarray:
    """One row of tiles, without frames; it has the height of all."""
    return np.asarray(picture)[2 + number * (TILE + GAP) :, 84:][:TILE]


@pytest.mark.parametrize("chained", [False, True])
def test_several_looks_are_shown_with_what_each_saw(two, chained):
    families, thetas = two
    images = ten_digits()[:4]
    slider = EpochSlider(images, thetas, families, chained=chained)
    slider.epoch.value = 2
    first = warp(images, thetas[0][1], families[0])
    second = warp(first if chained else images, thetas[1][1], families[1])
    alone = [EpochSlider(images, one, family) for one, family in zip(thetas, families)]
    if not chained:
        assert np.array_equal(row(picture(slider), 1), row(alone[0].compose(2), 1))
        assert np.array_equal(row(picture(slider), 2), row(alone[1].compose(2), 1))
    for i in range(4):
        tile = row(picture(slider), 2)[:, i * (TILE + GAP) :][:, :TILE, 0]
        expected = Image.fromarray((second[i, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
        expected = np.asarray(expected.resize((TILE, TILE), Image.Resampling.NEAREST))
        assert np.array_equal(tile[1:-1, 1:-1], expected[1:-1, 1:-1])
    red = [(row(picture(slider), n)[3:-3, 3 : TILE - 3, 0].astype(int) > 190).sum() for n in (0, 1)]
    assert red[0] > 0 and np.array_equal(np.asarray(picture(slider)), np.asarray(slider.compose(2)))


def test_looks_that_do_not_fit_each_other_are_refused(two):
    families, thetas = two
    images = ten_digits()[:4]
    with pytest.raises(ValueError, match="as many looks, got 2, 1 and 2"):
        EpochSlider(images, thetas, families[:1])
    with pytest.raises(ValueError, match=r"as many epochs for each look, got \[3, 2\]"):
        EpochSlider(images, [thetas[0], thetas[1][:2]], families)
    with pytest.raises(ValueError, match=r"thetas of shape \(epochs, 4, 3\), got \(3, 4, 6\)"):
        EpochSlider(images, [thetas[0], thetas[0]], families)


def test_lists_of_numbers_as_records_have_them_are_taken(two):
    families, thetas = two
    images = ten_digits()[:4]
    start = [0.5, 0, 0, 0, 0.5, 0]
    expected = EpochSlider(images, thetas[0], start=torch.tensor(start)).compose(0)
    assert EpochSlider(images, thetas[0].tolist(), start=start).compose(0).tobytes() == expected.tobytes()
    several = EpochSlider(images, [one.tolist() for one in thetas], families)
    assert several.compose(2).tobytes() == EpochSlider(images, thetas, families).compose(2).tobytes()


def test_a_frame_that_reaches_beyond_the_picture_is_drawn_around_it():
    """Zoomed out to one and a half, the frame lies on the tile's rim, and the picture takes two thirds of the tile."""
    white, out = torch.ones(1, 1, 8, 8), torch.tensor([1.5, 0, 0, 0, 1.5, 0])
    scene = EpochSlider(white, out.expand(1, 1, 6)).scene
    assert scene.reach == 1.5
    tile = np.asarray(scene.compose(1))[2:, 84:][:TILE, :TILE].astype(int)
    frame = (abs(tile - [0xD5, 0x5E, 0x00]) < 30).all(-1)
    rows, columns = frame.nonzero()
    assert rows.min() <= 1 and columns.min() <= 1 and not frame[TILE // 4 : -TILE // 4, TILE // 4 : -TILE // 4].any()
    black = np.asarray(EpochSlider(0 * white, out.expand(1, 1, 6)).scene.compose(1))[2:, 84:][:TILE, :TILE, 0]
    assert (black[TILE // 2] == 0).sum() == 64  # of 96


def test_how_far_frames_may_reach_has_an_end():
    far = torch.tensor([9.0, 0, 0, 0, 9.0, 0]).expand(1, 1, 6)
    assert EpochSlider(torch.ones(1, 1, 8, 8), far).scene.reach == 1.6
