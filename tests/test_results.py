"""The records and weights that come with the package, and the README's table, which is made from them."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from stn_course.data import Batches, load_mnist
from stn_course.experiments import get_experiment, load_pretrained, load_record, records, results_table, ten_digits
from stn_course.experiments.results import RESULTS
from stn_course.training import evaluate

README = Path(__file__).parent.parent / "README.md"
RUNS = [(record["experiment"], record["recipe"], record["seed"]) for record in records()]
WEIGHTS = sorted({run[:2] for run in RUNS if (RESULTS / run[0] / f"{run[1]}-0.pt").exists()})
TEST_DIGESTS = {
    "rts-mnist": "e0d346334719fa95",
    "mnist": "a0863a96c44e5666",
    "cifar10": "2c33b053d1cd726a",
    "rts-cifar10": "5b0abeeec2e4c271",
}


def test_the_readme_holds_the_table_that_the_records_give():
    table = README.read_text(encoding="utf-8").split("<!-- results:begin -->\n")[1].split("<!-- results:end -->")[0]
    assert table.strip() == results_table()


def test_the_course_comes_with_its_main_networks():
    assert {("rts-mnist/st-cnn", "course", 0), ("rts-mnist/cnn", "course", 0)} <= set(RUNS)


@pytest.mark.parametrize(("name", "recipe", "seed"), RUNS)
def test_a_record_is_of_a_whole_run_on_the_whole_data_set(name, recipe, seed):
    record, experiment = load_record(name, recipe, seed), get_experiment(name)
    assert record["profile"] == "full" and record["complete"] and not record["validate"]
    assert record["train_images"] == (60_000 if experiment.load is load_mnist else 50_000)
    assert record["test_images"] == 10_000
    assert record["test_digest"] == TEST_DIGESTS[name.partition("/")[0]]
    assert [row["epoch"] for row in record["epochs_run"]] == list(range(1, experiment.profiles["full"].epochs + 1))
    recipe_now = asdict(experiment.recipes[recipe])
    assert {key: record.get(key) for key in recipe_now} == recipe_now


def test_where_every_epoch_was_scored_the_last_score_is_the_records():
    looked = [record for record in records() if "test_accuracy" in record["epochs_run"][0]]
    assert [(record["experiment"], record["recipe"], record["seed"]) for record in looked] == [
        ("cifar10/lenet-st", "published", 1)  # which notebook 06 shows
    ]
    scores = [row["test_accuracy"] for row in looked[0]["epochs_run"]]
    assert scores[-1] == looked[0]["test_accuracy"] < max(scores)


@pytest.mark.parametrize(("name", "recipe"), [weights for weights in WEIGHTS if "mnist" in weights[0]])
def test_the_weights_of_a_record_do_well_on_the_digits_that_come_along(name, recipe):
    test = get_experiment(name).scored_images(load_mnist("test", offline=True))
    scored = evaluate(load_pretrained(name, recipe), Batches(test, 500, get_experiment(name).normalise))
    assert abs(scored.score - load_record(name, recipe)["test_accuracy"]) < 0.02


@pytest.mark.parametrize(("name", "recipe"), [weights for weights in WEIGHTS if "rts-mnist/st" in weights[0]])
def test_the_last_theta_of_a_record_is_that_of_the_weights(name, recipe):
    layer = load_pretrained(name, recipe).spatial_transformer
    with torch.inference_mode():
        theta = layer.theta(ten_digits())
    torch.testing.assert_close(
        theta, torch.tensor(load_record(name, recipe)["epochs_run"][-1]["theta"]), atol=0.02, rtol=0
    )


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "recipe"), WEIGHTS)
def test_on_the_real_test_split_the_weights_give_the_accuracy_of_the_record(name, recipe, real_mnist, real_cifar10):
    folder = real_mnist if get_experiment(name).load is load_mnist else real_cifar10
    test = get_experiment(name).scored_images(get_experiment(name).load("test", folder))
    record = load_record(name, recipe)
    assert test.digest == record["test_digest"]
    scored = evaluate(load_pretrained(name, recipe), Batches(test, 1000, get_experiment(name).normalise))
    assert scored.score == pytest.approx(record["test_accuracy"], abs=2e-4)  # two images: another machine's rounding


@pytest.mark.real_data
def test_the_ten_digits_are_the_first_of_each_class(real_mnist):
    test = get_experiment("rts-mnist/st-cnn").scored_images(load_mnist("test", real_mnist))
    first = [int((test.labels == label).nonzero()[0]) for label in range(10)]
    assert torch.equal(ten_digits(), test.images[first].float() / 255)


def test_records_and_weights_stay_small():
    digits = [path for path in RESULTS.rglob("*") if path.is_file() and "mnist" in str(path.relative_to(RESULTS))]
    assert sum(path.stat().st_size for path in digits) < 3e6
    # the weights on CIFAR-10 fit because each .pt, a zip archive, was packed once more with compression
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 16e6
