"""Tasks of many things: clutter, sums of pairs, and ten sets of pictures without labels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import few
from tiny_runs import quiet_run, tiny, tiny_run

from stn_course.data import Batches, load_mnist
from stn_course.experiments import EXPERIMENTS, load_weights
from stn_course.tasks import Profile, cluttered_mnist, mnist_addition
from stn_course.tasks.mnist_addition import in_pairs
from stn_course.training import evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))


# Clutter


def test_clutter_is_the_papers_and_its_rivals_have_the_papers_errors_and_as_many_tries():
    distortion = cluttered_mnist.TASK.distortion
    assert (distortion.canvas, distortion.pieces, distortion.side) == ((60, 60), 16, 6)
    assert (distortion.under.degrees, distortion.under.scale, distortion.under.shift) == (0, (1, 1), 1)
    errors = {name: one.paper for name, one in cluttered_mnist.CONTESTANTS.items() if one.paper}
    assert errors == {"fcn": 13.2, "cnn": 3.5, "st-fcn": 2.0, "st-cnn": 1.7}
    assert {len(one.tries) for one in cluttered_mnist.CONTESTANTS.values()} == {5}


# Sums


@few
@given(st.lists(st.integers(0, 9), max_size=6))
def test_a_pair_is_a_digit_and_the_one_before_it_and_its_label_is_their_sum(digits):
    labels, n = torch.tensor(digits, dtype=torch.int64), len(digits)
    images = labels.view(-1, 1, 1, 1).expand(-1, 1, 2, 3) + torch.arange(6).view(1, 1, 2, 3) / 10
    pairs, sums = in_pairs(images, labels)
    assert pairs.shape == (n, 2, 2, 3)
    for i in range(n):
        assert torch.equal(pairs[i, 0], images[i, 0]) and torch.equal(pairs[i, 1], images[i - 1, 0])
        assert sums[i] == digits[i] + digits[i - 1]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(3, 2, 28, 28), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(3, 1, 28, 28), torch.zeros(3)),
        (torch.zeros(3, 1, 28, 28), torch.zeros(3, 2, dtype=torch.int64)),
        (torch.zeros(3, 1, 28, 28), torch.zeros(2, dtype=torch.int64)),
    ],
)
def test_what_cannot_be_paired_is_refused_in_words(images, labels):
    with pytest.raises(ValueError, match=r"expected images \(B, 1, H, W\) and a class for each, int64 \(B,\), got"):
        in_pairs(images, labels)


def batches(seed=None, size=100):
    data = load_mnist("train", offline=True)[:200]
    generator = None if seed is None else seeded(seed)
    return Batches(data, size, shuffle=seed is not None, generator=generator, join=in_pairs), data


def test_every_pass_pairs_anew_and_each_digit_is_once_first_and_once_second():
    loader, data = batches(seed=0)
    passes = []
    for _ in range(2):
        images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert images.shape == (200, 2, 28, 28) and labels.sum() == 2 * data.labels.sum()
        originals = (data.images[:, 0].float() / 255).flatten(1)
        who = [(channel.flatten(1)[:, None] == originals).all(2).double().argmax(1) for channel in images.unbind(1)]
        assert all(torch.equal(one.sort().values, torch.arange(200)) for one in who)
        assert torch.equal(data.labels[who[0]] + data.labels[who[1]], labels)
        passes.append({*zip(*(one.tolist() for one in who), strict=True)})
    assert len(passes[0] & passes[1]) < 10


def test_joining_comes_before_what_prepares_and_leaves_the_order_as_it_was():
    data = load_mnist("train", offline=True)[:40]
    noted = []
    loader = Batches(data, 16, lambda images, _: noted.append(images.shape) or images, join=in_pairs)
    labels = torch.cat([labels for _, labels in loader])
    assert noted == [(16, 2, 28, 28), (16, 2, 28, 28), (8, 2, 28, 28)]
    expected = torch.cat([part + part.roll(1) for part in data.labels.split(16)])
    assert torch.equal(labels, expected)


def test_the_scored_pairs_are_fixed_and_each_channel_has_a_distortion_of_its_own():
    task, data = mnist_addition.TASK, load_mnist("test", offline=True)[:300]
    scored = task.scored_images(data)
    assert scored.digest == task.scored_images(data).digest and scored.images.shape == (300, 2, 42, 42)
    assert torch.equal(scored.labels, data.labels + data.labels.roll(1))
    assert scored.source.endswith(", in pairs, distorted (RTS, each channel apart)") and not scored.complete
    assert not torch.equal(scored.images[1, 1], scored.images[0, 0])  # the same digit, in two poses
    assert task.posed_images(data) is None
    assert task.probe_images(scored).shape == (4, 2, 42, 42)


def test_adders_with_two_transformers_have_the_papers_errors():
    errors = {name: one.paper for name, one in mnist_addition.CONTESTANTS.items()}
    assert errors == {
        "fcn": 47.7,
        "cnn": 14.7,
        "st-fcn": 22.6,
        "st-fcn-projective": 18.5,
        "st-fcn-tps": 19.1,
        "two-st-fcn": 9.0,
        "two-st-fcn-projective": 5.9,
        "two-st-fcn-tps": 5.8,
    }
    assert mnist_addition.CONTESTANTS["two-st-fcn-tps"].title == "2×ST-FCN, tps"


def test_a_run_learns_sums_and_scores_them_as_recorded(tmp_path, monkeypatch):
    size = Profile(2, train_images=96, test_images=50, offline=True)
    monkeypatch.setitem(EXPERIMENTS, "toy/sums", tiny("mnist-addition/two-st-fcn", size))
    result = tiny_run("toy/sums", output=tmp_path / "run")
    task = mnist_addition.TASK
    model = load_weights(EXPERIMENTS["toy/sums"].model(), tmp_path / "run" / "weights.pt")
    scored = task.scored_images(load_mnist("test", offline=True)[:50])
    again = evaluate(model, Batches(scored, 1000))
    assert again.score == pytest.approx(result.record["test_accuracy"])
    assert result.record["test_digest"] == scored.digest
    assert torch.tensor(result.record["epochs_run"][-1]["thetas"]).shape == (2, 4, 6)
    assert 2 < result.history.column("loss")[0] < 3.5  # of 19 classes: log 19 = 2.9


# All of them


@pytest.mark.parametrize(
    "name", ["cluttered-mnist/st-cnn-crop", "mnist-addition/two-st-fcn-tps", "r-mnist/st-cnn-features"]
)
def test_a_smoke_run_is_recorded(name, tmp_path):
    result = quiet_run(name, "smoke", output=tmp_path / "run")
    assert result.saved and result.record["test_images"] == 100
    assert {"theta", "thetas"} & set(result.record["epochs_run"][-1])


def test_in_clutter_it_is_known_how_far_a_transformer_follows_the_digit(tmp_path):
    result = quiet_run("cluttered-mnist/st-fcn", "smoke", output=tmp_path / "run")
    assert set(result.record["epochs_run"][-1]["taken_back"]) == {"x", "y"}
