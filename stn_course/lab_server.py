"""JupyterLab as `make lab` and `python -m stn_course lab` start it, on a copy of the notebooks that is the learner's.

The folder `jupyter/` is laid over the user's own configuration of Jupyter. It opens the first notebook, serves root
(in a container everybody is; the server listens to this machine alone and asks for its token all the same), lets a
learner's photograph come as one message, sends small packets at once (`lab_connection`) and asks nobody about news.
"""

import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from stn_course.files import atomic_write

COPY = "my-notebooks"
FIRST = "00_start_here.ipynb"
CONFIG = Path(__file__).parent / "jupyter"


def main(arguments: list[str]) -> int:
    """Serve the learner's notebooks until stopped; the exit status is 1 for an error that is told in words.

    Args:
        arguments: JupyterLab's own options, such as `--no-browser`; they win over what the course sets.
    """
    if find_spec("jupyterlab") is None:
        print(f"JupyterLab is not installed for {sys.executable}: python -m pip install jupyterlab", file=sys.stderr)
        return 1
    try:
        os.chdir(working_copy(course_folder()))
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if advice := how_to_reach(arguments):
        print(advice, flush=True)
    if _no_screen() and not any("browser" in argument for argument in arguments):
        arguments = ["--no-browser", *arguments]  # or one for the terminal would cover what the server says
    os.environ.update(surroundings())
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance(arguments)
    return 0


def surroundings() -> dict[str, str]:
    """Environment variables with which Jupyter takes the course's configuration first, and this environment's kernel.

    Example:
        >>> sorted(surroundings())
        ['JUPYTER_CONFIG_PATH', 'JUPYTER_PREFER_ENV_PATH']
    """
    configuration = [str(CONFIG), os.environ.get("JUPYTER_CONFIG_PATH")]
    return {
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, configuration)),
        "JUPYTER_PREFER_ENV_PATH": "1",  # whatever kernels the user has installed besides
    }


def course_folder() -> Path:
    """The folder with `notebooks/` in it: the current one, or else the one that the package lies in.

    Raises:
        FileNotFoundError: where neither has the notebooks.
    """
    candidates = (Path.cwd(), Path(__file__).resolve().parents[1])
    for folder in candidates:
        if (folder / "notebooks" / FIRST).is_file():
            return folder
    raise FileNotFoundError(f"expected notebooks/{FIRST} in one of {', '.join(map(str, candidates))}")


def working_copy(course: Path) -> Path:
    """The learner's folder, with a copy of every notebook that is not there yet; those that are there are left alone.

    It lies in the course's folder, or, where others installed the course and it cannot be written, in the user's own.

    Raises:
        OSError: as the system says it, when the folder cannot be written.
    """
    folder = course / COPY
    if not os.access(folder if folder.exists() else course, os.W_OK):
        folder = Path.home() / COPY
    for notebook in sorted((course / "notebooks").glob("*.ipynb")):
        copy = folder / notebook.name
        if not copy.exists():
            with atomic_write(copy) as part:  # half a notebook would be kept for ever
                shutil.copyfile(notebook, part)
    return folder


def _no_screen() -> bool:
    return sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))


def how_to_reach(arguments: list[str], root: Path = Path("/")) -> str | None:
    """One line that says how a browser elsewhere reaches a server that listens to this machine alone.

    Args:
        arguments: JupyterLab's own options; who says where to listen needs no advice.
        root: the root of the file system.

    Returns:
        None where the browser is on this machine, as far as can be seen.
    """
    if any(re.match("--(ServerApp[.])?ip\\b", argument) for argument in arguments):
        return None
    if "SSH_CONNECTION" in os.environ:  # most rented machines are containers that are reached so
        return (
            "Over SSH: `ssh -L 8888:localhost:8888 …` from your own machine, with the port that is shown below, lets "
            "you open the address there."
        )
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "In a pod: `kubectl port-forward POD 8888:8888`, with the port shown below, lets you open the address."
    if _in_container(root):
        return (
            "In a container: start it with `docker run -p 8888:8888 …` and this with LAB_ARGS=--ip=0.0.0.0 to open the "
            "address that begins with http://127.0.0.1 on the machine around it."
        )
    return None


def _in_container(root: Path) -> bool:
    if any((root / file).exists() for file in (".dockerenv", "run/.containerenv")):
        return True
    try:
        groups = (root / "proc/1/cgroup").read_text()
    except OSError:
        return False
    return re.search("docker|containerd|kubepods|lxc|libpod", groups) is not None
