"""The records and weights that come with the package, and the tables made from them."""

import copy
import json
import os
from pathlib import Path

from torch import nn

from stn_course.checks import lookup
from stn_course.data import DataError
from stn_course.experiments.catalogue import EXPERIMENTS, get_experiment
from stn_course.files import atomic_write, load_tensors

RESULTS = Path(__file__).parents[1] / "results"


def load_weights(model: nn.Module, path: str | os.PathLike) -> nn.Module:
    """Load a file of weights into a model, in evaluation mode.

    A DataError says why the file does not serve: it is damaged, or holds the weights of another network, whole numbers,
    or numbers that are not finite.
    """
    try:
        weights = load_tensors(path)
        copy.deepcopy(model).load_state_dict(weights)  # refused here, before the first tensor is changed
        for key, value in model.state_dict().items():
            if value.is_floating_point() and not weights[key].is_floating_point():
                raise TypeError(f"expected {key} as floating-point numbers, got {weights[key].dtype}")
            if not weights[key].isfinite().all():
                raise ValueError(f"{key} is not finite")
        model.load_state_dict(weights)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged zip archives fail in many ways
        raise DataError(f"{path} does not hold weights for {type(model).__name__}: {error}") from error
    return model.eval()


def load_pretrained(name: str, recipe: str = "course") -> nn.Module:
    """Load the network of a recorded run that comes with the package, in evaluation mode on the CPU.

    If the package has no such run, a FileNotFoundError lists those that it has.

    Built in: 05, "The honest comparison".

    Example:
        >>> load_pretrained("rts-mnist/st-cnn").training
        False
    """
    experiment = get_experiment(name)
    lookup("recipe", recipe, experiment.recipes)
    path = _result_path(name, recipe, 0, ".pt")
    if not path.exists():
        raise FileNotFoundError(
            f"no weights of {name} under the {recipe} recipe come with the package; it has: {_have('.pt')}"
        )
    return load_weights(experiment.model(), path)


def load_record(name: str, recipe: str = "course", seed: int = 0) -> dict:
    """Load the record of a run that comes with the package; errors as `load_pretrained`.

    Built in: 05, "Watch it learn".
    """
    lookup("recipe", recipe, get_experiment(name).recipes)
    path = _result_path(name, recipe, seed, ".json")
    if not path.exists():
        raise FileNotFoundError(
            f"no record of {name} under the {recipe} recipe with seed {seed} comes with the package; "
            f"it has: {_have('.json')}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def records() -> list[dict]:
    """Load all records that come with the package, in the order of `EXPERIMENTS`.

    Built in: 05, "The honest comparison".
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.rglob("*.json"))]
    order = list(EXPERIMENTS)
    return sorted(found, key=lambda r: (order.index(r["experiment"]), r["recipe"] != "published", r["seed"]))


def results_table(task: str = "") -> str:
    """Make a Markdown table of the records that come along: test accuracy after the last epoch, in per cent.

    Several seeds of one run become one row with their mean and, in brackets, the lowest and the highest. `task` keeps
    the experiments whose names begin with it: "rts-mnist".

    Built in: 05, "The honest comparison".
    """
    rows: dict[tuple[str, str, int], list[dict]] = {}
    for record in records():
        if record["experiment"].startswith(task):
            rows.setdefault((record["experiment"], record["recipe"], record["epochs"]), []).append(record)
    columns = ("network", "experiment", "recipe", "epochs", "test accuracy (%)", "published (%)", "seeds", "min")
    lines = [_row(columns), _row(["---"] * len(columns))]
    for (name, recipe, epochs), group in rows.items():
        experiment = EXPERIMENTS[name]
        minutes = sum(record["seconds"] for record in group) / len(group) / 60
        published = f"{experiment.published:.2f}" if experiment.published else "–"
        lines.append(
            _row((experiment.title, f"`{name}`", recipe, epochs, _mean(group), published, len(group), f"{minutes:.0f}"))
        )
    return "\n".join(lines)


def comparison_table(task: str = "") -> str:
    """Compare the published figure, its recipe here, the course's recipe, and the baseline, in a Markdown table.

    Each network with a transformer and a figure has a row: test accuracy in per cent, from the records that come along;
    "–" for a missing one. `task` keeps the experiments whose names begin with it: "cifar10".

    Built in: 04, "What was it worth?".
    """
    runs: dict[tuple[str, str], list[dict]] = {}
    for record in records():
        runs.setdefault((record["experiment"], record["recipe"]), []).append(record)
    columns = (
        "network",
        "parameters",
        "published",
        "its recipe here",
        "course",
        "baseline, course",
        "baseline's parameters",
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for name, experiment in EXPERIMENTS.items():
        if experiment.baseline is None or not name.startswith(task):
            continue
        published = f"{experiment.published:.2f}" if experiment.published else "–"
        theirs, ours, without = (
            _mean(runs.get(key, [])) for key in ((name, "published"), (name, "course"), (experiment.baseline, "course"))
        )
        if (published, theirs, ours) == ("–", "–", "–"):
            continue
        models = experiment.model(), get_experiment(experiment.baseline).model()
        sizes = [f"{sum(p.numel() for p in model.parameters()):,}" for model in models]
        lines.append(_row((experiment.title, sizes[0], published, theirs, ours, without, sizes[1])))
    return "\n".join(lines)


def _mean(group: list[dict]) -> str:
    """Show the mean test score of records in per cent, with the lowest and the highest of several."""
    if not group:
        return "–"
    score = EXPERIMENTS[group[0]["experiment"]].task.score.__name__
    scores = [100 * record[f"test_{score}"] for record in group]
    shown = f"{sum(scores) / len(group):.2f}"
    return shown if len(group) == 1 else f"{shown} ({min(scores):.2f} to {max(scores):.2f})"


def _row(cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def write_results(path: str | os.PathLike) -> None:
    """Put `results_table` between the lines `<!-- results:begin -->` and `<!-- results:end -->` of a text file.

    If the file lacks one of the two lines it stays as it was.
    """
    path = Path(path)
    before, begin, rest = path.read_text(encoding="utf-8").partition("<!-- results:begin -->\n")
    _, end, after = rest.partition("<!-- results:end -->")
    if not begin or not end:
        raise ValueError(f"expected the lines <!-- results:begin --> and <!-- results:end --> in {path}")
    with atomic_write(path) as part:
        part.write_text(f"{before}{begin}{results_table()}\n{end}{after}", encoding="utf-8")


def _result_path(name: str, recipe: str, seed: int, suffix: str) -> Path:
    return RESULTS / name / f"{recipe}-{seed}{suffix}"


def _have(suffix: str) -> str:
    return ", ".join(
        sorted(file.relative_to(RESULTS).with_suffix("").as_posix() for file in RESULTS.rglob(f"*{suffix}"))
    )
