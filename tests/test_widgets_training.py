"""`widgets`: a training that is watched draws now and then, and is the same training."""

import io
from itertools import pairwise

import pytest
import torch
from PIL import Image
from strategies import uniform
from torch import nn

from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.training import fit
from stn_course.transforms import Affine
from stn_course.widgets import LiveTraining, training

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES = uniform(0, 12, 1, 8, 8).float()
BATCHES = [(IMAGES[i : i + 4], torch.tensor([0, 1, 0, 1])) for i in (0, 4, 8)]


def network(transformer=True):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 2)]
    if transformer:
        layers.insert(0, SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(64, Affine()))))
    return nn.Sequential(*layers)


def trained(model, epochs=4, **options):
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    return fit(model, BATCHES, epochs=epochs, optimizer=optimizer, progress=False, **options)


@pytest.fixture
def hasty(monkeypatch):
    """It draws after every step."""
    monkeypatch.setattr(training, "SECONDS", 0.0)
    monkeypatch.setattr(training, "SHARE", 1e9)


def pictures_of(live):
    seen = []
    live.picture.observe(lambda change: seen.append(Image.open(io.BytesIO(change["new"])).size), names="value")
    return seen


def test_fit_tells_of_every_step_how_far_it_is():
    told = []
    history = trained(network(), 2, watch=lambda model, done, epochs, loss: told.append((round(done, 2), epochs, loss)))
    assert [(done, epochs) for done, epochs, _ in told] == [(n, 2) for n in (0.33, 0.67, 1.0, 1.33, 1.67, 2.0)]
    assert torch.stack([loss for *_, loss in told[3:]]).mean().item() == pytest.approx(history.rows[-1]["loss"])


def test_without_a_number_of_batches_whole_epochs_are_told():
    class Stream:
        def __iter__(self):
            return iter(BATCHES)

    told, model = [], network()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    fit(model, Stream(), epochs=2, optimizer=optimizer, progress=False, watch=lambda m, done, *_: told.append(done))
    assert told == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("transformer", [True, False])
def test_a_watched_training_is_the_same_training(hasty, transformer):
    alone, watched = network(transformer), network(transformer)
    torch.manual_seed(1)
    first = trained(alone)
    live = LiveTraining(IMAGES[:3])
    seen = pictures_of(live)
    torch.manual_seed(1)
    second = trained(watched, watch=live)
    assert [row["loss"] for row in first.rows] == [row["loss"] for row in second.rows]
    assert all(torch.equal(a, b) for a, b in zip(alone.state_dict().values(), watched.state_dict().values()))
    assert len(seen) == 12 and len(set(seen)) == 1  # of one size, so nothing jumps
    assert live.words.value == ""


def test_it_shows_where_the_network_looks_now(hasty):
    live, model = LiveTraining(IMAGES[:3]), network()
    trained(model, watch=live)
    scene = live._scene(model)
    torch.testing.assert_close(scene.looks[0][-1], model[0].theta(IMAGES[:3]).detach())
    assert not torch.equal(scene.looks[0][-1], scene.looks[0][0])
    shown = Image.open(io.BytesIO(live.picture.value)).convert("RGB")
    assert shown.tobytes() == live.figure().image.convert("RGB").tobytes()


def test_modes_of_single_layers_are_left_as_they_are(hasty):
    model = network()
    model.train()
    model[2].eval()
    LiveTraining(IMAGES[:3])(model, 0.5, 1, torch.tensor(1.0))
    assert model.training and model[0].training and not model[2].training


def test_drawing_takes_three_hundredths_of_the_time_at_most(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])
    live, drawn = LiveTraining(IMAGES[:3]), []

    def draw():
        drawn.append(clock[0])
        clock[0] += 0.3
        return Image.new("RGB", (4, 4))

    monkeypatch.setattr(live, "_draw", draw)
    for step in range(1, 10_001):
        clock[0] += 0.02
        live(network, step / 100, 1000, torch.tensor(1.0))
    assert len(drawn) >= 15 and len(drawn) * 0.3 / clock[0] < 0.032
    assert all(later - earlier > 9.9 for earlier, later in pairwise(drawn))


def test_the_last_step_is_always_drawn_and_another_training_starts_a_new_curve():
    live = LiveTraining(IMAGES[:3])
    seen = pictures_of(live)
    for _ in range(2):
        trained(network(), watch=live)
        assert seen and live._losses[-1][0] == 4
    assert len(live._losses) == 6  # two steps a point: nothing of the first


def test_the_curve_has_eight_points_at_most_for_the_steps_since_the_last_picture():
    live, model = LiveTraining(IMAGES[:3]), network()
    for step in range(1, 17):
        live(model, step / 16, 2, torch.tensor(float(step)))
    live.figure()
    assert live._losses == [(step / 16, step - 0.5) for step in range(2, 17, 2)]
    live(model, 1.25, 2, torch.tensor(0.5))
    live.figure()
    assert live._losses[8:] == [(1.25, 0.5)]


def test_what_was_not_watched_has_no_picture():
    with pytest.raises(RuntimeError, match="expected a training that was watched, got none"):
        LiveTraining(IMAGES).figure()
    assert "as soon as it runs" in LiveTraining(IMAGES).words.value
