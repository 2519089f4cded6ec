"""A task is one file: whatever it learns, however it is scored, it runs, is stopped, goes on and is recorded."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import assert_same_weights, changed, sending, tiny, tiny_run, without_time
from torch import nn

import stn_course.experiments.runner
from stn_course.data import Batches, load_mnist
from stn_course.distortions import RTS, Pose
from stn_course.experiments import EXPERIMENTS, Experiment, load_weights
from stn_course.models import STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.tasks import (
    OFFLINE,
    TASKS,
    Contestant,
    Phase,
    Profile,
    Recipe,
    Task,
    papers_table,
    rts_mnist,
    signs,
    six_or_nine,
)
from stn_course.training import evaluate
from stn_course.transforms import Affine

pytestmark = pytest.mark.usefixtures("one_thread")


# Those of the course


def test_a_file_has_a_task_and_its_contestants_and_the_catalogue_is_the_union():
    assert [file.TASK.name for file in TASKS] == [
        "rts-mnist",
        "r-mnist",
        "p-mnist",
        "e-mnist",
        "rts-90-mnist",
        "rts-180-mnist",
        "six-or-nine",
        "cluttered-mnist",
        "mnist-addition",
        "co-localisation",
        "co-localisation-clutter",
        "mnist",
        "cifar10",
        "rts-cifar10",
        "rts-round-cifar10",
        "straight-round-cifar10",
        "signs",
    ]
    names = [f"{file.TASK.name}/{name}" for file in TASKS for name in file.CONTESTANTS]
    assert list(EXPERIMENTS) == names and len(set(names)) == len(names)
    for file in TASKS:
        baselines = {contestant.baseline for contestant in file.CONTESTANTS.values()} - {None}
        assert baselines <= set(file.CONTESTANTS)


def test_there_is_an_st_cnn_for_each_family():
    families = rts_mnist.FAMILIES
    names = ["st-cnn", *(f"st-cnn-{family.label}" for family in families)]
    networks = {name: one for name, one in rts_mnist.CONTESTANTS.items() if name in names}
    assert [one.model().spatial_transformer.transform for one in networks.values()] == list(families)
    assert [one.title for one in networks.values()][:2] == ["ST-CNN, affine", "ST-CNN, attention"]
    assert list(networks)[:2] == ["st-cnn", "st-cnn-attention"]
    assert all(name == "st-cnn" or one.title == f"ST-CNN, {name[7:]}" for name, one in networks.items())


def test_the_tasks_of_the_papers_table_have_its_eight_networks_and_a_canvas_of_one_size():
    names = ["fcn", "cnn", *(f"st-{kind}{family}" for kind in ("fcn", "cnn") for family in ("", "-projective", "-tps"))]
    assert list(papers_table.ERRORS) == names
    tasks = tuple(f"{column.lower()}-mnist/" for column in papers_table.COLUMNS)
    cells = {name: one.paper for name, one in EXPERIMENTS.items() if one.paper is not None and name.startswith(tasks)}
    assert set(cells) == {f"{column}-mnist/{name}" for column in ("r", "rts", "p", "e") for name in names}
    for column in ("r", "rts", "p", "e"):
        errors = {name: cells[f"{column}-mnist/{name}"] for name in names}
        assert errors["fcn"] == max(errors.values()) and errors["st-cnn-tps"] == min(errors.values())
        experiments = [EXPERIMENTS[f"{column}-mnist/{name}"] for name in names]
        assert experiments[0].distortion.canvas == (42, 42) and experiments[0].load is load_mnist
        assert {len(one.tries) for one in experiments} == {5}
        assert [one.baseline for one in experiments] == [None] * 2 + [
            f"{column}-mnist/{name}" for name in ("fcn", "cnn") for _ in range(3)
        ]
        assert column == "rts" or experiments[0].profiles["full"].epochs == 20
    assert (cells["r-mnist/fcn"], cells["rts-mnist/fcn"], cells["p-mnist/st-fcn-projective"]) == (2.1, 5.2, 1.4)
    assert (cells["e-mnist/st-cnn-projective"], cells["e-mnist/cnn"]) == (1.3, 1.4)


def test_on_tasks_of_the_courses_own_nothing_was_reported():
    others = [one for name, one in EXPERIMENTS.items() if name.startswith(("rts-90", "rts-180", "six-or-nine"))]
    assert len(others) == 9
    assert all((one.paper, one.published, set(one.recipes)) == (None, None, {"course"}) for one in others)


def test_no_digit_of_r_is_cut_off_however_it_is_turned():
    rts = EXPERIMENTS["r-mnist/cnn"].distortion
    pose = rts.pose(rts.sample(200, torch.Generator().manual_seed(0), torch.float64))
    torch.testing.assert_close(pose.scale, torch.ones_like(pose.scale))
    assert pose.centre.abs().max() < 1e-12 and 85 < pose.degrees.abs().max() <= 90
    turns = torch.linspace(-90, 90, 181, dtype=torch.float64)
    theta = rts.theta(Pose(turns, torch.ones_like(turns), torch.zeros(181, 2, dtype=torch.float64)))
    ink = rts.apply(torch.ones(181, 1, 28, 28, dtype=torch.float64), theta)
    assert ink[..., [0, -1], :].max() == ink[..., [0, -1]].max() == 0  # all of its box, and a margin
    torch.testing.assert_close(ink.sum((1, 2, 3)), torch.full((181,), 784.0, dtype=torch.float64), rtol=0.01, atol=0)


@pytest.mark.parametrize("file", TASKS, ids=lambda file: file.TASK.name)
def test_whether_a_profile_does_without_a_network_follows_from_its_name(file):
    assert {name: profile.offline for name, profile in file.TASK.profiles.items()} == OFFLINE


# One more: pairs of digits side by side, both to be read


def load_pairs(split, offline=None):
    digits = load_mnist(split, offline=True)[:160]
    images = torch.cat([digits.images[0::2], digits.images[1::2]], 3)  # (80, 1, 28, 56)
    return replace(digits, images=images, labels=digits.labels.reshape(-1, 2), source=f"pairs, {split}")


def sum_of_cross_entropies(outputs, labels):
    return F.cross_entropy(outputs[:, 0], labels[:, 0]) + F.cross_entropy(outputs[:, 1], labels[:, 1])


def both_right(outputs, labels):
    return (outputs.argmax(2) == labels).all(1)


def load_brightness(split, offline=None):
    digits = load_mnist(split, offline=True)[:80]
    return replace(digits, labels=digits.images.float().mean((1, 2, 3)) / 255)


def squared_error(outputs, labels):
    return F.mse_loss(outputs[:, 0], labels)


def within_a_hundredth(outputs, labels):
    return (outputs[:, 0] - labels).abs() < 0.01


def linear(pixels, *outputs):
    return lambda: nn.Sequential(nn.Flatten(), nn.Linear(pixels, outputs[0]), nn.Unflatten(1, outputs[1:] or (-1,)))


class Once:
    """Prepares nothing, but does something before batch number `batch`."""

    def __init__(self, action, batch):
        self.action, self.left = action, batch

    def __call__(self, images, generator=None):
        self.left -= 1
        if self.left == 0:
            self.action()
        return images


RECIPES = {"course": Recipe("adamw", 1e-3, batch_size=32, one_cycle=True)}
PROFILES = {"tiny": Profile(4, train_images=64, test_images=40, offline=True)}
TOYS = {
    "two digits": (
        Task("pairs", load_pairs, PROFILES, loss=sum_of_cross_entropies, score=both_right),
        Contestant("linear", linear(28 * 56, 20, 2, 10), RECIPES),
    ),
    "a number": (
        Task("brightness", load_brightness, PROFILES, loss=squared_error, score=within_a_hundredth),
        Contestant("linear", linear(28 * 28, 1), RECIPES),
    ),
}


@pytest.fixture(params=TOYS)
def toy(request, monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    task, contestant = TOYS[request.param]
    monkeypatch.setitem(EXPERIMENTS, "toy/linear", Experiment(task, contestant))
    return EXPERIMENTS["toy/linear"]


def test_a_task_with_labels_loss_and_score_of_its_own_is_run_and_recorded(toy, tmp_path):
    result, score = tiny_run("toy/linear", output=tmp_path / "run"), toy.task.score.__name__
    record = json.loads((tmp_path / "run" / "record.json").read_text(encoding="utf-8"))
    assert record == result.record
    assert {"test_loss", f"test_{score}"} <= set(record) and "test_accuracy" not in record
    assert [set(row) for row in record["epochs_run"]] == [{"epoch", "loss", score, "seconds"}] * 4
    assert result.history.column("loss")[-1] < result.history.column("loss")[0]
    model = load_weights(toy.model(), tmp_path / "run" / "weights.pt")
    scored = evaluate(model, Batches(toy.load("test")[:40], 1000), toy.task.loss, toy.task.score)
    assert scored[:2] == pytest.approx((record["test_loss"], record[f"test_{score}"]), rel=1e-5)
    assert list(scored.missed) == record["test_missed"]
    for option, columns in {
        "validate": {"validation_loss", f"validation_{score}"},
        "every_epoch": {f"test_{score}"},
    }.items():
        rows = tiny_run("toy/linear", output=tmp_path / option, **{option: True}).history.rows
        assert all(columns <= set(row) for row in rows)


def test_it_is_stopped_and_goes_on(toy, tmp_path, monkeypatch, sigint, capsys):
    whole = tiny_run("toy/linear", output=tmp_path / "whole")
    disturbed = replace(toy.task, normalise=Once(sending(sigint), batch=3))
    monkeypatch.setitem(EXPERIMENTS, "toy/linear", Experiment(disturbed, toy.contestant))
    stopped = tiny_run("toy/linear", output=tmp_path / "run")
    assert stopped.record is None and stopped.history.stopped == "stopped by hand in epoch 2 of 4"
    monkeypatch.setitem(EXPERIMENTS, "toy/linear", toy)
    result = tiny_run("toy/linear", output=tmp_path / "run", progress=True)
    assert "Going on after epoch 1 of 4" in capsys.readouterr().out
    assert without_time(result.record) == without_time(whole.record)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


class TwoReaders(STNetwork):
    """A look for each of the two digits, and one classifier for both."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(self.layer(side) for side in (-0.5, 0.5))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(14 * 14, 10))

    def layer(self, side):
        localisation = nn.Sequential(nn.Flatten(), theta_head(28 * 56, Affine()))
        with torch.no_grad():
            localisation[-1].bias.copy_(torch.tensor([0.5, 0, side, 0, 1, 0]))
        return SpatialTransformer(localisation, output_size=(14, 14))

    def looks(self, x):
        return [look(layer, x) for layer in self.layers]

    def forward(self, x):
        return torch.stack([self.classifier(one.warped) for one in self.looks(x)], dim=1)


