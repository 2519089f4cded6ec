"""The paper's E: what it draws, and the same picture from SciPy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates
from test_distortions import LIMIT, distance_to_uniform

from stn_course.data import load_mnist
from stn_course.distortions import Elastic
from stn_course.transforms import ThinPlateSpline, regular_grid

N = 20_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def lattice(width, height):
    """The control points in pixels from the middle of the image's box, row by row: (16, 2)."""
    y, x = torch.meshgrid(*(side * torch.linspace(-0.5, 0.5, 4).double() for side in (height, width)), indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(16, 2)


# What is drawn


def test_the_scale_is_uniform_in_its_range():
    theta = Elastic(spread=0).sample(N, seeded(), torch.float64)
    scale = 1 / theta[:, -1]  # the last control point is the box's lower right corner
    assert distance_to_uniform(scale, 0.75, 1.0) < LIMIT < distance_to_uniform(scale, 0.76, 1.0)
    expected = lattice(2, 2).flatten() / scale[:, None]
    torch.testing.assert_close(theta, expected, atol=1e-6, rtol=0)  # the control points are float32 numbers


def test_each_control_point_looks_aside_by_a_normal_in_x_and_in_y():
    elastic = Elastic(canvas=(42, 60), image=(28, 40), scale=(1, 1))
    looks = elastic.sample(N, seeded(), torch.float64).unflatten(1, (16, 2)) * torch.tensor([20, 14])
    moves = ((looks - lattice(40, 28)) / 1.5).flatten(1)  # (N, 32), in standard deviations of 1.5 pixels
    assert moves.mean(0).abs().max() < 4.5 / N**0.5
    assert (moves.std(0) - 1).abs().max() < 4.5 / (2 * N) ** 0.5
    below = (moves[None] < torch.tensor([-1.0, 0.0, 1.0])[:, None, None]).double().mean(1)
    normal = torch.special.ndtr(torch.tensor([-1.0, 0, 1]).double())
    torch.testing.assert_close(below, normal[:, None].expand(3, 32), atol=0.018, rtol=0)
    assert (torch.corrcoef(moves.T) - torch.eye(32)).abs().max() < 5 / N**0.5


def test_a_seed_means_the_same_splines_for_ever():
    """The test split hangs on the order of the draws: the scales, then x and y of each control point."""
    generator = seeded(1)
    scale = 0.75 + 0.25 * torch.rand(6, generator=generator, dtype=torch.float64)
    shifts = 1.5 * torch.randn(6, 16, 2, generator=generator, dtype=torch.float64)
    expected = (lattice(28, 28) + shifts) / 14 / scale[:, None, None]
    theta = Elastic().sample(6, seeded(1), torch.float64)
    torch.testing.assert_close(theta, expected.flatten(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_shapes_dtypes_and_seeds(dtype, n):
    elastic, images = Elastic(), torch.rand(n, 3, 28, 28, dtype=dtype)
    theta = elastic.sample(n, seeded(), dtype)
    assert theta.shape == (n, 32) and theta.dtype == dtype
    seen = elastic(images, seeded())
    assert seen.shape == (n, 3, 42, 42) and seen.dtype == dtype
    assert torch.equal(seen, elastic.apply(images, theta))
    assert n == 0 or not torch.equal(theta, elastic.sample(n, seeded(1), dtype))
    assert elastic.pose(theta) is None


# What it does


@pytest.mark.parametrize(("canvas", "image"), [(42, 28), ((30, 64), (20, 40)), (28, 28)])
def test_scipy_makes_the_same_picture(canvas, image):
    """Its spline, fitted to the same control points, and its bilinear interpolation; both in pixels."""
    elastic = Elastic(canvas, scale=(1, 1), image=image)
    (high, wide), (height, width) = elastic.canvas, elastic.image
    pictures = torch.rand(3, 1, height, width, generator=seeded(), dtype=torch.float64)
    theta = elastic.sample(3, seeded(1), torch.float64)
    shifts = 1.5 * torch.randn(3, 16, 2, generator=_after_the_scales(seeded(1)), dtype=torch.float64)
    down, across = np.mgrid[:high, :wide]
    from_the_middle = np.stack((across - (wide - 1) / 2, down - (high - 1) / 2), axis=-1).reshape(-1, 2)
    for picture, one, shift in zip(pictures, theta, shifts):
        to_square = np.array([1, width / height])  # the plate is square: an oblong box stretches it
        at, looks = lattice(width, height).numpy() * to_square, (lattice(width, height) + shift).numpy()
        spline = RBFInterpolator(at, looks, kernel="thin_plate_spline")
        x, y = (spline(from_the_middle * to_square) + np.array([width - 1, height - 1]) / 2).T
        padded = np.pad(picture[0], 1)  # outside is 0, and falls off over a pixel
        theirs = map_coordinates(padded, (y + 1, x + 1), order=1, mode="constant").reshape(high, wide)
        ours = elastic.apply(picture[None], one[None])[0, 0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def _after_the_scales(generator):
    torch.rand(3, generator=generator, dtype=torch.float64)
    return generator


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_grid_is_the_map_of_the_regular_grid(align_corners):
    spline, size = Elastic(canvas=(42, 60), image=(28, 24)).transform, (42, 60)
    theta = spline.identity() + 0.2 * torch.randn(5, 32, generator=seeded(), dtype=torch.float64)
    regular = regular_grid(size, align_corners, torch.float64).expand(5, -1, -1, -1)
    grid = spline.grid(theta, size, align_corners)
    torch.testing.assert_close(grid, spline.map(theta, regular), atol=1e-12, rtol=0)
    stretched = regular * torch.tensor([60 / 24, 42 / 28])
    torch.testing.assert_close(grid, ThinPlateSpline().map(theta, stretched), atol=1e-5, rtol=0)
    single = spline.grid(theta.float(), size, align_corners)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), grid, atol=1e-5, rtol=0)


def test_autocast_changes_nothing():
    elastic, images = Elastic(), torch.rand(4, 1, 28, 28)
    expected = elastic(images, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(elastic(images, seeded()), expected)


def test_no_ink_is_cut_off_and_hardly_a_digit_is_folded():
    digits = load_mnist("test", offline=True).images.double() / 255
    elastic, more = Elastic(), Elastic(canvas=84)
    theta = elastic.sample(len(digits), seeded(), torch.float64)
    ink = [each.apply(digits, theta).sum((1, 2, 3)) for each in (elastic, more)]
    torch.testing.assert_close(*ink)
    middle = (regular_grid((10, 10), dtype=torch.float64) * 10 / 21).expand(200, -1, -1, -1)  # where the ink is
    folded = torch.linalg.det(elastic.transform.jacobian(theta[:200], middle)).amin((1, 2)) <= 0
    assert folded.sum() <= 3


# Settings


def test_a_weaker_one_does_less_of_the_same():
    elastic = Elastic(canvas=40, spread=1, scale=(0.5, 1), image=20)
    half = elastic.weaker(0.5)
    assert (half.canvas, half.image, half.spread, half.scale) == ((40, 40), (20, 20), 0.5, (0.75, 1))
    images = torch.rand(4, 1, 20, 20)
    torch.testing.assert_close(elastic.weaker(0)(images), F.pad(images, (10,) * 4), atol=1e-5, rtol=0)
    assert torch.equal(elastic.weaker(1)(images, seeded()), elastic(images, seeded()))


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="expected spread in pixels, at least 0 and finite, got -1"):
        Elastic(spread=-1)
    with pytest.raises(ValueError, match="strength from 0 to 1, got 1.1"):
        Elastic().weaker(1.1)
    with pytest.raises(ValueError, match=r"theta of shape \(B, 32\)"):
        Elastic().apply(torch.rand(1, 1, 28, 28), torch.zeros(1, 6))
