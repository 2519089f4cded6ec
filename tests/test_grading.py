"""`grade` ends at its limit whatever a notebook does, shows attempts as attempts, and goes on to the next notebook."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stn_course import exercises
from stn_course.__main__ import main, one_line
from stn_course.exercises import EXERCISES, Graded, cells, grading
from stn_course.exercises.asked import spoken_of

IMPORT = "from stn_course import exercises"


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    path = tmp_path / "own progress" / "progress.json"
    monkeypatch.setenv("STN_COURSE_PROGRESS", str(path))
    return path


def handed_in(path, *sources):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)
    return path


def processes_with(variable, value):
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


# Which exercises a notebook has


@pytest.mark.parametrize(
    ("sources", "spoken"),
    [
        ([IMPORT, "exercises.zoom.check(2)"], [set(), {"zoom"}]),
        ([IMPORT, "exercises.zoom.check (2)"], [set(), {"zoom"}]),
        ([IMPORT, "exercises . zoom\\\n. check(2)"], [set(), {"zoom"}]),
        (["import stn_course.exercises as ex", "ex.zoom.check(2); ex.compose.check(3)"], [set(), {"zoom", "compose"}]),
        (["import stn_course.exercises", "stn_course.exercises.zoom.check(2)"], [set(), {"zoom"}]),
        (["import stn_course as s", "s.exercises.zoom.check(2)"], [set(), {"zoom"}]),
        (["from stn_course.exercises import zoom", "zoom.check(2)"], [set(), {"zoom"}]),
        (["from stn_course.exercises import zoom as z, angle", "z.check(2)"], [set(), {"zoom"}]),
        (["from stn_course.exercises import *", "zoom.check(2)"], [set(), {"zoom"}]),
        (["from stn_course.exercises import EXERCISES as e", 'e["zoom"].check(2)'], [set(), {"zoom"}]),
        ([IMPORT, "check = exercises.zoom.check", "check(2)"], [set(), {"zoom"}, {"zoom"}]),
        ([IMPORT, "# exercises.zoom.check(2)"], [set(), set()]),
        ([IMPORT, "'exercises.zoom.check(2)'"], [set(), set()]),
        ([IMPORT, "%matplotlib inline\n!ls\nexercises.zoom.check(2)"], [set(), {"zoom"}]),
        ([IMPORT, "%time 1\nz = exercises.zoom", "z.check(2)"], [set(), {"zoom"}, {"zoom"}]),
        ([IMPORT, "answer = = 2\nexercises.zoom.check(answer)  # exercises.compose.check"], [set(), {"zoom"}]),
        ([IMPORT, "def f(:\n  angle = features\n"], [set(), set()]),
        (["import torch", "zoom = 3", "zoom.check"], [set(), set(), set()]),
        (["import torch as exercises", "exercises.zoom.check(2)"], [set(), set()]),
    ],
)
def test_exercises_are_known_from_what_the_code_means(sources, spoken):
    found, numbers = spoken_of(sources)
    assert found == spoken
    assert numbers == {EXERCISES[name].notebook for names in found for name in names}


def test_a_notebook_that_only_asks_for_its_progress_is_known_by_it():
    assert spoken_of([IMPORT, 'exercises.progress("02")'])[1] == {"02"}


@pytest.mark.parametrize("source", ["-" * 10**6 + "1", "(" * 10**5, "a" + ".a" * 10**5, "\0", "\ud800", "[" * 99])
def test_no_code_however_odd_stops_the_reading(source):
    assert spoken_of([IMPORT, source, "exercises.zoom.check(2)"]) == ([set(), set(), {"zoom"}], {"01"})


@given(st.text())
def test_any_text_is_read(source):
    spoken_of([source])


# One notebook is run, with everything in it that a learner's may hold


EVERYTHING = [
    "%time 1\n" + IMPORT,
    "def my_turn(degrees, centre):\n    return oops",
    "exercises.turn_about.check(my_turn)",
    "answer = = 2\nexercises.zoom.check(answer)",
    "points = 1 / 0\nexercises.projective_points.check(points)",
    "exercises.compose.check(lambda first, then: first + then)",
    "exercises.straighten.check(None)",
    "while True: print('x' * 10000)",
    "exercises.angle.check(lambda theta: next(iter(int, 1)) or [0 for _ in iter(int, 1)])",
    "exercises.shared.check(lambda train, test: sum(bool((train == b).flatten(1).all(1).any()) for b in test))",
    "import asyncio\nawait asyncio.sleep(10000)",
    "exercises.steady.check(2)",
]


@pytest.mark.slow
def test_a_notebook_is_graded_as_far_as_it_goes_and_left_alone(tmp_path, progress_file):
    path = handed_in(tmp_path / "handed in.ipynb", *EVERYTHING)
    before = path.read_bytes()
    graded = exercises.grade(path, timeout=8, limit=240, grace=5)
    said = {name: entry and entry["said"] for name, entry in graded.exercises.items()}
    assert "your code raised NameError: name 'oops' is not defined" in said["turn_about"]
    assert "in line 2 of my_turn:  return oops" in said["turn_about"]
    assert said["zoom"].startswith("code cell 4: SyntaxError: invalid syntax")
    assert said["projective_points"] == "code cell 5: ZeroDivisionError: division by zero"
    assert said["compose"].startswith("adding θs does not chain the warps")
    assert said["angle"] == "code cell 9: cut at the limit of 8 s"
    assert said["affine_grid"] is None and said["straighten"] is None
    assert [name for name, entry in graded.exercises.items() if entry and entry["solved"]] == ["shared"]
    assert sorted(graded.failed) == [4, 5, 8, 9]
    assert graded.unfinished == "code cell 11 did not end in 8 s, nor when it was interrupted"
    assert said["steady"] == f"not checked: {graded.unfinished}"
    assert path.read_bytes() == before and not progress_file.exists()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


HOSTILE = [
    IMPORT,
    "exercises.zoom.check(2)",
    # a grandchild in a session of its own, that hears no signal and has lost its parents
    """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
