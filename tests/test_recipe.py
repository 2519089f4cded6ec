"""Smoothed labels, momentum, and weights that are the average of those on the way."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import assert_same_weights, changed, sending, tiny, tiny_run, without_time
from torch import nn

from stn_course.data import Batches
from stn_course.distortions import RTS
from stn_course.experiments import EXPERIMENTS
from stn_course.tasks.recipe import Recipe, take_average
from stn_course.training import fit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_smoothing_the_loss_is_the_tasks_own_and_with_it_some_of_a_label_goes_to_all_classes():
    recipe = Recipe("sgd", 0.1, 4)
    assert recipe.training_loss(F.cross_entropy) is F.cross_entropy
    logits, labels = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 4, 9])
    shares = 0.9 * F.one_hot(labels, 10) + 0.1 / 10
    smoothed = replace(recipe, smoothing=0.1).training_loss(F.cross_entropy)(logits, labels)
    torch.testing.assert_close(smoothed, -(shares * logits.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adamw"])
def test_the_average_follows_the_weights_and_takes_their_place_in_the_end(optimizer):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    made, _ = Recipe(optimizer, 0.1, 4, average=0.75).optimizer_and_schedule(model, 9)
    expected = None
    for _ in range(5):
        made.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        made.step()
        now = model.weight.detach().clone()
        expected = now if expected is None else 0.75 * expected + 0.25 * now
    assert not torch.allclose(model.weight, expected)
    take_average(made)
    torch.testing.assert_close(model.weight.detach(), expected)


def test_without_an_average_the_weights_stay():
    model = nn.Linear(3, 2)
    made, _ = Recipe("adamw", 0.1, 4).optimizer_and_schedule(model, 9)
    model(torch.ones(1, 3)).sum().backward()
    made.step()
    before = model.weight.detach().clone()
    take_average(made)
    assert torch.equal(model.weight, before)


def test_nesterov_is_momentum_that_looks_ahead():
    model = nn.Linear(1, 1, bias=False)
    made, _ = Recipe("nesterov", 0.1, 4).optimizer_and_schedule(model, 9)
    weight, velocity = model.weight.item(), 0.0
    for _ in range(4):
        made.zero_grad()
        model.weight.square().sum().backward()
        made.step()
        slope = 2 * weight
        velocity = 0.9 * velocity + slope
        weight -= 0.1 * (slope + 0.9 * velocity)
    assert model.weight.item() == pytest.approx(weight, rel=1e-4, abs=1e-6)


class Stopping(RTS):
    def __init__(self, action, batch):
        super().__init__()
        self.action, self.left = action, batch

    def __call__(self, images, generator=None):
        self.left -= 1
        if self.left == 0:
            self.action()
        return super().__call__(images, generator)


def test_a_run_that_averages_is_stopped_and_goes_on_to_the_same_weights(monkeypatch, tmp_path, sigint):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    made = tiny("rts-mnist/st-cnn")
    recipe = replace(made.recipes["course"], optimizer="nesterov", learning_rate=0.01, smoothing=0.1, average=0.5)
    made = changed(made, recipes={"course": recipe})
    monkeypatch.setitem(EXPERIMENTS, "toy/average", made)
    whole = tiny_run("toy/average", output=tmp_path / "whole")
    monkeypatch.setitem(EXPERIMENTS, "toy/average", changed(made, distortion=Stopping(sending(sigint), 5)))
    assert tiny_run("toy/average", output=tmp_path / "run").history.by_hand
    monkeypatch.setitem(EXPERIMENTS, "toy/average", made)
    result = tiny_run("toy/average", output=tmp_path / "run")
    assert without_time(result.record) == without_time(whole.record)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
    last = torch.load(max((tmp_path / "run").rglob("epoch-*.pt")), weights_only=True)
    weight = "classifier.layers.0.weight"
    assert not torch.equal(last["model"][weight], whole.model.state_dict()[weight])  # those on the way are not these


@pytest.mark.parametrize("name", ["nesterov", "smoothed"])
@pytest.mark.parametrize("contestant", ["st-resnet", "st-resnet-baseline"])
def test_the_fast_recipes_take_steps_and_stay_finite(name, contestant):
    torch.manual_seed(0)
    experiment = EXPERIMENTS[f"cifar10/{contestant}"]
    recipe = replace(experiment.recipe(name), batch_size=8)
    model = experiment.model()
    batches = Batches(experiment.load("train", offline=True)[:16], 8, experiment.training_transform(recipe), True)
    optimizer, schedule = recipe.optimizer_and_schedule(model, 4)
    how = dict(optimizer=optimizer, schedule=schedule, clip=recipe.clip, loss=recipe.training_loss(F.cross_entropy))
    assert fit(model, batches, epochs=2, progress=False, **how).stopped is None
    take_average(optimizer)
    assert all(value.isfinite().all() for value in model.state_dict().values())
