"""The setup cell, run as a kernel runs it where nothing is installed: beside the package and away from it."""

import functools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import stamp

import stn_course

ROOT = stamp.ROOT
SEARCHING = "sys.path.append({!r})\n"
WITHOUT = """
import importlib.machinery, sys
class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {names!r} else super().find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""
PIP = """
import subprocess
def run(command, **options):
    print("asked", *command[1:])
    return subprocess.CompletedProcess(command, 1)
subprocess.run = run
"""


FETCH = """
import pathlib, sys, os
def fetch(command):
    # what pip does with git+URL@TAG, without an environment to install into
    url, _, tag = command[-1].removeprefix("git+").partition("@")
    where = {target!r}
    done = os.system(f"git clone -q {{'--branch ' + tag if tag else ''}} {{url}} {{where}} 2>/dev/null")
    sys.path.append(where)
    return done
"""


@pytest.fixture
def run(tmp_path):
    """Runs the setup cell in a folder, in a Python with no package of its own, after what comes `before` it."""

    def run(folder: Path, before: str = PIP, address: str = "https://nowhere.invalid/course") -> tuple[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", "-c", f"{before}\n{stamp.setup_cell(address, '1.2.3')}"]
        environment = os.environ | {"STN_COURSE_PROFILE": "smoke", "MPLCONFIGDIR": str(tmp_path)}
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        return done.stdout, done.stderr

    return run


def test_a_course_in_a_folder_above_is_found_before_anybody_is_asked(run, tmp_path):
    package = tmp_path / "course" / "stn_course"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "notebook.py").write_text("def setup(): print('set up from', __file__)")
    for folder in ("notebooks", "my-notebooks", "notebooks/alice/week 1"):
        assert run(tmp_path / "course" / folder) == (f"set up from {package / 'notebook.py'}\n", "")


def test_a_course_in_a_folder_above_goes_before_one_that_is_installed(run, tmp_path):
    for place, words in (("installed", "installed"), ("course", "beside")):
        (tmp_path / place / "stn_course").mkdir(parents=True)
        (tmp_path / place / "stn_course" / "__init__.py").write_text("")
        (tmp_path / place / "stn_course" / "notebook.py").write_text(f"def setup(): print({words!r})")
    before = "import sys\n" + SEARCHING.format(str(tmp_path / "installed"))
    assert run(tmp_path / "course" / "notebooks", before) == ("beside\n", "")
    assert run(tmp_path / "elsewhere", before) == ("installed\n", "")


def test_the_real_package_beside_a_notebook_is_enough(run):
    packages = [path for path in sys.path if path.endswith("site-packages")]
    before = "import sys\n" + "".join(map(SEARCHING.format, packages))  # without the files that name the course
    said, complaints = run(ROOT / "notebooks", before)
    assert said.startswith(f"stn_course {stn_course.__version__}   torch ") and complaints == ""


def test_what_is_missing_is_named_at_once_with_the_way_to_get_it(run):
    said, complaints = run(ROOT / "notebooks")
    last = complaints.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: The course needs {', '.join(stn_course.NEEDS)}, which ")
    assert "`make lab`" in last and "pip install" in last and said == ""


@pytest.mark.parametrize("names", [("torch",), ("torchvision", "ipywidgets")])
def test_only_what_is_missing_is_named(run, names):
    packages = [path for path in sys.path if path.endswith("site-packages")]
    before = "import sys\n" + "".join(map(SEARCHING.format, packages)) + WITHOUT.format(names=names)
    _, complaints = run(ROOT / "notebooks", before)
    assert f"The course needs {', '.join(names)}, which {sys.executable} does not have" in complaints.splitlines()[-1]


def test_away_from_the_course_its_own_version_is_installed_alone_and_a_failure_is_told_in_words(run, tmp_path):
    said, complaints = run(tmp_path / "content")
    asked = "asked -m pip install --quiet --no-deps git+https://nowhere.invalid/course"
    fallback = "pip cannot get version 1.2.3, to which this notebook belongs. It takes the newest one."
    assert said.splitlines() == [f"{asked}@v1.2.3", fallback, asked]
    last = complaints.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: No folder above ") and "network" in last
    assert str(tmp_path / "content") in last and "CalledProcessError" not in complaints


@pytest.mark.parametrize("tags", [("v1.2.3",), ()])
def test_a_later_push_changes_nobodys_course_unless_there_is_no_such_version(run, tmp_path, tags):
    """A real repository: at the tag the course says one thing, after it another."""
    git = functools.partial(subprocess.run, cwd=tmp_path / "course", check=True, capture_output=True)
    package = tmp_path / "course" / "stn_course"
    package.mkdir(parents=True)
    (tmp_path / "course" / "pyproject.toml").write_text('[project]\nname = "stn-course"\nversion = "1.2.3"\n')
    git(["git", "init", "-q"])
    for words in ("as in class", "as pushed since"):
        (package / "__init__.py").write_text("")
        (package / "notebook.py").write_text(f"def setup(): print({words!r})")
        git(["git", "add", "-A"])
        git(["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", words])
        for tag in tags if words == "as in class" else ():
            git(["git", "tag", tag])
    asked = PIP.replace("CompletedProcess(command, 1)", "CompletedProcess(command, fetch(command))") + FETCH
    said, _ = run(tmp_path / "content", asked.format(target=str(tmp_path / "site")), (tmp_path / "course").as_uri())
    assert said.splitlines()[-1] == ("as in class" if tags else "as pushed since")
    assert ("It takes the newest one." in said) == (not tags)


def test_pip_that_cannot_get_it_ends_in_the_same_words(run, tmp_path):
    _, complaints = run(tmp_path / "content", before="", address=(tmp_path / "nothing").as_uri())
    assert "pip cannot get it" in complaints.splitlines()[-1]


def test_the_package_names_what_pyproject_says_it_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match("[A-Za-z-]+", each)[0] for each in project["dependencies"]}
    assert names == {"Pillow" if name == "PIL" else name for name in stn_course.NEEDS}


def test_the_cell_is_short():
    lines = stamp.setup_cell(stamp.repository(), stamp.version()).splitlines()
    assert len(lines) <= 15 and max(map(len, lines)) <= 120
