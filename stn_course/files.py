"""Nothing half-written, nothing altered, nothing lost: atomic writes, locks, checksums, and a place that lasts.

A file that others read is written beside its place and moved there in one step (`os.replace`), so that whoever looks
sees the old file or the new one, never a part.
"""

import contextlib
import glob
import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from stn_course import places

ABANDONED = 3600  # seconds after which nobody is still at work on a temporary file


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file whole or not at all, and make missing folders.

    Yields the path of a temporary file in the same folder. When the block ends without an exception, this file takes
    its place; otherwise it is removed and the old file stays untouched. Temporary files that a killed process left over
    an hour ago are removed, too.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "note.txt") as part:
        ...     _ = part.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):  # another process may be quicker
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with open(part, "r+b") as written:  # Windows syncs only what may be written
            os.fsync(written.fileno())
        part.chmod(0o666 & ~_umask())  # a temporary file is private; its result need not be
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder: str | os.PathLike, what: str) -> None:
    """Make a folder if it is missing, and try whether files can be made in it, before anything costs time.

    Example:
        >>> check_writable(__file__, "training")
        Traceback (most recent call last):
        OSError: expected a folder that can be written for training, got ...files.py (...)
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"expected a folder that can be written for {what}, got {folder} ({error})") from error


@contextlib.contextmanager
def lock(path: str | os.PathLike, what: str, timeout: float = 600) -> Iterator[None]:
    """Let one process at a time work on `path`; the others say that they wait, at most `timeout` seconds.

    The lock is a file beside it, `PATH.lock`; for a path in Google Drive it is on the runtime's own disk, because in
    Drive it could outlive its runtime and keep the next one waiting. `what` is the work: "downloading MNIST".

    Raises:
        TimeoutError: when the other process takes longer.
        OSError: when the folder cannot be written, or no file in it be locked.
    """
    path = Path(path).resolve()
    check_writable(path.parent, what)
    if places.drive_folder() and path.is_relative_to(places.DRIVE.resolve()):
        digest = hashlib.sha256(bytes(path)).hexdigest()[:16]
        guard = FileLock(Path(tempfile.gettempdir()) / f"stn-course-{digest}.lock")
    else:
        guard = FileLock(path.with_name(path.name + ".lock"))
    try:
        guard.acquire(timeout=0)
    except Timeout:
        if not _can_lock(path.parent):
            raise OSError(f"expected a folder whose files can be locked for {what}, got {path.parent}") from None
        print(f"Another process is {what}; waiting for it …")
        try:
            guard.acquire(timeout=timeout)
        except Timeout:
            raise TimeoutError(f"another process has been {what} for over {timeout:g} s ({guard.lock_file})") from None
    except OSError as error:
        raise OSError(f"expected a folder that can be written for {what}, got {path.parent} ({error})") from error
    try:
        yield
    finally:
        guard.release()


def _can_lock(folder: Path) -> bool:
    """Say whether a file that nobody else knows can be locked; some file systems answer as if another held it."""
    with tempfile.TemporaryDirectory(prefix=".lock-", dir=folder) as scratch:
        try:
            with FileLock(Path(scratch) / "lock").acquire(timeout=0):
                return True
        except Timeout:
            return False


def save_tensors(state: object, path: str | os.PathLike) -> None:
    """Write what `load_tensors` reads, whole or not at all; raise an OSError if the disk is full."""
    import torch

    try:
        with atomic_write(path) as part:
            torch.save(state, part)
    except RuntimeError as error:  # PyTorch's own, when its writer meets a full disk
        raise OSError(f"{path} could not be written ({str(error).splitlines()[0]})") from error


def load_tensors(path: str | os.PathLike) -> object:
    """Read a file that `torch.save` wrote, onto the CPU: only tensors and plain values, and only if it is whole.

    Raises:
        zipfile.BadZipFile: if a checksum in the file does not fit; `torch.load` alone does not look at them.
        Exception: of many kinds, for what is not such a file; nothing in it is ever executed.
    """
    import torch  # here, because a lock or a checksum needs no torch

    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} does not fit")
    return torch.load(path, map_location="cpu", weights_only=True)


def md5(path: str | os.PathLike) -> str:
    """Return the MD5 digest of a file, the kind that data sets are published with, as 32 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
