"""The exercises of notebook 07: the kernel and the system of a thin plate spline, its affine part, its folds."""

import torch
from torch import Tensor

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.transforms import ThinPlateSpline, regular_grid


def _numbers_and_gaps(values: Tensor) -> dict[str, object]:
    """NaN equals nothing, itself included; so where one stands is looked at first, and then the numbers without it."""
    values = torch.as_tensor(values)
    return {"where it is no number, NaN (1 = yes)": values.isnan().double(), "": values.nan_to_num()}


def _observe_kernel(result, r):
    values = torch.as_tensor(result)
    learns = torch.autograd.grad(values.sum(), r)[0] if values.requires_grad else None
    seen = {f"U {name}".rstrip(): value for name, value in _numbers_and_gaps(values).items()}
    seen["whether it has a gradient (1 = yes)"] = float(learns is not None)
    learns = torch.zeros_like(r) if learns is None else learns
    return seen | {f"its slope {name}".rstrip(): value for name, value in _numbers_and_gaps(learns).items()}


def _distances() -> Tensor:
    return torch.tensor([[0.0, 0.25, 1.0], [2.0, 0.0, 0.7]], dtype=torch.float64, requires_grad=True)


@function_exercise(
    cases=lambda: [(_distances(),)],
    hints=(
        "r * r * r.log() is right everywhere but at 0, where 0 · (−∞) is no number.",
        "Let the logarithm never see a 0: put a 1 there first. r * r is 0 there anyway.",
        "torch.where(r > 0, r, 1) has a 1 wherever r is 0.",
    ),
    success="Yes: U and its slope are numbers everywhere, also on the control point itself.",
    observe=_observe_kernel,
    gives="U of each distance, a tensor of the same shape",
)
def spline_kernel(r):
    return r * r * torch.where(r > 0, r, 1).log()


U = spline_kernel.reference  # as the notebook calls it


@spline_kernel.mistake("at r = 0 this is 0 · (−∞), which is no number (NaN): U is 0 there")
def _(r):
    return r * r * r.log()


@spline_kernel.mistake(
    "U is right, but its slope at 0 is NaN: the result was mended after the logarithm, and the gradient still goes "
    "through the logarithm of 0. Choose what the logarithm gets instead"
)
def _(r):
    return torch.where(r > 0, r * r * r.log(), 0)


@spline_kernel.mistake("this is r log r: the distance stands squared before the logarithm")
def _(r):
    return r * torch.where(r > 0, r, 1).log()


@spline_kernel.mistake("this is twice U: the logarithm of r² is 2 log r")
def _(r):
    return 2 * spline_kernel.reference(r)


@spline_kernel.mistake("this is r² log(1 + r); U is below 0 wherever r is below 1")
def _(r):
    return r * r * r.log1p()


@spline_kernel.mistake("log is the natural logarithm, tensor.log(); yours is the one to base 10")
def _(r):
    return r * r * torch.where(r > 0, r, 1).log10()


@spline_kernel.mistake("log is the natural logarithm, tensor.log(); yours is the one to base 2")
def _(r):
    return r * r * torch.where(r > 0, r, 1).log2()


@spline_kernel.mistake("the numbers are right, but no gradient comes through: no detach, no .data, no .item()")
def _(r):
    return spline_kernel.reference(r.detach())


def _scattered(n: int = 5, seed: int = 3) -> Tensor:
    return 2 * torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def _blocks(points, kernel=U, affine=lambda p: torch.cat((torch.ones_like(p[:, :1]), p), 1)):
    upper = affine(points)
    return kernel(torch.cdist(points, points)), upper, upper.new_zeros(upper.shape[1], upper.shape[1])


def _joined(K, P, corner):
    return torch.cat((torch.cat((K, P), 1), torch.cat((P.mT, corner), 1)))


