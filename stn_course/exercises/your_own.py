"""The exercises of notebook 10: a box as θ, a bounded scale, a share outside, the half-pixel rule, a sign's size."""

import torch

from stn_course.exercises.exercise import NumberExercise, function_exercise


@function_exercise(
    cases=lambda: [((40, 20, 32, 16), (120, 160)), ((0, 0, 160, 120), (120, 160)), ((100, 90, 8, 24), (160, 120))],
    hints=(
        "θ says where the corners look: (−1, −1) at the box's upper left corner, (1, 1) at its lower right one.",
        "An edge at pixel x lies at 2x / W − 1, for −1 and 1 are the outer edges of the picture (align_corners=False).",
        "s_x is the box's width over W, and t_x the place of the box's middle: 2 (left + width / 2) / W − 1.",
    ),
    success="Yes: the frame is the box, to the edge of its last pixel.",
    gives="θ11, θ12, θ13, θ21, θ22, θ23: six numbers",
)
def box_to_theta(box, size):
    left, top, width, height = box  # in pixels
    H, W = size
    t_x, t_y = 2 * (left + width / 2) / W - 1, 2 * (top + height / 2) / H - 1
    return torch.tensor([width / W, 0, t_x, 0, height / H, t_y])


def _box(box, size, extent=lambda n: n, middle=lambda start, n: start + n / 2):
    (left, top, width, height), (rows, columns) = box, size
    x, y = 2 * middle(left, width) / extent(columns) - 1, 2 * middle(top, height) / extent(rows) - 1
    return torch.tensor([width / columns, 0, x, 0, height / rows, y])


@box_to_theta.mistake("H and W have changed places: size is (H, W), rows first, and x belongs to W")
def _(box, size):
    return _box(box, size[::-1])


@box_to_theta.mistake("the shift is the box's upper left corner; θ13 and θ23 say where its *middle* is")
def _(box, size):
    return _box(box, size, middle=lambda start, n: start)


@box_to_theta.mistake("that frame is twice too large: the output is 2 wide in normalised coordinates, from −1 to 1")
def _(box, size):
    theta = _box(box, size)
    return theta * torch.tensor([2, 1, 1, 1, 2, 1])


@box_to_theta.mistake("that is the way back: a small box needs a small scale, for θ says where to look")
def _(box, size):
    a, _, x, _, d, y = _box(box, size)
    return torch.stack((1 / a, 0 * a, -x / a, 0 * a, 1 / d, -y / d))


@box_to_theta.mistake(
    "that is half a pixel off: an edge at x pixels lies at 2x / W − 1; pixel x has its centre elsewhere"
)
def _(box, size):
    return _box(box, size, middle=lambda start, n: start + n / 2 + 0.5)


@function_exercise(
    cases=lambda: [
        (torch.tensor([-1e4, -1.0, 0.0, 0.5, 1e4], dtype=torch.float64), 0.1, 1.5),
        (torch.tensor([0.0, 2.0], dtype=torch.float64), 0.5, 4.0),
    ],
    hints=(
        "At z = 0 this gives the middle of the two bounds. It has to give 1, a scale that changes nothing.",
        "Add a number to z, inside the sigmoid: the z at which the scale is 1. torch.logit undoes the sigmoid.",
        "low + (high − low) · share is 1 at share = (1 − low) / (high − low).",
    ),
    success="Yes: within the bounds for any z, and at z = 0 the identity.",
    gives="a scale for each z, a tensor of the same shape",
)
def bounded_scale(z, low, high):
    start = torch.logit(torch.tensor((1 - low) / (high - low), dtype=z.dtype))
    return low + (high - low) * torch.sigmoid(z + start)


@bounded_scale.as_given
def _(z, low, high):
    return low + (high - low) * torch.sigmoid(z)


@bounded_scale.mistake("at z = 0 it is 1, and further out it leaves the bounds: clamp nothing, add inside the sigmoid")
def _(z, low, high):
    return low + (high - low) * torch.sigmoid(z) + 1 - (low + high) / 2


@bounded_scale.mistake("a clamp keeps the bounds, and outside them its gradient is 0: whatever is there stays there")
def _(z, low, high):
    return (1 + z).clamp(low, high)


@bounded_scale.mistake("that is never below 0, and has no upper bound")
def _(z, low, high):
    return z.exp()


@bounded_scale.mistake("the share of 1 itself was added; sigmoid(start) must *be* that share: undo the sigmoid")
def _(z, low, high):
    return low + (high - low) * torch.sigmoid(z + (1 - low) / (high - low))


