"""The exercises of notebook 08: the nearest affine θ, a fair test from two lists, networks of one size."""

import math

import torch
from torch import Tensor

from stn_course.exercises.exercise import NumberExercise, function_exercise


def _pulled_about() -> list[tuple]:
    """Points, and where they are after an affine map and a little more, so that no affine map has them all right."""
    generator = torch.Generator().manual_seed(8)
    made = []
    for n, turn in ((12, [[0.6, -0.5], [0.4, 0.9]]), (40, [[1.2, 0.1], [-0.3, 0.7]])):
        points = 2 * torch.rand(n, 2, generator=generator, dtype=torch.float64) - 1
        moved = points @ torch.tensor(turn, dtype=torch.float64).mT + torch.tensor([0.2, -0.3], dtype=torch.float64)
        made.append((points, moved + 0.1 * torch.randn(n, 2, generator=generator, dtype=torch.float64)))
    return made


def _with_ones(points: Tensor) -> Tensor:
    return torch.cat((points, torch.ones_like(points[:, :1])), dim=1)  # (N, 3): x, y, 1


@function_exercise(
    cases=_pulled_about,
    hints=(
        "For one point: x_s = θ11 x + θ12 y + θ13. That is linear in θ: one equation a point for x, one for y.",
        "With the rows (x, y, 1) as a matrix, (N, 3): torch.linalg.lstsq(matrix, looks).solution.",
        "The solution is (3, 2), a column for x and one for y. θ is row by row: first the three numbers for x.",
    ),
    success="Yes: of all affine maps the one that comes nearest, and no network with an affine θ can do better.",
    gives="θ, six numbers",
)
def fit_affine(points, looks):
    rows = torch.cat((points, torch.ones_like(points[:, :1])), dim=1)  # (N, 3)
    return torch.linalg.lstsq(rows, looks).solution.T.flatten()  # (3, 2) -> (6,)


@fit_affine.mistake("the numbers are right, in the wrong order: θ has the three numbers for x first, then those for y")
def _(points, looks):
    return torch.linalg.lstsq(_with_ones(points), looks).solution.flatten()


@fit_affine.mistake("this is the way back: θ takes `points` to `looks`, yours takes `looks` to `points`")
def _(points, looks):
    return fit_affine.reference(looks, points)


@fit_affine.mistake("there is no shift: a row of the matrix is (x, y, 1), and yours lacks the 1")
def _(points, looks):
    linear = torch.linalg.lstsq(points, looks).solution.T
    return torch.cat((linear, torch.zeros_like(linear[:, :1])), dim=1).flatten()


@fit_affine.mistake("the shift is the mean move; it belongs into the least squares, with the other four numbers")
def _(points, looks):
    linear = torch.linalg.lstsq(points, looks).solution.T
    return torch.cat((linear, (looks - points).mean(0)[:, None]), dim=1).flatten()


@fit_affine.mistake("three points fix an affine map, and you took the first three: all of them have a say")
def _(points, looks):
    return fit_affine.reference(points[:3], looks[:3])


@fit_affine.mistake("a row of the matrix is (x, y, 1), as in θ; with the 1 in front, the shift comes out first")
def _(points, looks):
    return torch.linalg.lstsq(_with_ones(points).roll(1, 1), looks).solution.T.flatten()


def _two_lists() -> list[tuple]:
    return [
        ([3, 7, 8, 15, 21, 30, 44, 51, 60], [7, 21, 90]),
        ([12, 14], [9, 14, 22, 23, 31, 40]),
        ([5, 6, 1], [6, 5, 1]),
        (list(range(0, 40)), list(range(25, 60))),
    ]


def _two_sided(only_first: int, only_second: int) -> float:
    n, few = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)


@function_exercise(
    cases=_two_lists,
    hints=(
        "A digit that both misread says nothing about which of the two is better; nor does one that both read.",
        "set(first) - set(second) holds what only the first misreads.",
        "The two counts go into 05's function: sign_test(only_first, only_second).",
    ),
    success="Yes: only where the two disagree is there something to count.",
    gives="a probability",
)
def chance_of(first, second):
    only_first, only_second = len(set(first) - set(second)), len(set(second) - set(first))
    n, few = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)


