"""The exercises of notebook 01: grids, and what θ does."""

import math

import torch

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.transforms import Affine, Projective, regular_grid

zoom = NumberExercise(
    answer=2,
    why="Yes. θ says where to look: half as far from the centre, so what lies there is spread over twice the width.",
    mistakes={
        0.5: "That is what θ would do if it moved the picture. It moves the points at which the picture is looked up.",
        4: "Four times the area, yes. The question was how many times as wide.",
        1: "Something does happen. Which source point does the output's right edge, x = 1, look at?",
    },
    hints=(
        "The output point x = 1 looks at the source point x = 0.5.",
        "So the output, from edge to edge, shows the source from −0.5 to 0.5: half of it.",
    ),
)


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
    target = torch.cat((regular_grid(size).flip(-1), torch.ones(*size, 1)), dim=-1)
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