def _grids() -> list[tuple]:
    lattice = torch.linspace(-1.5, 1.5, 6, dtype=torch.float64)
    y, x = torch.meshgrid(lattice, lattice, indexing="ij")
    places = torch.stack((x, y), dim=-1)
    return [(torch.stack((places, places + 1, 0.5 * places, places * torch.tensor([0.5, 1]))),)]


@function_exercise(
    cases=_grids,
    hints=(
        "A place is outside if its x or its y is below −1 or above 1.",
        "grid.abs() > 1 is true for each coordinate that is outside; .any(dim=-1) joins x and y.",
        "The mean of true and false, as float, over rows and columns is the share: .float().mean((1, 2)).",
    ),
    success="Yes: one number an image, and no labels needed.",
    gives="a share for each image, (B,)",
)
def share_outside(grid):
    return (grid.abs() > 1).any(dim=-1).float().mean((1, 2))


@share_outside.mistake("a place is outside if x *or* y is; yours counts only where both are")
def _(grid):
    return (grid.abs() > 1).all(dim=-1).float().mean((1, 2))


@share_outside.mistake("this counts coordinates, and a place has two: join x and y first")
def _(grid):
    return (grid.abs() > 1).float().mean((1, 2, 3))


@share_outside.mistake("this is the share inside")
def _(grid):
    return (grid.abs() <= 1).all(dim=-1).float().mean((1, 2))


@share_outside.mistake("one number for the whole batch was not asked for: one for each image")
def _(grid):
    return (grid.abs() > 1).any(dim=-1).float().mean()


@share_outside.mistake("below −1 is outside, too")
def _(grid):
    return (grid > 1).any(dim=-1).float().mean((1, 2))


@function_exercise(
    cases=lambda: [((4, 8),), ((120, 160),), ((1, 3),)],
    hints=(
        "Where is pixel 0's centre? Half a pixel inside the edge at −1. So −1 becomes −0.5, and 1 becomes W − 0.5.",
        "x in pixels is (W / 2) · x + (W − 1) / 2.",
        "The matrix has W/2 and H/2 on its diagonal, (W − 1)/2 and (H − 1)/2 in its last column, and 1 in the corner.",
    ),
    success="Yes: ±1 are the outer edges, and the centre of pixel m is at m.",
    gives="a matrix, (3, 3)",
)
def to_pixels_matrix(size):
    H, W = size
    return torch.tensor([[W / 2, 0, (W - 1) / 2], [0, H / 2, (H - 1) / 2], [0, 0, 1]])


def _diagonal(x, y, middle_x, middle_y):
    return torch.tensor([[x, 0, middle_x], [0, y, middle_y], [0, 0, 1]])


@to_pixels_matrix.mistake("that is the rule of align_corners=True, where ±1 are the *centres* of the border pixels")
def _(size):
    H, W = size
    return _diagonal((W - 1) / 2, (H - 1) / 2, (W - 1) / 2, (H - 1) / 2)


@to_pixels_matrix.mistake("half a pixel is missing: −1 is the left *edge*, at −0.5, for pixel 0 has its centre at 0")
def _(size):
    H, W = size
    return _diagonal(W / 2, H / 2, W / 2, H / 2)


@to_pixels_matrix.mistake("H and W have changed places: size is (H, W), and x runs along W")
def _(size):
    W, H = size
    return _diagonal(W / 2, H / 2, (W - 1) / 2, (H - 1) / 2)


@to_pixels_matrix.mistake("that is the way back, from pixels to normalised coordinates")
def _(size):
    H, W = size
    return torch.linalg.inv(_diagonal(W / 2, H / 2, (W - 1) / 2, (H - 1) / 2))


pixels_in_view = NumberExercise(
    answer=2.56,
    why="Yes: 64 / 4000 of 160 pixels. That is too little for a network to find it: a larger view, or two looks.",
    mistakes={
        160: "That is its width in the photograph. In the view 4,000 pixels become 64.",
        3.4133: "The longer side decides: the view holds the whole picture, 4,000 pixels, in 64.",
        62.5: "So many pixels of the photograph become one of the view; the sign is 160 of them wide.",
        10000: "The other way round: the view is smaller than the photograph.",
    },
    hints=("By how much is the view smaller than the photograph? Its longer side becomes 64.", "160 · 64 / 4000."),
)