""",
    "os.remove(os.environ['STN_COURSE_PROGRESS']); os.mkfifo(os.environ['STN_COURSE_PROGRESS'])",
    "os.kill(os.getppid(), signal.SIGTERM)\nwhile True: pass",
]


@pytest.mark.slow
def test_a_hostile_notebook_ends_what_looks_after_it_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_TEST", str(tmp_path))
    graded = exercises.grade(handed_in(tmp_path / "hostile.ipynb", *HOSTILE), timeout=5, limit=60)
    assert graded.unfinished == "the process that ran it was ended from outside, or failed (-15), in code cell 5"
    assert graded.exercises["zoom"] is None  # a pipe is no file of notes, and it stops nobody
    left = [process.pid for process in processes_with("STN_COURSE_TEST", str(tmp_path))]
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(signal.SIGINT, 130, "Stopped by hand."), (signal.SIGTERM, 143, "Ended by SIGTERM.")],
)
def test_a_signal_ends_the_command_and_its_kernel_in_words(tmp_path, sigint, number, status, words):
    started = tmp_path / "started"
    cell = f"open({str(started)!r}, 'w'); import time\nwhile True:\n  try: time.sleep(9)\n  except BaseException: pass"
    path = handed_in(tmp_path / "endless.ipynb", IMPORT, "exercises.zoom", cell)
    environment = os.environ | {"STN_COURSE_TEST": str(tmp_path)}
    command = [sys.executable, "-m", "stn_course", "grade", str(path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 240
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error.strip()) == (status, "", words)
    assert processes_with("STN_COURSE_TEST", str(tmp_path)) == []


# What stands in for the process that runs the cells, so that no kernel is needed


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Run other code in its place; it knows where notes are kept."""

    def put(*lines):
        (tmp_path / "cells.py").write_text("\n".join(("import json, os, sys, time", *lines)))
        monkeypatch.setattr(cells, "__file__", str(tmp_path / "cells.py"))

    return put


def told(cell, state, said=""):
    return f"print({json.dumps(json.dumps({'cell': cell, 'state': state, 'said': said}))}, flush=True)"


def noted(**entries):
    return f"open(os.environ['STN_COURSE_PROGRESS'], 'w').write({json.dumps(json.dumps(entries))})"


SOLVED = {"solved": True, "tries": 1, "said": EXERCISES["zoom"].why}


def test_the_limit_of_a_notebook_holds_and_what_was_checked_before_it_counts(tmp_path, stand_in):
    ignore = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]"
    stand_in(noted(zoom=SOLVED), told(1, "fine"), told(2, "running"), ignore, "time.sleep(30)", told(2, "fine"))
    path = handed_in(tmp_path / "a.ipynb", f"{IMPORT}\nexercises.zoom.check(2)", "exercises.compose.check(3)")
    graded = exercises.grade(path, limit=1)
    assert graded.unfinished == "not at its end after 1 s, in code cell 2"
    assert graded.exercises["zoom"] == SOLVED
    assert graded.exercises["compose"]["said"] == f"not checked: {graded.unfinished}"
    assert graded.exercises["affine_grid"] is None


