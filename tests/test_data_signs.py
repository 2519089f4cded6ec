"""Road signs as drawn, written to a folder and read back; and every way in which a folder can be wrong."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

from stn_course.data import DataError, draw_signs, folder_problems, load_folder, load_signs, on_canvas, write_signs
from stn_course.data.signs import KINDS, SHAPES, SIDE
from stn_course.spatial_transformer import warp
from stn_course.transforms import Attention

SOME = 48


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("signs")
    return write_signs(root / "train", "train", SOME), write_signs(root / "test", "test", SOME)


@pytest.fixture
def tiny_folder(tmp_path):
    """Two classes with two pictures each, of different shapes."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(2):
            pixels = np.full((10 + i, 20, 3), 50 * i, np.uint8)
            pixels[:, :, 1] = 90
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_they_are_the_same_on_every_call_and_some_are_the_first_of_all():
    first, again = [*draw_signs("test", 3)], [*draw_signs("test", 5)][:3]
    assert all(np.array_equal(one.picture, two.picture) and one[1:] == two[1:] for one, two in zip(first, again))
    assert not np.array_equal(first[0].picture, next(draw_signs("train")).picture)


def test_there_is_one_sign_of_a_known_place_in_each_and_all_kinds_and_shapes_are_there():
    data, poses = load_signs("train", SOME)
    kinds, shapes = zip(*((sign.kind, sign.picture.shape[:2]) for sign in draw_signs("train", SOME)))
    assert set(kinds) == set(KINDS) == set(data.classes) and set(shapes) == set(SHAPES)
    assert [data.classes[label] for label in data.labels] == [*kinds]
    x, y, size = poses.unbind(1)
    frames = warp(data.images.float() / 255, torch.stack((size, x, y), 1), Attention(), (20, 20))
    red = frames[:, 0] - frames[:, 1:].amax(1)  # (N, 20, 20)
    ring = torch.hypot(*torch.meshgrid(*2 * [torch.arange(-9.5, 10)], indexing="ij"))
    assert red[:, (ring > 8.2) & (ring < 9.6)].mean(1).min() > 0.25  # in every picture
    assert red[:, ring < 7].abs().mean() < 0.1
    assert data.complete is False and "drawn by the package" in data.source


def test_all_kinds_are_as_frequent_and_a_whole_split_is_complete(monkeypatch):
    monkeypatch.setattr("stn_course.data.signs.LENGTH", {"train": 16, "test": 16})
    load_signs.cache_clear()
    data, _ = load_signs("test")
    load_signs.cache_clear()
    assert data.complete and data.labels.bincount().tolist() == [2] * 8


def test_an_unknown_split_is_told():
    with pytest.raises(ValueError, match="split as one of train, test, got 'valid'"):
        next(draw_signs("valid"))


# A folder


def test_what_was_written_is_read_back_in_the_order_of_torchvision(folders):
    data, theirs = load_folder(folders[0], SIDE), ImageFolder(folders[0])
    assert list(data.classes) == theirs.classes and data.labels.tolist() == theirs.targets
    for i in (0, 17, SOME - 1):
        picture = np.asarray(theirs[i][0])
        assert torch.equal(data.images[i], on_canvas(picture, SIDE))
    drawn, _ = load_signs("train", SOME)
    assert sorted(map(bytes, data.images.numpy())) == sorted(map(bytes, drawn.images.numpy()))
    assert folder_problems(*folders) == []


def test_a_picture_lies_in_the_middle_and_a_larger_one_is_reduced():
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    canvas = on_canvas(picture, 6)
    assert (
        torch.equal(canvas[:, 2:4, 1:5], torch.from_numpy(picture).permute(2, 0, 1)) and canvas.sum() == picture.sum()
    )
    assert on_canvas(np.full((100, 300, 3), 7, np.uint8), 30)[0].bool().sum() == 10 * 30


