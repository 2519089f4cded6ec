"""Watching θ: its measures by hand, and a warning in words for each way in which θ goes wrong; else none."""

import re

import pytest
import torch
from torch import nn

from stn_course.models import STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.training import fit
from stn_course.transforms import Affine, Attention, Projective, ThinPlateSpline
from stn_course.watching import ThetaWatch, frame

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def model(theta=(1.0, 0, 0, 0, 1, 0), spread=0.01):
    """A network whose θ is this one for every image, give or take."""
    torch.manual_seed(0)
    layer = SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(64, Affine())))
    with torch.no_grad():
        layer.localisation[1].bias.copy_(torch.tensor(theta))
        layer.localisation[1].weight.normal_(std=spread)
    return nn.Sequential(layer, nn.Dropout(), nn.Flatten(), nn.Linear(64, 2))


def seen(*thetas, done=0.5, epochs=1, **settings):
    said = []
    watch = ThetaWatch(IMAGES, every=1, say=said.append)
    for theta in thetas:
        watch(model(theta, **settings), done, epochs, torch.tensor(1.0))
    assert said == watch.warnings
    return watch


def test_frames_by_hand():
    theta = torch.tensor([[0.5, 0, 0.75, 0, 0.5, 0], [0, -1, 0, 1, 0, 0], [-1, 0, 0.3, 0, 1, 0.4], [1, 0, 3, 0, 1, 0]])
    measured = frame(theta)
    torch.testing.assert_close(measured.determinant, torch.tensor([0.25, 1, -1, 1]))
    torch.testing.assert_close(measured.shift, torch.tensor([0.75, 0, 0.5, 3]))
    torch.testing.assert_close(measured.outside, torch.tensor([0.25, 0, 1 - 42 / 64, 1]))


@pytest.mark.parametrize("family", [Attention(), Projective(), ThinPlateSpline()], ids=repr)
def test_the_same_of_every_family(family):
    measured = frame(family.identity().repeat(2, 1), family)
    for values, expected in zip(measured, (1.0, 0.0, 0.0)):
        torch.testing.assert_close(values, torch.full((2,), expected), rtol=0, atol=1e-5)


def test_nan_is_passed_on():
    assert all(values.isnan().all() for values in frame(torch.full((1, 6), torch.nan)))


def test_a_healthy_network_is_not_warned_of():
    watch = seen((1.0, 0, 0, 0, 1, 0), (0.8, 0, 0.1, 0, 0.8, 0), done=0.9)
    assert watch.warnings == [] and len(watch.rows) == 2
    assert watch.rows[0]["jump"] == [] and 0.05 < watch.rows[1]["jump"][0] < 0.5


@pytest.mark.parametrize(
    ("thetas", "word"),
    [
        ([(0.01, 0, 0, 0, 0.01, 0)], "has shrunk to 0.0"),
        ([(1.0, 0, 1.5, 0, 1, 0)], "looks outside: "),
        ([(-1.0, 0, 0, 0, 1, 0)], "mirrors the picture"),
        ([(float("nan"), 0, 0, 0, 1, 0)], r"is no number \(NaN\)"),
        ([(1.0, 0, -0.4, 0, 1, 0), (1.0, 0, 0.4, 0, 1, 0)], "jumps: the frames move by 0.8"),
    ],
)
def test_each_way_of_running_away_is_told_once(thetas, word):
    watch = seen(*thetas, *thetas, spread=0.003)
    told = [warning for warning in watch.warnings if re.search(word, warning)]
    assert len(told) == 1 and told[0].startswith("epoch 0.5: θ ")


def test_a_theta_that_is_the_same_for_all_is_told_after_half_of_the_training_only():
    same = (1.0, 0, 0, 0, 1, 0)
    assert seen(same, spread=0, done=0.5).warnings == []
    assert "is the same for all images" in seen(same, spread=0, done=0.6).warnings[0]


def test_it_looks_every_so_many_steps_of_a_real_training_and_changes_nothing():
    batches = [(IMAGES, torch.tensor([0, 1, 0, 1]))] * 6

    def trained(watch):
        network = model()
        torch.manual_seed(1)
        fit(
            network,
            batches,
            epochs=2,
            optimizer=torch.optim.SGD(network.parameters(), 0.1),
            watch=watch,
            progress=False,
        )
        return network.state_dict()

    watch = ThetaWatch(IMAGES, every=4)
    with_it, without = trained(watch), trained(None)
    assert all(torch.equal(with_it[name], without[name]) for name in without)
    assert [row["epoch"] for row in watch.rows] == pytest.approx([4 / 6, 8 / 6, 2])
    assert all(row["determinant"][0] > 0 and row["loss"] > 0 for row in watch.rows)


class Two(STNetwork):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(model(theta)[0] for theta in ((1.0, 0, 0, 0, 1, 0), (1.0, 0, 1.6, 0, 1, 0)))

    def looks(self, x):
        return [look(layer, x) for layer in self.layers]


def test_several_transformers_are_told_apart():
    watch = ThetaWatch(IMAGES, every=1, say=lambda text: None)
    watch(Two(), 0.2, 1, torch.tensor(1.0))
    assert len(watch.rows[0]["shift"]) == 2
    assert [warning.split(": ")[1] for warning in watch.warnings] == ["transformer 2 looks outside"]


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="at least two images to watch, got 1"):
        ThetaWatch(IMAGES[:1])