@pytest.mark.parametrize(
    "notes",
    ["'['*10**5", '\'{"zoom": {"solved": true, "tries": 1e999, "said": ""}}\'', "'x'*3_000_000", "'\\udcff'"],
)
def test_spoilt_notes_are_told_and_stop_nothing(tmp_path, stand_in, notes):
    write = f"open(os.environ['STN_COURSE_PROGRESS'], 'w', errors='surrogateescape').write({notes})"
    stand_in(write, "print('no event'); print('[' * 10**5); print({}); print(b'\\xff')")
    graded = exercises.grade(handed_in(tmp_path / "a.ipynb", IMPORT, "exercises.zoom.check(2)"))
    assert graded.unfinished.startswith("the file in which its checks are noted was spoilt: ")
    assert graded.exercises["zoom"]["solved"] is False


def test_what_is_noted_as_solved_in_other_words_than_the_checks_is_not_solved(tmp_path, stand_in):
    stand_in(noted(zoom=SOLVED | {"said": "Well done!"}, compose=SOLVED, nonsense=SOLVED), told(1, "fine"))
    found = exercises.grade(handed_in(tmp_path / "a.ipynb", f"{IMPORT}\nexercises.zoom.check(2)")).exercises
    assert found["zoom"]["said"] == "noted as solved, but not by its check: Well done!"
    assert not found["zoom"]["solved"] and not found["compose"]["solved"] and "nonsense" not in found


def test_deleted_exercises_count_and_a_number_in_the_name_helps(tmp_path, stand_in):
    stand_in("pass")
    names = [name for name, exercise in EXERCISES.items() if exercise.notebook == "01"]
    for path in (
        handed_in(tmp_path / "mine.ipynb", IMPORT, "exercises.zoom.check(2)"),
        handed_in(tmp_path / "01_mine.ipynb", "1 + 1"),
    ):
        assert list(exercises.grade(path).exercises) == names


# What cannot be graded


def cell(**changes):
    made = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None} | changes
    return {key: value for key, value in made.items() if value != "left out"}


@pytest.mark.parametrize(
    "bad",
    [{"cell_type": "left out"}, *({"source": source} for source in ("left out", None, 3, {}, [1]))],
    ids=str,
)
def test_a_spoilt_cell_is_told_and_the_next_notebook_is_graded(tmp_path, capsys, stand_in, bad):
    stand_in(noted(zoom=SOLVED))
    content = {"cells": [cell(**bad)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "bad.ipynb").write_text(json.dumps(content))
    good = handed_in(tmp_path / "good.ipynb", IMPORT, "exercises.zoom.check(2)")
    assert main(["grade", str(tmp_path / "bad.ipynb"), str(good)]) == 1
    said = capsys.readouterr()
    assert "expected a Jupyter notebook, got" in said.err and "bad.ipynb" in said.err
    in_all = sum(exercise.notebook == "01" for exercise in EXERCISES.values())
    assert f"{good}: 1 of {in_all} solved" in said.out


def test_what_cannot_be_graded_is_told_why(tmp_path, capsys):
    (tmp_path / "text.ipynb").write_text("no notebook")
    (tmp_path / "deep.ipynb").write_text("[" * 100_000)
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    for name, words in (
        ("missing.ipynb", "there is no notebook"),
        ("text.ipynb", "expected a Jupyter notebook, got"),
        ("deep.ipynb", "expected a Jupyter notebook, got"),
        ("pipe.ipynb", "expected an ordinary file"),
        (".", "expected a Jupyter notebook, got"),
        ("empty.ipynb", "which checks none"),
    ):
        assert main(["grade", str(tmp_path / name)]) == 1
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


# What is printed


def test_marks_counts_and_failures_are_printed_a_line_each(tmp_path, capsys, monkeypatch):
    wrong = {"solved": False, "tries": 1, "said": "\n  compose   ✓ Yes.\x1b[2J\r\u202e" + "x" * 1000}
    found = {"zoom": SOLVED, "compose": wrong, "angle": None}
    monkeypatch.setattr(exercises, "grade", lambda path: Graded(found, {3: "ValueError: no"}, "code cell 4 ended"))
    assert main(["grade", "a\nb.ipynb"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "a b.ipynb: 1 of 3 solved; 1 cell failed",
        "  did not run to its end: code cell 4 ended",
        f"  zoom                ✓ {SOLVED['said']}",
    ]
    assert lines[3].startswith(r"  compose             ✗ compose ✓ Yes.\x1b[2J \u202exxx") and len(lines[3]) < 350
    assert lines[4:] == ["  angle               ○ not attempted"]


@given(st.text())
def test_nobodys_words_leave_their_line_or_move_the_cursor(text):
    shown = one_line(text)
    assert shown.isprintable() and len(shown.splitlines()) <= 1


def test_notes_of_a_pipe_or_without_end_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected an ordinary file"):
        grading._text(tmp_path / "pipe", 10)
    (tmp_path / "long").write_text("x" * 11)
    with pytest.raises(ValueError, match="expected at most 10 bytes"):
        grading._text(tmp_path / "long", 10)
