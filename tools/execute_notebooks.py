"""Run the notebooks from top to bottom on the real data, in place: the committed outputs come from here.

    python tools/execute_notebooks.py                               all of them, in order
    python tools/execute_notebooks.py notebooks/05_rts_mnist.ipynb  only those named

A notebook is rewritten only when it ran to its end and nothing in its outputs is unfit for a reader.
"""

import os
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from notebook_rules import OUTPUT_RULES
from stamp import ROOT

from stn_course.data import load_mnist
from stn_course.places import data_folder


def require_real_data() -> None:
    found = load_mnist("test")
    if not found.complete:
        sys.exit(
            f"The committed outputs must come from the real MNIST, but only this was found: {found.source}.\n"
            "Set STN_COURSE_DATA to a folder that holds it (the README says which layouts are read)."
        )


METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "version": "{}.{}".format(*sys.version_info)},
}


def normalise(notebook: NotebookNode) -> None:
    """Keep of the metadata only what does not change from one machine or run to the next."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for key in ("execution", "ExecuteTime", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)


@contextmanager
def nothing_trained_yet() -> Iterator[None]:
    """A data folder with the data sets of the usual one but without its runs: a training starts at its first epoch.

    And nobody's progress: every exercise is still to do.
    """
    usual = data_folder()
    with (
        TemporaryDirectory() as folder,
        patch.dict(os.environ, STN_COURSE_DATA=folder, STN_COURSE_PROGRESS=f"{folder}/progress.json"),
    ):
        for name in ("MNIST", "mnist.npz", "cifar-10-batches-py", "cifar10.npz"):
            if (usual / name).exists():
                Path(folder, name).symlink_to((usual / name).resolve())
        yield


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # a progress bar leaves its last state, not all of them
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    normalise(notebook)
    problems = [problem for rule in OUTPUT_RULES for problem in rule(notebook, path.name)]
    if problems:
        raise ValueError("\n".join(problems))
    part = path.with_name(path.name + ".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def main(paths: list[Path]) -> int:
    """Execute the notebooks; the number of those that were left as they are because something was wrong."""
    require_real_data()
    import matplotlib.font_manager  # noqa: F401  builds the font cache here: its notice would land in an output

    os.environ.setdefault("STN_COURSE_PROFILE", "quick")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment, whatever else is installed
    os.environ.pop("MPLBACKEND", None)  # a kernel draws inline only where no other backend is named
    failures = 0
    for path in paths:
        started = time.monotonic()
        try:
            with nothing_trained_yet():
                execute(path)
        except (CellExecutionError, DeadKernelError, ValueError) as error:
            failures += 1
            print(f"{path.name}: not written\n{error}", file=sys.stderr)
        else:
            print(f"{path.name}: {time.monotonic() - started:.0f} s")
    return failures


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="the default is all of them")
    named = parser.parse_args().notebooks
    sys.exit(bool(main(named or sorted(ROOT.glob("notebooks/*.ipynb")))))
