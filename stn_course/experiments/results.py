"""The records and weights that come with the package, and the tables made from them."""

import copy
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stn_course.checks import lookup
from stn_course.data import SAMPLES, DataError
from stn_course.experiments.catalogue import EXPERIMENTS, get_experiment
from stn_course.files import atomic_write, load_tensors, save_tensors

RESULTS = Path(__file__).parents[1] / "results"
TRIES = "tries"  # the folder with an experiment's runs on held-out images
PROBES = SAMPLES.with_name("probes.npz")


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


def load_pretrained(name: str, recipe: str = "course", seed: int = 0, epochs: int | None = None) -> nn.Module:
    """Load the network of a recorded run that comes with the package, in evaluation mode on the CPU.

    `epochs` is how many it had, if not as many as the profile "full" has. If the package has no such run, a
    FileNotFoundError lists those that it has.

    Built in: 05, "The honest comparison".

    Example:
        >>> load_pretrained("rts-mnist/st-cnn").training
        False
    """
    experiment = get_experiment(name)
    experiment.recipe(recipe)
    path = _result_path(name, recipe, seed, epochs, ".pt")
    if not path.exists():
        raise FileNotFoundError(
            f"no weights of {name} under the {recipe} recipe with seed {seed}{_after(epochs)} come with the package; "
            f"it has: {_have('.pt')}"
        )
    return load_weights(experiment.model(), path)


