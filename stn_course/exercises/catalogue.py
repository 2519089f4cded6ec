"""All exercises by name, in the order of the notebooks, and how far a learner has come."""

from pathlib import Path

from stn_course.exercises import cifar10, first_stn, interpolation, rts_mnist, spatial_transformer, transformations
from stn_course.exercises.exercise import Exercise
from stn_course.exercises.progress_file import read

EXERCISES: dict[str, Exercise] = {
    name: value
    for module in (transformations, interpolation, spatial_transformer, first_stn, rts_mnist, cifar10)
    for name, value in vars(module).items()
    if isinstance(value, Exercise)
}


def progress(notebook: str = "", path: Path | None = None) -> None:
    """Print which exercises are solved (✓), which were tried (✗) and which are still to do (○).

    Args:
        notebook: only those of the notebook whose number it is: "01".
        path: the file that progress is kept in, if it is not the usual one.

    Example:
        >>> progress("04", Path("nowhere.json"))
        04  ○ features
        04  ○ count_parameters
        04  ○ undo_normalise
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
