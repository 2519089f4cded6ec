"""The exercises of notebook 01: grids, backward warping, and what θ does."""

import math
from itertools import product

import torch

from stn_course import transforms
from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.transforms import Affine, Projective


@function_exercise(
    cases=lambda: [((2, 3),), ((4, 4),), ((1, 5),)],
    hints=(
        "A picture of W pixels is 2 wide, from edge −1 to edge 1. How wide is one pixel, and where is its middle?",
        "The centre of the pixel in column j is at x = (2 j + 1) / W − 1, and in row i at y = (2 i + 1) / H − 1.",
        "torch.meshgrid(y, x, indexing='ij') makes all pairs; torch.stack((x, y), dim=-1) puts x first.",
    ),
    success="Yes: the centres of all pixels, x first.",
)
def regular_grid(size):
    height, width = size
    x = (2 * torch.arange(width) + 1) / width - 1  # each pixel is 2 / width wide, its centre half of that in
    y = (2 * torch.arange(height) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")  # (H, W) each
    return torch.stack((x, y), dim=-1)  # (H, W, 2)


@regular_grid.mistake("the last axis is (x, y), and here it is (y, x)")
def _(size):
    return regular_grid.reference(size).flip(-1)


@regular_grid.mistake("rows and columns have changed places: the grid is (H, W, 2), and x runs along W")
def _(size):
    return regular_grid.reference(size).transpose(0, 1)


@regular_grid.mistake("height and width have changed places: size is (H, W), and the grid (H, W, 2)")
def _(size):
    return regular_grid.reference(size[::-1])


@regular_grid.mistake("x and y are one axis: expected (H, W, 2), the two stacked along the last one")
def _(size):
    return regular_grid.reference(size).permute(2, 0, 1)


@regular_grid.mistake("your ±1 are the centres of the border pixels; here they are the outer edges of the picture")
def _(size):
    return torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")[::-1], dim=-1)


@regular_grid.mistake("these are the upper left corners of the pixels: the centre is half a pixel, 1 / W and 1 / H, on")
def _(size):
    return regular_grid.reference(size) - 1 / torch.tensor([size[1], size[0]])


@regular_grid.mistake("the last pixel ends at 1, and so does the picture; yours goes from 0 to 1, expected −1 to 1")
def _(size):
    return (regular_grid.reference(size) + 1) / 2


@regular_grid.mistake("this grid is in pixels; expected normalised coordinates, where the picture spans −1 to 1")
def _(size):
    y, x = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    return torch.stack((x, y), dim=-1)


@function_exercise(
    cases=lambda: [
        (torch.tensor([[1.0, 0, 0, 0, 1, 0]]), (2, 3)),
        (torch.tensor([[0.8, -0.6, 0.1, 0.5, 0.7, -0.3], [0.5, 0.2, 0.4, -0.1, 1.5, 0.2]]), (3, 4)),
        (torch.tensor([[0.9, 0.3, -0.2, 0.1, 1.1, 0.6]]), (3, 3)),
    ],
    hints=(
        "First the regular grid over the output: the x and y of every pixel centre, in normalised coordinates.",
        "With W pixels from edge −1 to edge 1, a pixel is 2 / W wide, and the centre of the first is half of that in.",
        "Put a 1 under every (x, y) and multiply by θ as a 2×3 matrix. torch.meshgrid(y, x, indexing='ij') makes the "
        "pairs, and the last axis of the result is (x, y).",
    ),
    success="Yes: the same grid as F.affine_grid's.",
)
def affine_grid(theta, size):
    height, width = size
    x = (2 * torch.arange(width, dtype=theta.dtype) + 1) / width - 1  # pixel centres
    y = (2 * torch.arange(height, dtype=theta.dtype) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")  # (H, W) each
    target = torch.stack((x, y, torch.ones_like(x)), dim=-1)  # (H, W, 3)
    return torch.einsum("bij,hwj->bhwi", theta.reshape(-1, 2, 3), target)  # (B, H, W, 2)


@affine_grid.mistake("your grid is (y, x); expected (x, y): x comes first on the last axis")
def _(theta, size):
    return affine_grid.reference(theta, size).flip(-1)


@affine_grid.mistake("you moved (y, x) where (x, y) was to be moved: θ's first column belongs to x")
def _(theta, size):
    target = torch.cat((transforms.regular_grid(size).flip(-1), torch.ones(*size, 1)), dim=-1)
    return torch.einsum("bij,hwj->bhwi", theta.reshape(-1, 2, 3), target)


@affine_grid.mistake("height and width have changed places: size is (H, W), and the grid (B, H, W, 2)")
def _(theta, size):
    return affine_grid.reference(theta, size[::-1])


@affine_grid.mistake("rows and columns have changed places: the grid is (B, H, W, 2), and x runs along W")
def _(theta, size):
    return affine_grid.reference(theta, size).transpose(1, 2)


@affine_grid.mistake("your ±1 are the centres of the border pixels; here they are the edges (align_corners=False)")
def _(theta, size):
    return Affine().grid(theta, size, align_corners=True)


@affine_grid.mistake("the shift is missing: the third column of θ is multiplied by the 1 under (x, y)")
def _(theta, size):
    return affine_grid.reference(theta * torch.tensor([1.0, 1, 0, 1, 1, 0]), size)


@affine_grid.mistake("θ is applied the wrong way round: its six numbers fill the 2×3 matrix row by row")
def _(theta, size):
    return affine_grid.reference(theta.reshape(-1, 3, 2).transpose(1, 2).flatten(1), size)


@affine_grid.mistake("this grid is in pixels; expected normalised coordinates, where the picture spans −1 to 1")
def _(theta, size):
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij")
    target = torch.stack((x, y, torch.ones_like(x)), dim=-1)
    return torch.einsum("bij,hwj->bhwi", theta.reshape(-1, 2, 3), target)


def _small_images():
    """Images whose pixels all differ, each with a matrix under which none of them looks near an edge between pixels."""
    image = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.7, 0.8, 0.9, 1.0], [1.1, 1.2, 1.3, 1.4, 1.5]])
    moved = torch.tensor([[0.9, -0.3, 0.25], [0.4, 1.1, -0.35], [0.0, 0.0, 1.0]])
    shrunk = torch.tensor([[1.43, 0.1, -0.15], [-0.2, 1.57, 0.07], [0.0, 0.0, 1.0]])
    return [(image, moved), (image, shrunk), (image.T.contiguous(), shrunk)]


