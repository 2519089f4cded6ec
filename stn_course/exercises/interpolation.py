"""The exercises of notebook 02: values between pixels, and their gradients."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.sampling import bilinear_sample, nearest_sample
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine


def _image() -> torch.Tensor:
    return torch.rand(3, 5, generator=torch.Generator().manual_seed(2))


def _near_points() -> list[tuple]:
    inside = (1.3, 0.4), (3.8, 1.7), (2.5, 0.0), (0.6, 1.5)
    over_each_edge = (4.6, 1.2), (-0.4, 0.7), (2.3, -0.7), (-0.6, 1.1), (1.2, 2.45), (3.2, -0.45), (0.9, 2.8)
    return [(_image(), x, y) for x, y in (*inside, *over_each_edge)]


@function_exercise(
    cases=_near_points,
    hints=(
        "math.floor(x + 0.5) is the column whose centre is nearest.",
        "Row first: image[row, column]. And only if 0 <= column < image.shape[1], and the row likewise.",
    ),
    success="Yes, half-way between two pixels and outside the image too.",
)
def nearest_at(image, x, y):
    column, row = math.floor(x + 0.5), math.floor(y + 0.5)
    inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
    return image[row, column] if inside else image.new_zeros(())


def _nearest_with_a_slip(image, x, y, rounded=lambda x: math.floor(x + 0.5), wraps=False, margin=False):
    column, row = rounded(x), rounded(y)
    low = -min(image.shape) if wraps else 0
    inside = low <= row < image.shape[0] and low <= column < image.shape[1]
    if margin:
        inside = inside and 0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1
    return image[row, column] if inside else image.new_zeros(())


@nearest_at.mistake("x and y have changed places: x counts columns, y counts rows, and image[row, column]")
def _(image, x, y):
    return nearest_at.reference(image.T, x, y)


@nearest_at.mistake("outside the image there is nothing, 0; yours repeats the border")
def _(image, x, y):
    height, width = image.shape
    row, column = (min(max(math.floor(place + 0.5), 0), n - 1) for place, n in ((y, height), (x, width)))
    return image[row, column]


for slip, message in (
    (
        {"rounded": math.floor},
        "floor(x) alone is the pixel on the *left*, however near the right one is: add 0.5 first",
    ),
    (
        {"rounded": round},
        "round() takes the *even* number half-way between two (2.5 → 2, but 1.5 → 2); floor(x + 0.5) takes the larger",
    ),
    (
        {"rounded": lambda place: math.ceil(place - 0.5)},
        "half-way between two pixels the formula takes the one with the larger number; yours takes the smaller",
    ),
    (
        {"rounded": lambda place: int(place + 0.5)},
        "int() rounds towards 0, so that a point half a pixel outside still finds pixel 0; math.floor() rounds down",
    ),
    ({"wraps": True}, "image[-1] is the *last* row in Python, and [-1] the last column: test that neither is negative"),
    (
        {"margin": True},
        "a point up to half a pixel beyond the outermost centres still lies on the image: test the *rounded* ones",
    ),
):
    nearest_at.mistake(message)(partial(_nearest_with_a_slip, **slip))


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
    success="Yes: what F.grid_sample gives, and you wrote it.",
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
    success="Yes. That is equation 7, and all that θ learns of the image comes through it.",
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


def _slopes() -> list[tuple]:
    generator = torch.Generator().manual_seed(5)
    return [
        (torch.randn(12, 2, generator=generator), 2 * torch.rand(12, 2, generator=generator) - 1),
        (torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.5, -0.25], [-0.75, 0.5]])),
    ]


@function_exercise(
    cases=_slopes,
    hints=(
        "One point first: how much does x_s = θ11 x_t + θ12 y_t + θ13 change if θ12 changes? And what has θ21 to do "
        "with it?",
        "Append a 1 to every target point: (N, 3). Multiply by the slope along x for θ's first row, along y for its "
        "second, and add up over the points.",
        "slopes.T @ torch.cat((targets, torch.ones(len(targets), 1)), dim=1)",
    ),
    success="Yes: six sums over all points, and that is the gradient by which every spatial transformer learns.",
    gives="six numbers, of shape (2, 3) or (6,)",
    observe=lambda result, slopes, targets: {"": torch.as_tensor(result).reshape(6)},
)
def theta_gradient(slopes, targets):
    homogeneous = torch.cat((targets, torch.ones(len(targets), 1)), dim=1)  # (N, 3): x_t, y_t, 1
    return slopes.T @ homogeneous  # (2, 3)


@theta_gradient.mistake("this is (3, 2), turned on its side: θ's first row belongs to x, its second to y")
def _(slopes, targets):
    return theta_gradient.reference(slopes, targets).T


@theta_gradient.mistake("the two rows have changed places: θ's first row makes x_s, so it takes the slopes along x")
def _(slopes, targets):
    return theta_gradient.reference(slopes, targets).flip(0)


@theta_gradient.mistake("the points are summed, not averaged: every output pixel adds its own share")
def _(slopes, targets):
    return theta_gradient.reference(slopes, targets) / len(targets)


@theta_gradient.mistake("θ13 and θ23 shift every point alike: the third column is the slopes times 1")
def _(slopes, targets):
    gradient = theta_gradient.reference(slopes, targets).clone()
    gradient[:, 2] = 0
    return gradient


@theta_gradient.mistake("x_t and y_t have changed places: θ11 and θ21 are multiplied by x_t, θ12 and θ22 by y_t")
def _(slopes, targets):
    return theta_gradient.reference(slopes, targets.flip(1))


@theta_gradient.mistake("the slopes add up before they meet their points: multiply point by point first, then add up")
def _(slopes, targets):
    homogeneous = torch.cat((targets, torch.ones(len(targets), 1)), dim=1)
    return slopes.sum(0)[:, None] * homogeneous.sum(0)


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


def _beyond() -> list[tuple]:
    inside = (1.25, 0.6), (3.9, 1.2)
    over_each_edge = (4.6, 1.3), (-0.4, 0.7), (2.3, -0.6), (-2.7, 1.6), (1.4, 3.3), (-1.5, -2.5), (7.2, 4.4)
    return [(_image(), x, y) for x, y in (*inside, *over_each_edge)]


@function_exercise(
    cases=_beyond,
    hints=(
        "What value does the image have far to the left of row 0? And at the height y = 0.5?",
        "Move a point outside to the nearest point where all is known, and sample there.",
        "Left of the first centre, x = 0, nothing changes any more; right of the last centre, x = W − 1, neither.",
    ),
    success="Yes: clamp, then sample. That is padding_mode='border'.",
)
def border_at(image, x, y):
    height, width = image.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = x - left, y - top  # how far past the upper left neighbour
    upper = (1 - a) * image[top, left] + a * image[top, right]
    lower = (1 - a) * image[bottom, left] + a * image[bottom, right]
    return (1 - b) * upper + b * lower


@border_at.mistake("outside the image this is still 0: the border pixel is to be repeated")
def _(image, x, y):
    return bilinear_at.reference(image, x, y)


@border_at.mistake("this mirrors the image; the border pixel is to be repeated, however far out the point lies")
def _(image, x, y):
    points = torch.tensor([[[[(2 * x + 1) / image.shape[1] - 1, (2 * y + 1) / image.shape[0] - 1]]]])
    return bilinear_sample(image[None, None], points, "reflection")


@border_at.mistake(
    "the last centre is at W − 1, and of a column at H − 1; clamped to W and H, a point half-way out falls on nothing"
)
def _(image, x, y):
    height, width = image.shape
    return bilinear_at.reference(image, min(max(x, 0), width), min(max(y, 0), height))


@border_at.mistake("clamped to the image's outer *edges*, half a pixel too far out: there the value has begun to fall")
def _(image, x, y):
    height, width = image.shape
    return bilinear_at.reference(image, min(max(x, -0.5), width - 0.5), min(max(y, -0.5), height - 0.5))


@border_at.mistake("x is clamped to the number of rows and y to that of columns: x goes up to W − 1, y up to H − 1")
def _(image, x, y):
    height, width = image.shape
    return bilinear_at.reference(image, min(max(x, 0), height - 1), min(max(y, 0), width - 1))


@border_at.mistake("this takes the nearest pixel; expected a mean of four, at the clamped place")
def _(image, x, y):
    height, width = image.shape
    return nearest_at.reference(image, min(max(x, 0), width - 1), min(max(y, 0), height - 1))
