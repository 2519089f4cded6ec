"""Docstrings say in which section a thing is built, and which convention its tensors follow."""

import ast
import dataclasses
import importlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator

import pytest
import stamp

from stn_course.checks import Images, Points, Theta
from stn_course.transforms import Transform

# To take up another room, add its name and run this file: the failures name what is missing. `experiments` is left out:
# no section builds most of its names (devices, precisions, files).
ROOMS = (
    "checks",
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
    "tasks",
    "plots",
    "drawing.descent",
    "drawing.microscope",
    "drawing.transformation",
    "drawing.epochs",
    "drawing.sample_images",
    "widgets",
)

# Public names that no section of a notebook builds or explains.
BUILT_NOWHERE = {
    "checks.check_image",
    "checks.check_size",
    "checks.describe",
    "checks.lookup",
    "transforms.Range",
    "transforms.check_transform",
    "transforms.without_autocast",
    "algebra.presets",
    "algebra.reach",
    "sampling.check_sampling",
    "sampling.in_one_dtype",
    "augmentation.FlipShiftAndCut",
    "recovery.box",
    "data.DataError",
    "data.ImageData",
    "models.AdditionCNN",
    "models.AdditionFCN",
    "models.ClutterCNN",
    "models.ClutterFCN",
    "models.ClutterSTCNN",
    "models.FeatureSTCNN",
    "data.Sign",
    "models.Look",
    "models.ResidualCNN",
    "models.ResidualSTN",
    "models.look",
    "models.looks_of",
    "training.History",
    "training.NotFiniteError",
    "tasks.Contestant",
    "tasks.Profile",
    "tasks.Task",
    "plots.Figure",
    "plots.draw_curves",
    "plots.height_to_width",
    "plots.image_grid",
    "plots.panels",
    "drawing.descent.crooked_and_upright",
    "drawing.sample_images.read_image",
    "drawing.sample_images.uploaded_file",
    "widgets.Still",
}

OF_THETA = (
    "θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; "
    "±1 are the border pixels' outer edges, or with align_corners=True their centres."
)
CONVENTIONS = {
    f"Convention: {OF_THETA}",
    "Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).",
    f"Convention: images are (B, C, H, W); {OF_THETA}",
}

ALIASES = re.compile(r"\b(Theta|Points|Grid|Images)\b")
NAMES = {"theta", "points", "grid", "images"}


def public(room: str) -> dict[str, Callable]:
    """The public functions and classes of a room: those in `__all__`, or without one those that it defines."""
    module = importlib.import_module(f"stn_course.{room}")
    listed = getattr(module, "__all__", None)
    return {
        f"{room}.{name}": value
        for name, value in vars(module).items()
        if (inspect.isfunction(inspect.unwrap(value)) or inspect.isclass(value))
        and (name in listed if listed is not None else value.__module__ == module.__name__ and name[0] != "_")
    }


PUBLIC = {name: value for room in ROOMS for name, value in public(room).items()}