def _looks(matrix, size, centres=None):
    """Where each output pixel looks, (H, W, 2), normalised."""
    centres = transforms.regular_grid(size) if centres is None else centres
    return centres @ matrix[:2, :2].T + matrix[:2, 2]


def _fetched(image, places, whole=torch.floor):
    """The pixels (H, W) of an image at such places, in normalised coordinates; 0 outside."""
    height, width = image.shape
    column, row = whole((places + 1) * torch.tensor([width, height]) / 2).unbind(-1)
    return _pixels(image, row, column)


def _pixels(image, row, column):
    height, width = image.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row, column = row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()
    return torch.where(inside, image[row, column], 0.0)


def _inverted(image, matrix):
    return _fetched(image, _looks(matrix.inverse(), image.shape))


def _transposed(image, matrix):
    places = _looks(torch.eye(3), image.shape)
    return _fetched(image, places @ matrix[:2, :2] + matrix[:2, 2])


def _without_shift(image, matrix):
    return _fetched(image, _looks(matrix * torch.tensor([1.0, 1, 0]), image.shape))


def _y_first(image, matrix):
    places = _looks(matrix, image.shape, transforms.regular_grid(image.shape).flip(-1))
    return _fetched(image, places.flip(-1))


def _place_y_first(image, matrix):
    return _fetched(image, _looks(matrix, image.shape).flip(-1))


def _centre_y_first(image, matrix):
    return _fetched(image, _looks(matrix, image.shape, transforms.regular_grid(image.shape).flip(-1)))


def _from_corners(image, matrix):
    height, width = image.shape
    half = torch.tensor([1 / width, 1 / height])
    return _fetched(image, _looks(matrix, image.shape, transforms.regular_grid(image.shape) - half))


def _rounded(image, matrix):
    return _fetched(image, _looks(matrix, image.shape), whole=torch.round)


def _towards_zero(image, matrix):
    return _fetched(image, _looks(matrix, image.shape), whole=torch.trunc)


def _from_the_end(image, matrix):
    height, width = image.shape
    column, row = ((_looks(matrix, image.shape) + 1) * torch.tensor([width, height]) / 2).floor().unbind(-1)
    return _pixels(image, torch.where(row < 0, row + height, row), torch.where(column < 0, column + width, column))


