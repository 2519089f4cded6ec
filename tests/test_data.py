"""Real images, wherever they come from: what is found is what it says it is, and what is damaged is never read.

The four original files are 55 MB and do not come with the course. Most tests put small ones in their place and tell
`data` the checksums of those; tests marked `real_data` read the originals where STN_COURSE_DATA has them.
"""

import dataclasses
import gc
import io
import os
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from small_mnist import ALL_FILES, ARRAYS, CONTENT, FILES, ORIGINAL, small_mnist, with_small_originals

from stn_course.data import SAMPLES, Batches, DataError, ImageData, Normalise, load_mnist, mnist, source
from stn_course.places import data_folder


def permissions_hold() -> bool:
    """Whether a folder can be closed to this user; root's cannot, nor can Windows'."""
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder, "closed")
        closed.mkdir(mode=0o000)
        return not os.access(closed, os.R_OK | os.W_OK)


needs_permissions = pytest.mark.skipif(not permissions_hold(), reason="this user may read and write everything")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The data folder, not yet there."""
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    with_small_originals(monkeypatch)
    return tmp_path / "data"


class Network:
    """What torchvision's download meets. Each entry of `weather` is one attempt; the last one lasts."""

    def __init__(self):
        self.weather, self.attempts = [ConnectionError("no route to host")], 0
        self.MNIST = torchvision.datasets.MNIST

    def __call__(self, root, train=True, transform=None, target_transform=None, download=False):
        if not download:
            return self.MNIST(root, train)
        weather = self.weather[min(self.attempts, len(self.weather) - 1)]
        self.attempts += 1
        if isinstance(weather, dict):
            write_originals(root, weather)
        elif isinstance(weather, BaseException):
            write_originals(root, {ALL_FILES[0]: CONTENT[ALL_FILES[0]][:99]})  # it breaks off in the middle of a file
            raise weather


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """No network, unless a test sets its weather."""
    network = Network()
    monkeypatch.setattr(torchvision.datasets, "MNIST", network)
    return network


def write_originals(folder, content=CONTENT):
    raw = Path(folder) / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, what in content.items():
        (raw / name).write_bytes(what)
    return raw