@function_exercise(
    cases=lambda: [(_scattered(),)],
    hints=(
        "Four blocks: K (n, n), P (n, 3), its transpose (3, n) and zeros (3, 3).",
        "torch.cdist(points, points) has all distances, (n, n). P is a column of ones beside the points.",
        "torch.cat((K, P), dim=1) is the upper half; the two halves go one below the other by dim=0.",
    ),
    success="Yes: n equations for the points, and three that tie the w down.",
    observe=lambda result, points: _numbers_and_gaps(result),
    gives="the matrix of the system, (n + 3, n + 3)",
)
def spline_system(points):
    K = U(torch.cdist(points, points))  # (n, n)
    P = torch.cat((torch.ones_like(points[:, :1]), points), dim=1)  # (n, 3)
    upper = torch.cat((K, P), dim=1)
    lower = torch.cat((P.T, P.new_zeros(3, 3)), dim=1)
    return torch.cat((upper, lower))  # (n + 3, n + 3)


system = spline_system.reference


@spline_system.mistake("this is K alone: P, its transpose and the zeros belong to the matrix, too")
def _(points):
    return _blocks(points)[0]


@spline_system.mistake("these are the equations of the n points; the three lower rows, Pᵀ and zeros, are missing")
def _(points):
    return torch.cat(_blocks(points)[:2], 1)


@spline_system.mistake("on its diagonal K has U(0), which is no number in your version: U has to be 0 there")
def _(points):
    K, P, corner = _blocks(points)
    return _joined(K.fill_diagonal_(torch.nan), P, corner)


@spline_system.mistake("K has the distances themselves: U of them was asked for")
def _(points):
    return _joined(*_blocks(points, kernel=lambda r: r))


@spline_system.mistake("a row of P is (1, x, y), in this order: your 1 stands last")
def _(points):
    return _joined(*_blocks(points, affine=lambda p: torch.cat((p, torch.ones_like(p[:, :1])), 1)))


@spline_system.mistake("a row of P is (1, x, y): x and y have changed places")
def _(points):
    return _joined(*_blocks(points, affine=lambda p: torch.cat((torch.ones_like(p[:, :1]), p.flip(1)), 1)))


@spline_system.mistake("the 1 is missing in P, so that the spline has no shift: a row is (1, x, y)")
def _(points):
    return _joined(*_blocks(points, affine=lambda p: p))


@spline_system.mistake(
    "K stands at the upper left, and yours at the lower right: the order of the unknowns is w, then a"
)
def _(points):
    K, P, corner = _blocks(points)
    return torch.cat((torch.cat((corner, P.mT), 1), torch.cat((P, K), 1)))


@spline_system.mistake("the lower right block is 0: nothing is said about a alone; yours is not 0")
def _(points):
    K, P, corner = _blocks(points)
    return _joined(K, P, corner + torch.eye(3).to(corner))


@spline_system.mistake("the lower right block is 0: nothing is said about a alone; yours is not 0 (it is 1 everywhere)")
def _(points):
    K, P, corner = _blocks(points)
    return _joined(K, P, corner + 1)


def _held() -> list[tuple]:
    """The same points held twice: as an affine map takes them, and so that the sheet has to bend."""
    control, points = _scattered(6), 1.5 * _scattered(4, 4)
    moved = control @ torch.tensor([[0.8, 0.3], [-0.2, 1.1]], dtype=torch.float64) + 0.25
    bent = control + 0.2 * _scattered(6, 5)
    return [(control, moved, points), (control, bent, points)]


def _solved(looks, points, matrix, terms):
    values = torch.cat((looks, looks.new_zeros(len(matrix) - len(looks), 2)))
    return terms(points) @ torch.linalg.solve(matrix, values)


def terms(points, control):
    ones = torch.ones_like(points[:, :1])
    return torch.cat((U(torch.cdist(points, control)), ones, points), 1)


@function_exercise(
    cases=_held,
    hints=(
        "Move all control points by (0.3, 0). Which part of a sum of U could give that shift far away?",
        "The unknowns are w and a, 19 for 16 points: the system of section 3, with three zeros below the looks.",
        "At `points` the terms are U of the distances, then 1, x and y: (N, n + 3); times what you solved for.",
    ),
    success="Yes: a shift of the control points is a shift everywhere, and the bending fades beside it.",
    gives="where `points` look, (N, 2)",
)
def with_affine_part(control, looks, points):
    unknown = torch.linalg.solve(system(control), torch.cat((looks, looks.new_zeros(3, 2))))
    return terms(points, control) @ unknown  # (N, n + 3) @ (n + 3, 2)


