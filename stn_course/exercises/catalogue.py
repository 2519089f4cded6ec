"""All exercises by name, in the order of the notebooks, and how far a learner has come."""

from importlib import import_module
from pathlib import Path

from stn_course.exercises.exercise import Exercise
from stn_course.exercises.progress_file import read

NOTEBOOKS = (  # the exercises of each are the module of that name, without the number
    "01_transformations",
    "02_interpolation",
    "03_spatial_transformer",
    "04_first_stn",
    "05_rts_mnist",
    "06_cifar10",
    "07_bending",
    "08_papers_table",
    "09_many_things",
    "10_your_own",
    "11_clinic",
)


def _exercises_of(notebook: str) -> dict[str, Exercise]:
    """A notebook's exercises; each is told its own name, which is that of the variable, and the notebook's number."""
    number, _, module = notebook.partition("_")
    variables = vars(import_module(f"{__package__}.{module}"))
    found = {name: value for name, value in variables.items() if isinstance(value, Exercise)}
    for name, exercise in found.items():
        exercise.name, exercise.notebook = name, number
    return found


EXERCISES = {name: each for notebook in NOTEBOOKS for name, each in _exercises_of(notebook).items()}


def progress(notebook: str = "", path: Path | None = None) -> None:
    """Print which exercises are solved (✓), which were tried (✗) and which are still to do (○).

    Args:
        notebook: only those of the notebook whose number it is: "01".
        path: the file that progress is kept in, if it is not the usual one.

    Example:
        >>> progress("04", Path("nowhere.json"))
        04  ○ count_parameters
        04  ○ undo_normalise
        04  ○ features
        04  ○ black_outside
        0 of 4 solved
    """
    known = read(path)
    chosen = [exercise for exercise in EXERCISES.values() if exercise.notebook.startswith(notebook)]
    for exercise in chosen:
        entry = known.get(exercise.name)
        mark = "○" if entry is None else "✓" if entry["solved"] else "✗"
        tries = "" if entry is None else f"{entry['tries']} {'try' if entry['tries'] == 1 else 'tries'}"
        print(f"{exercise.notebook}  {mark} {exercise.name:<20}{tries}".rstrip())
    solved = sum(known.get(exercise.name, {}).get("solved", False) for exercise in chosen)
    print(f"{solved} of {len(chosen)} solved")
