"""θ as a matrix in pixels and back: against the formula by hand, OpenCV, torchvision and kornia."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as vision
from hypothesis import given
from strategies import MATRICES, few, seeds, sizes, uniform

from stn_course.algebra import from_pixel_matrix, to_pixel_matrix
from stn_course.sampling import to_pixels
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective, ThinPlateSpline

IMAGE = (12, 20)  # not square: H and W that change places are seen
TARGET = (7, 9)


def thetas(transform, seed, n=3):
    return transform.identity().double() + uniform(seed, n, transform.n_params, low=-0.2, high=0.2)


def looked_at(matrix, target_size):
    """Where each pixel of the target looks, in pixels of the source: (B, H, W, 2)."""
    height, width = target_size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).double()
    source = torch.einsum("bij,hwj->bhwi", matrix, pixels)
    return source[..., :2] / source[..., 2:]


@pytest.mark.parametrize("transform", MATRICES, ids=repr)
@few
@given(sizes, sizes, seeds)
def test_the_matrix_in_pixels_is_the_grid_in_pixels(transform, source, target, seed):
    theta = thetas(transform, seed)
    for aligned in (False, True):
        if aligned and 1 in (*source, *target):
            continue
        matrix = to_pixel_matrix(theta, source, target, transform, aligned)
        grid = to_pixels(transform.grid(theta, target, aligned), source, aligned)
        torch.testing.assert_close(looked_at(matrix, target), grid, rtol=1e-9, atol=1e-8)
        torch.testing.assert_close(from_pixel_matrix(matrix, source, target, transform, aligned), theta)


def test_the_two_half_pixel_rules_are_two_matrices():
    half = torch.tensor([[0.5, 0, 0, 0, 0.5, 0]], dtype=torch.float64)
    assert to_pixel_matrix(half, (8, 8))[0, 0].tolist() == [0.5, 0, 1.75]
    assert to_pixel_matrix(half, (8, 8), (4, 4))[0, 0].tolist() == [1, 0, 2]  # the middle four, pixel for pixel
    assert to_pixel_matrix(half, (8, 8), align_corners=True)[0, 0].tolist() == [0.5, 0, 1.75]
    smaller = to_pixel_matrix(half, (8, 8), (4, 4), align_corners=True)[0, 0]
    torch.testing.assert_close(smaller, torch.tensor([3.5 / 3, 0, 1.75], dtype=torch.float64))


def test_a_matrix_of_two_rows_is_taken_as_opencv_has_it():
    theta = thetas(Affine(), 1)
    matrix = to_pixel_matrix(theta, IMAGE, TARGET)
    assert torch.equal(from_pixel_matrix(matrix[:, :2], IMAGE, TARGET), from_pixel_matrix(matrix, IMAGE, TARGET))


# Bad input


def test_a_matrix_that_the_family_cannot_say_is_told():
    turn = to_pixel_matrix(torch.tensor([[0.0, -1, 0, 1, 0, 0]]), (8, 8))
    with pytest.raises(ValueError, match=r"a matrix that Attention\(\) has a θ for"):
        from_pixel_matrix(turn, (8, 8), transform=Attention())
    with pytest.raises(ValueError, match=r"a matrix that Affine\(\) has a θ for"):
        from_pixel_matrix(to_pixel_matrix(thetas(Projective(), 0), (8, 8), None, Projective()), (8, 8))


@pytest.mark.parametrize("bad", [torch.eye(3), torch.zeros(2, 3, 2), torch.zeros(1, 4, 4)], ids=str)
def test_other_shapes_are_told(bad):
    with pytest.raises(ValueError, match=r"\(B, 3, 3\) or \(B, 2, 3\), got a tensor of shape"):
        from_pixel_matrix(bad, (8, 8))


def test_what_is_no_tensor_no_matrix_family_or_no_size_is_told():
    with pytest.raises(TypeError, match="float32 or float64 tensor, got a ndarray"):
        from_pixel_matrix(np.eye(3)[None], (8, 8))
    for use in (
        lambda: to_pixel_matrix(torch.zeros(1, 32), (8, 8), transform=ThinPlateSpline()),
        lambda: from_pixel_matrix(torch.eye(3)[None], (8, 8), transform=ThinPlateSpline()),
    ):
        with pytest.raises(TypeError, match="a family of matrices"):
            use()
    with pytest.raises(ValueError, match=r"size as \(H, W\)"):
        to_pixel_matrix(torch.zeros(1, 6), 8)
    with pytest.raises(ValueError, match="at least 2 pixels along each axis with align_corners=True"):
        to_pixel_matrix(torch.zeros(1, 6), (8, 1), align_corners=True)


# Other libraries: the same picture, or the same places


def picture(dtype=torch.float64):
    return uniform(0, 1, 3, *IMAGE, dtype=dtype)


def test_opencv_looks_at_the_same_places_and_gives_the_same_picture():
    cv2 = pytest.importorskip("cv2", exc_type=ImportError)
    theta = thetas(Projective(), 2, 1)
    matrix = to_pixel_matrix(theta, IMAGE, TARGET, Projective())
    corners = np.array([[[0, 0], [8, 0], [8, 6], [0, 6], [3, 2]]], dtype=np.float64)
    places = torch.from_numpy(cv2.perspectiveTransform(corners, matrix[0].numpy()))[0]
    grid = to_pixels(Projective().grid(theta, TARGET), IMAGE)[0]
    torch.testing.assert_close(places, torch.stack([grid[int(y), int(x)] for x, y in corners[0]]), rtol=0, atol=1e-5)
    # OpenCV rounds places to 1/32 of a pixel, so those of a comparison to 1e-5 are multiples of it
    exact = torch.tensor([[0.0, -0.75, 15.25, 1.5, 0, 1.125], [1.25, 0, 1.5, 0, 0.5, 2.75]], dtype=torch.float64)
    for rows in exact.view(2, 2, 3):
        theta = from_pixel_matrix(rows[None], IMAGE, TARGET)
        ours = warp(picture(), theta, output_size=TARGET)[0].permute(1, 2, 0).numpy()
        pixels = np.ascontiguousarray(picture()[0].permute(1, 2, 0).float().numpy())
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        theirs = cv2.warpAffine(pixels, rows.numpy(), TARGET[::-1], flags=flags)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
        square = np.vstack((rows.numpy(), [0, 0, 1]))
        theirs = cv2.warpPerspective(pixels, np.linalg.inv(square), TARGET[::-1], flags=cv2.INTER_LINEAR)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("transform", [Affine(), Projective()], ids=repr)
@pytest.mark.parametrize("aligned", [False, True])
def test_kornia_gives_the_same_picture(transform, aligned):
    kornia = pytest.importorskip("kornia.geometry.transform", exc_type=ImportError)
    theta = thetas(transform, 3, 1)
    there = torch.linalg.inv(to_pixel_matrix(theta, IMAGE, TARGET, transform, aligned))
    ours = warp(picture(), theta, transform, TARGET, align_corners=aligned)
    if transform == Affine():
        theirs = kornia.warp_affine(picture(), there[:, :2], TARGET, align_corners=True)
    else:
        theirs = kornia.warp_perspective(picture(), there, TARGET, align_corners=True)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def affine_in_pixels(angle, shift, scale, shear, size):
    """The matrix of `torchvision.transforms.functional.affine`, target → source, about the picture's middle."""
    turn, x, y = (math.radians(each) for each in (angle, *shear))
    c, d, tangent = math.cos(turn - y) / math.cos(y), math.sin(turn - y) / math.cos(y), math.tan(x)
    rows = [[c, -c * tangent - math.sin(turn)], [d, -d * tangent + math.cos(turn)]]
    there = scale * torch.tensor(rows, dtype=torch.float64)
    middle = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=torch.float64)
    back = torch.linalg.inv(there)
    return torch.cat((back, (middle - back @ (middle + torch.tensor(shift, dtype=torch.float64)))[:, None]), dim=1)


@pytest.mark.parametrize(
    ("angle", "shift", "scale", "shear"),
    [(30, (0, 0), 1.0, (0, 0)), (-50, (3, -2), 0.7, (0, 0)), (15, (1, 4), 1.4, (20, 0)), (0, (0, 0), 1.0, (0, 25))],
)
def test_torchvision_gives_the_same_picture(angle, shift, scale, shear):
    theta = from_pixel_matrix(affine_in_pixels(angle, shift, scale, shear, IMAGE)[None], IMAGE)
    ours = warp(picture(), theta)
    theirs = vision.affine(
        picture(), angle, list(shift), scale, list(shear), interpolation=vision.InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