def load_record(name: str, recipe: str = "course", seed: int = 0, epochs: int | None = None) -> dict:
    """Load the record of a run that comes with the package; errors as `load_pretrained`.

    Built in: 05, "Watch it learn".
    """
    get_experiment(name).recipe(recipe)
    path = _result_path(name, recipe, seed, epochs, ".json")
    if not path.exists():
        raise FileNotFoundError(
            f"no record of {name} under the {recipe} recipe with seed {seed}{_after(epochs)} comes with the package; "
            f"it has: {_have('.json')}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def load_probes(task: str) -> Tensor:
    """Load the test images whose θ the records of a task list, after each epoch: (N, C, H, W), float32 in [0, 1].

    The package has them of the tasks with more than one thing: cluttered MNIST, addition, co-localisation.

    Built in: 09, "Where does it look?".

    Example:
        >>> load_probes("mnist-addition").shape
        torch.Size([4, 2, 42, 42])
    """
    with np.load(PROBES) as archive:
        return torch.from_numpy(lookup("task", task, archive)).float() / 255


def records(task: str = "") -> list[dict]:
    """Load the records of all runs on test splits that come with the package, in the order of `EXPERIMENTS`.

    `task` keeps the experiments whose names begin with it: "rts-mnist/".

    Built in: 05, "The honest comparison".
    """
    order = {name: place for place, name in enumerate(EXPERIMENTS)}
    found = [
        json.loads(path.read_text(encoding="utf-8"))
        for name in EXPERIMENTS
        if name.startswith(task)
        for path in sorted((RESULTS / name).glob("*.json"))
    ]
    return sorted(
        found, key=lambda r: (order[r["experiment"]], r["recipe"] != "published", -r["epochs"], r["recipe"], r["seed"])
    )


def tried(name: str) -> list[dict]:
    """Load the records of the `tries` of an experiment that come with the package: scores on held-out images.

    Built in: 05, "The honest comparison".
    """
    paths = [RESULTS / name / TRIES / f"{recipe}-0.json" for recipe in get_experiment(name).tries]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def load_figures(name: str) -> list[dict]:
    """Load what a benchmark measured beside the runs, a dict for each seed: "turning/regressed".

    Built in: 05, "Does it turn?".
    """
    paths = sorted((RESULTS / name).parent.glob(f"{(RESULTS / name).name}*.json"))
    if not paths:
        raise FileNotFoundError(f"no figures called {name} come with the package")
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def keep(folder: str | os.PathLike, with_weights: bool = False) -> Path:
    """Put the record of a finished run, and on demand its weights, among those of the package; return its place.

    Of a run with held-out images the θ of each epoch are left out.
    """
    record = json.loads((Path(folder) / "record.json").read_text(encoding="utf-8"))
    name, usual = record["experiment"], get_experiment(record["experiment"]).profiles["full"].epochs
    if record["validate"]:
        for row in record["epochs_run"]:
            row.pop("theta", None)
        path = RESULTS / name / TRIES / f"{record['recipe']}-{record['seed']}.json"
    else:
        epochs = None if record["epochs"] == usual else record["epochs"]
        path = _result_path(name, record["recipe"], record["seed"], epochs, ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_text(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    if with_weights:
        save_tensors(load_tensors(Path(folder) / "weights.pt"), path.with_suffix(".pt"))
    return path


def results_table(task: str = "") -> str:
    """Make a Markdown table of the records that come along: test accuracy after the last epoch, in per cent.

    Several seeds of one run become one row with their mean and, in brackets, the lowest and the highest. `task` keeps
    the experiments whose names begin with it: "rts-mnist".

    Built in: 05, "The honest comparison".
    """
    rows: dict[tuple[str, str, int], list[dict]] = {}
    for record in records(task):
        rows.setdefault((record["experiment"], record["recipe"], record["epochs"]), []).append(record)
    columns = ("network", "experiment", "recipe", "epochs", "test accuracy (%)", "published (%)", "seeds")
    table = []
    for (name, recipe, epochs), group in rows.items():
        experiment = EXPERIMENTS[name]
        published = f"{experiment.published:.2f}" if experiment.published else "–"
        table.append((experiment.title, f"`{name}`", recipe, epochs, _mean(group), published, len(group)))
    return markdown_table(columns, table)


def comparison_table(task: str = "") -> str:
    """Compare the published figure, its recipe here, the course's recipe, and the baseline, in a Markdown table.

    Each network with a transformer and a figure has a row: test accuracy in per cent, from the records that come along;
    "–" for a missing one. `task` keeps the experiments whose names begin with it: "cifar10".

    Built in: 04, "What was it worth?".
    """
    runs: dict[tuple[str, str], list[dict]] = {}
    for record in records(task):
        if record["epochs"] != EXPERIMENTS[record["experiment"]].profiles["full"].epochs:
            continue
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
    table = []
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
        table.append((experiment.title, sizes[0], published, theirs, ours, without, sizes[1]))
    return markdown_table(columns, table)


def _mean(group: list[dict]) -> str:
    """Show the mean test score of records in per cent, with the lowest and the highest of several."""
    return mean_and_spread([100 * score_of(record) for record in group]) if group else "–"


def score_of(record: dict, split: str = "test") -> float:
    """Return the score of a record on its "test" or "held_out" images, from 0 to 1."""
    return record[f"{split}_{EXPERIMENTS[record['experiment']].task.score.__name__}"]


def mean_and_spread(values: Sequence[float]) -> str:
    """Show a mean, and in brackets the lowest and the highest of several values: "99.30 (99.21 to 99.38)"."""
    shown = f"{sum(values) / len(values):.2f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):.2f} to {max(values):.2f})"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table in Markdown: a row for each of `rows`, a cell for each of its entries."""
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (columns, ["---"] * len(columns), *rows))


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


def _result_path(name: str, recipe: str, seed: int, epochs: int | None, suffix: str) -> Path:
    return RESULTS / name / f"{recipe}{'' if epochs is None else f'-{epochs}-epochs'}-{seed}{suffix}"


def _after(epochs: int | None) -> str:
    return "" if epochs is None else f" after {epochs} epochs"


def _have(suffix: str) -> str:
    return ", ".join(
        sorted(file.relative_to(RESULTS).with_suffix("").as_posix() for file in RESULTS.rglob(f"*{suffix}"))
    )
