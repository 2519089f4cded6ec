"""Tasks of many things: clutter, sums of pairs, and ten sets of pictures without labels."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import few
from tiny_runs import quiet_run, tiny, tiny_run

from stn_course.data import Batches, load_mnist
from stn_course.experiments import EXPERIMENTS, load_weights
from stn_course.models import Search
from stn_course.spatial_transformer import warp
from stn_course.tasks import Profile, cluttered_mnist, co_localisation, mnist_addition
from stn_course.tasks.mnist_addition import in_pairs
from stn_course.training import evaluate
from stn_course.transforms import Attention

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


# Ten sets of pictures without labels


@pytest.fixture(scope="module")
def ten_sets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(co_localisation, "PICTURES", 12)
        return {
            name: EXPERIMENTS[f"{name}/attention"].load("test", offline=True)
            for name in ("co-localisation", "co-localisation-clutter")
        }


def test_each_channel_has_the_pictures_of_one_digit_in_the_box_that_its_label_says(ten_sets):
    plain, cluttered = ten_sets.values()
    digits = load_mnist("test", offline=True)
    assert plain.images.shape == (12, 10, 84, 84) and plain.labels.shape == (12, 10, 4)
    assert torch.equal(plain.labels, cluttered.labels) and (cluttered.images >= plain.images).all()
    assert (cluttered.images > plain.images).flatten(2).any(2).all()
    torch.testing.assert_close(plain.labels[..., 2:] - plain.labels[..., :2], torch.full((12, 10, 2), 2 / 3))
    assert plain.labels.abs().max() <= 1
    for digit in range(10):
        originals = digits.images[digits.labels == digit][:12].double()
        x, y = plain.labels[:, digit].double().unflatten(1, (2, 2)).mean(1).T
        theta = torch.stack((torch.full_like(x, 1 / 3), x, y), 1)
        cut = warp(plain.images[:, [digit]].double(), theta, Attention(), (28, 28))
        # each pixel is interpolated twice: a blur, and nothing moved
        assert torch.corrcoef(torch.stack((cut.flatten(), originals.flatten())))[0, 1] > 0.93
    assert cluttered.source.endswith("12 of each digit, distorted (clutter)")


def test_the_sets_are_the_same_each_time_and_other_places_in_the_other_split(ten_sets, monkeypatch):
    monkeypatch.setattr(co_localisation, "PICTURES", 12)
    load = EXPERIMENTS["co-localisation-clutter/attention"].load
    assert load("test", offline=True).digest == ten_sets["co-localisation-clutter"].digest
    train = load("train", offline=True)
    assert (train.labels != ten_sets["co-localisation-clutter"].labels).all()


def outputs_of(model, n=5):
    return model(torch.rand(n, 10, 84, 84, generator=seeded()))


def test_the_hinge_is_pytorchs_over_all_pairs_of_a_set():
    outputs = 0.2 * torch.randn(4, 3, 3 + 2 * 7, generator=seeded(), dtype=torch.float64)
    seen, random = outputs[..., 3:10], outputs[..., 10:]
    each = [
        F.triplet_margin_loss(seen[n, s], seen[m, s], random[n, s], margin=co_localisation.MARGIN, eps=0)
        for s in range(3)
        for n in range(4)
        for m in range(4)
        if n != m
    ]
    hinge = co_localisation.triplet_hinge(outputs, torch.zeros(4, 3, 4))
    torch.testing.assert_close(hinge, torch.stack(each).mean())
    assert co_localisation.triplet_hinge(outputs[:1], torch.zeros(1, 3, 4)) == 0  # one picture agrees with nothing


def test_found_is_a_box_that_shares_more_than_half_with_the_true_one():
    labels = torch.tensor([[[-0.83, -0.83, -0.17, -0.17], [0.17, 0.17, 0.83, 0.83]]]).expand(3, -1, -1)
    there, beside, nowhere = [0.6, 0.5, 0.5], [0.6, 0.5, 0.25], [0.6, 1.5, 0]
    theta = torch.tensor([[[0.6, -0.6, -0.4], there], [[0.6, -0.5, -0.5], beside], [nowhere] * 2])
    outputs = torch.cat((theta, torch.zeros(3, 2, 4)), dim=2)
    assert co_localisation.found(outputs, labels).tolist() == [1.0, 0.5, 0.0]  # 5/8 of each side is too little: 5/11


@pytest.mark.parametrize("shape", [(3, 10), (3, 10, 3), (3, 10, 6), (3, 10, 4)])
def test_outputs_and_labels_of_other_shapes_are_refused_in_words(shape):
    with pytest.raises(ValueError, match=r"outputs \(B, sets, 3 \+ 2 · features\) of a CoLocaliser, got a tensor of"):
        co_localisation.triplet_hinge(torch.zeros(shape), torch.zeros(3, 10, 4))
    with pytest.raises(ValueError, match=r"a θ and a box for each picture, .* got a tensor of .* and a tensor of"):
        co_localisation.found(torch.zeros(3, 10, 7), torch.zeros(3))


def test_no_training_changes_what_it_knows_of_digits_and_its_dropout_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(co_localisation, "PICTURES", 12)
    size = Profile(1, train_images=12, test_images=12, offline=True)
    monkeypatch.setitem(EXPERIMENTS, "toy/find", tiny("co-localisation/attention", size))
    before = {key: value.clone() for key, value in co_localisation.localiser().features.state_dict().items()}
    result = tiny_run("toy/find", output=tmp_path / "run")
    after = result.model.features.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before) and len(before) == 8
    assert "test_found" in result.record and "accuracy" not in result.history.rows[0]
    assert torch.tensor(result.history.rows[-1]["thetas"]).shape == (10, 1, 3)
    model = result.model.train()
    assert not any(module.training for module in model.features.modules()) and model.training
    digits = load_mnist("test", offline=True)
    tiles = F.interpolate(digits.images.float() / 255, scale_factor=2, mode="nearest")
    assert F.normalize(model.features(tiles), dim=1).shape == (1000, 50)


def test_the_labels_teach_nothing():
    torch.manual_seed(0)
    model = co_localisation.localiser().eval()
    outputs = outputs_of(model)
    of_any = [co_localisation.triplet_hinge(outputs, torch.full((5, 10, 4), value)) for value in (0.0, 1.0)]
    assert of_any[0] == of_any[1]


def test_another_crop_is_as_large_as_a_digit_and_inside_and_in_evaluation_the_same_each_time():
    model = co_localisation.localiser()
    theta = torch.cat((torch.full((500, 10, 1), 0.6), torch.zeros(500, 10, 2)), dim=2)
    places = model.elsewhere(theta)
    assert (places[..., 0] * 3 - 1).abs().max() < 1e-6 and 0.66 < places[..., 1:].abs().max() <= 2 / 3
    assert not torch.equal(places, model.elsewhere(theta))
    assert torch.equal(model.eval().elsewhere(theta), model.elsewhere(theta))
    assert torch.equal(outputs_of(model), outputs_of(model))


def test_a_search_that_knows_a_digit_at_one_place_knows_it_at_all():
    torch.manual_seed(0)
    search, picture = Search().eval(), torch.zeros(1, 1, 84, 84)
    assert torch.equal(search(picture)[0, 1:].abs() < 1e-6, torch.tensor([True, True]))
    torch.nn.init.normal_(search.score[-1].weight, std=300.0)
    picture[..., 24:45, 30:51] = torch.rand(21, 21, generator=seeded())
    near, far = search(picture), search(picture.roll((15, -9), (2, 3)))
    from_middle, moved = near[0, 1:], (far - near)[0, 1:]
    assert from_middle.abs().max() > 0.05 and far[0, 0] == near[0, 0]
    score = torch.softmax(search.score(picture).flatten(1), 1)
    assert score.sum().item() == pytest.approx(1)
    expected = torch.tensor([-9.0, 15]) / 42
    assert (moved - expected).abs().max() < expected.abs().max() and (moved * expected > 0).all()


def test_every_part_of_a_search_learns():
    model = co_localisation.localiser()
    for layer in model.transformers:
        torch.nn.init.normal_(layer.localisation.score[-1].weight, std=0.1)
    co_localisation.triplet_hinge(outputs_of(model), torch.zeros(5, 10, 4)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []
    assert len(model.localisation_parameters()) == len([*model.parameters()])
