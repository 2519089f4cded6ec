"""The exercises of notebook 02: values between pixels, and their gradients."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.sampling import bilinear_sample, nearest_sample
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine

nearest_gradient = NumberExercise(
    answer=0,
    why="Yes. Move a little and the nearest pixel is still the same one: a staircase is flat nearly everywhere.",
    mistakes={
        -0.4: "That is the bilinear sampler's answer, right pixel minus left one. Which pixel does nearest ask?",
        0.4: "That is the bilinear sampler's answer, with the wrong sign. Which pixel does nearest ask?",
        0.9: "That is the value. The question was how it changes with x.",
    },
    hints=("What does the nearest sampler give at x = 3.2, at x = 3.3, at x = 3.4?",),
)


def _image() -> torch.Tensor:
    return torch.rand(3, 5, generator=torch.Generator().manual_seed(2))


def _points() -> list[tuple]:
    inside = (1.25, 0.5), (3.9, 1.2), (2.0, 1.0), (0.3, 1.8)
    over_each_edge = (4.6, 2.3), (-0.4, 0.7), (2.3, -0.6), (-0.3, -0.2), (-1.5, 0.6), (1.4, -1.3)
    return [(_image(), x, y) for x, y in (*inside, *over_each_edge)]


@function_exercise(
    cases=_points,
    hints=(
        "Four pixels count: columns floor(x) and floor(x) + 1, in rows floor(y) and floor(y) + 1, even at −1.",
        "The nearer a pixel, the larger its weight: the left one gets 1 − (x − floor(x)).",
        "Between the two upper ones first, then between the two lower ones, then between these two results. Pixels "
        "that do not exist count as 0.",
    ),
    success="Yes, at the edge and beyond it too.",
)
def bilinear_at(image, x, y):
    def pixel(row, column):
        inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
        return image[row, column] if inside else 0.0

    left, top = math.floor(x), math.floor(y)
    right, down = x - left, y - top  # how far past the upper left neighbour
    upper = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    lower = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return (1 - down) * upper + down * lower


@bilinear_at.mistake("x and y have changed places: x counts columns, y counts rows, and image[row, column]")
def _(image, x, y):
    return bilinear_at.reference(image.T, x, y)


@bilinear_at.mistake("this is the nearest pixel's value; expected a mean of four, weighted by how near they are")
def _(image, x, y):
    return bilinear_at.reference(image, math.floor(x + 0.5), math.floor(y + 0.5))


@bilinear_at.mistake("the weights are the wrong way round: the *nearer* pixel counts more")
def _(image, x, y):
    left, top = math.floor(x), math.floor(y)
    return bilinear_at.reference(image, left + 1 - (x - left), top + 1 - (y - top))


@bilinear_at.mistake("outside the image a pixel counts as 0; yours repeats the border")
def _(image, x, y):
    bordered = F.pad(image[None, None], (2, 2, 2, 2), mode="replicate")[0, 0]
    return bilinear_at.reference(bordered, x + 2, y + 2)


@bilinear_at.mistake("a point outside is not black all at once: it still lies within reach of the border's pixels")
def _(image, x, y):
    height, width = image.shape
    return bilinear_at.reference(image, x, y) if 0 <= x <= width - 1 and 0 <= y <= height - 1 else torch.tensor(0.0)


def _with_a_slip(image, x, y, left_of=math.floor, top_of=math.floor, last_row=False, last_column=False):
    """The solution with another rounding, or with −1 as Python's last row or last column."""

    def pixel(row, column):
        inside = row < image.shape[0] and column < image.shape[1] and (last_row or row >= 0)
        return image[row, column] if inside and (last_column or column >= 0) else image.new_zeros(())

    left, top = left_of(x), top_of(y)
    right, down = x - left, y - top
    upper = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    lower = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return (1 - down) * upper + down * lower


for slip, message in (
    (
        {"left_of": int, "top_of": int},
        "int() rounds towards 0, left of the image and above it too; math.floor() rounds down",
    ),
    ({"left_of": int}, "left of the image int(x) rounds towards 0; math.floor(x) rounds down"),
    ({"top_of": int}, "above the image int(y) rounds towards 0; math.floor(y) rounds down"),
    (
        {"last_row": True, "last_column": True},
        "image[-1] is the *last* row in Python, and [-1] the last column: test that neither is negative",
    ),
    ({"last_row": True}, "image[-1] is the *last* row in Python, not a row above the image: test row >= 0"),
    (
        {"last_column": True},
        "image[row, -1] is the *last* column in Python, not one left of the image: test column >= 0",
    ),
):
    bilinear_at.mistake(message)(partial(_with_a_slip, **slip))


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 2, 4, 5, generator=torch.Generator().manual_seed(3)),
            Affine().grid(torch.tensor([[0.8, -0.6, 0.1, 0.5, 0.7, -0.3], [1.3, 0.2, 0.4, -0.1, 1.2, 0.2]]), (3, 6)),
        )
    ],
    hints=(
        "First to pixels: the edges −1 and 1 lie half a pixel outside the outermost centres, x ↦ ((x + 1) W − 1) / 2.",
        "The four neighbours' rows and columns are tensors of the grid's shape. Clamp them, look the pixels up, and "
        "let those that are not inside count nothing.",
        "images.flatten(2).gather(2, index) looks up flat indices row · W + column; index needs a channel axis, "
        "expanded to C.",
    ),
    success="Yes: what F.grid_sample gives, from your own hand.",
)
def bilinear_image(images, grid):
    B, C, H, W = images.shape
    x, y = ((grid[..., i] + 1) * n / 2 - 0.5 for i, n in ((0, W), (1, H)))  # in pixels, (B, H', W')
    left, top = x.floor(), y.floor()
    sampled = 0
    for row, row_weight in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, column_weight in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (row >= 0) & (row < H) & (column >= 0) & (column < W)
            index = row.clamp(0, H - 1).long() * W + column.clamp(0, W - 1).long()  # (B, H', W')
            index = index.flatten(1)[:, None].expand(-1, C, -1)
            pixels = images.flatten(2).gather(2, index).unflatten(2, grid.shape[1:3])  # (B, C, H', W')
            sampled = sampled + pixels * (inside * row_weight * column_weight)[:, None]
    return sampled


