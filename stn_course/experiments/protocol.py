"""Compare contestants of a task fairly: equal tuning, several seeds, and a paired test on the same images.

1. Each contestant has as many `tries`, recipes that are scored on held-out training images, and the best is kept.
2. With that recipe it is trained from several seeds, and each run is scored once on the test split.
3. For each seed, count the test images that only one of two networks misreads: n₁ and n₂. If both were equally good,
   each such image would be the toss of a coin, and a count this uneven has the probability

       p = 2 Σ_{k ≤ min(n₁, n₂)} C(n₁ + n₂, k) / 2^(n₁ + n₂)      at most 1

Source: the sign test, or exact McNemar test; Dietterich, "Approximate statistical tests for comparing supervised
classification learning algorithms", 1998.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from stn_course.experiments.catalogue import EXPERIMENTS, get_experiment
from stn_course.experiments.results import markdown_table, mean_and_spread, records, score_of
from stn_course.experiments.runner import run
from stn_course.tasks.papers_table import COLUMNS, ERRORS


class Paired(NamedTuple):
    """Two networks on the same test images: how many only one of them misreads, and what chance makes of it.

    Built in: 05, "The honest comparison".
    """

    seed: int
    only_first: int
    only_second: int
    p: float


def sign_test(only_first: int, only_second: int) -> float:
    """Compute the probability that fair coins fall so unevenly, or more so, either way: the two-sided sign test.

    Built in: 05, "The honest comparison".

    Example:
        >>> sign_test(2, 8), sign_test(5, 5)
        (0.109375, 1.0)
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"expected two counts of at least 0, got {only_first} and {only_second}")
    n, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * tail / 2**n)


def paired(first: Iterable[dict], second: Iterable[dict]) -> list[Paired]:
    """Compare the runs of two networks, seed by seed, where both have the seed.

    Built in: 05, "The honest comparison".

    Raises:
        ValueError: if two records are not of the same test images, or do not say which were missed.
    """
    theirs, pairs = {record["seed"]: record for record in second}, []
    for record in first:
        if (other := theirs.get(record["seed"])) is None:
            continue
        if record["test_digest"] != other["test_digest"]:
            raise ValueError(
                f"expected two runs on the same test images, got {record['experiment']} on {record['test_digest']} "
                f"and {other['experiment']} on {other['test_digest']}"
            )
        for one in (record, other):
            if "test_missed" not in one:
                raise ValueError(f"expected records that list what was missed, got {one['experiment']} without")
        missed, missed_too = set(record["test_missed"]), set(other["test_missed"])
        counts = len(missed - missed_too), len(missed_too - missed)
        pairs.append(Paired(record["seed"], *counts, sign_test(*counts)))
    return pairs


def best_try(tries: Sequence[dict]) -> dict:
    """Pick the record with the best held-out score; of equals the one with the lower loss."""
    return max(tries, key=lambda record: (score_of(record, "held_out"), -record["held_out_loss"]))


def chosen_recipe(name: str, tries: Sequence[dict]) -> str:
    """Name the recipe of the best try: its own name, such as "course", if it has one; "course" if nothing was tried."""
    if not tries:
        return "course"
    experiment, chosen = get_experiment(name), best_try(tries)["recipe"]
    named = [key for key, recipe in experiment.recipes.items() if recipe == experiment.recipe(chosen)]
    return (named or [chosen])[0]


