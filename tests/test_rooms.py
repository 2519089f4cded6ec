"""The house: a module imports only from rooms below its own, and drawing needs no widgets."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stn_course

ROOMS = [  # ground floor first
    "checks",
    "numbers",
    "palette",
    "places",
    "files",
    "allocator",
    "out_of_memory",
    "cuda_graph",
    "transforms",
    "algebra",
    "sampling",
    "spatial_transformer",
    "look_small",
    "distortions",
    "recovery",
    "augmentation",
    "data",
    "models",
    "training",
    "watching",
    "clinic",
    "checkpoints",
    "tasks",
    "experiments",
    "plots",
    "drawing",
    "widgets",
    "exercises",
    "notebook",
    "lab_connection",
    "lab_server",
    "__main__",
]
PACKAGE = Path(stn_course.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports from, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names if name.startswith("stn_course.")]
    return {part[1] for part in parts if part[1] in ROOMS}


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} - {"__init__", "jupyter"} == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rooms_below(path):
    own = ROOMS.index(room(path)) if room(path) in ROOMS else len(ROOMS)
    above = {name for name in imported_rooms(path) if ROOMS.index(name) > own}
    assert not above, f"{room(path)} imports from {', '.join(sorted(above))}, which stand above it"


def test_an_import_that_runs_upwards_is_found(tmp_path):
    path = tmp_path / "file.py"
    path.write_text("def later():\n    from stn_course import widgets\n    import stn_course.plots\n")
    assert imported_rooms(path) == {"widgets", "plots"}


def test_drawing_needs_no_widgets():
    scenes = ", ".join(f"stn_course.drawing.{scene}" for scene in ("transformation", "microscope", "descent", "epochs"))
    code = f"import sys, {scenes}; print(*{{'ipywidgets', 'IPython'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == ""