def write_archive(folder, **changes):
    """mnist.npz, with some arrays replaced, or left out where None."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "mnist.npz", **{k: v for k, v in (ARRAYS | changes).items() if v is not None})
    return folder / "mnist.npz"


def assert_is_small_mnist(found: ImageData, split: str):
    expected = small_mnist(split)
    assert torch.equal(found.images, expected.images)
    assert found.images.dtype == torch.uint8
    assert torch.equal(found.labels, expected.labels)
    assert found.labels.dtype == torch.int64
    assert found.source == expected.source
    assert found.classes == tuple("0123456789")
    assert found.complete


def assert_is_sample(found: ImageData, split: str):
    assert len(found) == {"train": 2000, "test": 1000}[split]
    assert found.source == f"MNIST sample, {len(found):,} digits of the {split} split that come with the package"
    assert not found.complete


both_splits = pytest.mark.parametrize("split", ["train", "test"])


# What the package carries


@both_splits
def test_the_sample_has_as_many_of_each_digit(split):
    sample = load_mnist(split, offline=True)
    assert_is_sample(sample, split)
    assert sample.images.shape == (len(sample), 1, 28, 28)
    assert sample.labels.dtype == torch.int64
    assert sample.labels.bincount().tolist() == [len(sample) // 10] * 10
    assert len(sample.images.unique(dim=0)) == len(sample)


@both_splits
def test_every_beginning_of_the_sample_is_mixed(split):
    assert load_mnist(split, offline=True)[:100].labels.bincount().min() > 0


def test_the_sample_is_the_same_forever():
    assert [load_mnist(split, offline=True).digest for split in ("train", "test")] == SAMPLE_DIGESTS


SAMPLE_DIGESTS = ["94c65a2ac0f5c596", "53f7ac3eb9abffa9"]


@pytest.mark.real_data
@both_splits
def test_the_sample_is_cut_from_the_originals(split, real_mnist):
    sample = load_mnist(split, offline=True)
    with np.load(SAMPLES) as archive:
        index = archive[f"index_{split}"]
    images, labels = (np.fromfile(real_mnist / "MNIST" / "raw" / name, np.uint8) for name in FILES[split])
    assert len(set(index.tolist())) == len(sample)
    assert np.array_equal(images[16:].reshape(-1, 1, 28, 28)[index], sample.images.numpy())
    assert np.array_equal(labels[8:][index], sample.labels.numpy())


# The originals


@pytest.mark.real_data
class TestRealMNIST:
    @pytest.fixture(autouse=True)
    def originals(self, monkeypatch, folder, real_mnist):
        monkeypatch.setenv("STN_COURSE_DATA", str(real_mnist))
        monkeypatch.setattr(mnist, "MNIST", ORIGINAL)

    @pytest.mark.parametrize("split, n", [("train", 60_000), ("test", 10_000)])
    def test_it_is_found_whole(self, split, n, real_mnist):
        found = load_mnist(split, offline=False)
        images, labels = (np.fromfile(real_mnist / "MNIST" / "raw" / name, np.uint8) for name in FILES[split])
        assert found.source == f"MNIST, {split} split, {n:,} digits"
        assert found.complete
        assert np.array_equal(found.images.numpy(), images[16:].reshape(n, 1, 28, 28))
        assert np.array_equal(found.labels.numpy(), labels[8:])
        assert found.digest == {"train": "d18cfd466eb143ac", "test": "a0863a96c44e5666"}[split]

    def test_an_archive_of_it_is_the_same(self, tmp_path):
        test = load_mnist("test")
        np.savez(tmp_path / "mnist.npz", x_test=test.images[:, 0].numpy(), y_test=test.labels.numpy())
        found = load_mnist("test", root=tmp_path, offline=False)
        assert (found.digest, found.source, found.complete) == (test.digest, test.source, True)


# Where it is looked for, and in which order


@both_splits
def test_torchvisions_layout_comes_first(folder, network, split):
    write_originals(folder)
    (folder / "mnist.npz").write_bytes(b"never looked at")
    assert_is_small_mnist(load_mnist(split), split)
    assert network.attempts == 0


@both_splits
def test_an_archive_comes_second(folder, network, split):
    write_archive(folder)
    assert_is_small_mnist(load_mnist(split), split)
    assert network.attempts == 0


@both_splits
@pytest.mark.parametrize("offline", [None, False])
def test_a_download_comes_third_and_is_made_once(folder, network, split, offline):
    network.weather = [CONTENT]
    for _ in range(2):
        assert_is_small_mnist(load_mnist(split, offline=offline), split)
    assert_is_small_mnist(load_mnist("test"), "test")
    assert network.attempts == 1
    assert sorted(file.name for file in folder.iterdir() if file.name != "MNIST.lock") == ["MNIST"]  # and no scratch
    assert {file.name: file.read_bytes() for file in (folder / "MNIST" / "raw").iterdir()} == CONTENT


@both_splits
def test_the_sample_comes_last_and_is_announced(network, capsys, split):
    assert_is_sample(load_mnist(split), split)
    said = capsys.readouterr().out
    assert "could not be downloaded" in said
    assert "3,000 real digits that come with the package" in said
    assert network.attempts == 3


def test_the_folder_can_be_an_argument(tmp_path, network):
    write_originals(tmp_path / "elsewhere")
    assert_is_small_mnist(load_mnist("test", root=tmp_path / "elsewhere"), "test")
    assert_is_small_mnist(load_mnist("test", root=str(tmp_path / "elsewhere")), "test")


@both_splits
def test_offline_true_looks_nowhere(folder, network, capsys, split):
    write_originals(folder, dict.fromkeys(CONTENT, b"altered"))
    assert_is_sample(load_mnist(split, offline=True), split)
    folder.rename(folder.with_name("moved"))
    folder.write_text("not even a folder")
    assert_is_sample(load_mnist(split, offline=True), split)
    assert network.attempts == 0
    assert capsys.readouterr().out == ""


def test_offline_false_never_gives_the_sample(folder, network):
    with pytest.raises(ConnectionError) as error:
        load_mnist("train", offline=False)
    told = str(error.value)
    assert "no route to host" in told
    assert str(folder / "MNIST" / "raw") in told
    assert all(name in told for name in ALL_FILES)
    assert network.attempts == 3


@both_splits
def test_one_split_alone_is_enough_for_itself(folder, network, split):
    write_originals(folder, {name: CONTENT[name] for name in FILES[split]})
    assert_is_small_mnist(load_mnist(split, offline=False), split)
    assert network.attempts == 0


def test_what_another_process_brought_meanwhile_is_not_downloaded_again(folder, network, monkeypatch):
    @contextmanager
    def wait(path, what):
        write_originals(folder)
        yield

    monkeypatch.setattr(source, "lock", wait)
    assert_is_small_mnist(load_mnist("train"), "train")
    assert network.attempts == 0


def test_the_data_folder_is_named_or_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("STN_COURSE_DATA", "~/mine")
    assert data_folder() == tmp_path / "mine"
    monkeypatch.setenv("STN_COURSE_DATA", "")  # as good as unset
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder() == tmp_path / "cache" / "stn-course"
    monkeypatch.delenv("STN_COURSE_DATA")
    assert data_folder() == tmp_path / "cache" / "stn-course"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == tmp_path / ".cache" / "stn-course"


# Arguments and folders that will not do


@pytest.mark.parametrize("split", ["validation", "Train", "", None, 3])
@pytest.mark.parametrize("offline", [True, None])
def test_an_unknown_split_is_told_the_known_ones(split, offline):
    with pytest.raises(ValueError, match=f"train, test, got {split!r}"):
        load_mnist(split, offline=offline)


@pytest.mark.parametrize("offline", [None, False])
def test_a_data_folder_that_is_a_file_is_named(folder, offline):
    folder.write_text("a file")
    with pytest.raises(ValueError, match="folder") as error:
        load_mnist("train", offline=offline)
    assert str(folder) in str(error.value)
    assert folder.read_text() == "a file"


@needs_permissions
@pytest.mark.parametrize("offline", [None, False])
def test_a_data_folder_that_may_not_be_read_is_named(folder, offline):
    write_originals(folder)
    folder.chmod(0o000)
    try:
        with pytest.raises(ValueError) as error:
            load_mnist("train", offline=offline)
    finally:
        folder.chmod(0o755)
    assert str(folder) in str(error.value)


@needs_permissions
class TestReadOnlyFolder:
    @pytest.fixture(autouse=True)
    def read_only(self, folder):
        write_archive(folder)
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)

    def test_it_can_be_read(self, folder):
        assert_is_small_mnist(load_mnist("train", offline=False), "train")

    def test_a_download_into_it_is_refused_by_name(self, folder, network):
        folder.chmod(0o755)
        (folder / "mnist.npz").unlink()
        folder.chmod(0o555)
        network.weather = [CONTENT]
        with pytest.raises(ConnectionError) as error:
            load_mnist("train", offline=False)
        assert str(folder) in str(error.value)

    def test_without_it_the_sample_is_used_and_the_reason_told(self, folder, network, capsys):
        folder.chmod(0o755)
        (folder / "mnist.npz").unlink()
        folder.chmod(0o555)
        network.weather = [CONTENT]
        assert_is_sample(load_mnist("train"), "train")
        assert str(folder) in capsys.readouterr().out


# Damaged originals

DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "empty": lambda content: b"",
    "one bit altered": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "header altered": lambda content: content[:3] + bytes([content[3] ^ 1]) + content[4:],
    "one byte longer": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ALL_FILES)
def test_a_damaged_original_is_named_and_never_read(folder, network, name, damage):
    raw = write_originals(folder)
    (raw / name).write_bytes(DAMAGE[damage](CONTENT[name]))
    write_archive(folder)  # a sound copy beside it does not hide the damage
    split, other = ("train", "test") if name in FILES["train"] else ("test", "train")
    with pytest.raises(DataError, match="Remove it") as error:
        load_mnist(split)
    assert str(raw / name) in str(error.value)
    assert_is_small_mnist(load_mnist(other), other)
    assert network.attempts == 0


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_original_is_downloaded_with_the_rest(folder, network, name):
    network.weather = [CONTENT]
    (write_originals(folder) / name).unlink()
    split = "train" if name in FILES["train"] else "test"
    assert_is_small_mnist(load_mnist(split), split)
    assert network.attempts == 1


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("offline", [None, False])
def test_a_missing_original_that_cannot_be_downloaded_is_named(folder, capsys, name, offline):
    (write_originals(folder) / name).unlink()
    try:
        load_mnist("train" if name in FILES["train"] else "test", offline=offline)
    except (DataError, ConnectionError) as error:
        print(error)
    assert name in capsys.readouterr().out


def test_torchvisions_old_cache_beside_the_originals_is_not_read(folder):
    write_originals(folder)
    (folder / "MNIST" / "processed").mkdir()
    nothing = torch.zeros(3, 28, 28, dtype=torch.uint8), torch.zeros(3).long()
    for name in ("training.pt", "test.pt"):
        torch.save(nothing, folder / "MNIST" / "processed" / name)
    assert_is_small_mnist(load_mnist("train"), "train")


# Archives


def test_an_archive_may_hold_labels_as_a_column(folder):
    write_archive(folder, y_train=ARRAYS["y_train"][:, None])
    assert_is_small_mnist(load_mnist("train"), "train")


def test_an_archive_may_hold_labels_of_any_whole_type_and_images_in_any_order(folder):
    write_archive(folder, y_train=ARRAYS["y_train"].astype(">i8"), x_train=np.asfortranarray(ARRAYS["x_train"]))
    assert_is_small_mnist(load_mnist("train"), "train")


@both_splits
def test_an_archive_may_hold_one_split_alone(folder, split):
    other = {"train": "test", "test": "train"}[split]
    path = write_archive(folder, **{f"x_{other}": None, f"y_{other}": None})
    assert_is_small_mnist(load_mnist(split), split)
    with pytest.raises(DataError, match=f"lacks x_{other}, y_{other}; it holds x_{split}, y_{split}") as error:
        load_mnist(other)
    assert str(path) in str(error.value)


def altered(name, index, value):
    array = ARRAYS[name].copy()
    array[index] = value
    return {name: array}


X, Y = ARRAYS["x_train"], ARRAYS["y_train"]


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"x_train": None}, "lacks x_train"),
        ({"y_train": None}, "lacks y_train"),
        ({"x_train": X.astype(np.float32) / 255}, r"uint8 \(60, 28, 28\), got float32 \(60, 28, 28\)"),
        ({"x_train": X.astype(np.int8)}, r"uint8 \(60, 28, 28\), got int8"),
        ({"x_train": X[:-1], "y_train": Y[:-1]}, r"got uint8 \(59, 28, 28\)"),
        ({"x_train": X[:, None]}, r"got uint8 \(60, 1, 28, 28\)"),
        ({"x_train": X.reshape(60, 784)}, r"got uint8 \(60, 784\)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, r"got uint8 \(0, 28, 28\)"),
        ({"y_train": Y[:-1]}, r"whole numbers from 0 to 9, got uint8 \(59,\)"),
        ({"y_train": np.eye(10, dtype=np.uint8)[Y]}, r"got uint8 \(60, 10\)"),
        ({"y_train": Y.astype(np.float64)}, r"got float64 \(60,\)"),
        (altered("y_train", 0, 10), r"whole numbers from 0 to 9, got uint8 \(60,\) from 0 to 10"),
        ({"y_train": Y.astype(np.int64) - 1}, "whole numbers from 0 to 9"),
        ({"y_train": Y.astype(np.int64) + 256}, "whole numbers from 0 to 9"),  # a wrap to bytes would hide it
        (altered("x_train", (59, 27, 27), X[59, 27, 27] ^ 1), "MNIST's own images and labels"),
        (altered("y_train", 59, 8), "MNIST's own"),
        ({"x_train": X[::-1], "y_train": Y[::-1]}, "MNIST's own"),
        ({"x_train": X.transpose(0, 2, 1)}, "MNIST's own"),
    ],
)
def test_an_archive_of_something_else_is_refused_by_name(folder, network, changes, told):
    path = write_archive(folder, **changes)
    with pytest.raises(DataError, match=told) as error:
        load_mnist("train")
    assert str(path) in str(error.value)
    assert network.attempts == 0


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Please log in</html>", b"\x93NUMPY and so on", b""])
def test_a_page_in_place_of_an_archive_is_told_by_what_it_begins_with(folder, page):
    folder.mkdir()
    (folder / "mnist.npz").write_bytes(page)
    with pytest.raises(DataError, match="mnist.npz is no .npz archive: it begins with") as error:
        load_mnist("train")
    assert repr(page[:24]) in str(error.value)
    assert "pickle" not in str(error.value)


@both_splits
def test_a_folder_in_place_of_an_original_is_named(folder, network, split):
    raw = write_originals(folder)
    name = FILES[split][0]
    (raw / name).unlink()
    (raw / name).mkdir()
    with pytest.raises(DataError, match="cannot be read .* Remove it") as error:
        load_mnist(split)
    assert str(raw / name) in str(error.value)
    assert network.attempts == 0


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.mkdir, (self.trace,)


def test_pickled_objects_are_refused_and_never_unpickled(folder, tmp_path):
    path = write_archive(folder, x_train=np.array([Bomb(tmp_path / "unpickled")], dtype=object))
    with pytest.raises(DataError) as error:
        load_mnist("train")
    assert str(path) in str(error.value)
    assert not (tmp_path / "unpickled").exists()


def test_no_archive_at_all(folder):
    folder.mkdir()
    plain = io.BytesIO()
    np.save(plain, X)
    for content in (b"", b"PK", os.urandom(500), plain.getvalue()):
        (folder / "mnist.npz").write_bytes(content)
        with pytest.raises(DataError) as error:
            load_mnist("train")
        assert str(folder / "mnist.npz") in str(error.value)


def test_a_refused_archive_is_closed_and_can_be_removed(folder):
    folder.mkdir()
    (folder / "mnist.npz").write_bytes(b"PK\3\4 and nothing more")
    with warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(DataError):
            load_mnist("train")
        gc.collect()
    assert [str(warning.message) for warning in left_open] == []


ARCHIVE = io.BytesIO()
np.savez_compressed(ARCHIVE, **ARRAYS)
ARCHIVE = ARCHIVE.getvalue()


@settings(max_examples=40)
@given(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255))
def test_a_damaged_archive_gives_an_error_or_the_same_digits(where, flipped):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        with_small_originals(monkeypatch)
        path = Path(folder, "mnist.npz")
        path.write_bytes(ARCHIVE[:where])
        with pytest.raises(DataError, match="mnist.npz"):
            load_mnist("train", folder)
        path.write_bytes(ARCHIVE[:where] + bytes([ARCHIVE[where] ^ flipped]) + ARCHIVE[where + 1 :])
        try:
            found = load_mnist("train", folder)
        except DataError as error:
            assert "mnist.npz" in str(error)
        else:
            assert_is_small_mnist(found, "train")  # the byte was one that means nothing, such as a date


# Downloads


def test_a_download_is_tried_again(network):
    network.weather = [ConnectionError("first"), RuntimeError("second"), CONTENT]
    assert_is_small_mnist(load_mnist("train", offline=False), "train")
    assert network.attempts == 3


def test_a_damaged_download_is_tried_again(network):
    network.weather = [CONTENT | {ALL_FILES[0]: b"<html>Please log in</html>"}, CONTENT]
    assert_is_small_mnist(load_mnist("train", offline=False), "train")
    assert network.attempts == 2


@pytest.mark.parametrize("error", [ConnectionError, RuntimeError, OSError, ValueError, EOFError])
def test_a_download_that_breaks_off_leaves_nothing(folder, network, error):
    network.weather = [error("broken off")]
    assert_is_sample(load_mnist("train"), "train")
    assert [file.name for file in folder.rglob("*") if file.name != "MNIST.lock"] == []
    with pytest.raises(ConnectionError, match="broken off"):
        load_mnist("train", offline=False)


def test_a_download_stopped_by_hand_leaves_nothing(folder, network):
    network.weather = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        load_mnist("train")
    assert network.attempts == 1
    assert [file.name for file in folder.rglob("*") if file.name != "MNIST.lock"] == []


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize("damage", ["truncated", "one bit altered", "missing"])
def test_a_damaged_download_is_never_read_and_not_kept(folder, network, name, damage):
    brought = {other: content for other, content in CONTENT.items() if other != name}
    if damage != "missing":
        brought[name] = DAMAGE[damage](CONTENT[name])
    network.weather = [brought]
    with pytest.raises((ConnectionError, DataError)):
        load_mnist("train" if name in FILES["train"] else "test", offline=False)
    assert not (folder / "MNIST" / "raw" / name).exists()
    assert not list(folder.glob(".download*"))
    network.weather = [CONTENT]  # the next try is not held up by what the first one brought
    assert_is_small_mnist(load_mnist("train", offline=False), "train")


def test_what_a_killed_download_left_is_not_read(folder, network):
    write_originals(folder / ".download-abc", {name: b"half" for name in ALL_FILES})
    assert_is_sample(load_mnist("train"), "train")
    network.weather = [CONTENT]
    assert_is_small_mnist(load_mnist("train", offline=False), "train")
    assert not list(folder.glob(".download-*"))


# Normalise

COLOURS = Normalise(mean=(0.5, 0.25, 0.125), std=(0.2, 0.4, 0.8))


def test_a_normalised_data_set_has_mean_zero_and_deviation_one():
    images = torch.rand(50, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    normalised = Normalise(tuple(mean.tolist()), tuple(std.tolist()))(images)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3).double())


def test_it_is_torchvisions_and_can_be_undone():
    images = torch.rand(5, 3, 8, 6)
    expected = torchvision.transforms.Normalize(COLOURS.mean, COLOURS.std)(images)
    normalised = COLOURS(images, None)
    torch.testing.assert_close(normalised, expected)
    torch.testing.assert_close(COLOURS.undo(normalised), images)
    assert not torch.allclose(normalised, images)


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 8, 8), (5, 8, 8, 3)])
def test_images_with_other_channels_are_not_normalised(shape):
    for change in (COLOURS, COLOURS.undo):
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\), got"):
            change(torch.rand(shape))


@pytest.mark.parametrize("kind", [list, tuple, torch.tensor, np.array, lambda numbers: torch.tensor(numbers).double()])
def test_statistics_may_be_any_sequence_of_numbers(kind):
    made = Normalise(kind([0.5, 0.25, 0.125]), kind([0.25, 0.5, 1]))
    assert made == Normalise((0.5, 0.25, 0.125), (0.25, 0.5, 1.0))
    assert {type(number) for number in made.mean + made.std} == {float}
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(made.undo(made(images)), images)
    assert hash(made) is not None


BAD_STATISTICS = [
    ((0.5,), (0.5, 0.5)),
    ((0.5,), (0.0,)),
    ((0.5,), (-1.0,)),
    ((0.5,), (float("nan"),)),
    ((float("inf"),), (0.5,)),
    (0.5, 0.5),
    (torch.tensor(0.5), torch.tensor(0.5)),
    (torch.zeros(3, 1, 2), torch.ones(3, 1, 2)),
    (("red",), (0.5,)),
    (None, None),
]


@pytest.mark.parametrize("mean, std", BAD_STATISTICS)
def test_statistics_that_are_none_are_refused(mean, std):
    with pytest.raises(ValueError, match="a mean and a positive std for each channel"):
        Normalise(mean, std)


# ImageData


def some_images(n=6):
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 4, 4)
    return ImageData(pixels.clone(), torch.arange(n), "made up")


TWO = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    "images, labels, told",
    [
        (TWO.float(), torch.tensor([0, 1]), r"uint8 .* got torch.float32 \(2, 1, 4, 4\)"),
        (TWO[:, 0], torch.tensor([0, 1]), r"\(N, C, H, W\), got torch.uint8 \(2, 4, 4\)"),
        (TWO, torch.tensor([0, 1, 2]), r"each of 2 images, got .*\(3,\)"),
        (TWO, torch.zeros(3, 2), r"each of 2 images, got .*\(3, 2\)"),
        (TWO, torch.tensor(1), r"each of 2 images, got .*\(\)"),
        (TWO, torch.tensor([False, True]), r"int64 or floating-point.* got .*torch.bool"),
        (TWO, torch.tensor([0, 1], dtype=torch.int32), r"int64.* got .*torch.int32"),
    ],
)
def test_image_data_of_another_kind_is_refused(images, labels, told):
    with pytest.raises(ValueError, match=told):
        ImageData(images, labels, "made up")


@pytest.mark.parametrize("labels", [torch.arange(12).reshape(6, 2), torch.rand(6), torch.rand(6, 2, 3)], ids=len)
def test_labels_may_be_several_numbers_an_image(labels):
    whole = dataclasses.replace(some_images(), labels=labels)
    made = torch.cat([batch for _, batch in Batches(whole, 4)])
    assert torch.equal(made, labels) and torch.equal(whole[2:].labels, labels[2:])
    assert whole.digest != dataclasses.replace(whole, labels=labels + 1).digest


def test_image_data_can_be_cut_and_chosen_from():
    whole = some_images()
    assert len(whole) == 6
    for index in (slice(1, 3), torch.tensor([1, 2]), torch.arange(6).eq(1) | torch.arange(6).eq(2)):
        part = whole[index]
        assert len(part) == 2
        assert part.labels.tolist() == [1, 2]
        assert torch.equal(part.images, whole.images[1:3])
        assert part.source == "2 images of made up"
    assert whole[:6].source == "made up"


def test_a_part_is_not_the_complete_data_set():
    assert some_images().complete
    assert not some_images()[:3].complete


def test_the_same_data_has_the_same_digest():
    whole = some_images()
    assert len(whole.digest) == 16
    int(whole.digest, 16)
    strided = dataclasses.replace(whole, images=whole.images.transpose(2, 3).contiguous().transpose(2, 3))
    assert whole.digest == some_images().digest == strided.digest == whole[:].digest


@given(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3), st.integers(1, 255))
def test_another_pixel_or_label_is_another_digest(i, y, x, flipped):
    whole, images, labels = some_images(), some_images().images, some_images().labels
    images[i, 0, y, x] ^= flipped
    labels[i] += flipped
    others = [
        dataclasses.replace(whole, images=images),
        dataclasses.replace(whole, labels=labels),
        dataclasses.replace(whole, images=images, labels=labels),
    ]
    assert len({other.digest for other in [whole, *others]}) == 4


# Batches

sizes = given(n=st.integers(1, 60), batch_size=st.integers(1, 70), shuffle=st.booleans(), seed=st.integers(0, 2**32))


@sizes
def test_a_pass_covers_every_image_once(n, batch_size, shuffle, seed):
    batches = Batches(some_images(n), batch_size, shuffle=shuffle, generator=torch.Generator().manual_seed(seed))
    made = list(batches)
    assert len(made) == len(batches) == -(-n // batch_size)
    assert [len(labels) for _, labels in made[:-1]] == [batch_size] * (len(made) - 1)
    assert len(made[-1][1]) == n - batch_size * (len(made) - 1)
    labels = torch.cat([labels for _, labels in made])
    images = torch.cat([images for images, _ in made])
    assert sorted(labels.tolist()) == list(range(n))
    assert labels.tolist() == list(range(n)) or shuffle
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.shape == (n, 1, 4, 4)
    assert torch.equal(images, (labels.float() / 255)[:, None, None, None].expand_as(images))  # each with its own label


def test_pixels_are_between_0_and_1():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    images, _ = next(iter(Batches(ImageData(pixels, torch.zeros(1).long(), "every grey"), 1)))
    assert torch.equal(images.flatten(), torch.arange(256) / 255)


def order(seed, passes=1):
    batches = Batches(some_images(50), 16, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return [torch.cat([labels for _, labels in batches]).tolist() for _ in range(passes)]


def test_a_seed_decides_the_order_and_each_pass_has_its_own():
    assert order(1, passes=3) == order(1, passes=3)
    assert order(1) != order(2)
    assert len({tuple(one) for one in order(1, passes=5)}) == 5


def test_a_shuffle_is_fair():
    firsts = Counter()
    batches = Batches(some_images(5), 1, shuffle=True, generator=torch.Generator().manual_seed(0))
    for _ in range(1000):
        firsts[next(iter(batches))[1].item()] += 1
    assert all(150 < firsts[i] < 250 for i in range(5))  # 200 ± 4 standard deviations of 12.6


def test_without_a_generator_pytorchs_own_decides():
    def shuffled():
        torch.manual_seed(3)
        return torch.cat([labels for _, labels in Batches(some_images(50), 16, shuffle=True)]).tolist()

    assert shuffled() == shuffled() != list(range(50))


def test_prepare_gets_each_batch_and_the_generator():
    generator, got = torch.Generator(), []

    def prepare(images, given_generator):
        got.append((images.dtype, images.shape, images.max().item() <= 1, given_generator is generator))
        return images[..., :2] + 1

    made = list(Batches(some_images(5), 3, prepare=prepare, generator=generator))
    assert got == [(torch.float32, (3, 1, 4, 4), True, True), (torch.float32, (2, 1, 4, 4), True, True)]
    assert [images.shape for images, _ in made] == [(3, 1, 4, 2), (2, 1, 4, 2)]
    assert torch.equal(made[1][0][:, 0, 0, 0], torch.tensor([3.0, 4.0]) / 255 + 1)


def test_a_seed_decides_order_and_preparation_together():
    def noise(images, generator):
        return images + torch.rand(images.shape, generator=generator)

    def made():
        return list(Batches(some_images(20), 6, noise, True, torch.Generator().manual_seed(4)))

    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(made(), made(), strict=True))


def test_an_order_is_drawn_where_the_generator_is():
    """The `meta` device stands for a GPU: nothing is computed on it, and what lies on two devices is refused."""
    used = torch.Generator()
    before = used.get_state()
    made = list(Batches(some_images(), 4, shuffle=True, generator=used, device="meta"))
    assert [images.shape for images, _ in made] == [(4, 1, 4, 4), (2, 1, 4, 4)]
    assert not torch.equal(used.get_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_digest_of_images_on_a_gpu_is_the_same():
    whole = some_images()
    assert dataclasses.replace(whole, images=whole.images.cuda(), labels=whole.labels.cuda()).digest == whole.digest


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, "16", None])
def test_a_batch_size_that_is_none_is_refused(batch_size):
    with pytest.raises((ValueError, TypeError)) as error:
        Batches(some_images(), batch_size)
    assert "batch_size" in str(error.value)
    assert repr(batch_size) in str(error.value)


def test_no_images_are_no_batches():
    batches = Batches(some_images()[:0], 4)
    assert len(batches) == len(list(batches)) == 0


def test_the_data_is_left_alone():
    whole = some_images()
    digest = some_images().digest
    for images, _ in Batches(whole, 4, lambda images, generator: images.zero_()):
        assert images.sum() == 0
    assert whole.digest == digest
