"""A learner's notebook, run from top to bottom in a kernel of its own, and what its checks said."""

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

from stn_course.exercises.catalogue import EXERCISES
from stn_course.exercises.notes import read


def grade(notebook: str | os.PathLike, timeout: float = 600) -> dict[str, dict | None]:
    """Run a notebook and collect what the checks in it found; the notebook itself is left alone.

    Cells that raise do not stop it: what stands below them is checked too. It runs at the "smoke" profile unless
    STN_COURSE_PROFILE says otherwise. It runs whatever the notebook holds: grade where that may be run.

    Args:
        notebook: the file.
        timeout: seconds for one cell, after which it is interrupted.

    Returns:
        The exercises of the notebook by name, in order: {"solved", "tries", "said"}, or None where none was tried.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a notebook, has none of the course's exercises in it, or ended its kernel.
        ImportError: if nbclient, which comes with JupyterLab, is not installed.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    path = Path(notebook)
    try:
        document = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no notebook {path}") from None
    except Exception as error:  # nbformat raises what its JSON and schema libraries raise
        raise ValueError(f"expected a Jupyter notebook, got {path}: {error}") from error
    source = "\n".join(cell.source for cell in document.cells if cell.cell_type == "code")
    asked = [name for name in EXERCISES if f"exercises.{name}.check(" in source]
    if not asked:
        raise ValueError(f"expected a notebook with exercises of this course, got {path}, which checks none")
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        surroundings = {"STN_COURSE_PROGRESS": str(notes)}
        surroundings["STN_COURSE_PROFILE"] = os.environ.get("STN_COURSE_PROFILE") or "smoke"
        client = NotebookClient(
            document,
            kernel_name="python3",
            timeout=timeout,
            interrupt_on_timeout=True,
            allow_errors=True,
            resources={"metadata": {"path": str(path.resolve().parent)}},
        )
        try:
            with patch.dict(os.environ, surroundings):
                client.execute()
        except DeadKernelError as error:
            raise ValueError(
                f"expected a notebook that runs to its end, but {path} ended its kernel: {error}"
            ) from error
        found = read(notes)
    return {name: found.get(name) for name in asked}
