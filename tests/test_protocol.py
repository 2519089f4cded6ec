"""Contestants are compared by equal tuning, several seeds and a paired test."""

import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import changed, quiet_run, tiny

from stn_course.experiments import EXPERIMENTS, best_in_table, compare, duels_table, paired, papers_table, sign_test
from stn_course.experiments.protocol import best_try, tries_table
from stn_course.training import History

pytestmark = pytest.mark.usefixtures("one_thread")
CNN, ST_CNN = "rts-mnist/cnn", "rts-mnist/st-cnn"


def record(missed, seed=0, digest="a", name=CNN):
    return {"experiment": name, "seed": seed, "test_digest": digest, "test_missed": missed}


# The sign test


@given(st.integers(0, 10), st.integers(0, 10))
def test_it_counts_the_coin_tosses_that_are_as_uneven(first, second):
    n = first + second
    tosses = itertools.islice(itertools.product((0, 1), repeat=n), 2**12)
    if n > 12:
        heads = [k for k in range(n + 1) for _ in range(math.comb(n, k))]
    else:
        heads = [sum(each) for each in tosses]
    as_uneven = sum(abs(2 * k - n) >= abs(first - second) for k in heads)
    assert sign_test(first, second) == pytest.approx(as_uneven / 2**n)
    assert sign_test(first, second) == sign_test(second, first)


def test_large_counts_are_no_trouble():
    assert sign_test(5000, 5000) == 1.0 and 0 < sign_test(4800, 5200) < 1e-4


def test_a_count_below_nothing_is_refused():
    with pytest.raises(ValueError, match="two counts of at least 0, got -1 and 3"):
        sign_test(-1, 3)


# Pairs


def test_pairs_are_of_one_seed_and_count_what_only_one_misses():
    first = [record([1, 2, 3]), record([4], seed=1), record([], seed=2)]
    second = [record([3, 9], seed=0), record([], seed=7), record([4, 5], seed=1)]
    assert [pair[:3] for pair in paired(first, second)] == [(0, 2, 1), (1, 0, 1)]
    assert paired(first, second)[0].p == sign_test(2, 1)


def test_only_the_same_images_can_be_paired():
    with pytest.raises(ValueError, match="same test images, got rts-mnist/cnn on a and rts-mnist/st-cnn on b"):
        paired([record([])], [record([], digest="b", name=ST_CNN)])
    old = record([])
    del old["test_missed"]
    with pytest.raises(ValueError, match="what was missed, got rts-mnist/cnn without"):
        paired([old], [record([])])


def test_the_best_try_is_chosen_on_held_out_images_and_stands_out():
    tried = [
        {"experiment": CNN, "recipe": "a", "epochs": 3, "held_out_accuracy": 0.5, "held_out_loss": 1.0},
        {"experiment": CNN, "recipe": "b", "epochs": 3, "held_out_accuracy": 0.7, "held_out_loss": 2.0},
        {"experiment": CNN, "recipe": "c", "epochs": 3, "held_out_accuracy": 0.7, "held_out_loss": 1.5},
    ]
    assert best_try(tried)["recipe"] == "c"
    assert "a: 50.00; b: 70.00; c: **70.00**" in tries_table({CNN: tried})


# The paper's table


@pytest.fixture
def put(monkeypatch, tmp_path):
    """Records of the test's own in place of those that come along."""
    monkeypatch.setattr("stn_course.experiments.results.RESULTS", tmp_path)

    def put(name, recipe="course", missed=(), seed=0, epochs=20, **more):
        about = {"experiment": name, "recipe": recipe, "seed": seed, "epochs": epochs, "test_digest": name[0]}
        about |= {"test_accuracy": 1 - len(missed) / 1000, "test_missed": list(missed)} | more
        path = tmp_path / name / f"{recipe}-{epochs}-epochs-{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(about), encoding="utf-8")

    return put


def cells(table):
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    return head, rows


