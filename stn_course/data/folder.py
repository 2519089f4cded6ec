"""A folder of pictures, one subfolder a class, as torchvision's `ImageFolder` reads it; and what is wrong with it.

Pictures may differ in size and shape. Each is laid into the middle of a square canvas, so that a batch has one size,
nothing is squeezed, and a turn is a turn.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from stn_course.checks import describe
from stn_course.data.images import ImageData
from stn_course.data.source import DataError


def on_canvas(picture: np.ndarray, side: int) -> Tensor:
    """Lay a picture, uint8 (H, W, 3), into the middle of a black square: (3, side, side). A larger one is reduced.

    Built in: 10, "A folder, and what is wrong with it".

    Example:
        >>> on_canvas(np.full((1, 3, 3), 255, np.uint8), 3)[0]
        tensor([[  0,   0,   0],
                [255, 255, 255],
                [  0,   0,   0]], dtype=torch.uint8)
    """
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        came = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else describe(picture)
        raise ValueError(f"expected a picture as a uint8 array of shape (H, W, 3), got {came}")
    if max(picture.shape[:2]) > side:
        reduced = Image.fromarray(picture)
        reduced.thumbnail((side, side), Image.Resampling.BOX)
        picture = np.asarray(reduced)
    height, width = picture.shape[:2]
    canvas = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return torch.from_numpy(np.ascontiguousarray(canvas.transpose(2, 0, 1)))


def folder_problems(train: str | os.PathLike, test: str | os.PathLike | None = None) -> list[str]:
    """List in words what is wrong with an image folder, and with the one to test on: every file is opened.

    A grey picture among coloured ones is listed, too, though it can be read: check whether it gives its class away.

    Built in: 10, "A folder, and what is wrong with it".

    Example:
        >>> folder_problems("no/such/folder")
        ['no/such/folder is no folder']
    """
    problems, classes = [], {}
    for folder in [Path(train)] if test is None else [Path(train), Path(test)]:
        if not folder.is_dir():
            problems.append(f"{folder} is no folder")
            continue
        found = _files(folder)
        classes[folder] = {name for name, paths in found.items() if paths}
        problems += [f"{folder / name} has no pictures" for name, paths in found.items() if not paths]
        if len(classes[folder]) < 2:
            problems.append(f"{folder} has {len(classes[folder])} classes with pictures, and needs two")
        modes = {}
        for path in (path for paths in found.values() for path in paths):
            try:
                modes[path] = "grey" if _read(path)[0] else "coloured"
            except DataError as error:
                problems.append(str(error))
        grey = [path for path, mode in modes.items() if mode == "grey"]
        if 0 < len(grey) < len(modes):
            problems.append(f"{len(grey)} of {len(modes)} pictures in {folder} are grey, such as {grey[0]}")
    if len(classes) == 2:
        ours, theirs = classes.values()
        problems += [f"{name} has no pictures in {test}" for name in sorted(ours - theirs)]
        problems += [f"{name} has no pictures in {train}" for name in sorted(theirs - ours)]
    return problems


def load_folder(folder: str | os.PathLike, side: int) -> ImageData:
    """Read an image folder onto square canvases: images (N, 3, side, side); grey pictures get three equal channels.

    Classes are the subfolders in the order of their names, as torchvision's `ImageFolder` has them.

    Built in: 10, "A folder, and what is wrong with it".

    Raises:
        DataError: if there is no folder, fewer than two classes have pictures, or a file is broken.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"expected an image folder with a subfolder for each class, got {folder}, which is no folder")
    found = _files(folder)
    if sum(map(bool, found.values())) < 2:
        names = ", ".join(name for name, paths in found.items() if paths) or "none"
        raise DataError(f"expected pictures of at least two classes in subfolders of {folder}, got {names}")
    if empty := [name for name, paths in found.items() if not paths]:
        raise DataError(f"expected pictures in every subfolder of {folder}, got none in {', '.join(empty)}")
    images = [on_canvas(_read(path)[1], side) for paths in found.values() for path in paths]
    labels = [label for label, paths in enumerate(found.values()) for _ in paths]
    return ImageData(
        torch.stack(images), torch.tensor(labels), f"{len(labels):,} pictures in {folder.name}", classes=tuple(found)
    )


def _files(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, those that `ImageFolder` takes, in its order; but no hidden folder is a class."""
    from torchvision.datasets.folder import is_image_file  # here: importing torchvision takes a second

    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {each.name: [path for path in sorted(each.rglob("*")) if is_image_file(path.name)] for each in classes}


def _read(path: Path) -> tuple[bool, np.ndarray]:
    """Whether a picture is grey, and its pixels, uint8 (H, W, 3), the right way up."""
    try:
        with Image.open(path) as file:
            grey = file.mode in ("1", "L", "LA", "I", "I;16", "F")
            upright = ImageOps.exif_transpose(file)  # cameras store a picture lying, and a number that says so
            return grey, np.asarray(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error}); delete or replace it") from error
