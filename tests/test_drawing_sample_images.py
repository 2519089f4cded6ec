"""`drawing.sample_images`: what the learner looks at, and what becomes of a file of their own."""

import io
import itertools
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from PIL import Image
from strategies import few

from stn_course.data import load_mnist
from stn_course.drawing import sample_images
from stn_course.drawing.sample_images import digit, read_image, test_card


def encoded(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def quarters(size=(40, 40)) -> Image.Image:
    """Red and green above, blue and white below."""
    image = Image.new("RGB", (2, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
    return image.resize(size, Image.Resampling.NEAREST)


def colours(read: torch.Tensor) -> list[list[int]]:
    """The colours in the middles of the four quarters, from the top left in reading order."""
    return [(read[:, y, x] * 255).round().int().tolist() for y in (20, 76) for x in (20, 76)]


RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def test_digits_are_the_packages_own_real_ones():
    data = load_mnist("test", offline=True)
    for label in range(10):
        mine = digit(label)
        assert mine.shape == (1, 28, 28) and mine.dtype == torch.float32
        same = (data.images.float() / 255 == mine).flatten(1).all(1)
        assert data.labels[same].tolist() == [label]


def test_a_digit_may_be_changed_without_changing_the_next():
    digit(3).zero_()
    assert digit(3).max() > 0.9


def test_there_is_no_digit_ten():
    with pytest.raises(ValueError, match="got 10"):
        digit(10)


def test_no_turn_and_no_mirror_leaves_the_test_card_as_it_is():
    card = test_card()
    assert card.shape == (3, 84, 84) and card.min() >= 0 and card.max() <= 1
    for turns in range(4):
        for mirrored in (False, True):
            other = torch.rot90(card.flip(2) if mirrored else card, turns, (1, 2))
            assert torch.equal(other, card) == (turns == 0 and not mirrored)


def test_the_corners_of_the_test_card_differ_in_colour_and_in_grey():
    corners = [test_card()[:, y, x] for y in (0, -1) for x in (0, -1)]
    greys = sorted(float(corner @ torch.tensor([0.299, 0.587, 0.114])) for corner in corners)
    assert min(b - a for a, b in itertools.pairwise(greys)) > 0.03


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_kind_of_file_is_read(kind):
    read = read_image(encoded(quarters((200, 200)), kind))
    assert read.shape == (3, 96, 96) and read.dtype == torch.float32
    for got, expected in zip(colours(read), (RED, GREEN, BLUE, WHITE)):
        assert np.abs(np.array(got) - expected).max() < 12  # JPEG and GIF change colours a little


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_of_pixels_is_read(mode):
    if mode == "I;16":
        image = Image.fromarray(np.full((30, 30), 65535, np.uint16))
    else:
        image = Image.new("RGB", (30, 30), "white").convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert read_image(encoded(image, kind)).min() == 1


@pytest.mark.parametrize(
    "values", [[0.0, 0.5, 1.0], [0, 32768, 65535], [0, 2**30, 2**31 - 1], [0.0, 100.0, 200.0], [float("nan"), 0.5, 1.0]]
)
def test_whole_and_decimal_numbers_of_32_bits_are_read(values):
    kind = np.float32 if isinstance(values[0], float) else np.int32
    image = Image.fromarray(np.repeat(np.array([values], kind), 3, axis=0))
    read = read_image(encoded(image.resize((99, 99), Image.Resampling.NEAREST), "TIFF"))
    assert [round(read[0, 48, x].item(), 2) for x in (8, 48, 88)] == [0, 0.5, 1]


def test_what_is_transparent_becomes_white():
    assert read_image(encoded(Image.new("RGBA", (30, 30), (0, 0, 0, 0)))).min() == 1


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
def test_a_photograph_stands_upright(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert colours(read_image(encoded(quarters(), "PNG", exif=exif))) == expected


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_the_middle_is_kept(size):
    image = Image.new("RGB", size, "red")
    image.paste("blue", ((size[0] - 100) // 2, (size[1] - 100) // 2, (size[0] + 100) // 2, (size[1] + 100) // 2))
    read = read_image(encoded(image))
    assert (read[:, 4:-4, 4:-4] == torch.tensor([0.0, 0, 1])[:, None, None]).all()


def test_fine_stripes_become_grey_and_not_other_stripes():
    stripes = np.zeros((960, 960), np.uint8)
    stripes[:, ::2] = 255
    read = read_image(encoded(Image.fromarray(stripes)))
    assert (read - 0.5).abs().max() < 0.02


def test_one_pixel_is_enough():
    assert read_image(encoded(Image.new("RGB", (1, 1), "red"))).shape == (3, 96, 96)


@few
@given(st.data())
def test_a_file_cut_off_or_spoilt_anywhere_is_refused_or_read_but_never_breaks(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]))
    whole = bytearray(encoded(quarters((50, 40)), kind))
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=5)):
            whole[at] = data.draw(st.integers(0, 255))
    try:
        assert read_image(bytes(whole), "mine.png").shape == (3, 96, 96)
    except ValueError as error:
        assert "mine.png" in str(error)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="could not read notes.txt as one"):
        read_image(b"dear diary", "notes.txt")


def test_a_program_is_never_started_to_read_a_file():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(ValueError, match="could not read"):
        read_image(postscript)


def test_a_huge_file_is_refused_unread():
    with pytest.raises(ValueError, match=r"at most 20 MB, got 20\.0 MB in film.mov"):
        read_image(bytes(20 * 2**20 + 1), "film.mov")


@pytest.mark.parametrize("side", [7_100, 14_000, 60_000])
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(side, monkeypatch):
    """A small file may unpack to gigabytes. Pillow itself only warns from 89 megapixels and refuses from 179."""
    header = encoded(Image.new("1", (1, 1)))
    size = side.to_bytes(4, "big") * 2
    bomb = header[:16] + size + header[24:]
    crc = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    bomb = bomb[:29] + crc + bomb[33:]
    monkeypatch.setattr(sample_images, "_on_paper", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="at most 50 megapixels, got more in bomb.png"):
        read_image(bomb, "bomb.png")
