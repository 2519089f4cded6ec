"""The records and weights that come with the package, and the README's table, which is made from them."""

import functools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import quiet_run

from stn_course.data import Batches, load_mnist
from stn_course.experiments import (
    EXPERIMENTS,
    get_experiment,
    keep,
    load_figures,
    load_pretrained,
    load_probes,
    load_record,
    records,
    results_table,
    ten_digits,
    tried,
)
from stn_course.experiments.results import PROBES, RESULTS, _result_path, score_of
from stn_course.tasks import TASKS
from stn_course.training import evaluate

README = Path(__file__).parent.parent / "README.md"
FULL = {name: experiment.profiles["full"].epochs for name, experiment in EXPERIMENTS.items()}
RUNS = [
    (run["experiment"], run["recipe"], run["seed"], run["epochs"] if run["epochs"] != FULL[run["experiment"]] else None)
    for run in records()
]
WEIGHTS = [run for run in RUNS if _result_path(*run, ".pt").exists()]
TRIED = [record for name in EXPERIMENTS for record in tried(name)]
OLDER = dict.fromkeys(("augmentation", "phases", "smoothing", "average"))  # records from before there were any
TEST_DIGESTS = {
    "rts-mnist": "e0d346334719fa95",
    "rts-90-mnist": "92a0d7192d839dbe",
    "rts-180-mnist": "fde627badb80350c",
    "r-mnist": "87bd04ad8ae296fc",
    "p-mnist": "6c266e54c6eef4cf",
    "e-mnist": "09d72b4e19061ea6",
    "mnist": "a0863a96c44e5666",
    "cifar10": "2c33b053d1cd726a",
    "rts-cifar10": "5b0abeeec2e4c271",
    "rts-round-cifar10": "276942cfd5640d10",
    "six-or-nine": "16e0a4af8f82cbf4",
    "signs": "c751d62e550bb275",
    "cluttered-mnist": "91da83681ab486c9",
    "mnist-addition": "9f97b01f123d4026",
    "co-localisation": "cd67463347caea1c",
    "co-localisation-clutter": "a6c52b750eb164cd",
}
HELD_OUT_DIGESTS = {"rts-mnist": "722960e03e2914d0", "six-or-nine": "2ea39b10c1942675"}
SPLITS = {  # sixes of MNIST twice, what the package draws, and pictures of each digit
    "six-or-nine": (11_836, 1_916),
    "signs": (1_200, 600),
    "co-localisation": (1_000, 892),
    "co-localisation-clutter": (1_000, 892),
}
PROBED = [run for run in RUNS if run[0].partition("/")[0] in np.load(PROBES)]


def splits(experiment):
    """How many images the training split and the test split of an experiment have."""
    return SPLITS.get(experiment.task.name, (60_000 if experiment.load is load_mnist else 50_000, 10_000))


def test_the_readme_holds_the_table_that_the_records_give():
    table = README.read_text(encoding="utf-8").split("<!-- results:begin -->\n")[1].split("<!-- results:end -->")[0]
    assert table.strip() == results_table()


def test_the_course_comes_with_its_main_networks():
    assert {("rts-mnist/st-cnn", "course", 0, None), ("rts-mnist/cnn", "course", 0, None)} <= set(RUNS)


@pytest.mark.parametrize(("name", "recipe", "seed", "epochs"), RUNS)
def test_a_record_is_of_a_whole_run_on_the_whole_data_set(name, recipe, seed, epochs):
    record, experiment = load_record(name, recipe, seed, epochs), get_experiment(name)
    assert record["profile"] == "full" and record["complete"] and not record["validate"]
    assert (record["train_images"], record["test_images"]) == splits(experiment)
    assert record["test_digest"] == TEST_DIGESTS[name.partition("/")[0]]
    assert [row["epoch"] for row in record["epochs_run"]] == list(range(1, (epochs or FULL[name]) + 1))
    assert epochs is None or epochs >= 5
    recipe_now = json.loads(json.dumps(asdict(experiment.recipe(recipe))))
    assert {key: (OLDER | record)[key] for key in recipe_now} == recipe_now
    if {"test_missed", "test_accuracy"} <= set(record):
        assert len(record["test_missed"]) == round(record["test_images"] * (1 - record["test_accuracy"]))