def test_a_photograph_that_lies_on_its_side_is_turned_as_its_camera_says(tiny_folder):
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :5, 0] = 255
    picture, tags = Image.fromarray(pixels), Image.Exif()
    tags[0x0112] = 6  # turn it clockwise by a quarter
    picture.save(tiny_folder / "cat" / "3.png", exif=tags)
    red = load_folder(tiny_folder, 20).images[2, 0]
    assert red[:5, 5:15].min() == 255 and red[5:].max() == 0


@pytest.mark.parametrize(
    ("picture", "came"),
    [(np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"), (np.zeros((4, 4, 3)), "float64"), (torch.zeros(3), "a tensor")],
)
def test_what_is_no_picture_is_told(picture, came):
    with pytest.raises(ValueError, match=rf"uint8 array of shape \(H, W, 3\), got {came}"):
        on_canvas(picture, 8)


# What is wrong with it


def only(problems):
    (problem,) = problems
    return problem


def test_a_folder_that_is_fine_has_no_problems(tiny_folder):
    assert folder_problems(tiny_folder) == [] == folder_problems(tiny_folder, tiny_folder)
    assert load_folder(tiny_folder, 32).images.shape == (4, 3, 32, 32)


def test_no_folder_and_no_pictures(tmp_path):
    assert only(folder_problems(tmp_path / "nowhere")) == f"{tmp_path / 'nowhere'} is no folder"
    with pytest.raises(DataError, match="nowhere, which is no folder"):
        load_folder(tmp_path / "nowhere", 32)
    assert only(folder_problems(tmp_path)) == f"{tmp_path} has 0 classes with pictures, and needs two"
    with pytest.raises(DataError, match=r"at least two classes in subfolders of .*, got none"):
        load_folder(tmp_path, 32)


def test_one_class_and_an_empty_class(tiny_folder):
    for path in (tiny_folder / "dog").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert folder_problems(tiny_folder) == [
        f"{tiny_folder / 'dog'} has no pictures",
        f"{tiny_folder} has 1 classes with pictures, and needs two",
    ]
    with pytest.raises(DataError, match="at least two classes in subfolders of .*, got cat"):
        load_folder(tiny_folder, 32)
    (tiny_folder / "eel").mkdir()
    Image.new("RGB", (9, 9)).save(tiny_folder / "eel" / "1.jpg")
    with pytest.raises(DataError, match="in every subfolder of .*, got none in dog"):
        load_folder(tiny_folder, 32)


@pytest.mark.parametrize("content", [b"", b"not a picture", "half"], ids=str)
def test_a_broken_file(content, tiny_folder):
    path = tiny_folder / "dog" / "1.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    if content == "half":
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    assert only(folder_problems(tiny_folder)).startswith(f"{path} cannot be read as a picture")
    with pytest.raises(DataError, match=r"dog.1.png cannot be read as a picture .*; delete or replace it"):
        load_folder(tiny_folder, 32)


def test_a_grey_picture_among_coloured_ones(tiny_folder):
    path = tiny_folder / "cat" / "0.png"
    Image.new("L", (9, 9), 77).save(path)
    assert only(folder_problems(tiny_folder)) == f"1 of 4 pictures in {tiny_folder} are grey, such as {path}"
    assert load_folder(tiny_folder, 9).images[0].unique().tolist() == [77]
    for other in tiny_folder.rglob("*.png"):
        Image.new("L", (9, 9), 77).save(other)
    assert folder_problems(tiny_folder) == []  # all alike: nothing is given away


def test_a_class_without_test_images_and_one_that_was_never_trained(tiny_folder, tmp_path_factory):
    test = tmp_path_factory.mktemp("test")
    for name in ("cat", "eel"):
        (test / name).mkdir()
        Image.new("RGB", (9, 9)).save(test / name / "1.jpg")
    assert folder_problems(tiny_folder, test) == [
        f"dog has no pictures in {test}",
        f"eel has no pictures in {tiny_folder}",
    ]