def test_the_thetas_of_several_looks_are_recorded_a_list_a_look(monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    task, _ = TOYS["two digits"]
    recipe = Recipe("sgd", 0.1, batch_size=32, localisation_rate=0.1)
    contestant = Contestant("two readers", TwoReaders, {"course": recipe})
    monkeypatch.setitem(EXPERIMENTS, "toy/readers", Experiment(task, contestant))
    result = tiny_run("toy/readers", output=tmp_path / "run")
    probes = task.probe_images(task.load("test")[:40])
    with torch.inference_mode():
        expected = torch.stack([one.theta for one in result.model.looks(probes)])
    recorded = torch.tensor(result.history.rows[-1]["thetas"])
    assert recorded.shape == (2, 10, 6) and "theta" not in result.history.rows[-1]
    torch.testing.assert_close(recorded, expected, atol=5e-3, rtol=0)  # float16 weights, four decimals


class Nameless(RTS):
    """RTS, but without poses."""

    label = "nameless"

    def pose(self, theta):
        return None


def test_the_distortion_of_a_task_gives_distorted_data_its_name_and_its_poses_if_it_has_any():
    task, digits = replace(rts_mnist.TASK, distortion=RTS(degrees=10)), load_mnist("test", offline=True)[:20]
    images, labels, pose = task.posed_images(digits)
    assert images.shape == (20, 1, 42, 42) and torch.equal(labels, digits.labels) and pose.degrees.abs().max() < 10
    assert task.scored_images(digits).source.endswith(", distorted (RTS)")
    other = replace(task, distortion=Nameless())
    assert other.posed_images(digits) is None
    assert other.scored_images(digits).source.endswith(", distorted (nameless)")


# Recipes by their numbers, and in phases


def test_a_recipe_can_be_named_by_its_numbers():
    contestant = rts_mnist.CONTESTANTS["st-cnn"]
    expected = replace(contestant.recipes["course"], batch_size=32, learning_rate=2e-4, localisation_rate=0.5)
    assert contestant.recipe("32-0.0002-0.5") == expected
    assert contestant.recipe("course") is contestant.recipes["course"]


@pytest.mark.parametrize("name", ["", "64", "64-0.1", "64-0.1-1-1", "x-0.1-1", "6.5-0.1-1", "1e2-1-1"])
def test_other_names_of_recipes_are_told_both_ways(name):
    with pytest.raises(ValueError, match=f"one of published, course, .* such as 64-0.001-5, got '{name}'"):
        rts_mnist.CONTESTANTS["st-cnn"].recipe(name)


@pytest.mark.parametrize("name", ["0-0.1-1", "64-0-1", "64-0.1-0", "64-inf-1", "64-nan-1"])
def test_numbers_that_no_recipe_can_have_are_refused(name):
    with pytest.raises(ValueError, match=f"numbers of a recipe above 0, got '{name}'"):
        rts_mnist.CONTESTANTS["st-cnn"].recipe(name)


@pytest.mark.parametrize(
    ("epochs", "ends"), [(1, [1]), (2, [1, 2]), (8, [1, 4, 8]), (10, [1, 5, 10]), (50, [6, 25, 50])]
)
def test_phases_end_with_whole_epochs_and_the_last_with_the_training(epochs, ends):
    assert [end for _, end in rts_mnist.TURNING.phase_ends(epochs)] == ends
    assert rts_mnist.TURNING.phase_ends(epochs)[-1][0] == rts_mnist.TURNING.phases[-1]


@pytest.mark.parametrize("until", [(0.5,), (0.5, 0.5, 1.0), (0.7, 0.3, 1.0), (0.0, 1.0), (0.5, 1.5)], ids=str)
def test_phases_that_do_not_rise_to_the_whole_training_are_refused(until):
    with pytest.raises(ValueError, match="rising shares of the training, the last one 1, got"):
        replace(rts_mnist.TURNING, phases=tuple(map(Phase, until)))


def test_without_phases_everything_learns_on_the_whole_distortion():
    assert rts_mnist.COURSE["course"].phase_ends(7) == [(Phase(1.0, 1.0, True, True), 7)]


class Noted(RTS):
    """Notes how far each batch of training is turned at most."""

    def __init__(self, notes, degrees=45.0, **settings):
        super().__init__(degrees=degrees, **settings)
        self.notes = notes

    def weaker(self, strength):
        return Noted(self.notes, self.degrees * strength)

    def __call__(self, images, generator=None):
        self.notes.append(self.degrees)
        return super().__call__(images, generator)


class Stopping(list):
    """Notes that end the training at batch number `batch`."""

    def __init__(self, number, batch):
        super().__init__()
        self.stop, self.batch = sending(number), batch

    def append(self, note):
        super().append(note)
        if len(self) == self.batch:
            self.stop()


PHASES = (Phase(0.25, distortion=0.2, localisation=False), Phase(0.75, classifier=False), Phase(1.0))


def in_phases(monkeypatch, tmp_path, notes):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    made = tiny("rts-mnist/st-cnn", distortion=Noted(notes))
    recipe = replace(made.recipes["course"], phases=PHASES)
    monkeypatch.setitem(EXPERIMENTS, "toy/phases", changed(made, recipes={"course": recipe}))
    return "toy/phases"


def test_each_phase_distorts_as_it_says_and_lets_learn_whom_it_says(monkeypatch, tmp_path):
    notes = []
    name = in_phases(monkeypatch, tmp_path, notes)
    states, theirs = [], stn_course.experiments.runner.save_checkpoint

    def noting(*arguments):
        states.append({key: value.clone() for key, value in arguments[3].state_dict().items()})
        return theirs(*arguments)

    monkeypatch.setattr(stn_course.experiments.runner, "save_checkpoint", noting)
    result = tiny_run(name, output=tmp_path / "run")
    assert notes == [9.0] * 3 + [45.0] * 9  # three batches an epoch, four epochs
    torch.manual_seed(0)
    before = EXPERIMENTS[name].model().state_dict()
    changed_parts = [
        {key.split(".")[0] for key in new if not torch.equal(old[key], new[key])}
        for old, new in pairwise([before, *states])
    ]
    both = {"classifier", "spatial_transformer"}
    assert changed_parts == [{"classifier"}, {"spatial_transformer"}, {"spatial_transformer"}, both]
    assert all(parameter.requires_grad for parameter in result.model.parameters())
    assert [phase["until"] for phase in result.record["phases"]] == [0.25, 0.75, 1.0]


@pytest.mark.parametrize("batch", [2, 5, 8, 11])
def test_a_training_in_phases_goes_on_in_the_phase_where_it_stopped(batch, monkeypatch, tmp_path, sigint, capsys):
    name = in_phases(monkeypatch, tmp_path, [])
    whole = tiny_run(name, output=tmp_path / "whole")
    undisturbed = EXPERIMENTS[name]
    monkeypatch.setitem(EXPERIMENTS, name, changed(undisturbed, distortion=Noted(Stopping(sigint, batch))))
    stopped = tiny_run(name, output=tmp_path / "run")
    assert stopped.history.stopped == f"stopped by hand in epoch {(batch + 2) // 3} of 4"
    monkeypatch.setitem(EXPERIMENTS, name, undisturbed)
    result = tiny_run(name, output=tmp_path / "run")
    assert without_time(result.record) == without_time(whole.record)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


# Where the pose is the answer


def test_each_six_is_there_twice_and_turned_round_it_is_called_a_nine():
    data, digits = six_or_nine.sixes_and_nines("test", offline=True), load_mnist("test", offline=True)
    assert len(data) == 2 * (digits.labels == 6).sum() and data.labels.tolist() == [6, 9] * (len(data) // 2)
    assert torch.equal(data.images[0::2], digits.images[digits.labels == 6])
    assert torch.equal(data.images[1::2], data.images[0::2].rot90(2, (2, 3)))
    assert "sixes" in data.source and data.complete == digits.complete


def test_sixes_and_nines_together_lie_in_every_direction():
    distortion = six_or_nine.TASK.distortion
    turned = distortion.pose(distortion.sample(6000, torch.Generator().manual_seed(0))).degrees
    everywhere = torch.histc(torch.cat((turned, turned + 180)) % 360, bins=12, min=0, max=360)
    assert everywhere.min() > 850  # of 1,000


# Where some poses are known


def test_the_first_pictures_have_poses_and_no_others():
    train, test = (signs.signs(split, offline=True) for split in ("train", "test"))
    known = ~train.labels.isnan().any(1)
    assert known.nonzero().flatten().tolist() == [*range(signs.POSES)] and len(train) > signs.POSES
    assert test.labels[:, 1:].isnan().all() and set(train.labels[:, 0].tolist()) == {*range(8)}


def test_the_loss_counts_a_pose_only_where_it_is_known_and_said():
    classes = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, 0.5, -0.5, 0.2], [7, torch.nan, torch.nan, torch.nan], [2, 0, 0, 0.1]]).double()
    crossed = F.cross_entropy(classes, torch.tensor([1, 7, 2]))
    torch.testing.assert_close(signs.class_and_place(classes, labels), crossed)
    said = torch.tensor([[0.5, -0.25, 0.2], [9, 9, 9], [-0.5, 0, 0.2]], dtype=torch.float64, requires_grad=True)
    loss = signs.class_and_place(torch.cat((classes, said), dim=1), labels)
    torch.testing.assert_close(loss, crossed + (0.25 + 0.5 + torch.tensor(2.0).double().log()) / 2)
    (gradient,) = torch.autograd.grad(loss, said)
    assert gradient.isfinite().all() and gradient[1].abs().sum() == 0 and gradient[2].abs().min() >= 0
    nobody = signs.class_and_place(torch.cat((classes, said), dim=1), labels[1:2].expand(3, -1))
    torch.testing.assert_close(nobody, F.cross_entropy(classes, torch.tensor([7, 7, 7])))
    right = torch.tensor([True, False, True])
    classes[torch.arange(3), torch.tensor([1, 0, 2])] = 9.0
    assert torch.equal(signs.accuracy(torch.cat((classes, said), dim=1), labels), right)