def _at_the_border(image, matrix):
    height, width = image.shape
    column, row = ((_looks(matrix, image.shape) + 1) * torch.tensor([width, height]) / 2).floor().unbind(-1)
    return _pixels(image, row.clamp(0, height - 1), column.clamp(0, width - 1))


def _centres_at_one(image, matrix):
    height, width = image.shape
    places = _looks(matrix, image.shape, transforms.regular_grid(image.shape, align_corners=True))
    pixels = (places + 1) * torch.tensor([width - 1, height - 1]) / 2
    column, row = (pixels + 0.5).floor().unbind(-1)
    return _pixels(image, row, column)


def _in_pixels(image, matrix):
    """As if the matrix moved rows and columns."""
    height, width = image.shape
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    column, row = _looks(matrix, image.shape, torch.stack((column, row), -1).float()).floor().unbind(-1)
    return _pixels(image, row, column)


def _thrown(image, matrix):
    """Forward: the input pixel goes to where the matrix takes it."""
    height, width = image.shape
    output = torch.zeros_like(image)
    column, row = ((_looks(matrix, image.shape) + 1) * torch.tensor([width, height]) / 2).floor().long().unbind(-1)
    for i, j in product(range(height), range(width)):
        if 0 <= row[i, j] < height and 0 <= column[i, j] < width:
            output[row[i, j], column[i, j]] = image[i, j]
    return output


_SLIPS = [  # the same ones, made for one pixel or for all
    (_inverted, "the matrix is not to be inverted: it already goes from the output to the input, where you look"),
    (_transposed, "the matrix is transposed: its first row gives x, its second row y"),
    (_without_shift, "the shift is missing: the third column of the matrix is multiplied by the 1 under (x, y)"),
    (_y_first, "you moved (y, x) where (x, y) was to be moved: the matrix's first column belongs to x"),
    (_place_y_first, "x and y have changed places where the pixel is looked up: y says the row, x the column"),
    (_centre_y_first, "the output pixel's x comes from its column, and its y from its row; yours are swapped"),
    (_from_corners, "you start at the pixel's upper left corner: its centre is at ((2 column + 1) / W − 1, …)"),
    (_rounded, "round() is half a pixel off: pixel 0 goes from 0 to 1 in (x + 1) W / 2, so floor() is its number"),
    (_towards_zero, "int() rounds towards 0, and makes −0.3, which is outside, pixel 0: use math.floor()"),
    (_from_the_end, "a negative row or column counts from the end in Python: outside the image give 0"),
    (_at_the_border, "outside the image you give the nearest border pixel: expected 0 there"),
    (_centres_at_one, "your ±1 are the centres of the border pixels; here they are the outer edges of the picture"),
    (_in_pixels, "the matrix moves normalised points, from −1 to 1; you gave it rows and columns"),
]


@function_exercise(
    cases=lambda: [
        (image, matrix, row, column)
        for image, matrix in _small_images()
        for row, column in product(*map(range, image.shape))
    ],
    hints=(
        "Where is the centre of the output pixel? x = (2 column + 1) / W − 1, and y alike with row and H.",
        "The matrix times (x, y, 1) is the place in the input. Its first two numbers are the place's x and y.",
        "From −1 to 1 there are W pixels: (x + 1) W / 2 goes from 0 to W, and its whole part, math.floor(), is the "
        "column. Outside 0 … W − 1 there is no pixel: return 0.",
    ),
    success="Yes. That is backward warping; the rest is a loop.",
)
def fetch_pixel(image, matrix, row, column):
    height, width = image.shape
    target = torch.tensor([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1])  # the centre, and a 1
    x, y, _ = (matrix @ target).tolist()  # where it looks
    row, column = math.floor((y + 1) * height / 2), math.floor((x + 1) * width / 2)
    inside = 0 <= row < height and 0 <= column < width
    return image[row, column] if inside else 0.0


@fetch_pixel.mistake("that is the pixel in the same place: where does the matrix say to look?")
def _(image, matrix, row, column):
    return image[row, column]


