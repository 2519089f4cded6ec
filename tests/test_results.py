"""The records and weights that come with the package, and the README's table, which is made from them."""

from pathlib import Path

import pytest
import torch

from stn_course.data import Batches, load_mnist
from stn_course.experiments import (
    EXPERIMENTS,
    RESULTS,
    distorted,
    find,
    load_pretrained,
    load_record,
    records,
    results_table,
    ten_digits,
)
from stn_course.training import evaluate

README = Path(__file__).parent.parent / "README.md"
RUNS = [(record["experiment"], record["recipe"], record["seed"]) for record in records()]


def test_the_readme_holds_the_table_that_the_records_give():
    table = README.read_text(encoding="utf-8").split("<!-- results:begin -->\n")[1].split("<!-- results:end -->")[0]
    assert table.strip() == results_table()


def test_the_course_comes_with_its_main_networks():
    assert {("rts-mnist/st-cnn", "course", 0), ("rts-mnist/cnn", "course", 0)} <= set(RUNS)


@pytest.mark.parametrize(("name", "recipe", "seed"), RUNS)
def test_a_record_is_of_a_whole_run_on_the_whole_of_mnist(name, recipe, seed):
    record = load_record(name, recipe, seed)
    assert record["profile"] == "full" and record["complete"] and not record["validate"]
    assert record["train_images"] == 60_000 and record["test_images"] == 10_000
    assert record["test_digest"] == "e0d346334719fa95"
    assert [row["epoch"] for row in record["epochs_run"]] == list(
        range(1, EXPERIMENTS[name].profiles[record["profile"]].epochs + 1)
    )
    recipe_now = vars(EXPERIMENTS[name].recipes[recipe])
    assert {key: record[key] for key in recipe_now} == recipe_now


@pytest.mark.parametrize(("name", "recipe"), sorted({run[:2] for run in RUNS}))
def test_the_weights_of_a_record_do_well_on_the_digits_that_come_along(name, recipe):
    test = distorted(load_mnist("test", offline=True), find(name).distortion)
    scored = evaluate(load_pretrained(name, recipe), Batches(test, 500))
    assert abs(scored.accuracy - load_record(name, recipe)["test_accuracy"]) < 0.02


@pytest.mark.parametrize(("name", "recipe"), sorted({run[:2] for run in RUNS if "st-cnn" in run[0]}))
def test_the_last_theta_of_a_record_is_that_of_the_weights(name, recipe):
    layer = load_pretrained(name, recipe).spatial_transformer
    with torch.inference_mode():
        theta = layer.theta(ten_digits())
    torch.testing.assert_close(
        theta, torch.tensor(load_record(name, recipe)["epochs_run"][-1]["theta"]), atol=0.02, rtol=0
    )


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "recipe"), sorted({run[:2] for run in RUNS}))
def test_on_the_real_test_split_the_weights_give_the_accuracy_of_the_record(name, recipe, real_mnist):
    test = distorted(load_mnist("test", real_mnist), find(name).distortion)
    record = load_record(name, recipe)
    assert test.digest == record["test_digest"]
    scored = evaluate(load_pretrained(name, recipe), Batches(test, 1000))
    assert scored.accuracy == pytest.approx(record["test_accuracy"], abs=2e-4)  # two digits: another machine's rounding


@pytest.mark.real_data
def test_the_ten_digits_are_the_first_of_each_class(real_mnist):
    test = distorted(load_mnist("test", real_mnist), find("rts-mnist/st-cnn").distortion)
    first = [int((test.labels == label).nonzero()[0]) for label in range(10)]
    assert torch.equal(ten_digits(), test.images[first].float() / 255)


def test_records_and_weights_stay_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 3e6