def compare(
    names: Sequence[str],
    profile: str | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    tries_epochs: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> str:
    """Run the whole protocol for some contestants of one task, print each step, and return its tables as Markdown.

    The first contestant is the one with which the others are paired. Called again with the same arguments it goes on
    where it was stopped. A try whose loss is not finite loses. Errors are those of `run`, and a ValueError if a network
    does not learn by its best recipe, or by none.

    Args:
        names: of `EXPERIMENTS`, two at least, all of one task.
        profile: as for `run`.
        seeds: how many runs of each with the recipe that was chosen.
        epochs: of these runs, instead of the profile's.
        tries_epochs: of each try, instead of `epochs`.
        device, progress: as for `run`.
    """
    experiments = [get_experiment(name) for name in names]
    if len(set(names)) < 2 or len({experiment.task.name for experiment in experiments}) > 1:
        raise ValueError(f"expected two experiments or more of one task, got {', '.join(names)}")
    if len({len(experiment.tries) for experiment in experiments}) > 1 or not experiments[0].tries:
        counts = ", ".join(f"{name}: {len(one.tries)}" for name, one in zip(names, experiments, strict=True))
        raise ValueError(f"expected as many recipes to try for each, at least one, got {counts}")
    if seeds < 1:
        raise ValueError(f"expected seeds as a whole number of at least 1, got {seeds}")
    options = {"profile": profile, "device": device, "progress": progress}
    tries: dict[str, list[dict]] = {}
    for name, experiment in zip(names, experiments, strict=True):
        scored = [
            _record(name, recipe=recipe, validate=True, epochs=tries_epochs or epochs, **options)
            for recipe in experiment.tries
        ]
        tries[name] = [record for record in scored if record is not None]
        if not tries[name]:
            raise ValueError(f"expected a recipe by which {name} learns, got none of its tries with a finite loss")
    runs = {}
    for name in names:
        recipe = chosen_recipe(name, tries[name])
        seen = [_record(name, recipe=recipe, seed=seed, epochs=epochs, **options) for seed in range(seeds)]
        if None in seen:
            raise ValueError(f"expected {name} to learn by {recipe} with every seed, got a loss that is not finite")
        runs[name] = seen
    first, *others = names
    tables = [tries_table(tries), runs_table(runs), *(paired_table(runs, first, other) for other in others)]
    return "\n\n".join(tables)


def tries_table(tries: dict[str, list[dict]]) -> str:
    """List what was tried for each contestant and its score on held-out images, in per cent; the best in bold."""
    rows = []
    for name, group in tries.items():
        best = best_try(group)
        shown = (
            f"{record['recipe']}: {'**' if record is best else ''}{100 * score_of(record, 'held_out'):.2f}"
            f"{'**' if record is best else ''}"
            for record in group
        )
        diverged = set(EXPERIMENTS[name].tries) - {record["recipe"] for record in group}
        shown = [*shown, *(f"{recipe}: none, its loss was not finite" for recipe in sorted(diverged))]
        rows.append((EXPERIMENTS[name].title, f"`{name}`", group[0]["epochs"], "; ".join(shown)))
    return markdown_table(("network", "experiment", "epochs", "recipe: held-out score (%)"), rows)


def runs_table(runs: dict[str, list[dict]]) -> str:
    """List for each contestant the mean test error over its seeds, with the lowest and the highest, in per cent."""
    rows = [
        (
            EXPERIMENTS[name].title,
            f"`{name}`",
            group[0]["recipe"],
            group[0]["epochs"],
            mean_and_spread([100 - 100 * score_of(record) for record in group]),
            len(group),
        )
        for name, group in runs.items()
    ]
    return markdown_table(("network", "experiment", "recipe", "epochs", "test error (%)", "seeds"), rows)


def papers_runs(name: str, epochs: int) -> list[dict]:
    """Pick the records that count in the paper's table: of so many epochs by the course's recipe, one a seed."""
    of = {"experiment": name, "recipe": "course", "epochs": epochs}
    return [record for record in records(name) if of.items() <= record.items()]


def papers_table(epochs: int) -> str:
    """Set the test errors of the records that come along beside those of the paper's table 1, in per cent.

    A row a network, a column a task. A cell is the mean over the seeds of `papers_runs`, with the lowest and the
    highest; "–" if there are none. All have one recipe: nothing was tried for a single cell.

    Built in: 08, "The table".
    """

    def cell(name: str) -> str:
        errors = [100 - 100 * score_of(record) for record in papers_runs(name, epochs)]
        return f"{mean_and_spread(errors) if errors else '–'}; paper {EXPERIMENTS[name].paper}"

    rows = (
        [EXPERIMENTS[f"rts-mnist/{network}"].title, *(cell(f"{column.lower()}-mnist/{network}") for column in COLUMNS)]
        for network in ERRORS
    )
    return markdown_table(("network", *COLUMNS), rows)


def best_in_table(names: Sequence[str], epochs: int) -> str | None:
    """Name the network with the lowest test error among those of the paper's table; None unless all were trained.

    Built in: 08, "What agrees, and what does not?".
    """
    runs = {name: papers_runs(name, epochs) for name in names}
    if not all(runs.values()):
        return None
    return min(names, key=lambda name: -sum(map(score_of, runs[name])) / len(runs[name]))


def duels_table(duels: Sequence[tuple[str | None, str | None]], epochs: int, looked_at: int | None = None) -> str:
    """Set pairs of the paper's networks against each other on the same test images: which one reads better?

    Each pair has a row for each seed of both, with what only one of the two misreads and the sign test of it; a pair
    whose second name is None has not been trained, as has one without records. One of the two is called better where
    coins fall so unevenly in less than 5 % / `looked_at` of all cases. Who looks at many pairs, and at the best of
    several, sees such a one by chance at most once in twenty such tables (Bonferroni).

    Built in: 08, "What agrees, and what does not?".

    Args:
        duels: pairs of names of `EXPERIMENTS`.
        epochs: of the runs that count, see `papers_runs`.
        looked_at: how many pairs were looked at, if more than there are rows.
    """
    margin, rows = 0.05 / (looked_at or len(duels)), []
    for names in duels:
        if None in names or not all(runs := [papers_runs(name, epochs) for name in names]):
            rows.append((*(f"`{name}`" if name else "–" for name in names), "–", "–", "–", "not trained yet"))
            continue
        for pair in paired(*runs):
            better = "second" if pair.only_first > pair.only_second else "first"
            verdict = f"the {better} is better" if pair.p < margin else "within the margin"
            rows.append((*(f"`{name}`" for name in names), *pair[1:3], f"{pair.p:.2g}", verdict))
    head = ("first", "second", "only the first misreads", "only the second", "by chance", "verdict")
    return markdown_table(head, rows)


def paired_table(runs: dict[str, list[dict]], first: str, second: str) -> str:
    """List for each seed how many test images only one of two networks misreads, and the sign test of it."""
    titles = EXPERIMENTS[first].title, EXPERIMENTS[second].title
    rows = [
        (pair.seed, pair.only_first, pair.only_second, f"{pair.p:.2g}") for pair in paired(runs[first], runs[second])
    ]
    return markdown_table(("seed", *(f"only {title} misreads" for title in titles), "by chance"), rows)


def _record(name: str, **options: object) -> dict | None:
    """Return the record of a run, None if its loss was not finite."""
    result = run(name, **options)
    if result.history.by_hand:
        raise KeyboardInterrupt
    return result.record
