"""Which exercises a learner has solved: a small file beside the notebooks, which outlives the kernel."""

import json
import os
from pathlib import Path

from stn_course.files import atomic_write, lock
from stn_course.places import progress_file


def parse(text: str) -> dict[str, dict]:
    """What the text of such a file says: for each exercise whether it was ever solved, tries up to then, words of then.

    Raises:
        ValueError: if it is not the text of such a file.

    Example:
        >>> parse('{"zoom": {"solved": true, "tries": 1, "said": "Yes."}}')
        {'zoom': {'solved': True, 'tries': 1, 'said': 'Yes.'}}
    """
    try:
        return {
            str(name): {"solved": bool(entry["solved"]), "tries": int(entry["tries"]), "said": str(entry["said"])}
            for name, entry in json.loads(text).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"expected the progress of this course, got {type(error).__name__}: {error}") from error


def read(path: Path | None = None) -> dict[str, dict]:
    """What is known of each exercise that was tried, as `parse` tells it.

    A file that cannot be read as such is put aside, with ".damaged" behind its name, and this is said.

    Raises:
        OSError: if it can be neither read nor put aside.
    """
    path = progress_file() if path is None else path
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        aside = path.with_name(path.name + ".damaged")
        try:
            os.replace(path, aside)
        except OSError as refused:
            raise OSError(
                f"{path} does not hold the progress of this course ({error}), and cannot be put aside ({refused})"
            ) from error
        print(f"{path} does not hold the progress of this course ({error}); it was put aside as {aside.name}.")
        return {}


def note(name: str, solved: bool, said: str) -> None:
    """Add a try. What was solved once stays solved. Where nothing can be written, that is said, and nothing raised."""
    path = progress_file()
    try:
        with lock(path, f"noting progress in {path}", timeout=10):
            known = read(path)
            entry = known.get(name, {"solved": False, "tries": 0})
            if not entry["solved"]:
                known[name] = {"solved": solved, "tries": entry["tries"] + 1, "said": said}
                with atomic_write(path) as part:
                    part.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"(Your progress could not be noted in {path}: {error.strerror or error}.)")
