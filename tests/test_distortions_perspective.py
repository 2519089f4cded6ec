"""The paper's P: what it draws, when it draws again, and the same picture from torchvision."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from strategies import few
from test_distortions import LIMIT, distance_to_uniform

from stn_course.data import load_mnist
from stn_course.distortions import Perspective
from stn_course.distortions.perspective import DRAWS, SMALLEST
from stn_course.transforms import Projective

N = 20_000
BOX = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def corners_of(perspective, theta):
    """Where on the canvas the corners of the image lie, in pixels from the middle, by the inverse of θ: (n, 4, 2)."""
    back = torch.linalg.inv(Projective().matrix(theta))  # (n, 3, 3), image → canvas
    corners = torch.cat((BOX, torch.ones(4, 1)), dim=1) @ back.mT
    return corners[..., :2] / corners[..., 2:] * torch.tensor(perspective.canvas[::-1]) / 2


def area(*points):
    """The area of the polygons of points (..., 2) by the shoelace formula; negative if they run anticlockwise."""
    pairs = zip(points, (*points[1:], points[0]))
    return sum(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0] for a, b in pairs) / 2


def triangles(corners):
    """The areas of the triangles at each corner, (n, 4), and of the middle with each side, (n, 4)."""
    at = corners.unbind(1)
    ears = [area(at[i - 1], at[i], at[(i + 1) % 4]) for i in range(4)]
    slices = [area(torch.zeros(2), at[i - 1], at[i]) for i in range(4)]
    return torch.stack(ears, 1), torch.stack(slices, 1)


# What is drawn


def test_the_scale_is_uniform_in_its_range():
    theta = Perspective(spread=0).sample(N, seeded(), torch.float64)
    scale = 1.5 / theta[:, 0]
    assert distance_to_uniform(scale, 0.75, 1.0) < LIMIT < distance_to_uniform(scale, 0.76, 1.0)
    expected = torch.zeros_like(theta)
    expected[:, 0] = expected[:, 4] = 1.5 / scale
    torch.testing.assert_close(theta, expected)


def test_each_corner_moves_by_a_normal_in_x_and_in_y():
    perspective = Perspective(canvas=(42, 60), image=(28, 40), spread=2, scale=(1, 1))  # too little to be drawn again
    moves = corners_of(perspective, perspective.sample(N, seeded(), torch.float64)) - BOX * torch.tensor([20, 14])
    moves = moves.flatten(1)  # (N, 8)
    assert (moves.mean(0) / 2).abs().max() < 4 / N**0.5
    assert (moves.std(0) / 2 - 1).abs().max() < 4 / (2 * N) ** 0.5
    below = (moves[None] < 2 * torch.tensor([-1.0, 0.0, 1.0])[:, None, None]).double().mean(1)
    torch.testing.assert_close(
        below, torch.special.ndtr(torch.tensor([-1.0, 0, 1])).double()[:, None].expand(3, 8), atol=0.015, rtol=0
    )
    assert (torch.corrcoef(moves.T) - torch.eye(8)).abs().max() < 4.5 / N**0.5


def test_a_seed_means_the_same_corners_for_ever():
    """The test split hangs on the order of the draws: the scales, then the corners, each with four draws."""
    generator, n = seeded(1), 300
    size = torch.rand(n, generator=generator, dtype=torch.float64)
    moves = 5 * torch.randn(4, n, 4, 2, generator=generator, dtype=torch.float64)
    expected = []
    for each in range(n):  # one after the other, in plain words
        for draw in range(4):
            corners = 14 * BOX + moves[draw, each]
            ears, slices = triangles(corners[None])
            if ears.min() > 0.1 * 392 and slices.min() > 0:
                break
        expected.append((draw, corners))
    assert DRAWS == 4 and SMALLEST == 0.1 and {draw for draw, _ in expected} == {0, 1}
    corners = torch.stack([corners for _, corners in expected])
    perspective = Perspective()
    theta = perspective.sample(n, seeded(1), torch.float64)
    torch.testing.assert_close(theta, perspective.theta(0.75 + 0.25 * size, corners / 21))
    whole = Projective().matrix(theta) * torch.stack((0.75 + 0.25 * size,) * 2 + (torch.ones(n),), dim=1)[:, :, None]
    unscaled = (whole / whole[:, 2:, 2:]).flatten(1)[:, :8]
    torch.testing.assert_close(corners_of(perspective, unscaled), corners)


@pytest.mark.parametrize("spread", [5, 30])
def test_the_corners_go_round_the_middle_and_bulge_at_each_corner(spread):
    """At 30 pixels nearly all is drawn again, and what never comes out well stays a box."""
    perspective = Perspective(spread=spread, scale=(1, 1))
    corners = corners_of(perspective, perspective.sample(N, seeded(), torch.float64))
    ears, slices = triangles(corners)
    assert ears.min() >= 0.1 * 392 - 1e-6 and slices.min() >= -1e-6
    stayed = ((corners - 14 * BOX).abs() < 1e-9).all(2).all(1).double().mean()
    assert stayed == 0 if spread == 5 else 0.2 < stayed < 0.9


def test_one_draw_in_110_is_drawn_again():
    corners = 14 * BOX + 5 * torch.randn(100_000, 4, 2, generator=seeded(), dtype=torch.float64)
    ears, slices = triangles(corners)
    again = (ears.amin(1) <= 0.1 * 392) | (slices.amin(1) <= 0)
    assert torch.equal(~again, Perspective()._will_do(corners / 21))
    assert again.double().mean().item() == pytest.approx(1 / 110, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_shapes_dtypes_and_seeds(dtype, n):
    perspective, images = Perspective(), torch.rand(n, 3, 28, 28, dtype=dtype)
    theta = perspective.sample(n, seeded(), dtype)
    assert theta.shape == (n, 8) and theta.dtype == dtype and theta.isfinite().all()
    seen = perspective(images, seeded())
    assert seen.shape == (n, 3, 42, 42) and seen.dtype == dtype
    assert torch.equal(seen, perspective.apply(images, theta))
    assert n == 0 or not torch.equal(theta, perspective.sample(n, seeded(1), dtype))
    assert perspective.pose(theta) is None


# θ


def points(low, high):
    return st.tuples(st.floats(low, high), st.floats(low, high))


@few
@given(*[points(-0.5, 0.5)] * 4, st.floats(0.5, 1.5), st.sampled_from([(42, 42), (30, 60)]))
def test_theta_takes_the_corners_to_those_of_the_image(a, b, c, d, scale, canvas):
    corners = BOX + torch.tensor([a, b, c, d], dtype=torch.float64) * 0.9
    theta = Perspective(canvas=canvas, image=20).theta(torch.tensor([scale], dtype=torch.float64), corners[None])
    looked_at = Projective().map(theta, corners[None])[0]
    torch.testing.assert_close(looked_at, BOX / scale, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_coefficients_are_torchvisions(seed):
    from torchvision.transforms.v2.functional._geometry import _get_perspective_coeffs

    perspective = Perspective(scale=(1, 1))
    theta = perspective.sample(1, seeded(seed), torch.float64)
    ends = corners_of(perspective, theta)[0]
    # torchvision solves for 8 coefficients, end → start: here pixels of the canvas from its middle → units of the image
    theirs = torch.tensor(_get_perspective_coeffs(BOX.tolist(), (ends / 21).tolist()), dtype=torch.float64)
    torch.testing.assert_close(theta[0], theirs, atol=1e-4, rtol=1e-4)  # its solver computes in float32


def test_torchvision_makes_the_same_picture():
    """From the same corners, in pixels from the outer edge of the canvas."""
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import perspective as torchvisions

    digits = load_mnist("train", offline=True).images[:20].double() / 255
    perspective = Perspective(scale=(1, 1))
    theta = perspective.sample(20, seeded(3), torch.float64)
    starts = (21 + 14 * BOX).tolist()
    for digit, one, ends in zip(digits.split(1), theta.split(1), corners_of(perspective, theta) + 21):
        theirs = torchvisions(F.pad(digit, (7,) * 4), starts, ends.tolist(), InterpolationMode.BILINEAR, fill=0.0)
        ours = perspective.apply(digit, one)
        torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
        assert (ours - F.pad(digit, (7,) * 4)).abs().max() > 0.3


def test_hardly_any_ink_is_cut_off():
    digits = load_mnist("test", offline=True).images.double() / 255
    perspective, more = Perspective(), Perspective(canvas=84)
    theta = perspective.sample(len(digits), seeded(), torch.float64)
    wider = Projective().matrix(theta) * torch.tensor([2, 2, 1], dtype=torch.float64)
    ink = [
        each.apply(digits, one).sum((1, 2, 3))
        for each, one in ((perspective, theta), (more, Projective().from_matrix(wider)))
    ]
    lost = 1 - ink[0] / ink[1]
    assert (lost > 0.01).double().mean() < 0.005 and lost.mean() < 1e-3


# Settings


def test_a_weaker_one_does_less_of_the_same():
    perspective = Perspective(canvas=40, spread=4, scale=(0.5, 1), image=20)
    half = perspective.weaker(0.5)
    assert (half.canvas, half.image, half.spread, half.scale) == ((40, 40), (20, 20), 2, (0.75, 1))
    images = torch.rand(4, 1, 20, 20)
    torch.testing.assert_close(perspective.weaker(0)(images), F.pad(images, (10,) * 4), atol=1e-5, rtol=0)
    assert torch.equal(perspective.weaker(1)(images, seeded()), perspective(images, seeded()))


@pytest.mark.parametrize("spread", [-1, float("nan"), float("inf")])
def test_a_spread_that_cannot_be_is_refused(spread):
    with pytest.raises(ValueError, match=f"expected spread in pixels, at least 0 and finite, got {spread}"):
        Perspective(spread=spread)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_out_of_bounds_is_refused(strength):
    with pytest.raises(ValueError, match=f"strength from 0 to 1, got {strength}"):
        Perspective().weaker(strength)
