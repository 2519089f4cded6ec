"""A published data set: find it in a folder, else download it; check every byte before reading it."""

import contextlib
import hashlib
import math
import os
import queue
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stn_course.data.images import DIGITS, ImageData
from stn_course.files import lock, md5
from stn_course.places import data_folder

SPLITS = ("train", "test")
STALLED = 10  # seconds without a byte after which a connection is given up
LOOKED_UP = 5  # seconds after which a name server will not answer any more
PATIENCE = 15  # seconds after which nothing is tried again if nothing at all has come
ASK_AGAIN = 300  # seconds for which a download that failed is not tried again, where there is something to go on with
_failed: dict[tuple[str, Path], float] = {}  # when; a notebook without a network asks half a dozen times


class DataError(ValueError):
    """A data file that is damaged or not the original; the message names it and says what to do."""


@dataclass(frozen=True)
class DataSource:
    """What makes a data set this one and no other, and how to read its files.

    Each of `files`, `digests` and `length` has an entry for every split.
    """

    name: str
    things: str  # what an image is called: "digits"
    folder: Path  # where torchvision puts the files, in the data folder
    files: dict[str, dict[str, str]]  # names and MD5 digests
    archive: str  # the other form: an .npz with x_train, y_train, x_test and y_test
    pixels: tuple[int, ...]  # the shape of one image there: (H, W) or (H, W, 3)
    digests: dict[str, str]  # `ImageData.digest` of the original
    length: dict[str, int]
    read: Callable[[list[bytes]], tuple[np.ndarray, np.ndarray]]  # a split's files → images (N, *pixels), labels (N,)
    download: Callable[[Path], object]  # fetches all files into a folder, in torchvision's layout
    stand_in: Callable[[str], ImageData]  # what the package itself carries for a split
    stand_in_words: str
    classes: tuple[str, ...] = DIGITS
    beside: tuple[str, ...] = ()  # files that torchvision wants to see beside those

    def load(self, split: str, root: str | os.PathLike | None, offline: bool | None) -> ImageData:
        """Take files, archive, download or stand-in, whichever comes first; see `load_mnist`."""
        if split not in SPLITS:
            raise ValueError(f"expected split as one of {', '.join(SPLITS)}, got {split!r}")
        if offline:
            return self.stand_in(split)
        folder = _check_folder(root)
        if found := self._find(folder, split):
            return found
        if offline is None and time.monotonic() < _failed.get((self.name, folder), -math.inf) + ASK_AGAIN:
            return self.stand_in(split)
        try:
            with lock(folder / self.name, f"downloading {self.name}"):
                if found := self._find(folder, split):  # another process brought it while this one waited
                    return found
                self._download(folder)
            return self._find(folder, split)
        except (OSError, RuntimeError) as error:
            names = [name for names in self.files.values() for name in names]
            if offline is False:
                raise ConnectionError(
                    f"{self.name} is not in {folder} and could not be downloaded ({error}). Connect to the network, or "
                    f"put the files {', '.join(names)} in {folder / self.folder}."
                ) from error
            _failed[self.name, folder] = time.monotonic()
            missing = [name for name in self.files[split] if not (folder / self.folder / name).exists()]
            print(
                f"{self.name} ({', '.join(missing)}) is not in {folder} and could not be downloaded "
                f"({type(error).__name__}): going on with {self.stand_in_words}. Once there is a network, restart the "
                "kernel: a running one waits five minutes before it tries again."
            )
            return self.stand_in(split)

    def _find(self, folder: Path, split: str) -> ImageData | None:
        paths = {folder / self.folder / name: digest for name, digest in self.files[split].items()}
        if all(path.exists() for path in paths):
            contents = [self._original(path, digest) for path, digest in paths.items()]
            return self._as_data(*self.read(contents), split)
        if (archive := folder / self.archive).exists():
            return self._of_archive(*_read_npz(archive, split), split, archive)
        return None

    def _original(self, path: Path, expected: str) -> bytes:
        try:
            content = path.read_bytes()
        except OSError as error:  # a folder, or a file that this user may not read
            raise DataError(f"{path} cannot be read ({error}). Remove it and run again to download it anew.") from error
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != expected:
            raise DataError(
                f"{path} is not {self.name}'s original file: its MD5 is {found}, expected {expected} "
                f"({len(content):,} bytes). Remove it and run again to download it anew."
            )
        return content

    def _of_archive(self, images: np.ndarray, labels: np.ndarray, split: str, path: Path) -> ImageData:
        shape = (self.length[split], *self.pixels)
        if images.shape != shape or images.dtype != np.uint8:
            raise DataError(f"{path}: expected x_{split} as uint8 {shape}, got {images.dtype} {images.shape}")
        if labels.shape == (len(images), 1):  # as some libraries have it
            labels = labels[:, 0]
        last = len(self.classes) - 1
        whole = labels.shape == shape[:1] and labels.dtype.kind in "iu"
        if not whole or labels.min() < 0 or labels.max() > last:
            reach = f" from {labels.min()} to {labels.max()}" if whole else ""
            raise DataError(
                f"{path}: expected y_{split} as {len(images)} whole numbers from 0 to {last}, "
                f"got {labels.dtype} {labels.shape}{reach}"
            )
        data = self._as_data(images, labels, split)
        if data.digest != self.digests[split]:
            raise DataError(
                f"{path}: the {split} split does not hold {self.name}'s own images and labels: their digest is "
                f"{data.digest}, expected {self.digests[split]}. Remove the file, or replace it."
            )
        return data

    def _as_data(self, images: np.ndarray, labels: np.ndarray, split: str) -> ImageData:
        channels_last = images.reshape(*images.shape[:3], -1)
        return ImageData(
            torch.from_numpy(np.array(channels_last.transpose(0, 3, 1, 2), order="C")),
            torch.from_numpy(labels.astype(np.int64)),
            f"{self.name}, {split} split, {len(labels):,} {self.things}",
            classes=self.classes,
        )

    def _download(self, folder: Path) -> None:
        """Download into a folder beside the place, check every file, and move them there."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".download-*"):  # by a process that was killed; under the lock nobody else is at work
            shutil.rmtree(left, ignore_errors=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch, _impatience() as names:
            for attempt in (1, 2, 3):  # torchvision keeps what is whole already and fetches the rest again
                try:
                    self._download_once(Path(scratch) / self.folder, Path(scratch), folder / self.folder)
                    return
                except Exception as error:
                    nothing = not any(file.is_file() for file in Path(scratch).rglob("*"))
                    if names.unknown and not names.known:
                        raise ConnectionError(f"the name {names.unknown[0]} could not be looked up") from error
                    if attempt == 3 or (nothing and time.monotonic() - began > PATIENCE):
                        raise ConnectionError(str(error)) from error
                    print(f"Downloading {self.name} broke off ({type(error).__name__}); trying again …")

    def _download_once(self, brought: Path, scratch: Path, place: Path) -> None:
        originals = {name: digest for files in self.files.values() for name, digest in files.items()}
        for name in originals:  # an attempt before this one may have left half of it
            (brought / name).unlink(missing_ok=True)
        self.download(scratch)
        for name, expected in originals.items():
            if not (brought / name).exists() or md5(brought / name) != expected:
                raise ConnectionError(f"the download brought no or another {name}")
        place.mkdir(parents=True, exist_ok=True)
        for name in (*originals, *self.beside):
            os.replace(brought / name, place / name)


@dataclass
class Names:
    """Names of servers, by whether the look-up found them."""

    known: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _impatience() -> Iterator[Names]:
    """Give up silent connections, and names that no name server answers for; torchvision would wait and wait.

    The system may look up a name for half a minute. So a daemon thread asks, and nobody waits for it longer than
    `LOOKED_UP` seconds. Once a name server has not answered, it is not asked again.
    """
    before, look_up, names, silent = socket.getdefaulttimeout(), socket.getaddrinfo, Names(), threading.Event()

    def in_time(host, *arguments, **options):
        answers: queue.SimpleQueue = queue.SimpleQueue()

        def ask():
            try:
                answers.put(look_up(host, *arguments, **options))
            except Exception as error:  # it is the caller's
                answers.put(error)

        answer: object = socket.gaierror(socket.EAI_AGAIN, "the name server does not answer")
        if not silent.is_set():
            threading.Thread(target=ask, daemon=True).start()
            try:
                answer = answers.get(timeout=LOOKED_UP)
            except queue.Empty:
                silent.set()
        if isinstance(answer, Exception):
            names.unknown.append(host)
            raise answer
        names.known.append(host)
        return answer

    socket.setdefaulttimeout(STALLED)
    socket.getaddrinfo = in_time
    try:
        yield names
    finally:
        socket.getaddrinfo = look_up
        socket.setdefaulttimeout(before)


def _check_folder(root: str | os.PathLike | None) -> Path:
    folder = Path(root).expanduser() if root is not None else data_folder()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected the data folder to be a folder, but {folder} is a file")
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise ValueError(f"expected a data folder that this user may read, got {folder}")
    return folder


def _read_npz(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the arrays x_SPLIT and y_SPLIT of an archive; never unpickle anything."""
    try:
        with open(path, "rb") as file:
            if not (start := file.read(24)).startswith(b"PK"):  # numpy takes it for a pickle: a web page, a plain array
                raise DataError(f"{path} is no .npz archive: it begins with {start!r}. Remove it, or replace it.")
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = {f"x_{split}", f"y_{split}"} - set(archive.files)
            if missing:
                raise DataError(f"{path} lacks {', '.join(sorted(missing))}; it holds {', '.join(archive.files)}")
            return archive[f"x_{split}"], archive[f"y_{split}"]
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways: zlib, zipfile, EOF, pickle
        raise DataError(f"{path} cannot be read as an .npz archive ({error}). Remove it, or replace it.") from error
