"""A name is enough to train, to go on, and to know afterwards what was done on which data."""

import contextlib
import copy
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import (
    BATCHES_AN_EPOCH,
    TINY,
    Doing,
    assert_same_weights,
    changed,
    quiet_run,
    sending,
    tiny_run,
    without_time,
)
from torch import nn

import stn_course
from stn_course import experiments
from stn_course.data import Batches, DataError, ImageData, load_mnist
from stn_course.distortions import RTS
from stn_course.experiments import EXPERIMENTS, load_weights, run
from stn_course.models import CNN, STCNN, STNetwork
from stn_course.tasks import TEST_SEED, Profile, Recipe, distorted
from stn_course.training import Evaluation, evaluate
from stn_course.widgets import LiveTraining

KEYS = {  # of a record, beside those of its recipe
    "what": {"experiment", "recipe", "profile", "epochs", "seed", "validate"},
    "data": {"train_source", "train_images", "train_digest", "test_source", "test_images", "test_digest", "complete"},
    "where": {
        "device",
        "hardware",
        "threads",
        "precision",
        "precision_chosen",
        "version",
        "torch",
        "python",
        "date",
        "seconds",
    },
    "result": {"test_loss", "test_accuracy", "epochs_run"},
}


@contextlib.contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Another number of threads adds up in another order: it may give other last bits."""
    with threads(1):
        yield


@pytest.fixture(autouse=True)
def data_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))


@pytest.fixture
def no_network(monkeypatch):
    import torchvision

    def unplugged(*arguments, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "MNIST", unplugged)


# Names


def test_unknown_names_are_told_the_known_ones():
    with pytest.raises(ValueError, match="experiment as one of rts-mnist/cnn, rts-mnist/st-cnn, .*got 'mnist'"):
        run("mnist")
    with pytest.raises(ValueError, match="profile as one of smoke, quick, full, got 'fast'"):
        run("rts-mnist/cnn", "fast")
    with pytest.raises(ValueError, match="recipe as one of published, course, or as BATCH_SIZE-RATE-.*, got 'mine'"):
        run("rts-mnist/cnn", "smoke", "mine")
    with pytest.raises(ValueError, match="recipe as one of course, or as .*, got 'published'"):
        run("rts-mnist/st-cnn-attention", "smoke", "published")


def test_the_profile_is_the_argument_or_the_environments_or_quick(monkeypatch):
    monkeypatch.setenv("STN_COURSE_PROFILE", "full")
    assert experiments.profile_name("smoke") == "smoke"
    assert experiments.profile_name() == "full"
    monkeypatch.setenv("STN_COURSE_PROFILE", "")
    assert experiments.profile_name() == "quick"
    monkeypatch.delenv("STN_COURSE_PROFILE")
    assert experiments.profile_name() == "quick"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_the_three_profiles_and_the_courses_recipe(name):
    experiment = EXPERIMENTS[name]
    assert set(experiment.profiles) == {"smoke", "quick", "full"}
    assert "course" in experiment.recipes
    assert set(experiment.recipes) <= {"published", "course", "turning", "behind-upright", "nesterov", "smoothed"}
    smoke, quick, full = (experiment.profiles[key] for key in ("smoke", "quick", "full"))
    assert smoke.offline is True and quick.offline is None and full.offline is False
    assert smoke.epochs <= quick.epochs <= 5 <= full.epochs
    assert (full.train_images, full.test_images) == (None, None)


PUBLISHED = {  # accuracy in per cent, batch size, epochs
    "rts-mnist/cnn": (91.76, 256, 50),
    "rts-mnist/st-cnn": (97.22, 256, 50),
    "mnist/tutorial-st": (98.76, 64, 20),
    "cifar10/st": (66.94, 64, 50),
    "cifar10/lenet-st": (65.83, 64, 50),
}


def test_five_systems_were_published():
    assert {name for name, experiment in EXPERIMENTS.items() if "published" in experiment.recipes} == set(PUBLISHED)
    assert {name for name, experiment in EXPERIMENTS.items() if experiment.published} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_recipe_is_what_was_published(name):
    experiment = EXPERIMENTS[name]
    optimizer, schedule = experiment.recipes["published"].optimizer_and_schedule(experiment.model(), 10)
    assert type(optimizer) is torch.optim.SGD
    assert schedule is None
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0, 0)
    recipe = experiment.recipes["published"]
    accuracy, batch_size, epochs = PUBLISHED[name]
    assert (recipe.batch_size, recipe.clip, recipe.autocast) == (batch_size, None, False)
    assert recipe.augmentation is None
    assert experiment.profiles["full"].epochs == epochs
    assert experiment.published == accuracy


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if EXPERIMENTS[name].baseline])
def test_a_baseline_is_trained_on_the_same_task_in_the_same_way(name):
    experiment, baseline = EXPERIMENTS[name], EXPERIMENTS[EXPERIMENTS[name].baseline]
    for what in ("load", "profiles", "normalise", "distortion"):
        assert getattr(baseline, what) == getattr(experiment, what), what
    assert baseline.recipes["course"] == experiment.recipes["course"]
    ours, theirs = (sum(p.numel() for p in made.model().parameters()) for made in (experiment, baseline))
    assert theirs == pytest.approx(ours, rel=0.02)
    assert isinstance(experiment.model(), STNetwork) and not isinstance(baseline.model(), STNetwork)


def test_training_images_are_augmented_then_distorted_then_normalised():
    def step(name):
        return lambda images, generator: done.append((name, generator)) or images + 1

    done, generator = [], torch.Generator()
    steps = {"distortion": step("distorted"), "normalise": step("normalised")}
    experiment = changed(EXPERIMENTS["rts-cifar10/st"], **steps)
    recipe = replace(experiment.recipes["course"], augmentation=step("augmented"))
    assert experiment.training_transform(recipe)(torch.zeros(1), generator) == 3
    assert done == [("augmented", generator), ("distorted", generator), ("normalised", generator)]
    bare = changed(experiment, distortion=None, normalise=None)
    assert bare.training_transform(replace(recipe, augmentation=None))(torch.zeros(1), generator) == 0


# Recipes


def test_the_localisation_network_has_a_learning_rate_of_its_own():
    model = STCNN()
    optimizer, _ = Recipe("sgd", 0.1, 64, localisation_rate=0.25).optimizer_and_schedule(model, 10)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    assert {rate[id(p)] for p in model.spatial_transformer.localisation.parameters()} == {0.025}
    assert {rate[id(p)] for p in model.classifier.parameters()} == {0.1}


def test_groups_and_parameters_have_the_order_that_checkpoints_have():
    """An optimiser's state is saved by number."""
    model = STCNN()
    optimizer, _ = Recipe("sgd", 1.0, 64).optimizer_and_schedule(model, 10)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rest, localisation = ([names[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert localisation == [name for name in names.values() if ".localisation." in name]
    assert rest == [name for name in names.values() if ".localisation." not in name]


def test_a_network_without_one_has_one_learning_rate():
    optimizer, schedule = Recipe("adamw", 0.1, 64, localisation_rate=0.25, weight_decay=0.02).optimizer_and_schedule(
        CNN(), 10
    )
    assert type(optimizer) is torch.optim.AdamW
    assert schedule is None
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.02)]


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_one_cycle_ends_with_the_last_step(steps):
    model = STCNN()
    optimizer, schedule = Recipe("adamw", 0.1, 64, localisation_rate=0.25, one_cycle=True).optimizer_and_schedule(
        model, steps
    )
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    with pytest.raises(ValueError):
        schedule.step()
    if steps > 10:
        assert [max(column) for column in zip(*rates)] == pytest.approx([0.1, 0.025], rel=0.02)
        assert rates[0][0] < 0.01 and rates[-1][0] < 0.001
        assert all(inside == pytest.approx(outside / 4) for outside, inside in rates)
    assert all(group["betas"] == (0.9, 0.999) for group in optimizer.param_groups)


# Smoke runs

SMOKE = [(name, recipe) for name in EXPERIMENTS for recipe in EXPERIMENTS[name].recipes]


@pytest.fixture(scope="module", params=SMOKE, ids=" ".join)
def smoke(request, tmp_path_factory):
    """The result of a smoke run, which may not open a socket nor leave anything but in its own folder."""
    name, recipe = request.param
    folder = tmp_path_factory.mktemp("smoke")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("STN_COURSE_DATA", str(folder / "data"))
        monkeypatch.setattr("socket.socket", None)
        result = quiet_run(name, "smoke", recipe, output=folder / "run")
    assert not (folder / "data").exists()
    return result


def smoke_data(record):
    """What a smoke run trains on, and what it is scored on."""
    experiment = EXPERIMENTS[record["experiment"]]
    size = experiment.profiles["smoke"]
    train, test = (experiment.load(split, offline=True) for split in ("train", "test"))
    test = test[: size.test_images]
    if experiment.task.join is not None:  # pairs have tests of their own
        return train[: size.train_images], experiment.scored_images(test)
    return train[: size.train_images], test if experiment.distortion is None else distorted(test, experiment.distortion)


def test_a_smoke_run_leaves_a_record_with_everything(smoke):
    record = json.loads((smoke.folder / "record.json").read_text(encoding="utf-8"))
    assert record == smoke.record
    recipe = json.loads(json.dumps(asdict(EXPERIMENTS[record["experiment"]].recipes[record["recipe"]])))
    score = f"test_{EXPERIMENTS[record['experiment']].task.score.__name__}"
    keys = {score if key == "test_accuracy" else key for key in set().union(*KEYS.values(), recipe)}
    assert keys <= set(record)
    assert {key: record[key] for key in recipe} == recipe
    assert (record["profile"], record["seed"], record["epochs"], record["validate"]) == ("smoke", 0, 1, False)
    train, test = smoke_data(record)
    assert (record["train_images"], record["train_digest"]) == (len(train), train.digest)
    assert (record["test_images"], record["test_digest"]) == (len(test), test.digest)
    stand_in = "shapes drawn by the package" if "cifar10" in record["experiment"] else "MNIST sample"
    stand_in = "road signs drawn by the package" if "signs" in record["experiment"] else stand_in
    assert stand_in in record["train_source"] and stand_in in record["test_source"]
    made_so = record["experiment"].startswith("co-localisation")  # these load distorted pictures
    assert ("distorted" in record["test_source"]) == (
        made_so or EXPERIMENTS[record["experiment"]].distortion is not None
    )
    assert "CIFAR" not in record["train_source"] + record["test_source"]
    assert record["complete"] is False
    assert (record["device"], record["threads"]) == ("cpu", 1)
    assert record["precision"] == "float32"  # on every machine: nothing is measured
    versions = stn_course.__version__, torch.__version__, platform.python_version()
    assert (record["version"], record["torch"], record["python"]) == versions
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert record["epochs_run"] == smoke.history.rows
    assert [row["epoch"] for row in smoke.history.rows] == [1]
    assert not any("validation_loss" in row for row in smoke.history.rows)  # the test split is looked at once
    assert record["seconds"] == pytest.approx(smoke.history.rows[0]["seconds"], abs=0.06)


def test_the_weights_of_a_smoke_run_are_those_that_were_scored(smoke):
    weights = torch.load(smoke.folder / "weights.pt", weights_only=True)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert not smoke.model.training
    assert all(torch.equal(value, weights[name].float()) for name, value in smoke.model.state_dict().items())
    model = load_weights(EXPERIMENTS[smoke.record["experiment"]].model(), smoke.folder / "weights.pt")
    assert not model.training
    experiment = EXPERIMENTS[smoke.record["experiment"]]
    batches = Batches(smoke_data(smoke.record)[1], 1000, experiment.normalise)
    scored = evaluate(model, batches, experiment.task.loss, experiment.task.score)
    assert scored.score == smoke.record[f"test_{experiment.task.score.__name__}"]
    assert list(scored.missed) == smoke.record["test_missed"]
    if experiment.task.score.__name__ == "accuracy":
        assert len(scored.missed) == round((1 - scored.score) * smoke.record["test_images"])
    assert scored.loss == pytest.approx(smoke.record["test_loss"], rel=1e-5)  # another memory layout, another rounding


def test_a_smoke_run_records_theta_where_there_is_one(smoke):
    if not isinstance(smoke.model, STNetwork):
        assert not {"theta", "thetas"} & set(smoke.history.rows[0])
        return
    if smoke.record["experiment"].startswith("rts-mnist"):
        probes = experiments.ten_digits()
    elif smoke.record["experiment"].startswith(("mnist-addition", "co-localisation")):  # pairs and sets, a few
        probes = EXPERIMENTS[smoke.record["experiment"]].probe_images(smoke_data(smoke.record)[1])
    else:  # the first of each class, as the network sees them
        test = smoke_data(smoke.record)[1]
        labels = test.labels.tolist()
        first = [labels.index(label) for label in sorted(set(labels))] if test.labels.ndim == 1 else [*range(10)]
        normalise = EXPERIMENTS[smoke.record["experiment"]].normalise
        probes = test.images[first].float() / 255
        probes = probes if normalise is None else normalise(probes)
    with torch.inference_mode():
        thetas = torch.stack([look.theta for look in smoke.model.looks(probes)])
    last = smoke.history.rows[-1]
    recorded = torch.tensor([last["theta"]] if len(thetas) == 1 else last["thetas"])
    torch.testing.assert_close(recorded, thetas, atol=5e-3, rtol=0)  # float16 weights, four decimals
    parts = {"angle", "size", "x", "y"}
    without = {"r-mnist": parts - {"angle"}, "cluttered-mnist": {"angle", "size"}} | dict.fromkeys(
        (
            "p-mnist",
            "e-mnist",
            "mnist",
            "cifar10",
            "mnist-addition",
            "co-localisation",
            "co-localisation-clutter",
            "signs",
        ),
        parts,
    )
    left = parts - without.get(smoke.record["experiment"].partition("/")[0], set())
    assert set(last.get("taken_back", {})) == left


def test_what_is_taken_back_is_that_of_the_network_as_it_is(monkeypatch, tmp_path):
    """A trained network that learns nothing more takes back what notebook 05 measures on other digits."""
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    name, still = "rts-mnist/st-cnn", Recipe("sgd", 1e-12, batch_size=32)
    trained = EXPERIMENTS[name]
    short = {"tiny": replace(TINY, epochs=1, train_images=1000)}
    model = lambda: experiments.load_pretrained(name).train()  # noqa: E731
    monkeypatch.setitem(
        EXPERIMENTS, "toy/trained", changed(trained, model=model, recipes={"course": still}, profiles=short)
    )
    shares = tiny_run("toy/trained", output=tmp_path / "run").history.rows[-1]["taken_back"]
    for part, slope, correlation in (("angle", 0.59, 0.79), ("size", 0.88, 0.86), ("x", 1.0, 0.97), ("y", 1.0, 0.98)):
        assert shares[part] == pytest.approx([slope, correlation], abs=0.06)


# The same again, and going on


def test_a_seed_decides_everything(make_tiny, undisturbed, tmp_path):
    torch.manual_seed(123)  # what went on before does not matter
    again = tiny_run(make_tiny(), output=tmp_path / "again")
    assert_same_weights(again.folder, undisturbed.folder)
    assert without_time(again.record) == without_time(undisturbed.record)


def test_a_run_that_is_watched_is_the_same_run(make_tiny, tmp_path):
    name = make_tiny()
    told, live = [], LiveTraining(torch.rand(3, 1, 42, 42))

    def watch(*what):
        told.append(what[1:3])
        live(*what)

    tiny_run(name, output=tmp_path / "watched", watch=watch)
    tiny_run(name, output=tmp_path / "alone")
    assert_same_weights(tmp_path / "watched", tmp_path / "alone")
    assert told == [(pytest.approx(step / 3), 4) for step in range(1, 13)]
    assert "a training of 4 epochs, after 4.0" in live.figure().alt


def test_what_was_trained_before_is_told_by_epochs(make_tiny, tmp_path):
    name, told, live = make_tiny(), [], LiveTraining(torch.rand(3, 1, 42, 42))

    def watch(*what):
        told.append(what[1:])
        live(*what)

    finished = tiny_run(name, output=tmp_path)
    tiny_run(name, output=tmp_path, watch=watch)
    losses = finished.history.column("loss")
    assert [(done, epochs) for done, epochs, _ in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [loss.item() for *_, loss in told] == pytest.approx(losses)
    assert "after 4.0" in live.figure().alt and live.picture.value
    last = tmp_path / "checkpoints" / "epoch-0004.pt"
    last.unlink()
    (tmp_path / "record.json").unlink()
    told.clear()
    tiny_run(name, output=tmp_path, watch=watch)
    assert [done for done, *_ in told] == pytest.approx([1, 2, 3, 10 / 3, 11 / 3, 4])


def test_the_schedule_of_a_run_ends_with_its_last_step(undisturbed):
    last = torch.load(undisturbed.folder / "checkpoints" / "epoch-0004.pt", weights_only=True)
    assert last["schedule"]["total_steps"] == last["schedule"]["last_epoch"] == 4 * BATCHES_AN_EPOCH


def test_the_gradient_of_a_run_is_clipped(make_tiny, tmp_path):
    name = make_tiny("rts-mnist/cnn", replace(TINY, epochs=1))
    EXPERIMENTS[name].recipes["course"] = Recipe("sgd", 1.0, 32, clip=1e-8)
    trained = dict(tiny_run(name, output=tmp_path).model.state_dict())
    torch.manual_seed(0)
    torch.testing.assert_close(trained, dict(CNN().state_dict()), atol=1e-4, rtol=1e-3)  # float16


def test_another_seed_is_another_run(make_tiny, tmp_path):
    name = make_tiny(size=replace(TINY, epochs=1))
    weights = [tiny_run(name, seed=seed, output=tmp_path / str(seed)).model.state_dict() for seed in (0, 1)]
    assert all(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0] if key.endswith("weight"))


def test_a_seed_decides_the_order_and_the_distortions_too(make_tiny, tmp_path):
    def same_start():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return CNN()

    name = make_tiny("rts-mnist/cnn", replace(TINY, epochs=1), model=same_start)
    losses = [tiny_run(name, seed=seed, output=tmp_path / str(seed)).history.column("loss") for seed in (0, 1)]
    assert losses[0] != losses[1]


# Where it is put, on which data, in which precision

ONE_EPOCH = replace(TINY, epochs=1)


def test_the_place_for_runs_is_the_data_folder(make_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("STN_COURSE_PROFILE", "tiny")
    result = quiet_run(make_tiny("rts-mnist/cnn", ONE_EPOCH), recipe="published", seed=3)
    named = f"published-tiny-3-{result.record['train_digest'][:4]}"
    assert result.folder == tmp_path / "data" / "runs" / "rts-mnist" / "cnn" / named
    assert (result.folder / "record.json").exists()
    assert result.record["recipe"] == "published"


def test_the_folder_one_stands_in_will_do(make_tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_run(make_tiny("rts-mnist/cnn", ONE_EPOCH), output=".")
    assert (tmp_path / "record.json").exists()


def test_full_refuses_the_sample_and_writes_nothing(no_network, tmp_path):
    with pytest.raises(ConnectionError) as error:
        run("rts-mnist/cnn", "full", output=tmp_path / "out" / "run")
    assert "train-images-idx3-ubyte" in str(error.value)
    assert str(tmp_path / "data" / "MNIST" / "raw") in str(error.value)
    assert not (tmp_path / "out").exists()


def test_without_a_network_quick_carries_on_and_says_so(no_network, make_tiny, tmp_path, capsys):
    result = run(make_tiny("rts-mnist/cnn", replace(ONE_EPOCH, offline=None)), "tiny", device="cpu", output=tmp_path)
    said = capsys.readouterr().out
    assert "could not be downloaded" in said
    assert "MNIST sample" in said.splitlines()[-1]
    assert not result.record["complete"]
    assert "sample" in result.record["train_source"]
    assert "sample" in result.record["test_source"]


def counting_load(asked, n=180):
    def load(split, offline=None):
        asked.append(split)
        return load_mnist(split, offline=True)[:n]

    return load


def test_validation_holds_out_training_images_and_leaves_the_test_split_alone(make_tiny, tmp_path):
    asked = []
    name = make_tiny("rts-mnist/cnn", Profile(epochs=2, offline=True), load=counting_load(asked))
    result = tiny_run(name, output=tmp_path, validate=True)
    train = load_mnist("train", offline=True)[:180]
    kept, held_out = train[:162], distorted(train[162:], RTS())  # the last tenth
    assert set(asked) == {"train"}
    assert result.record["validate"] is True
    assert (result.record["train_images"], result.record["train_digest"]) == (162, kept.digest)
    assert (result.record["held_out_images"], result.record["held_out_digest"]) == (18, held_out.digest)
    scored = evaluate(result.model, Batches(held_out, 1000))
    assert result.record["held_out_accuracy"] == scored.score
    assert not [key for key in result.record if key.startswith("test_")]
    assert result.history.column("validation_loss")[-1] == pytest.approx(scored.loss, rel=0.01)  # before float16


def test_validation_works_on_the_digits_that_come_along(tmp_path):
    record = quiet_run("rts-mnist/cnn", "smoke", output=tmp_path, validate=True).record
    assert record["train_images"] > 0 and record["held_out_images"] > 0
    assert record["train_images"] + record["held_out_images"] <= 2000


def test_a_run_that_holds_images_out_has_a_folder_of_its_own(make_tiny, tmp_path):
    name = make_tiny("rts-mnist/cnn", ONE_EPOCH)
    folders = [tiny_run(name, validate=validate).folder for validate in (True, False)]
    assert [folder.parent for folder in folders] == [
        tmp_path / "data" / kind / "rts-mnist" / "cnn" for kind in ("validation-runs", "runs")
    ]


def test_a_run_on_other_data_has_a_folder_of_its_own(make_tiny):
    def load(split, offline=None):
        found = load_mnist(split, offline=True)
        return replace(found, labels=found.labels.flip(0))

    usual = tiny_run(make_tiny("rts-mnist/cnn", ONE_EPOCH)).folder
    other = tiny_run(make_tiny("rts-mnist/cnn", ONE_EPOCH, load=load)).folder  # and no checkpoint of another run
    assert usual != other and usual.parent == other.parent


def test_without_validation_the_test_split_is_scored_once(make_tiny, tmp_path, monkeypatch):
    asked, scored = [], []
    monkeypatch.setattr(experiments.runner, "evaluate", lambda *given: scored.append(given) or evaluate(*given))
    monkeypatch.setattr("stn_course.training.evaluate", lambda *given: pytest.fail("looked at during training"))
    tiny_run(make_tiny("rts-mnist/cnn", replace(TINY, epochs=2), load=counting_load(asked)), output=tmp_path)
    assert sorted(asked) == ["test", "train"]
    assert len(scored) == 1


@pytest.fixture
def measured(monkeypatch):
    """Hardware that has bfloat16, on which a measurement finds what the test says."""

    def find(ratio):
        monkeypatch.setattr(experiments.hardware, "native_bfloat16", lambda device: True)
        monkeypatch.setattr(experiments.hardware, "measure", lambda *given: ratio)
        monkeypatch.setattr(experiments.hardware, "_measured", {})
        monkeypatch.setattr(experiments.hardware, "TOO_SHORT", 0)

    return find


SHORT = replace(ONE_EPOCH, train_images=16, test_images=10)


def test_bfloat16_is_used_where_the_recipe_asks_for_it_and_it_is_faster(make_tiny, tmp_path, monkeypatch, measured):
    name, results = make_tiny("rts-mnist/cnn", SHORT), {}
    for ratio in (1.5, 0.5):
        monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / f"{ratio}"))  # two machines
        measured(ratio)
        for recipe in ("course", "published"):
            results[ratio, recipe] = tiny_run(name, recipe=recipe, output=tmp_path / f"{ratio}-{recipe}")
    how = {key: (result.record["precision"], result.record["precision_chosen"]) for key, result in results.items()}
    assert how[1.5, "course"] == ("bfloat16", "measured: bfloat16 1.50 times as fast")
    assert how[0.5, "course"] == ("float32", "measured: bfloat16 0.50 times as fast")
    assert how[1.5, "published"] == how[0.5, "published"] == ("float32", "the recipe's")
    losses = {key: result.history.column("loss") for key, result in results.items()}
    assert losses[1.5, "course"] != losses[0.5, "course"]
    assert losses[1.5, "course"] == pytest.approx(losses[0.5, "course"], rel=0.02)
    assert losses[1.5, "published"] == losses[0.5, "published"]


@pytest.mark.parametrize("began, now", [(1.5, 0.5), (0.5, 1.5)])
def test_a_run_goes_on_in_the_precision_it_began_with(make_tiny, tmp_path, monkeypatch, measured, sigint, began, now):
    """A new measurement, or another machine, makes no other run of it."""
    folder, data = tmp_path / "run", tmp_path / "data"
    measured(began)
    name = make_tiny("rts-mnist/cnn", replace(SHORT, epochs=3), distortion=Doing(2, sending(sigint)))
    assert tiny_run(name, output=folder).record is None
    whole = tiny_run(make_tiny("rts-mnist/cnn", replace(SHORT, epochs=3)), output=tmp_path / "whole")
    (data / experiments.hardware.FILE).unlink()
    measured(now)
    precision = whole.record["precision"]
    assert precision == ("bfloat16" if began > 1 else "float32")
    for asked in (None, precision):  # saying it changes nothing
        result = tiny_run(name, output=folder, precision=asked)
        assert without_time(result.record) == without_time(whole.record)
        assert_same_weights(folder, tmp_path / "whole")


def test_every_epoch_of_a_run_that_began_without_it_says_what_is_missing(make_tiny, tmp_path, capsys):
    name = make_tiny("rts-mnist/cnn", replace(SHORT, epochs=2))
    tiny_run(name, output=tmp_path)
    assert capsys.readouterr().out == ""
    tiny_run(name, output=tmp_path, every_epoch=True)
    assert capsys.readouterr().out == "The test split was not scored after epochs 1 to 2, which are not repeated.\n"


def test_the_global_random_state_is_left_as_it_was(make_tiny, tmp_path, sigint):
    state = torch.get_rng_state()
    tiny_run(make_tiny("rts-mnist/cnn", SHORT), seed=5, output=tmp_path / "whole")
    tiny_run(make_tiny("rts-mnist/cnn", SHORT, distortion=Doing(1, sending(sigint))), output=tmp_path / "stopped")
    with pytest.raises(ValueError):
        tiny_run(make_tiny("rts-mnist/cnn", SHORT), seed=6, output=tmp_path / "whole")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "0", None, True, 99999999999999999999999])