@bilinear_image.mistake("the grid's last axis is (x, y); yours is read as (y, x)")
def _(images, grid):
    return bilinear_sample(images, grid.flip(-1))


@bilinear_image.mistake("your ±1 are the centres of the border pixels; here they are the edges (align_corners=False)")
def _(images, grid):
    return bilinear_sample(images, grid, align_corners=True)


@bilinear_image.mistake("this is nearest-neighbour sampling; expected a mean of four, weighted by how near they are")
def _(images, grid):
    return nearest_sample(images, grid)


@bilinear_image.mistake("outside the image a pixel counts as 0; yours repeats the border")
def _(images, grid):
    return bilinear_sample(images, grid, padding_mode="border")


@bilinear_image.mistake("the grid is still normalised: a point at x = −1 is not at pixel −1")
def _(images, grid):
    extent = torch.tensor([images.shape[3], images.shape[2]])
    return bilinear_sample(images, (2 * grid + 1) / extent - 1)


@bilinear_image.mistake("half a pixel is missing: the centre of the first pixel lies at 0, its edge at −0.5")
def _(images, grid):
    extent = torch.tensor([images.shape[3], images.shape[2]])
    return bilinear_sample(images, grid + 1 / extent)


@function_exercise(
    cases=lambda: [(_image(), x, y) for x, y in ((1.25, 0.5), (3.9, 1.2), (0.3, 0.8))],
    hints=(
        "Write the value as a function of x alone: on either side of it are two columns, and a straight line between.",
        "The slope along x in the upper row is (right − left). It counts as much as the upper row does.",
        "∂V/∂x = (1 − down)(b − a) + down (d − c), and ∂V/∂y is its mirror image.",
    ),
    success="Yes. That is equation 7, and it is all that θ ever hears of the image.",
    observe=lambda result, image, x, y: dict(zip(("∂V/∂x", "∂V/∂y"), result, strict=True)),
    gives="two numbers, (∂V/∂x, ∂V/∂y)",
)
def gradient_at(image, x, y):
    left, top = math.floor(x), math.floor(y)
    right, down = x - left, y - top
    a, b = image[top, left], image[top, left + 1]
    c, d = image[top + 1, left], image[top + 1, left + 1]
    return (1 - down) * (b - a) + down * (d - c), (1 - right) * (c - a) + right * (d - b)


@gradient_at.mistake("∂V/∂x and ∂V/∂y have changed places")
def _(image, x, y):
    return gradient_at.reference(image, x, y)[::-1]


@gradient_at.mistake("the sign is wrong: the slope along x is right minus left, along y it is lower minus upper")
def _(image, x, y):
    return tuple(-each for each in gradient_at.reference(image, x, y))


@gradient_at.mistake("both rows count, not the upper one alone: each by its weight")
def _(image, x, y):
    left, top = math.floor(x), math.floor(y)
    return image[top, left + 1] - image[top, left], image[top + 1, left] - image[top, left]


@gradient_at.mistake("the weights belong to the *other* axis: along x the rows are weighted by y")
def _(image, x, y):
    left, top = math.floor(x), math.floor(y)
    a, b, c, d = image[top, left], image[top, left + 1], image[top + 1, left], image[top + 1, left + 1]
    right, down = x - left, y - top
    return (1 - right) * (b - a) + right * (d - c), (1 - down) * (c - a) + down * (d - b)


@gradient_at.mistake("this is a gradient in normalised coordinates; the exercise counts x and y in pixels")
def _(image, x, y):
    along_x, along_y = gradient_at.reference(image, x, y)
    return along_x * image.shape[1] / 2, along_y * image.shape[0] / 2


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(4)),
            torch.tensor([[1.0, 0, 0, 0, 1, 0], [0.8, -0.6, 0.1, 0.5, 0.7, -0.3]]),
        )
    ],
    hints=(
        "Warp by the identity and compare with the image: the same?",
        "Two functions take align_corners. They have to agree, and the course's convention is False.",
    ),
    success="Yes: grid and sampler mean the same by ±1, and the identity is the identity.",
)
def aligned(images, theta):
    grid = F.affine_grid(theta.reshape(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@aligned.as_given
def _(images, theta):
    return F.grid_sample(images, Affine().grid(theta, images.shape[2:], align_corners=True), align_corners=False)


@aligned.mistake("now it is the other way round: the grid is made with False and sampled with True")
def _(images, theta):
    return F.grid_sample(images, Affine().grid(theta, images.shape[2:]), align_corners=True)


@aligned.mistake("both agree, on True. The course's convention is False")
def _(images, theta):
    return warp(images, theta, align_corners=True)


@aligned.mistake("nearest hides the blur, not its cause: the grid is still made with True and sampled with False")
def _(images, theta):
    grid = F.affine_grid(theta.reshape(-1, 2, 3), list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)  # which breaks ties in its own way
