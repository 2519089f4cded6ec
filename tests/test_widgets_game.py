"""`widgets`: the score of the game is the loss and the overlap that it says."""

import math

import pytest
import torch
from strategies import uniform

from stn_course.recovery import overlap
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Projective, Similarity
from stn_course.widgets import LocalisationGame

pytestmark = pytest.mark.usefixtures("one_thread")
KNOWN = {"easy": torch.tensor([0.6, 0.1, 0.2, -0.1, 0.6, 0]), "hard": torch.tensor([0.3, -0.3, 0.4, 0.3, 0.3, -0.4])}


@pytest.fixture
def game():
    images = {name: uniform(i, 1, 12, 12) for i, name in enumerate(KNOWN)}
    templates = {name: warp(images[name][None], KNOWN[name][None], output_size=(10, 10))[0] for name in KNOWN}
    return LocalisationGame(images, KNOWN, templates)


def test_the_score_is_the_loss_against_the_template_and_the_overlap_of_the_frames(game):
    game.set([0.5, 0, 0, 0, 0.5, 0], "hard")
    loss, share = game.score()
    theta = torch.tensor([[0.5, 0, 0, 0, 0.5, 0]])
    seen = warp(game.images["hard"][None], theta, output_size=(10, 10))[0]
    assert math.isclose(loss, (seen - game.templates["hard"]).square().mean(), rel_tol=1e-6)
    assert math.isclose(share, overlap(theta, KNOWN["hard"][None]).item(), abs_tol=0.01)
    assert game.score(KNOWN["hard"])[1] > 0.97
    assert f"{loss:.4f}" in game.points.value and f"{share:.0%}" in game.points.value


def test_the_known_theta_is_all_there_is(game):
    for name, theta in KNOWN.items():
        game.set(theta, name)
        loss, share = game.score()
        assert loss < 1e-9 and share > 0.99
        assert game.points.value.count("0.0000") == 3


def test_the_best_is_kept_for_each_picture(game):
    game.set(KNOWN["easy"], "easy")
    game.set([1, 0, 0.4, 0, 1, 0])
    assert game.score()[1] < 0.6 and game.best["easy"][1] > 0.99 and game.best["easy"][0] < 1e-9
    game.set(image="hard")
    assert game.best["hard"] == game.score() and game.best["hard"][1] < 0.9
    game.reset.click()
    assert game.best["easy"][1] > 0.99


def test_it_begins_where_an_untrained_network_begins(game):
    assert game.theta == tuple(Affine().identity().tolist()) and game.image.value == "easy"


def test_a_picture_of_the_readers_own_has_no_score(game):
    game.images["own file"] = uniform(9, 1, 12, 12)
    game.image.options = [*game.images]
    game.image.value = "own file"
    assert "there is no score" in game.points.value


def test_every_picture_needs_its_theta_and_its_template():
    image = {"a 5": uniform(0, 1, 8, 8)}
    with pytest.raises(ValueError, match="expected thetas for a 5, got them for a 6"):
        LocalisationGame(image, {"a 6": KNOWN["easy"]}, image)
    with pytest.raises(ValueError, match="expected templates for a 5, got them for $"):
        LocalisationGame(image, {"a 5": KNOWN["easy"]}, {})


# --- the overlap


@pytest.mark.parametrize("seed", range(5))
def test_the_overlap_is_the_share_of_points_thrown_at_random(seed):
    """An independent count: points at random on the plane, and in which frame each lies by its side of four lines."""
    generator = torch.Generator().manual_seed(seed)
    thetas = Affine().identity() * 0.6 + 0.3 * torch.randn(2, 6, generator=generator)
    points = (torch.rand(200_000, 2, generator=generator) * 2 - 1) * 4
    inside = []
    for matrix in Affine().matrix(thetas):
        corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) @ matrix.T[:, :2]
        along = corners.roll(-1, 0) - corners
        away = points[:, None] - corners
        side = along[:, 0] * away[..., 1] - along[:, 1] * away[..., 0]  # (200000, 4)
        inside.append((side >= 0).all(1) | (side <= 0).all(1))
    expected = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
    assert abs(overlap(thetas[:1], thetas[1:]).item() - expected.item()) < 0.02


def test_the_overlap_does_not_mind_which_is_which_or_how_a_square_is_turned_by_a_quarter():
    first, other = torch.tensor([[0.5, 0, 0.2, 0, 0.5, 0]]), torch.tensor([[0.4, 0.3, 0, -0.3, 0.4, 0.1]])
    quarter = torch.tensor([[0, -0.5, 0.2, 0.5, 0, 0]])
    assert overlap(first, other) == overlap(other, first)
    assert overlap(first, quarter) == 1
    assert overlap(first, first + torch.tensor([0, 0, 3.0, 0, 0, 0])) == 0


@pytest.mark.parametrize("flat", [[0, 0, 0.1, 0, 0, 0], [0.5, 1.0, 0, 0.25, 0.5, 0]], ids=["a point", "a line"])
def test_a_frame_without_area_shares_nothing(game, flat):
    assert overlap(torch.tensor([flat]).float(), KNOWN["easy"][None]) == 0
    game.set(flat, "easy")
    assert game.score()[1] == 0


def test_the_overlap_of_other_families_is_that_of_their_frames():
    same = torch.tensor([[0.5, 0, 0.2, 0, 0.5, 0], [0.5, 0, 0, 0, 0.5, 0]])
    other = torch.tensor([[0.5, 0, 0.4, 0, 0.5, 0], [0.5, 0, 0, 0, 0.5, 0]])
    projective = [torch.cat((theta, torch.zeros(2, 2)), 1) for theta in (same, other)]
    similar = [torch.stack((theta[:, 0], 0 * theta[:, 0], theta[:, 2], theta[:, 5]), 1) for theta in (same, other)]
    torch.testing.assert_close(overlap(*projective, Projective()), overlap(same, other), rtol=0, atol=1e-6)
    torch.testing.assert_close(overlap(*similar, Similarity()), overlap(same, other), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"one shape, got \(2, 6\) and \(2, 8\)"):
        overlap(same, projective[0])