def test_a_seed_that_is_none_is_refused(make_tiny, tmp_path, seed):
    with pytest.raises(ValueError, match=re.escape(f"seed as a whole number from 0 to 2**64 - 1, got {seed!r}")):
        tiny_run(make_tiny("rts-mnist/cnn", SHORT), seed=seed, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_largest_seed_will_do(make_tiny, tmp_path):
    assert tiny_run(make_tiny("rts-mnist/cnn", SHORT), seed=2**64 - 1, output=tmp_path).record["seed"] == 2**64 - 1


@pytest.mark.parametrize("device", ["tpu", "gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_told_what_is(make_tiny, tmp_path, device):
    with pytest.raises(ValueError, match=f"expected device as one of cpu.*, got '{device}'"):
        run(make_tiny("rts-mnist/cnn", SHORT), "tiny", device=device, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("output", ["", "file", "file/run", "/dev/null", "/proc/nope"])
def test_where_nothing_can_be_written_is_told_before_anything_is_trained(make_tiny, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments.runner, "fit", None)
    (tmp_path / "file").write_text("mine")
    error, told = (ValueError, "expected output as") if not output else (OSError, "can be written for training")
    with pytest.raises(error, match=told):
        tiny_run(make_tiny("rts-mnist/cnn", SHORT), output=output)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_is_there_and_read_only_is_told_too(make_tiny, tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir)) if Path(dir) == tmp_path / "run" else StopIteration

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(experiments.runner, "fit", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # root may write everywhere
    with pytest.raises(OSError, match="expected a folder that can be written for training .*Permission denied"):
        tiny_run(make_tiny("rts-mnist/cnn", SHORT), output=tmp_path / "run")


def test_memory_that_is_short_before_training_is_told_with_what_to_do(make_tiny, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(experiments.runner, "Batches", full)
    with pytest.raises(torch.OutOfMemoryError) as error:
        tiny_run(make_tiny("rts-mnist/cnn", SHORT), output=tmp_path / "run")
    assert "Shut down other notebooks" in error.value.__notes__[0]


@pytest.mark.parametrize(
    "capability, switch, tf32", [((7, 5), True, False), ((9, 0), True, True), ((9, 0), False, False)]
)
def test_the_record_of_a_gpu_says_whether_convolutions_are_rounded(undisturbed, monkeypatch, capability, switch, tf32):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    job = SimpleNamespace(validate=False, experiment=EXPERIMENTS["rts-mnist/cnn"])
    data, scored = load_mnist("test", offline=True), Evaluation(0.1, 0.9)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=switch):
        made = [
            experiments.runner._record(
                SimpleNamespace(**vars(job), device=torch.device(kind)), {}, data, data, scored, undisturbed.history
            )
            for kind in ("cuda", "cpu")
        ]
    assert made[0]["tf32"] is tf32 and made[0]["hardware"] == "a GPU"
    assert "tf32" not in made[1]


def test_the_test_split_can_be_scored_after_every_epoch_and_training_is_the_same(make_tiny, tmp_path):
    name = make_tiny("rts-mnist/st-cnn", replace(TINY, epochs=3))
    plain, looked = (tiny_run(name, output=tmp_path / f"{look}", every_epoch=look) for look in (False, True))
    scores = looked.history.column("test_accuracy")
    assert len(scores) == 3 and scores[-1] == looked.record["test_accuracy"] == plain.record["test_accuracy"]
    assert len(set(scores)) > 1
    assert "test_accuracy" not in plain.history.rows[0]
    assert looked.history.column("loss") == plain.history.column("loss")
    for ours, theirs in zip(looked.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_test_split_is_not_both_left_alone_and_scored(make_tiny, tmp_path):
    name = make_tiny("rts-mnist/cnn", ONE_EPOCH)
    with pytest.raises(ValueError, match="validate or every_epoch"):
        tiny_run(name, output=tmp_path / "run", validate=True, every_epoch=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("ratio", [1.5, 0.5])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_can_be_chosen_whatever_is_faster(ratio, precision, make_tiny, tmp_path, measured):
    measured(ratio)
    name = make_tiny("rts-mnist/cnn", SHORT)
    chosen = tiny_run(name, output=tmp_path / "chosen", precision=precision)
    other = tiny_run(name, output=tmp_path / "default")
    assert (chosen.record["precision"], chosen.record["precision_chosen"]) == (precision, "asked for")
    same = precision == other.record["precision"]
    assert (chosen.history.column("loss") == other.history.column("loss")) is same


def test_another_precision_does_not_go_on_with_a_run(make_tiny, tmp_path):
    name = make_tiny("rts-mnist/cnn", SHORT)
    tiny_run(name, output=tmp_path, precision="float32")
    with pytest.raises(ValueError, match="precision.*float32.*bfloat16"):
        tiny_run(name, output=tmp_path, precision="bfloat16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_run_on_a_gpu_goes_on_too(make_tiny, tmp_path, sigint):
    run(make_tiny(distortion=Doing(8, sending(sigint))), "tiny", device="cuda", output=tmp_path, progress=False)
    result = run(make_tiny(), "tiny", output=tmp_path, progress=False)
    assert result.history.column("epoch") == [1, 2, 3, 4]
    assert result.record["device"] == "cuda"
    assert {parameter.device.type for parameter in result.model.parameters()} == {"cpu"}


# The fixed distorted test split


SPLITS = {  # of the sample: task → its digest, and what its distortion is called
    "rts-mnist": ("b661da945ceb7900", "RTS"),
    "r-mnist": ("38e0017bf5c25730", "RTS"),
    "p-mnist": ("66616f76b4cfaa45", "perspective"),
    "e-mnist": ("350831befc216130", "elastic"),
}


@pytest.mark.parametrize("task", SPLITS)
def test_the_distorted_test_split_is_the_same_forever(task):
    test = EXPERIMENTS[f"{task}/cnn"].scored_images(load_mnist("test", offline=True))
    digest, label = SPLITS[task]
    assert test.digest == digest
    assert (test.images.dtype, test.images.shape) == (torch.uint8, (1000, 1, 42, 42))
    assert torch.equal(test.labels, load_mnist("test", offline=True).labels)
    assert test.source.endswith(f", distorted ({label})")
    assert not test.complete


@pytest.mark.parametrize("task", ["rts-mnist", "p-mnist", "e-mnist"])
def test_it_does_not_depend_on_threads_or_on_how_it_is_cut_into_batches(task):
    digits, distortion = load_mnist("train", offline=True)[:1100], EXPERIMENTS[f"{task}/cnn"].distortion
    with threads(1):
        one = distorted(digits, distortion)
    with threads(2):
        assert distorted(digits, distortion).digest == one.digest
    theta = distortion.sample(1100, torch.Generator().manual_seed(TEST_SEED), torch.float64)
    for size in (1, 333, 1100):
        parts = zip(digits.images.double().split(size), theta.split(size), strict=True)
        made = torch.cat([distortion.apply(images, thetas) for images, thetas in parts])
        assert torch.equal(made.round().to(torch.uint8), one.images)


def test_it_depends_on_its_own_seed_alone():
    digits = load_mnist("test", offline=True)[:50]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = distorted(digits, RTS())
    assert torch.equal(torch.get_rng_state(), state)
    assert distorted(digits, RTS()).digest == one.digest
    assert distorted(digits, RTS(), seed=1).digest != one.digest
    whole = ImageData(digits.images, digits.labels, "whole")
    assert distorted(whole, RTS()).complete


# Weights and records


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save({key: value.half() for key, value in CNN().state_dict().items()}, path)
    return path


def test_weights_come_back(weights_file):
    torch.manual_seed(0)
    expected, model = CNN().state_dict(), load_weights(CNN(), str(weights_file))
    assert not model.training
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key].half().float())


def test_weights_of_another_network_are_refused_by_name(weights_file):
    for model in (STCNN(), CNN(channels=32), nn.Linear(2, 2)):
        with pytest.raises(DataError, match=f"does not hold weights for {type(model).__name__}") as error:
            load_weights(model, weights_file)
        assert str(weights_file) in str(error.value)


def test_refused_weights_change_nothing(weights_file):
    model = CNN()
    model.layers[-1] = nn.Linear(50, 3)  # the other layers would fit
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DataError):
        load_weights(model, weights_file)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@settings(max_examples=15)
@given(share=st.floats(0, 1, exclude_max=True), garbage=st.binary(max_size=100))
def test_a_damaged_file_of_weights_is_refused_by_name(weights_file, share, garbage):
    whole = weights_file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for content in (whole[: int(share * len(whole))], garbage, bytes(len(garbage))):
            damaged = Path(folder, "damaged.pt")
            damaged.write_bytes(content)
            with pytest.raises(DataError, match="damaged.pt"):
                load_weights(CNN(), damaged)


def test_altered_weights_are_refused_by_name(weights_file, tmp_path):
    """`torch.load` alone does not notice."""
    content = bytearray(weights_file.read_bytes())
    where = content.index(torch.load(weights_file, weights_only=True)["layers.3.weight"].numpy().tobytes())
    content[where : where + 2] = b"\x00\x7e"  # a NaN
    (tmp_path / "altered.pt").write_bytes(content)
    with pytest.raises(DataError, match="altered.pt"):
        load_weights(CNN(), tmp_path / "altered.pt")


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda value: value.int(), "expected .* as floating-point numbers, got torch.int32"),
        (lambda value: value * float("nan"), "is not finite"),
        (lambda value: value + float("inf"), "is not finite"),
    ],
)
def test_numbers_that_can_be_no_weights_are_refused_by_name(weights_file, tmp_path, change, told):
    weights = torch.load(weights_file, weights_only=True)
    last = list(weights)[-1]
    torch.save(weights | {last: change(weights[last])}, tmp_path / "edited.pt")
    model = CNN()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(DataError, match=f"edited.pt does not hold weights for CNN: .*{told}"):
        load_weights(model, tmp_path / "edited.pt")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_missing_file_of_weights_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.pt"):
        load_weights(CNN(), tmp_path / "nothing.pt")
    with pytest.raises((DataError, OSError), match=re.escape(str(tmp_path))):
        load_weights(CNN(), tmp_path)


@pytest.fixture
def shelf(tmp_path, monkeypatch, weights_file):
    """Another place for what comes with the package, with one network, and records of three runs."""
    monkeypatch.setattr(experiments.results, "RESULTS", tmp_path)
    runs = [("rts-mnist/st-cnn", "course", 0), ("rts-mnist/cnn", "course", 1), ("rts-mnist/cnn", "course", 0)]
    for name, recipe, seed in [*runs, ("rts-mnist/cnn", "published", 0)]:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        record = {"experiment": name, "recipe": recipe, "seed": seed, "epochs": 50, "note": "θ"}
        (tmp_path / name / f"{recipe}-{seed}.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "rts-mnist" / "cnn" / "course-0.pt").write_bytes(weights_file.read_bytes())
    return tmp_path


def test_what_comes_with_the_package_is_found_by_name(shelf, weights_file):
    model = experiments.load_pretrained("rts-mnist/cnn")
    assert not model.training
    expected = load_weights(CNN(), weights_file).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert experiments.load_record("rts-mnist/cnn")["seed"] == 0
    assert experiments.load_record("rts-mnist/cnn", "published")["recipe"] == "published"
    record = experiments.load_record("rts-mnist/cnn", "course", 1)
    assert record == {"experiment": "rts-mnist/cnn", "recipe": "course", "seed": 1, "epochs": 50, "note": "θ"}


def test_records_are_in_the_order_of_the_experiments(shelf):
    assert [(record["experiment"], record["recipe"], record["seed"]) for record in experiments.records()] == [
        ("rts-mnist/cnn", "published", 0),
        ("rts-mnist/cnn", "course", 0),
        ("rts-mnist/cnn", "course", 1),
        ("rts-mnist/st-cnn", "course", 0),
    ]


def put_record(folder, name, recipe, seed, accuracy, seconds=60.0):
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    record = {
        "experiment": name,
        "recipe": recipe,
        "seed": seed,
        "epochs": EXPERIMENTS[name].profiles["full"].epochs,
        "test_accuracy": accuracy,
        "seconds": seconds,
    }
    (place / f"{recipe}-{seed}.json").write_text(json.dumps(record), encoding="utf-8")


def cells(table):
    """Rows of a Markdown table, each as {column: entry}."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.fixture
def few_records(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.results, "RESULTS", tmp_path)
    put_record(tmp_path, "cifar10/st", "published", 0, 0.6701)
    for seed, accuracy in enumerate((0.75, 0.76, 0.77)):
        put_record(tmp_path, "cifar10/st", "course", seed, accuracy, seconds=60.0 * (seed + 1))
    put_record(tmp_path, "cifar10/st-baseline", "course", 0, 0.7412)
    put_record(tmp_path, "mnist/tutorial-st", "course", 0, 0.9931)


def test_the_table_of_results_has_a_row_a_run_and_the_mean_of_its_seeds(few_records):
    rows = cells(experiments.results_table())
    runs = [(row["experiment"], row["recipe"], row["test accuracy (%)"], row["seeds"]) for row in rows]
    assert runs == [
        ("`mnist/tutorial-st`", "course", "99.31", "1"),
        ("`cifar10/st`", "published", "67.01", "1"),
        ("`cifar10/st`", "course", "76.00 (75.00 to 77.00)", "3"),
        ("`cifar10/st-baseline`", "course", "74.12", "1"),
    ]
    assert [row["published (%)"] for row in rows] == ["98.76", "66.94", "66.94", "–"]
    assert len(cells(experiments.results_table("mnist"))) == 1


def test_the_table_of_comparisons_sets_each_network_beside_its_baseline(few_records):
    rows = {row["network"]: row for row in cells(experiments.comparison_table())}
    assert list(rows) == ["ST-CNN, affine", "first STN", "STN on CIFAR-10", "STN with a LeNet"]
    assert rows["STN on CIFAR-10"] == {
        "network": "STN on CIFAR-10",
        "parameters": "1,585,008",
        "published": "66.94",
        "its recipe here": "67.01",
        "course": "76.00 (75.00 to 77.00)",
        "baseline, course": "74.12",
        "baseline's parameters": "1,594,614",
    }
    first = rows["first STN"]
    assert (first["its recipe here"], first["course"], first["baseline, course"]) == ("–", "99.31", "–")
    assert list(rows["STN with a LeNet"].values())[2:6] == ["65.83", "–", "–", "–"]
    assert cells(experiments.comparison_table("rts-cifar10")) == []


def test_what_does_not_come_with_the_package_is_told_what_does(shelf):
    with pytest.raises(FileNotFoundError, match=r"cnn under the published .* it has: rts-mnist/cnn/course-0$"):
        experiments.load_pretrained("rts-mnist/cnn", "published")
    with pytest.raises(FileNotFoundError, match="rts-mnist/st-cnn under the published .* seed 0") as error:
        experiments.load_record("rts-mnist/st-cnn", "published")
    for there in ("cnn/course-0", "cnn/course-1", "cnn/published-0", "st-cnn/course-0"):
        assert f"rts-mnist/{there}" in str(error.value)


@pytest.mark.parametrize("load", [experiments.load_pretrained, experiments.load_record])
def test_unknown_names_of_results_are_told_the_known_ones(load):
    with pytest.raises(ValueError, match="experiment as one of rts-mnist/cnn, .*got 'nobody'"):
        load("nobody")
    with pytest.raises(ValueError, match="recipe as one of published, course, .*, got 'secret'"):
        load("rts-mnist/cnn", "secret")


# Lightness

IMPORT = """
import sys
sockets = []
sys.addaudithook(lambda event, arguments: sockets.append(event) if event.startswith("socket.") else None)
import stn_course
print(sorted({"torch", "numpy"} & set(sys.modules)), sockets)
import stn_course.experiments
print(sorted({"matplotlib", "ipywidgets", "torchvision"} & set(sys.modules)), sockets)
"""


def test_importing_is_light(tmp_path):
    path = Path(stn_course.__file__).parents[1]
    made = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.stdout, made.stderr) == ("[] []\n[] []\n", "")
    assert list(tmp_path.iterdir()) == []


# On real pixels


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "published", "images", "epochs", "at_least"),
    [("mnist/tutorial-st", "MNIST", 4000, 1, 0.5), ("cifar10/lenet-st-baseline", "CIFAR-10", 2000, 2, 0.2)],
)
def test_a_short_training_on_real_images_learns(
    name, published, images, epochs, at_least, real_mnist, real_cifar10, tmp_path, monkeypatch
):
    monkeypatch.setenv("STN_COURSE_DATA", str(real_mnist if published == "MNIST" else real_cifar10))
    short = Profile(epochs, train_images=images, test_images=500, offline=False)
    monkeypatch.setitem(EXPERIMENTS, name, changed(EXPERIMENTS[name], profiles={"quick": short}))
    record = run(name, "quick", output=tmp_path / "run", progress=False).record
    assert record["train_source"].startswith(f"{images:,} images of {published}, train split")
    assert record["test_source"].startswith(f"500 images of {published}, test split")
    assert record["test_accuracy"] > at_least  # a guess: 0.1