def test_the_papers_table_shows_runs_of_one_recipe_and_length_beside_the_papers_errors(put):
    put("p-mnist/st-cnn", missed=range(10))
    put("p-mnist/st-cnn-projective", missed=range(20))  # another network
    for seed, n in enumerate((30, 28)):
        put("rts-mnist/fcn", missed=range(n), seed=seed)
    put("rts-mnist/fcn", missed=range(500), seed=2, epochs=5)  # another length
    put("rts-mnist/fcn", "64-0.002-1", missed=range(5))  # another recipe
    head, rows = cells(papers_table(20))
    assert head == ["network", "R", "RTS", "P", "E"]
    assert [row[0] for row in rows] == [
        "FCN",
        "CNN",
        *(f"ST-{kind}, {family}" for kind in ("FCN", "CNN") for family in ("affine", "projective", "tps")),
    ]
    assert rows[0] == ["FCN", "–; paper 2.1", "2.90 (2.80 to 3.00); paper 5.2", "–; paper 3.1", "–; paper 3.2"]
    assert rows[5][3] == "1.00; paper 0.8" and rows[6][3] == "2.00; paper 0.8"
    assert sum(cell.startswith("–; paper ") for row in rows for cell in row) == 29


def test_what_was_chosen_on_held_out_images_does_not_fill_a_cell_of_the_papers_table(put, tmp_path):
    """RTS has tries, the other columns have none: its cells would be of another recipe than the rest."""
    put("rts-mnist/cnn", missed=range(15))
    put("rts-mnist/cnn", "64-0.004-1", missed=range(9))
    for recipe, score in (("64-0.004-1", 0.9), ("256-0.001-1", 0.8)):
        (tmp_path / "rts-mnist/cnn/tries").mkdir(exist_ok=True)
        about = {"experiment": "rts-mnist/cnn", "recipe": recipe, "held_out_accuracy": score, "held_out_loss": 1.0}
        (tmp_path / f"rts-mnist/cnn/tries/{recipe}-0.json").write_text(json.dumps(about), encoding="utf-8")
    assert cells(papers_table(20))[1][1][2] == "1.50; paper 0.8"


def test_the_best_is_the_one_with_the_lowest_mean_error_and_nobody_while_one_is_missing(put):
    names = ["e-mnist/st-cnn", "e-mnist/st-cnn-tps"]
    put(names[0], missed=range(12))
    assert best_in_table(names, 20) is None
    put(names[1], missed=range(10))
    assert best_in_table(names, 20) == names[1]
    put(names[1], missed=range(20), seed=1)  # 15 in the mean
    assert best_in_table(names, 20) == names[0] and best_in_table(names, 50) is None


def test_a_duel_counts_what_only_one_misreads_and_says_whether_that_is_beyond_the_margin(put):
    fcn, cnn, tps = "e-mnist/fcn", "e-mnist/cnn", "e-mnist/st-cnn-tps"
    put(fcn, missed=range(30))
    put(cnn, missed=range(20, 35))  # 20 to 29 by both: 20 against 5, p = 0.004
    put(tps, missed=range(20, 35))
    _, rows = cells(duels_table([(fcn, cnn), (cnn, fcn), (cnn, tps)], 20))
    assert rows[0] == [f"`{fcn}`", f"`{cnn}`", "20", "5", "0.0041", "the second is better"]
    assert rows[1][2:] == ["5", "20", "0.0041", "the first is better"]
    assert rows[2][2:] == ["0", "0", "1", "within the margin"]
    [row] = cells(duels_table([(fcn, cnn)], 20, looked_at=24))[1]
    assert row[5] == "within the margin"  # 0.05 / 24 = 0.0021
    put(fcn, missed=range(3), seed=1)
    put(cnn, missed=range(1), seed=1)
    _, rows = cells(duels_table([(fcn, cnn)], 20))
    assert [row[5] for row in rows] == ["the second is better", "within the margin"]


def test_a_duel_with_somebody_who_was_not_trained_says_so(put):
    put("e-mnist/fcn", missed=range(30))
    _, rows = cells(duels_table([("e-mnist/fcn", "e-mnist/cnn"), ("e-mnist/fcn", None)], 20))
    assert rows[0] == ["`e-mnist/fcn`", "`e-mnist/cnn`", "–", "–", "–", "not trained yet"]
    assert rows[1] == ["`e-mnist/fcn`", "–", "–", "–", "–", "not trained yet"]


# The whole protocol


