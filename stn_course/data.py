"""Real images as tensors, wherever they come from.

`load_mnist` looks, in this order, for torchvision's layout and for `mnist.npz` in the data folder (the environment
variable STN_COURSE_DATA, else the user's cache folder), tries a download through torchvision, and falls back on the
real digits that come with the package. `.source` says in words what was used; nothing else is ever called MNIST.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_course.files import lock, md5

SPLITS = ("train", "test")

MNIST_FILES = {  # MD5 of the original files, unpacked
    "train": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    },
    "test": {
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
}
SAMPLES = Path(__file__).parent / "samples" / "mnist.npz"
MNIST_LENGTH = {"train": 60_000, "test": 10_000}


class DataError(ValueError):
    """A data file that is not what it should be; the message names it and says what to do."""


@dataclass(frozen=True)
class ImageData:
    """Images and labels in memory.

    `images` is uint8 (N, C, H, W), `labels` int64 (N,), `source` says in words what they are and where they come from,
    `complete` whether this is the whole published data set.
    """

    images: Tensor
    labels: Tensor
    source: str
    complete: bool = True

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"expected uint8 images of shape (N, C, H, W), got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64:
            raise ValueError(f"expected int64 labels, got {self.labels.dtype}")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"expected a label for each of {len(self.images)} images, got {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "ImageData":
        labels = self.labels[index]
        if len(labels) == len(self):
            return replace(self, images=self.images[index], labels=labels)
        source = f"{len(labels):,} images of {self.source}"
        return ImageData(self.images[index], labels, source, complete=False)

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of images and labels: the same data, the same digest."""
        whole = hashlib.sha256(self.images.numpy().tobytes())
        whole.update(self.labels.numpy().tobytes())
        return whole.hexdigest()[:16]