def headings(number: str) -> set[str]:
    """The titles of a notebook's sections, without their numbers."""
    (path,) = stamp.ROOT.glob(f"notebooks/{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return set(re.findall(r"^###? (?:\d+ · )?(.+?)\s*$", text, flags=re.MULTILINE))


def documentation(value: object) -> str:
    return inspect.cleandoc(vars(value).get("__doc__") or "" if inspect.isclass(value) else value.__doc__ or "")


def back_pointers(text: str) -> list[str]:
    return re.findall(r"^ *(Built in:.*)$", text, flags=re.MULTILINE)


def wrong_back_pointers(text: str) -> Iterator[str]:
    for line in back_pointers(text):
        parsed = re.fullmatch(r'Built in: (\d\d), "(.+)"\.', line)
        if parsed is None or parsed[2] not in headings(parsed[1]):
            yield line


def conventions(text: str) -> list[str]:
    """The paragraphs that begin `Convention:`, each in one line; a back-pointer ends one, as an empty line does."""
    found = re.findall(r"^ *(Convention:.*?)(?=\n\s*\n|\n *Built in:|\n *\"\"\"|\Z)", text, re.MULTILINE | re.DOTALL)
    return [" ".join(paragraph.split()) for paragraph in found]


def has_convention(value: object) -> bool:
    found = conventions(documentation(value))
    return bool(found) and CONVENTIONS.issuperset(found)


def stands_for_one(name: str, annotation: ast.expr | None) -> bool:
    """Whether a parameter or a result is a θ, points, a grid or images, by its annotation or as a tensor of that name.

    The aliases are plain tensors once Python has read them, so this reads the source.
    """
    written = "" if annotation is None else ast.unparse(annotation)
    return bool(ALIASES.search(written)) or (name in NAMES and (not written or "Tensor" in written))


def needs_convention(function: ast.FunctionDef) -> bool:
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return any(stands_for_one(each.arg, each.annotation) for each in arguments) or stands_for_one(
        function.name, function.returns
    )


def without_convention(value: object) -> Iterator[str]:
    """What has no convention and needs one: the function itself, or a class's methods and fields."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    if isinstance(node, ast.FunctionDef):
        if needs_convention(node) and not has_convention(value):
            yield node.name
    elif not has_convention(value):
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and stands_for_one(part.target.id, part.annotation):
                yield f"{node.name}.{part.target.id}"
            elif isinstance(part, ast.FunctionDef) and (part.name[0] != "_" or part.name in ("__init__", "__call__")):
                bases = [base for base in value.__mro__ if part.name in vars(base)]
                documented = any(has_convention(base) or has_convention(vars(base)[part.name]) for base in bases)
                if needs_convention(part) and not documented:
                    yield f"{node.name}.{part.name}"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_public_names(room):
    assert public(room)


@pytest.mark.parametrize("path", sorted(stamp.ROOT.glob("stn_course/**/*.py")), ids=lambda path: path.stem)
def test_every_back_pointer_leads_to_a_section_and_every_convention_is_in_the_fixed_words(path):
    text = path.read_text(encoding="utf-8")
    assert list(wrong_back_pointers(text)) == []
    assert CONVENTIONS.issuperset(conventions(text))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_where_it_is_built_unless_it_is_built_nowhere(name):
    assert len(back_pointers(documentation(PUBLIC[name]))) == (0 if name in BUILT_NOWHERE else 1)


def test_every_name_that_is_built_nowhere_exists():
    assert PUBLIC.keys() >= BUILT_NOWHERE


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_which_convention_its_tensors_follow(name):
    assert list(without_convention(PUBLIC[name])) == []


# Each rule can find fault


@pytest.mark.parametrize("line", ['Built in: 01, "Nowhere".', 'Built in: 01, "Play"', 'Built in: 1, "Play".'])
def test_a_back_pointer_to_no_section_is_found(line):
    assert list(wrong_back_pointers(f"Text.\n\n    {line}\n")) == [line]
    assert list(wrong_back_pointers('Text.\n\n    Built in: 01, "Play".\n')) == []


def by_alias(x: Images) -> None:
    """Text."""


def by_name(theta) -> None:
    """Text.

    Convention: θ is what you like.
    """


def by_result() -> tuple[Theta, str]:
    """Text."""


def a_number(points: int) -> None:
    """Text."""


@dataclasses.dataclass
class Field:
    place: Points


class Family(Transform):
    def map(self, theta: Theta, points: Points) -> Points:
        """Text."""

    def other(self, theta: Theta) -> None:
        """Text."""


@pytest.mark.parametrize(
    ("value", "lacking"),
    [
        (by_alias, ["by_alias"]),
        (by_name, ["by_name"]),
        (by_result, ["by_result"]),
        (a_number, []),
        (Field, ["Field.place"]),
        (Family, ["Family.other"]),  # `map` has its convention from Transform
    ],
)
def test_a_missing_convention_is_found(value, lacking):
    assert list(without_convention(value)) == lacking