@pytest.fixture
def two(monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    for name in (CNN, ST_CNN):
        short = tiny(name, replace(tiny(name).profiles["tiny"], epochs=1))
        monkeypatch.setitem(EXPERIMENTS, name, changed(short, tries=("32-0.01-1", "64-0.001-1")))
    return [CNN, ST_CNN]


def test_every_contestant_is_tuned_then_trained_from_several_seeds_and_paired(two, tmp_path, monkeypatch):
    called = []

    def run(name, **options):
        called.append((name, options["recipe"], options.get("seed", 0), bool(options.get("validate"))))
        return quiet_run(name, **{key: value for key, value in options.items() if key not in ("device", "progress")})

    monkeypatch.setattr("stn_course.experiments.protocol.run", run)
    tables = compare(two, "tiny", seeds=2)
    tries, finals = called[:4], called[4:]
    assert [each[:2] for each in tries] == [(name, recipe) for name in two for recipe in ("32-0.01-1", "64-0.001-1")]
    assert all(held_out for *_, held_out in tries) and not any(held_out for *_, held_out in finals)
    assert [(name, seed) for name, _, seed, _ in finals] == [(name, seed) for name in two for seed in (0, 1)]
    for name in two:  # one recipe a contestant
        assert len({recipe for each, recipe, *_ in finals if each == name}) == 1
    assert len(tables.split("\n\n")) == 3 and tables.count("**") == 4
    assert "only CNN misreads" in tables and "only ST-CNN, affine misreads" in tables
    assert compare(two, "tiny", seeds=2) == tables  # called again, it finds what is done


def test_a_choice_that_has_a_name_is_trained_under_it(two, monkeypatch):
    experiment = EXPERIMENTS[CNN]
    only = changed(experiment, tries=("32-0.001-5",))
    assert only.recipe("32-0.001-5") == only.recipes["course"]
    for name in two:
        monkeypatch.setitem(EXPERIMENTS, name, changed(EXPERIMENTS[name], tries=("32-0.001-5",)))
    tables = compare(two, "tiny", seeds=1, device="cpu", progress=False)
    assert tables.count("| course |") == 2


def diverging(monkeypatch, recipes):
    """Runs by these recipes end with a loss that is not finite."""

    def run(name, **options):
        if options["recipe"] in recipes:
            return SimpleNamespace(record=None, history=History([], "stopped because the loss became nan"))
        return quiet_run(name, **{key: value for key, value in options.items() if key not in ("device", "progress")})

    monkeypatch.setattr("stn_course.experiments.protocol.run", run)


def test_a_try_whose_loss_is_not_finite_loses_and_is_told(two, monkeypatch):
    diverging(monkeypatch, {"32-0.01-1"})
    tables = compare(two, "tiny", seeds=1)
    assert tables.count("32-0.01-1: none, its loss was not finite") == 2 and tables.count("| 64-0.001-1 |") == 2


def test_a_network_that_never_learns_is_told_in_words(two, monkeypatch):
    diverging(monkeypatch, {"32-0.01-1", "64-0.001-1"})
    with pytest.raises(ValueError, match="a recipe by which rts-mnist/cnn learns, got none of its tries"):
        compare(two, "tiny", seeds=1)


def test_a_comparison_that_is_stopped_by_hand_stops(two, monkeypatch):
    stopped = SimpleNamespace(record=None, history=History([], "stopped by hand", by_hand=True))
    monkeypatch.setattr("stn_course.experiments.protocol.run", lambda *names, **options: stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(two, "tiny")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([CNN], "two experiments or more of one task, got rts-mnist/cnn"),
        ([CNN, CNN], "two experiments or more of one task"),
        ([CNN, "mnist/tutorial-st"], "of one task, got rts-mnist/cnn, mnist/tutorial-st"),
        (["mnist/tutorial-st", "mnist/tutorial-st-baseline"], "as many recipes to try for each, at least one, got"),
    ],
)
def test_what_cannot_be_compared_fairly_is_refused_before_anything_is_trained(names, words):
    with pytest.raises(ValueError, match=words):
        compare(names, "smoke")


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="seeds as a whole number of at least 1, got 0"):
        compare([CNN, ST_CNN], "smoke", seeds=0)