@function_exercise(
    cases=lambda: _small_images(),
    hints=(
        "Go through all rows and columns of the output, and fetch each pixel as before.",
        "Start with torch.zeros_like(image). In the loop the output's pixel stands on the left of the =, "
        "output[row, column] = …, and what it fetches on the right.",
        "Without loops: move the whole regular grid, turn it into rows and columns, and index the image with them.",
    ),
    success="Yes: every output pixel has asked once, so there is no hole.",
)
def backward_warp(image, matrix):
    height, width = image.shape
    output = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            target = torch.tensor([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1])
            x, y, _ = (matrix @ target).tolist()
            i, j = math.floor((y + 1) * height / 2), math.floor((x + 1) * width / 2)
            if 0 <= i < height and 0 <= j < width:
                output[row, column] = image[i, j]
    return output


@backward_warp.mistake("you throw the input's pixels forward: the output's pixel stands on the left of the =")
def _(image, matrix):
    return _thrown(image, matrix)


@backward_warp.mistake("you throw the input's pixels forward, by the inverse: let each output pixel fetch one instead")
def _(image, matrix):
    return _thrown(image, matrix.inverse())


@backward_warp.mistake("rows and columns of the output have changed places: its shape is the image's, (H, W)")
def _(image, matrix):
    return backward_warp.reference(image, matrix).T


for _slip, _said in _SLIPS:
    fetch_pixel.mistake(_said)(
        lambda image, matrix, row, column, slip=_slip: slip(image, matrix)[row, column]  # one pixel of the same
    )
    backward_warp.mistake(_said)(_slip)


@function_exercise(
    cases=lambda: [
        (torch.tensor([0.5, 0, 0, 0, 0.5, 0]), torch.tensor([1, 0, 0.5, 0, 1, 0.2])),
        (torch.tensor([0.8, -0.6, 0.1, 0.6, 0.8, -0.3]), torch.tensor([1.2, 0.3, -0.4, 0.0, 0.7, 0.5])),
    ],
    hints=(
        "Follow one output point: the second warp says where it looks in the picture between; the first warp says "
        "where that place looks in the source.",
        "So the point meets the matrix of `then` first, and that stands on the right: M(first) M(then).",
        "2×3 matrices cannot be multiplied. Add the row (0, 0, 1) to both, and take it off the product.",
    ),
    success="Yes. One warp by this θ does what the two do one after the other, and blurs once instead of twice.",
)
def compose(first, then):
    lower = torch.tensor([[0.0, 0.0, 1.0]], dtype=first.dtype)
    first, then = (torch.cat((theta.reshape(2, 3), lower)) for theta in (first, then))  # (3, 3) each
    return (first @ then)[:2].flatten()


@compose.mistake("this is the product the other way round: the output point meets `then` first, so it stands right")
def _(first, then):
    return compose.reference(then, first)


@compose.mistake("adding θs does not chain the warps: two identities would make a scale of 2")
def _(first, then):
    return first + then


@compose.mistake("number by number is not how matrices are multiplied")
def _(first, then):
    return first * then


@compose.mistake("`then` moves points by its shift too, and `first` scales and turns that shift: add the row (0, 0, 1)")
def _(first, then):
    linear = first.reshape(2, 3)[:, :2] @ then.reshape(2, 3)[:, :2]
    return torch.cat((linear, first.reshape(2, 3)[:, 2:]), dim=1).flatten()


@compose.mistake("the shifts are only added: but `first` scales and turns the shift of `then`")
def _(first, then):
    first, then = first.reshape(2, 3), then.reshape(2, 3)
    return torch.cat((first[:, :2] @ then[:, :2], first[:, 2:] + then[:, 2:]), dim=1).flatten()


zoom = NumberExercise(
    answer=2,
    why="Yes. 14 of 56 pixels are a quarter of the output, so the digit must be a quarter of the frame. The frame is "
    "56 pixels wide, twice as wide as the input.",
    mistakes={
        0.5: "That frame is 14 pixels wide, as wide as the digit, which then fills the output from edge to edge.",
        1: "Then the output shows just the input, and the digit is half of it: 28 of the 56 pixels.",
        4: "A quarter of the output, yes. But at s = 1 the digit is half of the frame already.",
        0.25: "θ says where to look, and a smaller frame makes the digit larger. Which part of the frame is it to be?",
    },
    hints=(
        "The output shows what is in the frame. Which part of the output's width shall the digit take?",
        "A quarter: 14 of 56. So the frame is four times as wide as the digit, measured in pixels of the input.",
        "The frame of s = 1 is as wide as the input, 28 pixels.",
    ),
)