through = with_affine_part.reference


@with_affine_part.as_given
def _(control, looks, points):
    w = torch.linalg.solve(U(torch.cdist(control, control)), looks)
    return U(torch.cdist(points, control)) @ w


@with_affine_part.mistake(
    "it bends the moves now, and no longer the places: that leaves the identity alone, and still loses a shift. The "
    "affine part belongs into the system"
)
def _(control, looks, points):
    return points + with_affine_part.given(control, looks - control, points)


@with_affine_part.mistake("there is a constant now, so shifts come back; x and y belong to the affine part as well")
def _(control, looks, points):
    matrix = _joined(*_blocks(control, affine=lambda p: torch.ones_like(p[:, :1])))
    return _solved(looks, points, matrix, lambda p: terms(p, control)[:, :-2])


@with_affine_part.mistake("x and y are there now; the constant is missing, so that a shift still bends the sheet")
def _(control, looks, points):
    matrix = _joined(*_blocks(control, affine=lambda p: p))
    return _solved(looks, points, matrix, lambda p: torch.cat((terms(p, control)[:, :-3], p), 1))


@with_affine_part.mistake(
    "an affine map comes back now, but what bends is not the sheet of least energy: an affine map was fitted first, "
    "and the rest left to K alone, without the three conditions on the w"
)
def _(control, looks, points):
    P = terms(control, control)[:, -3:]
    affine = torch.linalg.lstsq(P, looks).solution
    return terms(points, control)[:, -3:] @ affine + with_affine_part.given(control, looks - P @ affine, points)


@with_affine_part.mistake(
    "the equations of the points alone have many solutions, and you took the shortest one: the three lower rows, "
    "[Pᵀ 0], are missing"
)
def _(control, looks, points):
    return terms(points, control) @ torch.linalg.pinv(terms(control, control)) @ looks


@with_affine_part.mistake("the system is right, but at the points its affine part is left out: add a₀ + a₁ x + a₂ y")
def _(control, looks, points):
    unknown = torch.linalg.solve(system(control), torch.cat((looks, looks.new_zeros(3, 2))))
    return terms(points, control)[:, :-3] @ unknown[:-3]


@with_affine_part.mistake("only the affine part is left: w, what bends, is no longer used")
def _(control, looks, points):
    unknown = torch.linalg.solve(system(control), torch.cat((looks, looks.new_zeros(3, 2))))
    return terms(points, control)[:, -3:] @ unknown[-3:]


def _areas(grid):
    """What four neighbours span, against what they would span: (H − 1, W − 1)."""
    right, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    return right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]


def _grids() -> list[tuple]:
    turn = torch.tensor([[0.1, -1.0], [1.0, 0.2]])
    spline = ThinPlateSpline()
    theta = torch.stack((spline.identity(), spline.identity()))
    theta[0, 10] += 1.1  # one inner point far to the right
    theta[1, [10, 18]] = theta[1, [18, 10]] + 0.1
    theta[1, [11, 19]] = theta[1, [19, 11]]  # the one below it changes places with it
    return [(grid @ turn.T,) for grid in spline.grid(theta, (14, 18))] + [(regular_grid((5, 7)) @ turn.T,)]


@function_exercise(
    cases=_grids,
    hints=(
        "Two steps at each point: grid[:-1, 1:] − grid[:-1, :-1] goes right, grid[1:, :-1] − grid[:-1, :-1] goes down.",
        "The area that two steps (a, b) and (c, d) span, with its sign, is a d − b c.",
        "(area < 0).double().mean() is a share.",
    ),
    success="Yes: where the area is negative, the sheet lies there with its back upwards.",
    gives="a share, between 0 and 1",
)
def folded_share(grid):
    right = grid[:-1, 1:] - grid[:-1, :-1]  # (H - 1, W - 1, 2)
    down = grid[1:, :-1] - grid[:-1, :-1]
    area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    return (area < 0).double().mean()


