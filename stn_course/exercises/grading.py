"""A learner's notebook, run from top to bottom in a kernel of its own, and what its checks said.

The kernel runs what somebody else wrote, so nothing that it does reaches this process: another one looks after it
(`cells`), both are killed when the time is up, and what they leave behind is read as if anybody might have written it.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stn_course.exercises import cells
from stn_course.exercises.asked import NUMBERS, spoken_of
from stn_course.exercises.catalogue import EXERCISES
from stn_course.exercises.exercise import NumberExercise
from stn_course.exercises.progress_file import parse

LARGEST_NOTEBOOK, LARGEST_REPORT = 200_000_000, 2_000_000  # bytes


@dataclass(frozen=True)
class Graded:
    """What came of a notebook.

    Attributes:
        exercises: all exercises of the notebook by name, in order: {"solved", "tries", "said"}, or None for one that
            nobody tried.
        failed: what happened in each code cell that did not run to its end, by the cell's number, from 1.
        unfinished: why the notebook did not run to its end; None if it did.
    """

    exercises: dict[str, dict | None]
    failed: dict[int, str]
    unfinished: str | None


def grade(notebook: str | os.PathLike, timeout: float = 600, limit: float = 1800, grace: float = 10) -> Graded:
    """Run a notebook and collect what the checks in it found; the notebook itself is left alone.

    Cells that raise do not stop it: what stands below them is checked too. It runs at the "smoke" profile unless
    STN_COURSE_PROFILE says otherwise. It runs whatever the notebook holds, with your rights: grade where that may be
    run. Which exercises a notebook has is known from those that its code speaks of: all of the same number count.

    Args:
        notebook: the file.
        timeout: seconds for one cell, after which it is interrupted.
        limit: seconds for the whole notebook, after which everything that it started is killed.
        grace: seconds that an interrupted cell has to end before the kernel is killed. What was checked up to then
            counts.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a notebook, or has none of the course's exercises in it.
        ImportError: if Jupyter is not installed.
    """
    path = Path(notebook)
    sources = _sources(path)
    spoken, numbers = spoken_of(sources)
    numbers = numbers or {path.name[:2]} & NUMBERS
    if not numbers:
        raise ValueError(f"expected a notebook with exercises of this course, got {path}, which checks none")
    noted, states, unfinished = _run(path.resolve().parent, sources, timeout, limit, grace)
    failed = {cell: said for cell, (state, said) in states.items() if state in (cells.FAILED, cells.CUT)}
    ran = {cell for cell, (state, _) in states.items() if state == cells.FINE} | failed.keys()

    def found(name: str) -> dict | None:
        if name in noted:
            return _as_the_check_says_it(name, noted[name])
        for cell in (cell for cell, names in enumerate(spoken, start=1) if name in names):
            if cell in failed:
                return {"solved": False, "tries": 1, "said": f"code cell {cell}: {failed[cell]}"}
            if unfinished and cell not in ran:
                return {"solved": False, "tries": 0, "said": f"not checked: {unfinished}"}
        return None

    numbers |= {EXERCISES[name].notebook for name in noted if name in EXERCISES}
    asked = [name for name, exercise in EXERCISES.items() if exercise.notebook in numbers]
    return Graded({name: found(name) for name in asked}, failed, unfinished)


def _sources(path: Path) -> list[str]:
    """The notebook's code, a string a cell."""
    from nbformat import convert, reader  # not nbformat.read: it writes what is wrong with a notebook to the terminal

    try:
        document = convert(reader.reads(_text(path, LARGEST_NOTEBOOK)), 4)
        sources = [cell["source"] for cell in document["cells"] if cell["cell_type"] == "code"]
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no notebook {path}") from None
    except Exception as error:  # nbformat raises what its JSON library and its own slips raise
        raise ValueError(f"expected a Jupyter notebook, got {path}: {type(error).__name__}: {error}") from error
    for number, source in enumerate(sources, start=1):
        if not isinstance(source, str):
            raise ValueError(
                f"expected a Jupyter notebook, got {path}: code cell {number} is not text but {type(source).__name__}"
            )
    return sources