@function_exercise(
    cases=lambda: [(30.0, (0.0, 0.0)), (90.0, (0.5, -0.25)), (-40.0, (-0.3, 0.6))],
    hints=(
        "Move the centre to the origin, turn, and move it back: three matrices.",
        "The centre has to stay where it is: what you build must send (x, y) to (x, y).",
        "The turn is [[cos, −sin], [sin, cos]], and the shift is what is left of the centre: c − R c.",
    ),
    success="Yes: the centre stays where it is, and everything else goes around it.",
)
def turn_about(degrees, centre):
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = centre
    return torch.tensor([cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y])


@turn_about.mistake("the picture turns about its own centre: the point you were given does not stay in place")
def _(degrees, centre):
    return turn_about.reference(degrees, (0.0, 0.0))


@turn_about.mistake("math.cos and math.sin take radians, not degrees")
def _(degrees, centre):
    return turn_about.reference(math.degrees(degrees), centre)


@turn_about.mistake("this turns the other way: θ = [[cos, −sin], [sin, cos]]")
def _(degrees, centre):
    return turn_about.reference(-degrees, centre)


@turn_about.mistake("the centre is (x, y), x first")
def _(degrees, centre):
    return turn_about.reference(degrees, centre[::-1])


@turn_about.mistake("the shift has the wrong sign: the centre has to come back to where it was, c − R c")
def _(degrees, centre):
    return turn_about.reference(degrees, centre) * torch.tensor([1, 1, -1, 1, 1, -1])


@turn_about.mistake("the centre was moved back without having been moved away: its shift is c − R c, not c")
def _(degrees, centre):
    theta = turn_about.reference(degrees, (0.0, 0.0))
    return theta + torch.tensor([0, 0, centre[0], 0, 0, centre[1]])


@function_exercise(
    cases=lambda: [
        (Projective().identity(), torch.tensor([[0.5, -0.5]])),
        (torch.tensor([0.9, 0.1, 0.2, -0.1, 1.1, 0.0, 0.3, -0.2]), torch.tensor([[0.5, -0.5], [1, 1], [-0.2, 0.7]])),
        (
            torch.tensor([0.7, 0.2, -0.1, 0.1, 0.8, 0.3, 1.5, 0.9]),
            torch.tensor([[-0.9, -0.7], [-0.6, -0.11], [0.2, 0.1]]),
        ),
    ],
    hints=(
        "Three numbers come out of the 3×3 matrix for every point, and a point in the plane has two.",
        "(x, y, w) stands for the point (x / w, y / w).",
    ),
    success="Yes. The division is what lets parallels meet.",
)
def projective_points(theta, points):
    matrix = torch.cat((theta, torch.ones(1, dtype=theta.dtype))).reshape(3, 3)
    homogeneous = torch.cat((points, torch.ones_like(points[:, :1])), dim=1)  # (N, 3)
    moved = homogeneous @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def _moved(theta, points):
    """The points multiplied by the 3×3 matrix: (N, 2), and w, (N, 1)."""
    homogeneous = torch.cat((points, torch.ones_like(points[:, :1])), dim=1)
    return (homogeneous @ Projective().matrix(theta[None])[0].T).split((2, 1), dim=1)


@projective_points.as_given
def _(theta, points):
    return _moved(theta, points)[0]


@projective_points.mistake("multiplied by w, where it is to be divided")
def _(theta, points):
    moved, w = _moved(theta, points)
    return moved * w


@projective_points.mistake("w can be negative, behind the horizon, and x / w and y / w change sign with it: no abs()")
def _(theta, points):
    moved, w = _moved(theta, points)
    return moved / w.abs()


@projective_points.mistake("w is divided by as it is, small or negative: it is not to be kept away from 0")
def _(theta, points):
    moved, w = _moved(theta, points)
    return moved / w.clamp(min=0.05)


@projective_points.mistake("the matrix is transposed: a row of points is multiplied by the matrix's transpose")
def _(theta, points):
    transposed = Projective().matrix(theta[None])[0].T.flatten()[:8]
    return projective_points.reference(transposed, points)


@projective_points.mistake(
    "all three numbers are still there: expected (N, 2), the last one being 1 after the division"
)
def _(theta, points):
    found = projective_points.reference(theta, points)
    return torch.cat((found, torch.ones_like(found[:, :1])), dim=1)
