"""Write the course's address and version, which stand in pyproject.toml, into every notebook, and the address into the
pages beside them.

A notebook has one code cell tagged `setup`, whose whole text comes from here, and a Colab badge in a markdown
cell. In README.md and INSTRUCTORS.md every link to Colab and every `git clone` or `git+` address is written.

    python tools/stamp.py            rewrite what differs
    python tools/stamp.py --check    change nothing; name what differs and exit with 1
"""

import re
import sys
import tomllib
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
COLAB = "https://colab.research.google.com"

SETUP_CELL = """\
# Setup, the same in every notebook. The course is in a folder above this one, or installed; Colab installs it here.
import importlib.util, os, pathlib, subprocess, sys
here = pathlib.Path.cwd()
sys.path[:0] = [str(folder) for folder in here.parents if (folder / "stn_course/__init__.py").exists()][:1]
if importlib.util.find_spec("stn_course") is None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    address = "git+{repository}"
    if subprocess.run([*pip, address + "@v{version}"]).returncode:
        print("pip cannot get version {version}, to which this notebook belongs. It takes the newest one.")
        if subprocess.run([*pip, address]).returncode:
            raise ModuleNotFoundError(f"No folder above {{here}} has the course, and pip cannot get it: no network?")
# How much is computed: "smoke" (seconds), "quick" (minutes) or "full" (as published). Restart the kernel after changes.
os.environ.setdefault("STN_COURSE_PROFILE", "quick")
from stn_course.notebook import setup
setup();"""
PAGES = ("README.md", "INSTRUCTORS.md")
SETUP_TAGS = ("setup", "nbval-ignore-output")

BADGE = re.compile(rf"\[!\[[^]]*\]\({re.escape(COLAB)}/assets/[^)]*\)\]\([^)]*\)")
COLAB_LINK = re.compile(rf"{re.escape(COLAB)}/github/[^/\s]+/[^/\s]+(?=/blob/)")
CLONE = re.compile(r'(?<=git clone )https://[^\s`"]+|(?<=git\+)https://[^\s`"]+')


def repository(root: Path = ROOT) -> str:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def colab_link(address: str) -> str:
    return f"{COLAB}/github{urlsplit(address).path}"


def version(root: Path = ROOT) -> str:
    """The course's version. A notebook installs the tag that is named after it, so that a push changes no class."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]


def setup_cell(address: str, version: str) -> str:
    return SETUP_CELL.format(repository=address, version=version)


def badge(address: str, name: str) -> str:
    image = f"![Open in Colab]({COLAB}/assets/colab-badge.svg)"
    return f"[{image}]({colab_link(address)}/blob/main/notebooks/{name})"


def has_tag(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def stamp_notebook(notebook: NotebookNode, name: str, address: str, version: str) -> bool:
    """Stamp the notebook in place; True if that changed it, ValueError if it has no place for a stamp."""
    setups = [cell for cell in notebook.cells if cell.cell_type == "code" and has_tag(cell, "setup")]
    badges = [cell for cell in notebook.cells if cell.cell_type == "markdown" and BADGE.search(cell.source)]
    badges = badges or [cell for cell in notebook.cells if has_tag(cell, "badge")]
    if len(setups) != 1:
        raise ValueError(f"{name}: expected one code cell tagged 'setup', found {len(setups)}")
    if len(badges) != 1:
        raise ValueError(f"{name}: expected one Colab badge or cell tagged 'badge', found {len(badges)}")

    def text(cell: NotebookNode) -> tuple:
        return cell.source, cell.metadata.get("tags")

    before = [text(cell) for cell in (*setups, *badges)]
    setups[0].source = setup_cell(address, version)
    setups[0].metadata.tags = list(SETUP_TAGS)
    new, found = BADGE.subn(badge(address, name), badges[0].source)
    badges[0].source = new if found else badge(address, name)
    return before != [text(cell) for cell in (*setups, *badges)]


def stamp_text(text: str, address: str) -> str:
    return CLONE.sub(address, COLAB_LINK.sub(colab_link(address), text))


def stamp(root: Path = ROOT, write: bool = True) -> list[str]:
    """Stamp the pages and the notebooks under `root`; return what differed, rewritten only if `write`."""
    address = repository(root)
    differing = []
    for path in sorted(root.glob("notebooks/*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if stamp_notebook(notebook, path.name, address, version(root)):
            differing.append(f"notebooks/{path.name}")
            if write:
                nbformat.write(notebook, path)
    for page in (path for name in PAGES if (path := root / name).exists()):
        text = page.read_text(encoding="utf-8")
        if (stamped := stamp_text(text, address)) != text:
            differing.append(page.name)
            if write:
                page.write_text(stamped, encoding="utf-8")
    return differing


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, name what differs")
    check = parser.parse_args().check
    try:
        differing = stamp(write=not check)
    except ValueError as error:
        sys.exit(str(error))
    for name in differing:
        print(f"{name}: {'is not stamped: run `make stamp`' if check else 'stamped'}")
    sys.exit(bool(check and differing))
