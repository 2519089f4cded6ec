"""Every notebook as Colab opens it: alone in an empty folder, on a machine that has all but the course.

The machine is a virtual environment that borrows PyTorch, matplotlib and Jupyter's parts, and has ipywidgets 7.7 of its
own; git finds this checkout, as it was last committed, behind the course's address. It borrows no file of the course.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
import stamp

pytestmark = pytest.mark.colab

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
BORROWED = "import sys; sys.path.append({!r})\n"  # and not site.addsitedir, which would bring the course along, too
STAND_IN = {
    "google/colab/__init__.py": "",
    "google/colab/drive.py": "def mount(place):\n    raise RuntimeError('nobody asked for it')\n",
}
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
try:
    NotebookClient(notebook, kernel_name="python3", timeout=600, record_timing=True).execute()
finally:
    nbformat.write(notebook, sys.argv[1])
"""


class Machine:
    """A virtual environment in `folder`, and the surroundings that its processes see."""

    def __init__(self, folder: Path):
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.home = folder / "home"
        self.home.mkdir()
        address = stamp.repository()
        self.surroundings = os.environ | {
            "HOME": str(self.home),
            "COLAB_RELEASE_TAG": "a stand-in",
            "STN_COURSE_PROFILE": "smoke",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": address,
        }
        for name in ("PYTHONPATH", "STN_COURSE_DATA", "STN_COURSE_PROGRESS", "XDG_CACHE_HOME"):
            self.surroundings.pop(name, None)
        packages = Path(self("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (packages / "borrowed.pth").write_text(BORROWED.format(sysconfig.get_path("purelib")))
        for name, content in STAND_IN.items():
            (packages / name).parent.mkdir(parents=True, exist_ok=True)
            (packages / name).write_text(content)

    def __call__(self, *arguments: object, folder: Path | None = None) -> str:
        command = [str(self.python), *map(str, arguments)]
        done = subprocess.run(
            command, env=self.surroundings, cwd=folder or self.home, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def installed(self) -> dict[str, str]:
        """Names and versions of what is installed, as pip sees it, but for the course."""
        found = json.loads(self("-m", "pip", "--disable-pip-version-check", "list", "--format=json"))
        return {each["name"]: each["version"] for each in found if each["name"] != "stn-course"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    machine = Machine(tmp_path_factory.mktemp("colab"))
    try:
        machine("-m", "pip", "install", "--quiet", "--no-deps", "ipywidgets==7.7.*", "ipython_genutils")
    except RuntimeError as error:
        pytest.skip(f"ipywidgets 7.7 could not be installed: {error}")
    return machine


@pytest.fixture
def bare(machine):
    """The machine without the course."""
    machine("-m", "pip", "uninstall", "--quiet", "--yes", "stn-course")
    with pytest.raises(RuntimeError, match="No module named 'stn_course'"):
        machine("-c", "import stn_course")
    return machine


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_alone_installs_the_course_and_runs(bare, notebook, tmp_path, capsys):
    folder = tmp_path / "content"
    folder.mkdir()
    shutil.copy(notebook, folder)
    before = bare.installed()
    assert before["ipywidgets"].startswith("7.7.")
    bare("-c", EXECUTE, folder / notebook.name, folder=folder)
    assert bare.installed() == before  # neither PyTorch nor a part of Jupyter was replaced
    cells = [cell for cell in nbformat.read(folder / notebook.name, as_version=4).cells if cell.cell_type == "code"]
    said = "".join(output.get("text", "") for output in cells[0].outputs)
    assert "stn_course 0." in said and "restart" not in said.lower()
    assert "Change runtime type" in said and "drive.mount" in said
    assert not [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert bare("-c", "import stn_course; print(stn_course.__file__)").startswith(str(bare.python.parent.parent))
    times = cells[0].metadata.execution
    with capsys.disabled():
        print(f"\n{notebook.stem}: setup cell {seconds(times):.0f} s", file=sys.stderr)


def seconds(times: dict) -> float:
    from datetime import datetime

    start, end = (datetime.fromisoformat(times[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    return (end - start).total_seconds()