@folded_share.mistake("this is the share that is *not* folded: of the map that changes nothing, no part is")
def _(grid):
    return 1 - folded_share.reference(grid)


@folded_share.mistake("this is how many cells are folded; asked for is their share of all")
def _(grid):
    return (_areas(grid) < 0).sum()


@folded_share.mistake("there are (H − 1)·(W − 1) cells between H·W points: divide by these")
def _(grid):
    return (_areas(grid) < 0).sum() / grid[..., 0].numel()


@folded_share.mistake("that x no longer grows to the right says nothing in a picture that is turned: take the area")
def _(grid):
    return (grid[:-1, 1:, 0] < grid[:-1, :-1, 0]).double().mean()


@folded_share.mistake("the area is a d − b c, and its second half is missing: a turn by 90° has a = d = 0")
def _(grid):
    right, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    return (right[..., 0] * down[..., 1] < 0).double().mean()


@folded_share.mistake("the area is a d − b c; yours has a plus")
def _(grid):
    right, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    return (right[..., 0] * down[..., 1] + right[..., 1] * down[..., 0] < 0).double().mean()


@folded_share.mistake(
    "this is the mean of the area itself: what is folded and what is not cancel in it; ask where it is < 0"
)
def _(grid):
    return _areas(grid).mean()


@folded_share.mistake("this asks whether anything folds at all; asked for is the share")
def _(grid):
    return (_areas(grid) < 0).any().double()


@function_exercise(
    cases=lambda: [
        (
            ThinPlateSpline(3).identity().view(-1, 2).double(),
            (ThinPlateSpline(3).identity().view(-1, 2) + 0.2 * _scattered(9, 6)).double(),
        )
    ],
    hints=(
        "The spline that you have takes `control` to `looks`. Which one takes `looks` to `control`?",
        "A thin plate spline can be held at any points, also at `looks`, which are not regular.",
        "Hold it at `looks`, with the values `control`, and read off where it takes the points `control`.",
    ),
    success="Yes: of small bends, 0.69 pixels of 28 in the mean (a normal of 0.05), this one leaves 0.07.",
    gives="where the control points of the spline that goes back look, (n, 2)",
)
def bend_back(control, looks):
    return through(looks, control, control)


@bend_back.mistake(
    "every point goes as far the other way, as if the move were needed where the point stands: hold a spline at `looks`"
)
def _(control, looks):
    return 2 * control - looks


@bend_back.mistake("this is the spline that there is already, read off at its own points")
def _(control, looks):
    return looks


@bend_back.mistake(
    "this spline is the right one, read off at `looks`, where it gives `control`: read it off at `control`"
)
def _(control, looks):
    return control


@bend_back.mistake("this chains the spline to itself: it bends twice as far, instead of back")
def _(control, looks):
    return through(control, looks, looks)


@bend_back.mistake(
    "this is the best affine way back; a bend needs what bends: hold a spline at `looks`, with the values `control`"
)
def _(control, looks):
    back = torch.linalg.lstsq(terms(looks, looks)[:, -3:], control).solution
    return terms(control, control)[:, -3:] @ back


count_numbers = NumberExercise(
    answer=392,
    why="Yes: 14 · 14 points, two numbers each. A dense flow has 1,568.",
    mistakes={
        196: "That is how many points there are; each says where it looks by two numbers.",
        784: "That is how many pixels there are. Every second one in both directions leaves a quarter of them.",
        1568: "That is a dense flow, two numbers for each pixel. Here only every second pixel has a point.",
        398: "Those are the unknowns of the system, (196 + 3) · 2. θ has no affine part of its own.",
        32: "That is the spline of this notebook, with 4 × 4 points.",
    },
    hints=("How many points stand in one row, and how many rows are there?", "Each point looks somewhere: x and y."),
)