def _run(
    folder: Path, sources: list[str], timeout: float, limit: float, grace: float
) -> tuple[dict, dict[int, tuple[str, str]], str | None]:
    """What the checks noted, what became of each cell, and why the notebook did not run to its end, if it did not."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as notes_folder,
        tempfile.TemporaryFile("w+") as job,
        tempfile.TemporaryFile() as events,  # without a name: the notebook cannot find it by chance
    ):
        json.dump({"sources": sources, "timeout": timeout, "grace": grace}, job)
        job.seek(0)
        notes = Path(notes_folder) / "notes.json"
        process = _start(folder, job, events, notes)
        try:
            unfinished = _wait(process, events, limit)
        finally:
            _end(process.pid, str(notes))
            process.wait()
        events.seek(0)
        states = _states(events.read(LARGEST_REPORT))
        noted, spoilt = _noted(notes)
    if unfinished:
        unfinished += "".join(f", in code cell {cell}" for cell in states if states[cell][0] == cells.RUNNING)
    ended = next((said for state, said in states.values() if state == cells.ENDED), None)
    return noted, states, ended or unfinished or spoilt


def _start(folder: Path, job: IO, events: IO, notes: Path) -> subprocess.Popen:
    """Start the process that runs the cells: the job is its input, its events are its output."""
    surroundings = {
        "STN_COURSE_PROGRESS": str(notes),
        "STN_COURSE_PROFILE": os.environ.get("STN_COURSE_PROFILE") or "smoke",
    }
    return subprocess.Popen(
        [sys.executable, "-P", cells.__file__],
        stdin=job,
        stdout=events,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=os.environ | surroundings,
        start_new_session=True,  # Ctrl-C is for this process alone, which ends that one itself
    )


def _wait(process: subprocess.Popen, events: IO, limit: float) -> str | None:
    """Wait for the end of the process, or of its time; why it came to no good end, if it did not."""
    began, until = False, time.monotonic() + 2 * cells.START
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
        if not began and os.fstat(events.fileno()).st_size:  # its first cell: what was before is no fault of its
            began, until = True, time.monotonic() + limit
    if process.returncode is None:
        return f"not at its end after {limit:g} s" if began else "its kernel did not start"
    if process.returncode:
        return f"the process that ran it was ended from outside, or failed ({process.returncode})"
    return None


def _noted(notes: Path) -> tuple[dict, str | None]:
    """What the checks noted, and what is wrong with the file in which they did."""
    try:
        return parse(_text(notes, LARGEST_REPORT)), None
    except FileNotFoundError:
        return {}, None
    except (ValueError, OSError) as error:
        return {}, f"the file in which its checks are noted was spoilt: {error}"


def _states(events: bytes) -> dict[int, tuple[str, str]]:
    """The last that was said of each cell; what cannot be read is passed over."""
    states = {}
    for line in events.decode(errors="replace").splitlines():
        try:
            event = json.loads(line)
            states[int(event["cell"])] = (str(event["state"]), str(event["said"]))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue
    return states


def _end(pid: int, notes: str) -> None:
    """Kill a process, and everything that it started: the offspring, and whatever has the notes in its environment.

    A process that gave up its parent is found by its environment. One that changed both is not found.
    """
    import psutil  # comes with every Jupyter kernel

    def left() -> list[psutil.Process]:
        found = []
        try:
            root = psutil.Process(pid)
            found = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            pass
        for process in psutil.process_iter():
            try:
                if process.environ().get("STN_COURSE_PROGRESS") == notes:
                    found.append(process)
            except (psutil.Error, OSError):  # somebody else's, or gone
                continue
        return [process for process in set(found) if _lives(process)]

    until = time.monotonic() + 5
    while (processes := left()) and time.monotonic() < until:  # again: what forks meanwhile is found the next time
        for process in processes:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(processes, timeout=0.2)


def _lives(process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _text(path: Path, largest: int) -> str:
    """What stands in a file, if it is an ordinary one of no more than so many bytes: a pipe would never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("expected an ordinary file")
        content = file.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"expected at most {largest:,} bytes")
    return content.decode("utf-8")


def _as_the_check_says_it(name: str, entry: dict) -> dict:
    """An entry, unless it says that an exercise is solved in words that the check does not use."""
    exercise = EXERCISES[name]
    praise = exercise.why if isinstance(exercise, NumberExercise) else exercise.success
    if entry["solved"] and entry["said"] != praise:
        return entry | {"solved": False, "said": f"noted as solved, but not by its check: {entry['said']}"}
    return entry