@pytest.mark.parametrize("record", TRIED, ids=lambda record: f"{record['experiment']} {record['recipe']}")
def test_a_try_left_the_test_split_alone(record):
    assert record["validate"] and record["seed"] == 0 and not [key for key in record if key.startswith("test_")]
    experiment = get_experiment(record["experiment"])
    whole = splits(experiment)[0]
    assert record["held_out_images"] == min(5000, whole // 10) == whole - record["train_images"]
    recipe_now = json.loads(json.dumps(asdict(experiment.recipe(record["recipe"]))))
    assert {key: (OLDER | record)[key] for key in recipe_now} == recipe_now
    assert record["held_out_digest"] == HELD_OUT_DIGESTS[record["experiment"].partition("/")[0]]


def test_rivals_have_had_as_many_tries_of_one_length():
    groups = {}
    for record in TRIED:
        groups.setdefault(record["experiment"], []).append(record["epochs"])
    for name, epochs in groups.items():
        assert len(epochs) == len(get_experiment(name).tries)
    for file in TASKS:
        rivals = [epochs for name, epochs in groups.items() if get_experiment(name).task is file.TASK]
        assert len({tuple(epochs) for epochs in rivals}) <= 1


def test_a_kept_run_is_found_again_and_a_try_keeps_no_theta(monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("stn_course.experiments.results.RESULTS", tmp_path / "results")
    name, recipe = "rts-mnist/st-cnn", "64-0.001-5"
    run = quiet_run(name, "smoke", recipe, output=tmp_path / "run")
    keep(tmp_path / "run", with_weights=True)
    assert load_record(name, recipe, epochs=1) == run.record and records("rts-mnist/st-cnn") == [run.record]
    weights = load_pretrained(name, recipe, epochs=1).state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in run.model.state_dict().items())
    with pytest.raises(FileNotFoundError, match="seed 1 after 2 epochs come with the package; it has: rts-mnist"):
        load_pretrained(name, recipe, seed=1, epochs=2)
    held_out = quiet_run(name, "smoke", recipe, output=tmp_path / "held out", validate=True).record
    assert keep(tmp_path / "held out").parent.name == "tries"
    (kept,) = tried(name)
    assert set(held_out["epochs_run"][0]) - set(kept["epochs_run"][0]) == {"theta"}
    assert records("rts-mnist/st-cnn") == [run.record]


def test_figures_of_a_benchmark_come_a_seed_each():
    assert [figures["seed"] for figures in load_figures("turning/regressed")] == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match="no figures called turning/guessed"):
        load_figures("turning/guessed")


def test_where_every_epoch_was_scored_the_last_score_is_the_records():
    looked = [record for record in records() if "test_accuracy" in record["epochs_run"][0]]
    assert [(record["experiment"], record["recipe"], record["seed"]) for record in looked] == [
        ("cifar10/lenet-st", "published", 1)  # which notebook 06 shows
    ]
    scores = [row["test_accuracy"] for row in looked[0]["epochs_run"]]
    assert scores[-1] == looked[0]["test_accuracy"] < max(scores)


@pytest.mark.parametrize("run", [weights for weights in WEIGHTS if "mnist" in weights[0]], ids=str)
def test_the_weights_of_a_record_do_well_on_the_digits_that_come_along(run):
    name = run[0]
    test = get_experiment(name).scored_images(load_mnist("test", offline=True))
    scored = evaluate(load_pretrained(*run), Batches(test, 500, get_experiment(name).normalise))
    assert abs(scored.score - load_record(*run)["test_accuracy"]) < 0.02


@pytest.mark.parametrize("run", [weights for weights in WEIGHTS if "rts-mnist/st" in weights[0]], ids=str)
def test_the_last_theta_of_a_record_is_that_of_the_weights(run):
    layer = load_pretrained(*run).spatial_transformer
    with torch.inference_mode():
        theta = layer.theta(ten_digits())
    torch.testing.assert_close(theta, torch.tensor(load_record(*run)["epochs_run"][-1]["theta"]), atol=0.02, rtol=0)


