"""CIFAR-10 in all the ways MNIST is had, and what stands in for it; what both have in common is tested with MNIST."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from small_cifar10 import ALL_FILES, ARRAYS, CONTENT, FILES, META, ORIGINAL, small_cifar10, with_small_originals

from stn_course.data import DataError, ImageData, cifar10, load_cifar10
from stn_course.data.shapes import OUTLINES


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The data folder, not yet there, and small originals."""
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    with_small_originals(monkeypatch)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """What torchvision's download brings: an error that is raised, or the contents of files."""
    weather = {"brings": ConnectionError("no route to host"), "attempts": 0}

    def download(root, download):
        assert download
        weather["attempts"] += 1
        if isinstance(weather["brings"], Exception):
            raise weather["brings"]
        write_originals(root, weather["brings"])

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", download)
    return weather


def write_originals(folder, content=CONTENT):
    place = Path(folder) / "cifar-10-batches-py"
    place.mkdir(parents=True, exist_ok=True)
    for name, what in content.items():
        (place / name).write_bytes(what)
    return place


def assert_is_small_cifar10(found: ImageData, split: str):
    expected = small_cifar10(split)
    assert torch.equal(found.images, expected.images)
    assert found.images.is_contiguous()
    assert torch.equal(found.labels, expected.labels)
    assert (found.source, found.complete, found.classes) == (expected.source, True, cifar10.CLASSES)


both_splits = pytest.mark.parametrize("split", ["train", "test"])


@both_splits
def test_torchvisions_layout_comes_first(folder, network, split):
    write_originals(folder)
    (folder / "cifar10.npz").write_bytes(b"never looked at")
    assert_is_small_cifar10(load_cifar10(split), split)
    assert network["attempts"] == 0


@both_splits
def test_an_archive_comes_second(folder, network, split):
    folder.mkdir()
    np.savez(folder / "cifar10.npz", **ARRAYS)
    assert_is_small_cifar10(load_cifar10(split), split)
    assert network["attempts"] == 0


@both_splits
def test_a_download_comes_third_and_torchvision_can_use_it_too(folder, network, split):
    network["brings"] = CONTENT | {"batches.meta": META}
    for _ in range(2):
        assert_is_small_cifar10(load_cifar10(split, offline=False), split)
    assert network["attempts"] == 1
    brought = {file.name: file.read_bytes() for file in (folder / "cifar-10-batches-py").iterdir()}
    assert brought == network["brings"]


@both_splits
def test_the_shapes_come_last_and_are_never_called_cifar10(network, capsys, split):
    found = load_cifar10(split)
    said = capsys.readouterr().out
    assert "CIFAR-10" in said and "could not be downloaded" in said
    assert "coloured shapes that the package draws itself" in said
    assert "CIFAR" not in found.source
    assert not found.complete


def test_offline_false_never_gives_the_shapes(folder):
    with pytest.raises(ConnectionError, match="no route to host") as error:
        load_cifar10("train", offline=False)
    assert str(folder / "cifar-10-batches-py") in str(error.value)
    assert all(name in str(error.value) for name in ALL_FILES)


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.mkdir, (self.trace,)


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("damage", ["truncated", "one bit altered", "empty", "a pickle of something else"])
def test_a_damaged_original_is_named_and_never_unpickled(folder, network, tmp_path, name, damage):
    place, content = write_originals(folder), CONTENT[name]
    altered = {
        "truncated": content[: len(content) // 2],
        "one bit altered": content[:-1] + bytes([content[-1] ^ 1]),
        "empty": b"",
        "a pickle of something else": pickle.dumps(Bomb(tmp_path / "unpickled")),
    }[damage]
    (place / name).write_bytes(altered)
    split, other = ("train", "test") if name in FILES["train"] else ("test", "train")
    with pytest.raises(DataError, match="Remove it") as error:
        load_cifar10(split)
    assert str(place / name) in str(error.value)
    assert not (tmp_path / "unpickled").exists()
    assert_is_small_cifar10(load_cifar10(other), other)
    assert network["attempts"] == 0


X, Y = ARRAYS["x_train"], ARRAYS["y_train"]


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"x_train": None}, "lacks x_train"),
        ({"x_train": X.transpose(0, 3, 1, 2)}, r"uint8 \(50, 32, 32, 3\), got uint8 \(50, 3, 32, 32\)"),
        ({"x_train": X[..., 0]}, r"got uint8 \(50, 32, 32\)"),
        ({"x_train": X.astype(np.float32)}, "got float32"),
        ({"y_train": Y.astype(np.float32)}, r"whole numbers from 0 to 9, got float32 \(50,\)"),
        ({"y_train": Y[:, None].repeat(2, axis=1)}, r"got uint8 \(50, 2\)"),
        ({"y_train": Y + 1}, "whole numbers from 0 to 9"),
        ({"x_train": X[..., ::-1]}, "CIFAR-10's own"),  # blue, green, red
        ({"x_train": X.swapaxes(1, 2)}, "CIFAR-10's own"),
        ({"y_train": Y[::-1]}, "CIFAR-10's own"),
    ],
)
def test_an_archive_of_something_else_is_refused_by_name(folder, network, changes, told):
    folder.mkdir()
    arrays = {name: array for name, array in (ARRAYS | changes).items() if array is not None}
    np.savez(folder / "cifar10.npz", **arrays)
    with pytest.raises(DataError, match=told) as error:
        load_cifar10("train")
    assert str(folder / "cifar10.npz") in str(error.value)
    assert network["attempts"] == 0