@chance_of.mistake("digits that both misread are counted on both sides; they tell nothing about the difference")
def _(first, second):
    return _two_sided(len(first), len(second))


@chance_of.mistake(
    "that counts one way of being uneven; beforehand nobody knew which of the two would come off better: twice that"
)
def _(first, second):
    few, n = sorted((len(set(first) - set(second)), len(set(second) - set(first))))[0], len(set(first) ^ set(second))
    return sum(math.comb(n, k) for k in range(few + 1)) / 2**n


@chance_of.mistake("a probability above 1: where the two counts are equal, both tails share the middle")
def _(first, second):
    few, n = min(len(set(first) - set(second)), len(set(second) - set(first))), len(set(first) ^ set(second))
    return 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n


@chance_of.mistake("this is how likely *exactly* these counts are; results that are more uneven count, too")
def _(first, second):
    few, n = min(len(set(first) - set(second)), len(set(second) - set(first))), len(set(first) ^ set(second))
    return min(1.0, 2 * math.comb(n, few) / 2**n)


@chance_of.mistake("this compares what only one misreads with what both misread; compare the two with each other")
def _(first, second):
    return _two_sided(len(set(first) ^ set(second)), len(set(first) & set(second)))


def _fcn_size(hidden: int, pixels: int = 42 * 42) -> int:
    return (pixels + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * 10


def _widest(budget: int, size) -> int:
    width = 0
    while size(width + 1) <= budget:
        width += 1
    return width


@function_exercise(
    cases=lambda: [(399_566,), (399_565,), (50_000,), (341_000,)],
    hints=(
        "Three linear layers: 1764 → h, h → h, h → 10. A layer from a to b has a · b weights and b biases.",
        "1765 h + (h + 1) h + 10 (h + 1) grows with h: count up while it still fits.",
        "Start at h = 0; as long as h + 1 still fits, take it.",
    ),
    success="Yes. Behind a transformer, take its own parameters off the budget first.",
    gives="a whole number",
)
def widest_fcn(budget):
    width = 0
    while 1765 * (width + 1) + (width + 2) * (width + 1) + 10 * (width + 2) <= budget:
        width += 1
    return width


@widest_fcn.mistake("the biases are missing: a layer from a to b has a · b weights and b biases")
def _(budget):
    return _widest(budget, lambda h: 1764 * h + h * h + 10 * h)


@widest_fcn.mistake("that is one too wide: it no longer fits into the budget")
def _(budget):
    return widest_fcn.reference(budget) + 1


@widest_fcn.mistake("the second hidden layer is missing: h · h weights and h biases")
def _(budget):
    return _widest(budget, lambda h: 1765 * h + 10 * (h + 1))


@widest_fcn.mistake("that is for digits of 28×28; here the canvas has 42 · 42 = 1,764 pixels")
def _(budget):
    return _widest(budget, lambda h: _fcn_size(h, 28 * 28))


@widest_fcn.mistake("the last layer, h → 10, has parameters, too")
def _(budget):
    return _widest(budget, lambda h: 1765 * h + (h + 1) * h)


false_alarms = NumberExercise(
    answer=1.2,
    why="Yes: 24 · 0.05. So in a table of this size one difference 'at 5 %' is what pure chance would give.",
    mistakes={
        0.05: "That is for one pair. There are 24 of them.",
        24: "That would be every pair; chance gives 5 in 100.",
        0: "Chance alone falls below 5 % in 5 of 100 pairs, whoever is better.",
        1.6: "That is for 32 pairs. 32 are the networks; the plain ones, 8, are what the other 24 are compared with.",
        1 - 0.95**24: "That is how likely at least one is. Asked for is how many there are on average.",
    },
    hints=("How many of a hundred pairs of equals fall below 5 %?", "And of 24 pairs?"),
)
