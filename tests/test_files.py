"""A file that others read is whole or is not there; one process at a time works on a thing."""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_course.files import atomic_write, lock, md5

OLD, NEW = b"what stood there before", b"what is written now"


def start(function, *arguments):
    """A function of this module in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    return process


def wait_for(path: Path, seconds: float = 60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come within {seconds} s"
        time.sleep(0.01)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# atomic_write


def test_what_was_written_takes_the_place_of_what_was_there(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    with atomic_write(tmp_path / "file") as part:
        part.write_bytes(NEW)
        assert (tmp_path / "file").read_bytes() == OLD  # until the block ends
        assert part.parent == tmp_path  # os.replace is one step only within a file system
    assert (tmp_path / "file").read_bytes() == NEW
    assert names(tmp_path) == ["file"]


@settings(max_examples=20)
@given(st.binary(max_size=5000))
def test_every_byte_arrives(content):
    with tempfile.TemporaryDirectory() as folder:
        with atomic_write(f"{folder}/file") as part:  # a path may be a str
            part.write_bytes(content)
        assert Path(folder, "file").read_bytes() == content
        assert md5(Path(folder, "file")) == hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_block_that_raises_changes_nothing(tmp_path, error, there_before):
    if there_before:
        (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(error), atomic_write(tmp_path / "file") as part:
        part.write_bytes(NEW[:5])
        raise error
    assert names(tmp_path) == (["file"] if there_before else [])
    if there_before:
        assert (tmp_path / "file").read_bytes() == OLD


def test_missing_folders_are_made(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "file") as part:
        part.write_bytes(NEW)
    assert (tmp_path / "a" / "b" / "file").read_bytes() == NEW


def test_a_place_that_cannot_be_taken_is_an_error_and_nothing_is_left(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "file") as part:
        part.write_bytes(NEW)
    assert names(tmp_path) == ["file"]
    (tmp_path / "no folder").write_bytes(OLD)
    with pytest.raises(OSError), atomic_write(tmp_path / "no folder" / "file"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "file") as part:
            part.write_bytes(NEW)
        assert os.umask(mask) == mask  # and the mask is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_the_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    steps = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle):
        writable = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY  # Windows syncs nothing else
        steps.append(("sync", writable, os.fstat(handle).st_size))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    with atomic_write(tmp_path / "file") as part:
        part.write_bytes(NEW)
    assert steps == [("sync", True, len(NEW)), "replace"]


def killed_while_writing(path):
    with atomic_write(path) as part, open(part, "wb") as file:
        file.write(NEW[:5])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_a_killed_writer_leaves_the_old_file_whole(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    process = start(killed_while_writing, tmp_path / "file")
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == OLD
    with atomic_write(tmp_path / "file") as part:
        part.write_bytes(NEW)
    assert (tmp_path / "file").read_bytes() == NEW


# lock


def count_up(folder, times):
    for _ in range(times):
        with lock(folder / "number", "counting"):
            number = int((folder / "number").read_text())
            time.sleep(0.002)  # long enough for the other process to read the same number
            (folder / "number").write_text(str(number + 1))


def test_two_processes_take_turns(tmp_path):
    (tmp_path / "number").write_text("0")
    processes = [start(count_up, tmp_path, 25) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "number").read_text() == "50"


def hold(folder):
    with lock(folder / "thing", "holding it"):
        (folder / "held").touch()
        wait_for(folder / "let go")


@pytest.fixture
def held(tmp_path):
    """Another process holds the lock on `thing`, until `let go` is there."""
    process = start(hold, tmp_path)
    wait_for(tmp_path / "held")
    yield process
    (tmp_path / "let go").touch()
    process.join()


def test_who_waits_says_so_and_in_the_end_says_why_it_gave_up(tmp_path, held, capsys):
    told = r"another process has been holding it for over 0\.2 s .*thing\.lock"
    with pytest.raises(TimeoutError, match=told), lock(tmp_path / "thing", "holding it", timeout=0.2):
        pytest.fail("two processes held the lock")
    assert capsys.readouterr().out == "Another process is holding it; waiting for it …\n"


def test_who_waits_gets_its_turn(tmp_path, held, monkeypatch):
    said = []

    def let_go(text):
        said.append(text)
        (tmp_path / "let go").touch()

    monkeypatch.setattr("builtins.print", let_go)
    with lock(tmp_path / "thing", "holding it", timeout=60):
        pass
    assert len(said) == 1


def test_a_free_lock_is_taken_without_a_word_also_after_an_error(tmp_path, capsys):
    for _ in range(2):
        with contextlib.suppress(RuntimeError), lock(tmp_path / "new folder" / "thing", "working"):
            raise RuntimeError
    assert capsys.readouterr().out == ""


def die_with_it(folder):
    with lock(folder / "thing", "dying"):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_the_lock_of_a_dead_process_is_free(tmp_path):
    start(die_with_it, tmp_path).join()
    with lock(tmp_path / "thing", "working", timeout=0):
        pass


def test_the_folder_one_stands_in_can_be_locked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lock(".", "working"):
        pass


# md5


def test_md5_of_a_known_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert md5(tmp_path / "file") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321