# What stands in for it


@both_splits
def test_the_shapes_are_mixed_coloured_and_all_different(split):
    shapes = load_cifar10(split, offline=True)
    n = {"train": 2000, "test": 1000}[split]
    assert shapes.source == f"coloured shapes drawn by the package, {n:,} for {split}ing"
    assert shapes.images.shape == (n, 3, 32, 32)
    assert shapes.labels.bincount().tolist() == [n // 10] * 10
    assert shapes[:100].labels.bincount(minlength=10).min() > 0
    assert len(shapes.classes) == len(set(shapes.classes)) == 10
    assert len(shapes.images.unique(dim=0)) == n
    channels = shapes.images.float().flatten(2).mean(2)
    assert (channels.std(0) > 20).all()  # no channel tells nothing
    assert load_cifar10(split, offline=True).digest == shapes.digest


def test_no_shape_is_in_both_splits():
    train, test = (load_cifar10(split, offline=True).images for split in ("train", "test"))
    assert len(torch.cat((train, test)).unique(dim=0)) == 3000


def test_colour_does_not_tell_the_shape():
    """The nearest class mean in colour does hardly better than chance; it would if a class had colours of its own."""
    train, test = (load_cifar10(split, offline=True) for split in ("train", "test"))
    train_colours, test_colours = (data.images.float().flatten(2).mean(2) for data in (train, test))
    means = torch.stack([train_colours[train.labels == label].mean(0) for label in range(10)])
    guesses = torch.cdist(test_colours, means).argmin(1)
    assert (guesses == test.labels).float().mean() < 0.16


def test_the_ten_outlines_differ_and_stay_about_as_large():
    assert len({str(outline) for outline in OUTLINES.values()}) == 10
    for outlines in OUTLINES.values():
        for outline in outlines:
            assert max(abs(coordinate) for point in outline for coordinate in point) <= 1.001


# The originals


@pytest.mark.real_data
class TestRealCIFAR10:
    @pytest.fixture(autouse=True)
    def originals(self, monkeypatch, folder, real_cifar10):
        monkeypatch.setenv("STN_COURSE_DATA", str(real_cifar10))
        monkeypatch.setattr(cifar10, "CIFAR10", ORIGINAL)

    @pytest.mark.parametrize("split, n", [("train", 50_000), ("test", 10_000)])
    def test_it_is_found_whole(self, split, n):
        found = load_cifar10(split, offline=False)
        assert found.images.shape == (n, 3, 32, 32)
        assert found.labels.bincount().tolist() == [n // 10] * 10
        assert found.source == f"CIFAR-10, {split} split, {n:,} images"
        assert found.complete
        assert found.digest == ORIGINAL.digests[split]

    def test_its_first_images_are_a_frog_and_a_truck(self):
        found = load_cifar10("train", offline=False)
        assert [found.classes[label] for label in found.labels[:3]] == ["frog", "truck", "truck"]
        # the second image is a white truck under a pale sky: its upper rows are brighter than its lower ones
        truck = found.images[1].float().mean(0)
        assert truck[:8].mean() > truck[-8:].mean()
