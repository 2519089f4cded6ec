"""Four small files in the place of MNIST's originals, which are 55 MB, and the archive with the same digits."""

import dataclasses
import hashlib

import numpy as np
import torch

from stn_course.data import ImageData, mnist

ORIGINAL = mnist.MNIST
LENGTH = {"train": 60, "test": 20}
FILES = {split: tuple(names) for split, names in ORIGINAL.files.items()}
ALL_FILES = FILES["train"] + FILES["test"]
CONTENT = {}  # of the four small originals
ARRAYS = {}  # of the archive with the same digits
for split, n in LENGTH.items():
    random = np.random.default_rng(n)
    images, labels = random.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10
    ARRAYS |= {f"x_{split}": images, f"y_{split}": labels}
    CONTENT[FILES[split][0]] = np.array([2051, n, 28, 28], ">u4").tobytes() + images.tobytes()
    CONTENT[FILES[split][1]] = np.array([2049, n], ">u4").tobytes() + labels.tobytes()


def small_mnist(split) -> ImageData:
    images, labels = torch.from_numpy(ARRAYS[f"x_{split}"])[:, None], torch.from_numpy(ARRAYS[f"y_{split}"]).long()
    return ImageData(images, labels, f"MNIST, {split} split, {LENGTH[split]} digits")


def with_small_originals(monkeypatch):
    digest = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in CONTENT.items()}
    small = dataclasses.replace(
        ORIGINAL,
        files={split: {name: digest[name] for name in FILES[split]} for split in FILES},
        length=LENGTH,
        digests={split: small_mnist(split).digest for split in FILES},
    )
    monkeypatch.setattr(mnist, "MNIST", small)