@pytest.mark.parametrize("run", [weights for weights in WEIGHTS if weights in PROBED], ids=str)
def test_the_last_theta_of_a_record_is_that_of_the_weights_on_its_probes(run):
    row = load_record(*run)["epochs_run"][-1]
    with torch.inference_mode():
        looks = load_pretrained(*run).looks(load_probes(run[0].partition("/")[0]))
    recorded = torch.tensor(row["thetas"] if "thetas" in row else [row["theta"]])
    torch.testing.assert_close(torch.stack([look.theta for look in looks]), recorded, atol=0.02, rtol=0)


def test_a_task_without_probes_is_refused():
    with pytest.raises(ValueError, match="expected task as one of cluttered-mnist, mnist-addition, .* got 'mnist'"):
        load_probes("mnist")


BY_THEIR_TASK = ("signs", "co-localisation")  # their data are made by the task


@pytest.mark.parametrize("run", [weights for weights in WEIGHTS if weights[0].startswith(BY_THEIR_TASK)], ids=str)
def test_the_weights_of_a_record_do_well_on_signs_and_sets(run):
    task = get_experiment(run[0]).task
    scored = evaluate(load_pretrained(*run), Batches(task.load("test", offline=True), 128), task.loss, task.score)
    assert abs(scored.score - score_of(load_record(*run))) < 0.04


@pytest.fixture(scope="session")
def scored_split(real_mnist, real_cifar10):
    """The real test split of a task as its networks are scored on it, before normalising; made once for all of them."""

    @functools.cache
    def make(name):
        [task] = [file.TASK for file in TASKS if file.TASK.name == name]
        return task.scored_images(task.load("test", real_mnist if task.load is load_mnist else real_cifar10))

    return make


@pytest.mark.real_data
@pytest.mark.parametrize("run", [weights for weights in WEIGHTS if not weights[0].startswith(BY_THEIR_TASK)], ids=str)
def test_on_the_real_test_split_the_weights_misread_the_images_of_the_record(run, scored_split):
    record, task = load_record(*run), get_experiment(run[0]).task
    test = scored_split(task.name)
    assert test.digest == record["test_digest"]
    some = test[:2000] if "test_missed" in record else test  # the older records say how many, and not which
    scored = evaluate(load_pretrained(*run), Batches(some, 500, task.normalise))
    if "test_missed" in record:  # two images: another machine's rounding
        assert len({*scored.missed} ^ {missed for missed in record["test_missed"] if missed < len(some)}) <= 2
    else:
        assert scored.score == pytest.approx(record["test_accuracy"], abs=2e-4)


@pytest.mark.real_data
@pytest.mark.parametrize("task", ["r-mnist", "p-mnist", "e-mnist"])
def test_the_real_test_split_of_the_papers_tasks_has_its_digest(task, scored_split):
    assert scored_split(task).digest == TEST_DIGESTS[task]


@pytest.mark.real_data
def test_the_ten_digits_are_the_first_of_each_class(scored_split):
    test = scored_split("rts-mnist")
    first = [int((test.labels == label).nonzero()[0]) for label in range(10)]
    assert torch.equal(ten_digits(), test.images[first].float() / 255)


@pytest.mark.real_data
@pytest.mark.parametrize("name", np.load(PROBES))
def test_the_probes_are_those_of_the_real_test_split(name, real_mnist, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(real_mnist))
    [task] = [file.TASK for file in TASKS if file.TASK.name == name]
    scored = task.scored_images(task.load("test", offline=False))
    assert scored.digest == TEST_DIGESTS[name] and torch.equal(load_probes(name), task.probe_images(scored))


def test_records_and_weights_stay_small():
    digits = [path for path in RESULTS.rglob("*") if path.is_file() and "mnist" in str(path.relative_to(RESULTS))]
    assert sum(path.stat().st_size for path in digits) < 9e6
    # the weights on CIFAR-10 fit because each .pt, a zip archive, was packed once more with compression
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 24e6