def data_folder() -> Path:
    """Where data sets are looked for and downloaded to: STN_COURSE_DATA, else a folder in the user's cache."""
    if named := os.environ.get("STN_COURSE_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stn-course"


def load_mnist(split: str, root: str | os.PathLike | None = None, offline: bool | None = None) -> ImageData:
    """MNIST, the whole of it where it can be had, else the digits that come with the package.

    Args:
        split: "train" or "test".
        root: the data folder; `data_folder()` if None.
        offline: True: the package's own digits, without a look anywhere else. None: those, only if nothing else can be
            had. False: never those; no data is an error.

    Returns:
        images uint8 (N, 1, 28, 28), 0 is background and 255 is ink; labels int64 (N,).

    Raises:
        ValueError: for an unknown split, or a root that is a file.
        DataError: for a file that is truncated or altered; it is named, and never read.
        ConnectionError: if `offline` is False and MNIST is neither there nor can be downloaded.

    Example:
        >>> load_mnist("test", offline=True).images.shape
        torch.Size([1000, 1, 28, 28])
    """
    if split not in SPLITS:
        raise ValueError(f"expected split as one of {', '.join(SPLITS)}, got {split!r}")
    if offline:
        return _mnist_sample(split)
    folder = _check_folder(root)
    if found := _find_mnist(folder, split):
        return found
    try:
        with lock(folder / "MNIST", "downloading MNIST"):
            if found := _find_mnist(folder, split):  # another process brought it while this one waited
                return found
            _download_mnist(folder)
        return _find_mnist(folder, split)
    except (OSError, RuntimeError) as error:
        if offline is False:
            wanted = ", ".join(name for files in MNIST_FILES.values() for name in files)
            raise ConnectionError(
                f"MNIST is not in {folder} and could not be downloaded ({error}). Connect to the network, or put the "
                f"four files {wanted} in {folder / 'MNIST' / 'raw'}."
            ) from error
        missing = [name for name in MNIST_FILES[split] if not (folder / "MNIST" / "raw" / name).exists()]
        print(
            f"MNIST ({', '.join(missing)}) is not in {folder} and could not be downloaded ({type(error).__name__}): "
            "going on with the 3,000 real digits that come with the package."
        )
        return _mnist_sample(split)


def _check_folder(root: str | os.PathLike | None) -> Path:
    folder = Path(root).expanduser() if root is not None else data_folder()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected the data folder to be a folder, but {folder} is a file")
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise ValueError(f"expected a data folder that this user may read, got {folder}")
    return folder


def _find_mnist(folder: Path, split: str) -> ImageData | None:
    raw = folder / "MNIST" / "raw"
    files = MNIST_FILES[split]
    if all((raw / name).exists() for name in files):
        for name, expected in files.items():
            if (found := md5(raw / name)) != expected:
                raise DataError(
                    f"{raw / name} is not MNIST's original file: its MD5 is {found}, expected {expected} "
                    f"({(raw / name).stat().st_size:,} bytes). Remove it and run again to download it anew."
                )
        from torchvision.datasets.mnist import read_image_file, read_label_file

        images, labels = (raw / name for name in files)
        digits = read_image_file(str(images))[:, None]
        return ImageData(digits, read_label_file(str(labels)), f"MNIST, {split} split, {len(digits):,} digits")
    if (archive := folder / "mnist.npz").exists():
        images, labels = _read_npz(archive, split)
        return _as_mnist(images, labels, split, archive)
    return None


def _read_npz(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays x_SPLIT and y_SPLIT of an archive, never unpickled."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = {f"x_{split}", f"y_{split}"} - set(archive.files)
            if missing:
                raise DataError(f"{path} lacks {', '.join(sorted(missing))}; it holds {', '.join(archive.files)}")
            return archive[f"x_{split}"], archive[f"y_{split}"]
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways: zlib, zipfile, EOF, pickle
        raise DataError(f"{path} cannot be read as an .npz archive ({error}). Remove it, or replace it.") from error


def _as_mnist(images: np.ndarray, labels: np.ndarray, split: str, path: Path) -> ImageData:
    n = MNIST_LENGTH[split]
    if images.shape != (n, 28, 28) or images.dtype != np.uint8:
        raise DataError(f"{path}: expected x_{split} as uint8 ({n}, 28, 28), got {images.dtype} {images.shape}")
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9:
        raise DataError(
            f"{path}: expected y_{split} as {n} whole numbers from 0 to 9, got {labels.dtype} {labels.shape}"
        )
    for array, (name, expected), header in zip(
        (images, labels.astype(np.uint8)), MNIST_FILES[split].items(), (16, 8), strict=True
    ):
        # the original file is a header (magic number and shape) and then these very bytes
        magic = (2051, n, 28, 28) if header == 16 else (2049, n)
        content = b"".join(value.to_bytes(4, "big") for value in magic) + np.ascontiguousarray(array).tobytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
            raise DataError(
                f"{path}: the {split} split does not hold MNIST's own {name}. Remove the file, or replace it."
            )
    return ImageData(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(labels.astype(np.int64)),
        f"MNIST, {split} split, {n:,} digits",
    )


def _download_mnist(folder: Path) -> None:
    """Download through torchvision into a folder beside the place, check every file, and move them there."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".download-*"):  # by a process that was killed; under the lock nobody else is at work
        shutil.rmtree(left, ignore_errors=True)
    for attempt in (1, 2, 3):
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
            try:
                _download_once(Path(scratch), folder / "MNIST" / "raw")
                return
            except Exception as error:
                if attempt == 3:
                    raise ConnectionError(str(error)) from error


def _download_once(scratch: Path, raw: Path) -> None:
    from torchvision.datasets import MNIST

    MNIST(scratch, download=True)  # shows progress, tries its mirrors, checks the archives' MD5
    brought = scratch / "MNIST" / "raw"
    originals = {name: expected for files in MNIST_FILES.values() for name, expected in files.items()}
    for name, expected in originals.items():
        if not (brought / name).exists() or md5(brought / name) != expected:
            raise ConnectionError(f"the download brought no or another {name}")
    raw.mkdir(parents=True, exist_ok=True)
    for name in originals:
        os.replace(brought / name, raw / name)


def _mnist_sample(split: str) -> ImageData:
    with np.load(SAMPLES) as archive:
        images, labels = archive[f"x_{split}"], archive[f"y_{split}"]
    return ImageData(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(labels.astype(np.int64)),
        f"MNIST sample, {len(labels):,} digits of the {split} split that come with the package",
        complete=False,
    )


class Batches:
    """What `fit` iterates over: whole batches, made where the images live.

    Args:
        data: images and labels.
        batch_size: images in a batch; the last one may be smaller.
        transform: (images, generator) → images, applied to each batch; `RTS()` for one. None leaves them alone.
        shuffle: whether each pass has a new order.
        generator: the source of all randomness; it lives on `device`.
        device: where the images are kept and the batches made.

    Yields:
        images (B, C, H, W), float32 in [0, 1], and labels (B,), int64.

    Example:
        >>> digits = load_mnist("test", offline=True)
        >>> images, labels = next(iter(Batches(digits, 64)))
        >>> images.shape, images.dtype, len(Batches(digits, 64))
        (torch.Size([64, 1, 28, 28]), torch.float32, 16)
    """

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        transform: Callable[[Tensor, torch.Generator | None], Tensor] | None = None,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ):
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"expected batch_size as a whole number of at least 1, got {batch_size!r}")
        self.images, self.labels = data.images.to(device), data.labels.to(device)
        self.batch_size, self.transform, self.shuffle, self.generator = batch_size, transform, shuffle, generator

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n, device = len(self.labels), self.labels.device
        order = (
            torch.randperm(n, generator=self.generator, device=device)
            if self.shuffle
            else torch.arange(n, device=device)
        )
        for chosen in order.split(self.batch_size) if n else ():
            images = self.images[chosen].float() / 255
            if self.transform is not None:
                images = self.transform(images, self.generator)
            yield images, self.labels[chosen]
