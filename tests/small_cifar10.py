"""Six small files in the place of CIFAR-10's originals, which are 180 MB, and the archive with the same images."""

import dataclasses
import hashlib
import pickle

import numpy as np
import torch

from stn_course.data import ImageData, cifar10

ORIGINAL = cifar10.CIFAR10
LENGTH = {"train": 50, "test": 10}
FILES = {split: tuple(names) for split, names in ORIGINAL.files.items()}
ALL_FILES = FILES["train"] + FILES["test"]
ARRAYS, CONTENT = {}, {}  # of the archive, and of the files with the same images
for split, n in LENGTH.items():
    random = np.random.default_rng(n)
    ARRAYS |= {
        f"x_{split}": random.integers(0, 256, (n, 32, 32, 3), np.uint8),
        f"y_{split}": random.permutation(n).astype(np.uint8) % 10,
    }
    for name, x, y in zip(
        FILES[split], np.split(ARRAYS[f"x_{split}"], n // 10), np.split(ARRAYS[f"y_{split}"], n // 10)
    ):
        # as the originals are: a row an image, all its red first, then green, then blue; labels in a list
        batch = {"data": x.transpose(0, 3, 1, 2).reshape(10, 3072), "labels": y.tolist()}
        CONTENT[name] = pickle.dumps(batch, protocol=2)
META = pickle.dumps({"label_names": list(cifar10.CLASSES)}, protocol=2)


def small_cifar10(split) -> ImageData:
    images = torch.from_numpy(ARRAYS[f"x_{split}"].transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(ARRAYS[f"y_{split}"].astype(np.int64))
    return ImageData(images, labels, f"CIFAR-10, {split} split, {LENGTH[split]} images", classes=cifar10.CLASSES)


def with_small_originals(monkeypatch):
    files = {
        split: {name: hashlib.md5(CONTENT[name], usedforsecurity=False).hexdigest() for name in FILES[split]}
        for split in FILES
    }
    digests = {split: small_cifar10(split).digest for split in FILES}
    monkeypatch.setattr(cifar10, "CIFAR10", dataclasses.replace(ORIGINAL, files=files, length=LENGTH, digests=digests))
