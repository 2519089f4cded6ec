"""A file that others read is whole or is not there; one process at a time works on a thing."""

import contextlib
import errno
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

from stn_course import places
from stn_course.files import atomic_write, check_writable, lock, md5

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


@pytest.mark.parametrize("hours, left", [(0.5, True), (1.5, False)])
def test_what_a_killed_writer_left_is_removed_once_nobody_can_be_at_work_on_it(tmp_path, hours, left):
    name, then = "a [file].json", time.time() - 3600 * hours
    parts = [tmp_path / f".{name}.x1y2.part", tmp_path / ".another.json.x1y2.part"]
    for part in parts:
        part.write_bytes(OLD)
        os.utime(part, (then, then))
    with atomic_write(tmp_path / name) as part:
        part.write_bytes(NEW)
    assert [part.exists() for part in parts] == [left, True]
    assert (tmp_path / name).read_bytes() == NEW


# check_writable


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b", "working")
    assert names(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_file_in_place_of_a_folder_is_told_with_what_it_was_for(tmp_path, inside):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(OSError, match=r"expected a folder that can be written for working, got .*file") as error:
        check_writable(tmp_path / "file" / inside, "working")
    assert str(tmp_path / "file" / inside) in str(error.value)
    assert (tmp_path / "file").read_bytes() == OLD


def test_a_folder_in_which_no_file_can_be_made_is_told(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="can be written for working, got .*Permission denied"):
        check_writable(tmp_path, "working")


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


@pytest.mark.parametrize("path", ["/proc/nope/thing", "/dev/null/thing"])
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc")
def test_where_nothing_can_be_written_nobody_is_said_to_be_at_work(path, capsys):
    with pytest.raises(OSError, match="can be written for working"), lock(path, "working"):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("code", [errno.EACCES, errno.EAGAIN])
def test_a_file_system_that_locks_nothing_is_told_at_once(tmp_path, monkeypatch, capsys, code):
    """It answers like one on which another process holds every lock."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(handle, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = "expected a folder whose files can be locked for working, got"
    with pytest.raises(OSError, match=told) as error, lock(tmp_path / "thing", "working"):
        pass
    assert str(tmp_path) in str(error.value)
    assert capsys.readouterr().out == ""
    assert names(tmp_path) in ([], ["thing.lock"])


def test_no_lock_in_drive_outlives_its_runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    monkeypatch.setattr(places, "DRIVE", tmp_path / "MyDrive")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    (tmp_path / "MyDrive").mkdir()
    (tmp_path / "disk").mkdir()
    place = tmp_path / "MyDrive" / "stn-course"
    with lock(place / "thing", "working"), lock(place / "other", "working"), lock(tmp_path / "elsewhere", "working"):
        assert names(place) == []
        assert len(names(tmp_path / "disk")) == 2
        assert (tmp_path / "elsewhere.lock").exists()
        with pytest.raises(TimeoutError), lock(place / "thing", "working", timeout=0.1):
            pass


# md5


def test_md5_of_a_known_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert md5(tmp_path / "file") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321
