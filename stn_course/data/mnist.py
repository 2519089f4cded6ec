"""MNIST: 70,000 digits, written by hand; 3,000 of them come with the package.

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/.
"""

import os
from pathlib import Path

import numpy as np
import torch

from stn_course.data.images import ImageData
from stn_course.data.source import DataSource

SAMPLES = Path(__file__).parents[1] / "samples" / "mnist.npz"


def load_mnist(split: str, root: str | os.PathLike | None = None, offline: bool | None = None) -> ImageData:
    """Load MNIST: the whole data set if it is there or can be downloaded, else the digits that come with the package.

    Built in: 00, "Is everything in place?".

    Args:
        split: "train" or "test".
        root: the data folder; `data_folder()` if None.
        offline: True takes the package's own digits without looking anywhere else. None takes them only if there are no
            others, and after a failed download tries none for five minutes. False never takes them, and raises.

    Returns:
        images uint8 (N, 1, 28, 28), 0 is background and 255 is ink; labels int64 (N,).

    Raises:
        DataError: for a file that is truncated or altered, before reading it; the message names it.
        ConnectionError: if `offline` is False and MNIST is neither there nor can be downloaded.

    Example:
        >>> load_mnist("test", offline=True).images.shape
        torch.Size([1000, 1, 28, 28])
    """
    return MNIST.load(split, root, offline)


def _read(contents: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels: each file is a header (a magic number and the shape, four bytes each), then the bytes."""
    images, labels = contents
    shape = np.frombuffer(images, ">u4", count=4)[1:]
    return np.frombuffer(images, np.uint8, offset=16).reshape(shape), np.frombuffer(labels, np.uint8, offset=8)


def _download(folder: Path) -> None:
    from torchvision import datasets

    datasets.MNIST(folder, download=True)  # shows progress, tries its mirrors, checks the archives' MD5


def _sample(split: str) -> ImageData:
    with np.load(SAMPLES) as archive:
        images, labels = archive[f"x_{split}"], archive[f"y_{split}"]
    return ImageData(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(labels.astype(np.int64)),
        f"MNIST sample, {len(labels):,} digits of the {split} split that come with the package",
        complete=False,
    )


MNIST = DataSource(
    name="MNIST",
    things="digits",
    folder=Path("MNIST", "raw"),
    files={  # unpacked
        "train": {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        },
        "test": {
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    },
    archive="mnist.npz",
    pixels=(28, 28),
    digests={"train": "d18cfd466eb143ac", "test": "a0863a96c44e5666"},
    length={"train": 60_000, "test": 10_000},
    read=_read,
    download=_download,
    stand_in=_sample,
    stand_in_words="the 3,000 real digits that come with the package",
)
