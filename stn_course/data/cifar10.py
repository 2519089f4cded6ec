"""CIFAR-10: 60,000 colour photographs of ten kinds of things, each as large as a postage stamp.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import os
import pickle
from pathlib import Path

import numpy as np

from stn_course.data.images import ImageData
from stn_course.data.shapes import load_shapes
from stn_course.data.source import DataSource

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(split: str, root: str | os.PathLike | None = None, offline: bool | None = None) -> ImageData:
    """Load CIFAR-10: the whole data set if it is there or can be downloaded, else coloured shapes drawn by the package.

    `root`, `offline` and the errors are those of `load_mnist`.

    Built in: 06, "Ten kinds of things".

    Returns:
        images uint8 (N, 3, 32, 32) in red, green and blue; labels int64 (N,), their names in `.classes`.

    Example:
        >>> stand_in = load_cifar10("test", offline=True)
        >>> stand_in.images.shape, stand_in.source
        (torch.Size([1000, 3, 32, 32]), 'coloured shapes drawn by the package, 1,000 for testing')
    """
    return CIFAR10.load(split, root, offline)


def _read(contents: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Unpickle the files of a split, whose checksums have shown that they are the originals."""
    batches = [pickle.loads(content, encoding="latin1") for content in contents]
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return images.transpose(0, 2, 3, 1), np.concatenate([batch["labels"] for batch in batches])


def _download(folder: Path) -> None:
    from torchvision import datasets

    datasets.CIFAR10(folder, download=True)  # shows progress, checks the archive's MD5


CIFAR10 = DataSource(
    name="CIFAR-10",
    things="images",
    folder=Path("cifar-10-batches-py"),
    files={
        "train": {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
    },
    archive="cifar10.npz",
    pixels=(32, 32, 3),
    digests={"train": "973ef2abb5897efc", "test": "2c33b053d1cd726a"},
    length={"train": 50_000, "test": 10_000},
    read=_read,
    download=_download,
    stand_in=load_shapes,
    stand_in_words="coloured shapes that the package draws itself",
    classes=CLASSES,
    beside=("batches.meta",),
)
