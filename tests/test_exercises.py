"""Every check accepts right answers, however they are written, and names the mistake in the usual wrong ones."""

import copy
import decimal
import fractions
import functools
import json
import math
import random
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course import exercises, transforms
from stn_course.__main__ import main
from stn_course.algebra import compose, from_pixel_matrix, invert, to_pixel_matrix
from stn_course.data import Normalise
from stn_course.distortions import Pose
from stn_course.exercises import EXERCISES, FunctionExercise, NumberExercise, bending, patients
from stn_course.exercises.progress_file import note, read
from stn_course.experiments import sign_test
from stn_course.recovery import box_overlap, taken_back
from stn_course.sampling import bilinear_sample, nearest_sample
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import Affine, Attention, Projective

BUILDS = [each for each in EXERCISES.values() if isinstance(each, FunctionExercise)]
QUESTIONS = [each for each in EXERCISES.values() if isinstance(each, NumberExercise)]


@pytest.fixture(autouse=True)
def progress_file(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("STN_COURSE_PROGRESS", str(path))
    return path


def gradient_by_autograd(image, x, y):
    x, y = (torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (x, y))
    height, width = image.shape
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1))[None, None, None]
    return torch.autograd.grad(bilinear_sample(image.double()[None, None], grid).sum(), (x, y))


def turn_about_by_matrices(degrees, centre):
    shift = np.array([[1, 0, centre[0]], [0, 1, centre[1]], [0, 0, 1]])
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (shift @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.linalg.inv(shift))[:2].ravel()  # NumPy, float64


def warp_by_nearest(image, matrix):
    return warp(image[None, None].double(), matrix[None, :2].flatten(1).double(), sampler=nearest_sample)[0, 0]


def head_in_float64(in_features):
    return nn.Sequential(nn.Identity(), theta_head(in_features, Affine())).double()


def before_in_a_class(cnn, localisation):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.cnn, self.transformer = cnn.double(), SpatialTransformer(localisation.double())

        def forward(self, images):
            return self.cnn(self.transformer(images))

    return Both()


def pull_by_nudging(images, theta, classifier, labels):
    """No calculus at all: the loss a little to each side, in float64."""
    classifier = copy.deepcopy(classifier).double()

    def loss(at):
        return torch.nn.functional.cross_entropy(classifier(warp(images.double(), at)), labels)

    theta, pull = theta.double(), torch.zeros_like(theta).double()
    for row in range(len(theta)):
        for column in range(6):
            step = torch.zeros_like(theta)
            step[row, column] = 1e-6
            pull[row, column] = (loss(theta + step) - loss(theta - step)) / 2e-6
    return pull


def pull_by_backward(images, theta, classifier, labels):
    theta = theta.clone().requires_grad_(True)
    chances = classifier(
        F.grid_sample(images, Affine().grid(theta, images.shape[2:]), align_corners=False)
    ).log_softmax(1)
    (-chances[torch.arange(len(labels)), labels]).mean().backward()
    return theta.grad


RIGHT = {
    # written differently from the solutions, in other precisions, as arrays, lists and tuples
    "regular_grid": lambda size: Affine().grid(Affine().identity()[None].double(), size)[0].numpy(),
    "affine_grid": lambda theta, size: F.affine_grid(
        theta.double().view(-1, 2, 3), [len(theta), 1, *size], align_corners=False
    ),
    "fetch_pixel": lambda image, matrix, row, column: warp_by_nearest(image, matrix)[row, column],
    "backward_warp": lambda image, matrix: warp_by_nearest(image, matrix),
    "compose": lambda first, then: compose(first[None].double(), then[None].double())[0].tolist(),
    "turn_about": turn_about_by_matrices,
    "projective_points": lambda theta, points: (
        lambda moved: torch.stack((moved[..., 0] / moved[..., 2], moved[..., 1] / moved[..., 2]), -1)
    )(torch.cat((points, torch.ones(len(points), 1)), 1) @ Projective().matrix(theta[None])[0].T),
    "nearest_at": lambda image, x, y: nearest_sample(
        image.double()[None, None],
        torch.tensor([[[[(2 * x + 1) / image.shape[1] - 1, (2 * y + 1) / image.shape[0] - 1]]]], dtype=torch.float64),
    ).item(),
    "bilinear_at": lambda image, x, y: sum(
        float(image[i, j]) * max(0.0, 1 - abs(x - j)) * max(0.0, 1 - abs(y - i))
        for i in range(image.shape[0])
        for j in range(image.shape[1])
    ),
    "bilinear_image": lambda images, grid: F.grid_sample(images.double(), grid.double(), align_corners=False).numpy(),
    "gradient_at": gradient_by_autograd,
    "theta_gradient": lambda slopes, targets: np.concatenate(
        [(slopes[:, i, None] * F.pad(targets, (0, 1), value=1.0)).double().sum(0).numpy() for i in (0, 1)]
    ),
    "aligned": lambda images, theta: warp(images.double(), theta.double()),
    "border_at": lambda image, x, y: exercises.bilinear_at.reference(
        F.pad(image[None, None].double(), (9, 9, 9, 9), mode="replicate")[0, 0], x + 9, y + 9
    ),
    "localisation_head": head_in_float64,
    "transform_input": lambda images, localisation: SpatialTransformer(localisation)(images),
    "pull_on_theta": pull_by_nudging,
    "undo_normalise": lambda images, mean, std: Normalise(mean, std).undo(images.double()),
    "black_outside": lambda images, theta, mean, std: (
        warp((images - mean).double() / std + mean / std, theta.double()) - mean / std
    ).numpy(),
    "count_parameters": lambda model: torch.tensor(sum(math.prod(p.shape) for p in model.parameters())),
    "straighten": lambda theta: invert(theta.double()[None])[0].numpy(),
    "angle": lambda theta: torch.rad2deg(torch.angle(torch.complex(theta[0], theta[3]))).float(),
    "shared": lambda train, test: (train[:, None] == test[None]).flatten(2).all(2).any(0).sum(),
    "steady": lambda model: torch.optim.AdamW(
        [
            {"params": model.double().spatial_transformer.parameters(), "lr": 3e-4},
            {"params": model.classifier.parameters(), "lr": 0.03},
        ]
    ),
    "share_taken_back": lambda true, recovered, labels: (
        taken_back(
            Pose(true, torch.ones(60), torch.zeros(60, 2)), Pose(recovered, torch.ones(60), torch.zeros(60, 2)), labels
        )["angle"].slope
    ),
    "by_chance": lambda first, second: np.float64(sign_test(first, second)),
    "channel_statistics": lambda images: torch.stack(
        (images.double().mean((0, 2, 3)), images.double().var((0, 2, 3)).sqrt())
    ),
    "cut_out": lambda images, theta: F.grid_sample(
        images.double(), Affine().grid(theta.double(), (32, 32)), align_corners=False
    ),
    "mistakes_saved": lambda accuracy, baseline: np.float32((accuracy - baseline) / (1 - baseline)),
    "put_before": before_in_a_class,
    "mirrored": lambda images, theta: warp(images.double(), theta.double()).tolist(),
    "sharp_crop": lambda images, localisation, size: F.grid_sample(
        images, Affine().grid(localisation(F.adaptive_avg_pool2d(images, (3, 4))), size), align_corners=False
    ).double(),
}


def pull_by_autograd(model, images, labels):
    (pull,) = torch.autograd.grad(
        F.cross_entropy(model(images), labels), model.localisation[-1].bias, allow_unused=True
    )
    return torch.zeros(()) if pull is None else pull.abs().max().double()


def by_blocks(control, looks, points):
    """No system at once: what bends first, among the w that meet the three conditions, then the affine part."""
    K = exercises.spline_kernel.reference(torch.cdist(control, control))
    P = torch.cat((control, torch.ones(len(control), 1).double()), 1)
    free = torch.linalg.qr(P, mode="complete")[0][:, 3:]  # (n, n - 3): all w with Pᵀ w = 0
    w = free @ torch.linalg.solve(free.T @ K @ free, free.T @ looks)
    affine = torch.linalg.lstsq(P, looks - K @ w).solution
    away = (points[:, None] - control).norm(dim=-1)
    bends = torch.where(away > 0, away**2 * away.log(), 0) @ w
    return (bends + torch.cat((points, torch.ones(len(points), 1).double()), 1) @ affine).numpy()


def system_by_numpy(points):
    """In NumPy, entry by entry."""
    x, n = points.numpy(), len(points)
    system = np.zeros((n + 3, n + 3))
    for i in range(n):
        for j in range(n):
            r = np.hypot(*(x[i] - x[j]))
            system[i, j] = r * r * np.log(r) if i != j else 0
        system[i, n:] = system[n:, i] = 1, *x[i]
    return system


RIGHT |= {
    "spline_kernel": lambda r: r.float() ** 2 * torch.log(r.float().clamp(min=1e-9)),
    "spline_system": system_by_numpy,
    "with_affine_part": by_blocks,
    "folded_share": lambda grid: (
        torch.linalg.det(
            torch.stack((grid.diff(dim=1)[:-1], grid.diff(dim=0)[:, :-1]), dim=-1).flatten(0, 1).double()
        ).numpy()
        < 0
    ).mean(),
    "bend_back": lambda control, looks: by_blocks(looks, control, control),
    "fit_affine": lambda points, looks: affine_by_normal_equations(points.numpy(), looks.numpy()),
    "chance_of": lambda first, second: sign_test(
        sum(each not in second for each in first), sum(each not in first for each in second)
    ),
    "widest_fcn": lambda budget: (math.isqrt((1765 + 11) ** 2 + 4 * (budget - 10)) - (1765 + 11)) // 2,
    "intersection_over_union": lambda first, second: box_overlap(first, second).item(),
    "triplet_hinge": lambda seen, elsewhere, margin: hinge_in_loops(seen.numpy(), elsewhere.numpy(), margin),
    "sum_logits": lambda first, second: np.log(
        [np.convolve(p, q) for p, q in zip(first.softmax(1).numpy(), second.softmax(1).numpy())]
    ),
    "second_look": lambda first, second: compose(first, second, Attention()),
}


def hinge_in_loops(seen, elsewhere, margin):
    def away(a, b):
        return math.dist(a.tolist(), b.tolist())

    n = range(len(seen))
    hinges = [max(0, away(seen[i], seen[j]) - away(seen[i], elsewhere[i]) + margin) for i in n for j in n if i != j]
    return sum(hinges) / len(hinges)


def iou_by_counting(first, second):
    """On a lattice of 1/80, which all corners lie on."""
    x, y = torch.meshgrid(*[torch.arange(-2, 4, 1 / 80, dtype=torch.float64) + 1 / 160] * 2, indexing="xy")
    inside = [(x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]) for box in (first, second)]
    return (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()


def sums_of_logs(first, second):
    both = first[:, :, None] + second[:, None]  # a constant too many for each picture
    sums = torch.arange(10)[:, None] + torch.arange(10)
    return torch.stack([both[:, sums == total].logsumexp(1) for total in range(19)], dim=1).float()


def affine_by_normal_equations(points, looks):
    rows = np.c_[points, np.ones(len(points))]
    return np.linalg.solve(rows.T @ rows, rows.T @ looks).T.ravel().tolist()


def affine_by_descent(points, looks):
    """No formula at all: an optimiser on θ, through the package's own family."""
    theta = Affine().identity()[None].double().requires_grad_()
    descent = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss():
        descent.zero_grad()
        (wrong := (Affine().map(theta, points[None]) - looks).square().sum()).backward()
        return wrong

    descent.step(loss)
    return theta[0]


def widest_by_counting(budget):
    return max(
        h
        for h in range(1, 300)
        if sum(p.numel() for a, b in ((1764, h), (h, h), (h, 10)) for p in nn.Linear(a, b, device="meta").parameters())
        <= budget
    )


RIGHT |= {
    "box_to_theta": lambda box, size: from_pixel_matrix(
        torch.tensor([[[1.0, 0, box[0]], [0, 1, box[1]]]]), size, (box[3], box[2])
    )[0].tolist(),
    "bounded_scale": lambda z, low, high: (
        low + (high - low) / (1 + (high - 1) / (1 - low) * np.exp(-np.clip(z.numpy(), -300, 300)))
    ),
    "share_outside": lambda grid: 1 - ((grid.amax(3) <= 1) & (grid.amin(3) >= -1)).double().flatten(1).mean(1).numpy(),
    "to_pixels_matrix": lambda size: (
        to_pixel_matrix(torch.tensor([[1.0, 0, 0, 0, 1, 0]]), size, (2, 2))[0]
        @ torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    ),
}


def kernel_of_squares(r):
    squared = r * r
    return squared / 2 * torch.where(squared > 0, squared, 1.0).log()


def kernel_in_place(r):
    values = torch.zeros_like(r)
    inside = r > 0
    values[inside] = r[inside] ** 2 * r[inside].log()
    return values


def system_by_filling(points):
    n = len(points)
    system = torch.zeros(n + 3, n + 3)  # float32, as a learner makes it
    system[:n, :n] = kernel_of_squares((points[:, None] - points).norm(dim=-1))
    system[:n, n] = system[n, :n] = 1
    system[:n, n + 1 :] = points
    system[n + 1 :, :n] = points.mT
    return system


def affine_by_inverse(control, looks, points):
    n = len(control)
    theta = torch.linalg.inv(system_by_numpy_in_torch(control))[:, :n] @ looks
    terms = torch.cat((kernel_of_squares(torch.cdist(points, control)), torch.ones(len(points), 1), points), 1)
    return terms @ theta


def affine_on_moves(control, looks, points):
    return points + affine_by_inverse(control, looks - control, points)


def system_by_numpy_in_torch(points):
    return torch.from_numpy(system_by_numpy(points))


def folded_in_loops(grid):
    height, width, _ = grid.shape
    folded = 0
    for i in range(height - 1):
        for j in range(width - 1):
            (a, b), (c, d) = grid[i, j + 1] - grid[i, j], grid[i + 1, j] - grid[i, j]
            folded += bool(a * d - b * c < 0)
    return folded / ((height - 1) * (width - 1))


def regular_grid_in_loops(size):
    height, width = size
    return [[((j + 0.5) * 2 / width - 1, (i + 0.5) * 2 / height - 1) for j in range(width)] for i in range(height)]


def regular_grid_in_numpy(size):
    ends = [np.linspace(-1, 1, n + 1) for n in size]
    y, x = ((end[:-1] + end[1:]) / 2 for end in ends)
    return np.dstack(np.meshgrid(x, y))


def fetch_by_rounding(image, matrix, row, column):
    """In pixel coordinates, where the centre of pixel m is at m, the nearest pixel is the rounded one."""
    height, width = image.shape
    a, b, t_x, c, d, t_y = matrix[:2].flatten().tolist()
    x, y = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
    j = round(((a * x + b * y + t_x + 1) * width - 1) / 2)
    i = round(((c * x + d * y + t_y + 1) * height - 1) / 2)
    if i < 0 or j < 0 or i >= height or j >= width:
        return 0
    return image[i][j].item()


def fetch_or_catch(image, matrix, row, column):
    grid = F.affine_grid(matrix[None, :2], [1, 1, *image.shape], align_corners=False)[0]
    x, y = grid[row, column].numpy()
    place = [math.floor((y + 1) * image.shape[0] / 2), math.floor((x + 1) * image.shape[1] / 2)]
    try:
        return image[tuple(place)] if min(place) >= 0 else torch.zeros(())
    except IndexError:
        return torch.zeros(())


def backward_without_loops(image, matrix):
    rows, columns = image.shape
    grid = transforms.regular_grid(image.shape)
    looks = torch.cat((grid, torch.ones(rows, columns, 1)), -1) @ matrix.mT
    j, i = ((looks[..., :2] + 1) / 2 * torch.tensor([columns, rows])).floor().long().unbind(-1)
    padded = F.pad(image, (1, 1, 1, 1))
    return padded[(i + 1).clamp(0, rows + 1), (j + 1).clamp(0, columns + 1)]


def backward_by_fetching(image, matrix):
    return [[fetch_by_rounding(image, matrix, i, j) for j in range(image.shape[1])] for i in range(image.shape[0])]


RIGHT |= {
    "identity_error": lambda layer, images: float(np.abs((layer(images) - images).detach().numpy()).max()),
    "moved_by": lambda right, down, size: [1, 0, -right / size[1] * 2, 0, 1, -down / size[0] * 2],
    "pull_at_head": pull_by_autograd,
    "order_of_tests": lambda names: ["identity", "known θ", "gradient at the head", "reach", "rates", names[3]],
    "diagnosis": lambda letter: patients.PATIENTS[letter].fault,
    "cured": patients.Healthy,
    "first_frame": lambda size: np.array([[0.95, 0, 0], [0, 0.95, 0]]),
}


class CuredByTheCourse(patients.Healthy):
    def forward(self, x):
        return self.classifier(warp(x, self.localisation(x)))


ALSO_RIGHT = [
    ("regular_grid", regular_grid_in_loops),
    ("regular_grid", regular_grid_in_numpy),
    ("regular_grid", lambda size: transforms.regular_grid(size)),
    ("fetch_pixel", fetch_by_rounding),
    ("fetch_pixel", fetch_or_catch),
    ("backward_warp", backward_without_loops),
    ("backward_warp", backward_by_fetching),
    ("pull_on_theta", pull_by_backward),
    ("spline_kernel", kernel_of_squares),
    ("spline_kernel", kernel_in_place),
    ("spline_kernel", lambda r: torch.stack([x * x * x.log() if x > 0 else 0 * x for x in r.flatten()]).view(r.shape)),
    ("spline_system", system_by_filling),
    ("with_affine_part", affine_by_inverse),
    ("with_affine_part", affine_on_moves),
    ("folded_share", folded_in_loops),
    ("bend_back", lambda control, looks: affine_by_inverse(looks, control, control)),
    ("fit_affine", affine_by_descent),
    ("fit_affine", lambda points, looks: exercises.fit_affine.reference(points.float(), looks.float())),
    ("widest_fcn", widest_by_counting),
    ("intersection_over_union", iou_by_counting),
    ("sum_logits", sums_of_logs),
    ("sum_logits", lambda first, second: (sums_of_logs(first, second) + 7).tolist()),
    ("cured", CuredByTheCourse),
    ("order_of_tests", lambda names: tuple(exercises.order_of_tests.reference(names))),
]


def written_again(function):
    """The same function, as somebody who read its source would have it."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, "mine", function.__defaults__)


def test_every_exercise_that_asks_for_code_has_a_right_answer_here():
    assert RIGHT.keys() == {each.name for each in BUILDS}


def test_names_are_those_of_the_module_and_notebooks_are_in_order():
    assert all(getattr(exercises, name) is each and each.name == name for name, each in EXERCISES.items())
    assert EXERCISES.keys() <= set(dir(exercises)) & set(exercises.__all__)  # tab completion, and import *
    numbers = [each.notebook for each in EXERCISES.values()]
    assert numbers == sorted(numbers)
    assert all(3 <= numbers.count(number) <= 9 for number in numbers)


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_a_right_answer_is_right_in_whatever_way_it_is_written(exercise):
    for answer in (RIGHT[exercise.name], written_again(exercise.reference)):
        assert exercise.evaluate(answer) == exercises.Verdict("right", exercise.success)


@pytest.mark.parametrize(("name", "answer"), ALSO_RIGHT)
def test_a_right_answer_in_another_style_is_right(name, answer):
    assert EXERCISES[name].evaluate(answer) == exercises.Verdict("right", EXERCISES[name].success)


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_the_courses_own_solution_is_no_answer(exercise):
    verdict = exercise.evaluate(exercise.reference)
    assert verdict.status == "wrong" and "the course's own solution" in verdict.message


MISTAKES = [
    pytest.param(each, function, message, id=f"{each.name}-{i}")
    for each in BUILDS
    for i, (function, message) in enumerate(each.mistakes)
]


@pytest.mark.parametrize(("exercise", "function", "message"), MISTAKES)
def test_a_usual_wrong_answer_is_told_its_mistake(exercise, function, message):
    assert exercise.evaluate(function) == exercises.Verdict("wrong", message)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda each: each.name)
def test_at_least_three_mistakes_are_known(exercise):
    assert len(exercise.mistakes) >= 3
    messages = exercise.mistakes.values() if isinstance(exercise, NumberExercise) else [m for _, m in exercise.mistakes]
    assert len(set(messages)) == len(exercise.mistakes)


@pytest.mark.parametrize("exercise", QUESTIONS, ids=lambda each: each.name)
def test_a_question_knows_its_answer_and_its_mistakes(exercise):
    assert exercise.evaluate(exercise.answer) == exercises.Verdict("right", exercise.why)
    assert exercise.evaluate(torch.tensor(float(exercise.answer), dtype=torch.float64)).status == "right"
    for wrong, message in exercise.mistakes.items():
        assert exercise.evaluate(wrong) == exercises.Verdict("wrong", message)
    assert exercise.evaluate(12345.0).status == "wrong"
    assert "expected a number, got a str" in exercise.evaluate("much").message
    assert "expected a number, got a bool" in exercise.evaluate(True).message
    assert "expected a number, got a tensor of shape (2,)" in exercise.evaluate(torch.zeros(2)).message
    assert exercise.evaluate(math.nan).status == "wrong"


def raises_not_implemented(*arguments):
    raise NotImplementedError


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda each: each.name)
def test_what_was_not_attempted_is_not_wrong_and_leaves_no_trace(exercise, capsys, progress_file):
    answers = [None, ...]
    if isinstance(exercise, FunctionExercise):
        answers += [lambda *arguments: None, raises_not_implemented, *filter(None, [exercise.given])]
    for answer in answers:
        exercise.check(answer)
        assert capsys.readouterr().out.startswith(f"○ {exercise.name}: not attempted yet")
    assert not progress_file.exists()


def with_a_slip(*arguments):
    nothing = []
    return nothing[3]


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_an_exception_is_shown_as_the_learners_with_its_line(exercise):
    verdict = exercise.evaluate(with_a_slip)
    assert verdict.status == "error"
    assert "your code raised IndexError: list index out of range" in verdict.message
    assert "of with_a_slip:  return nothing[3]" in verdict.message


def test_of_several_lines_of_the_learners_the_innermost_is_shown():
    def helper():
        return 1 / 0

    def answer(first, then):
        return helper()

    assert "of helper:  return 1 / 0" in exercises.compose.evaluate(answer).message


def test_a_check_leaves_the_learners_random_numbers_alone():
    before = torch.get_rng_state()
    exercises.localisation_head.evaluate(nn.Linear)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_what_is_no_function_or_takes_other_arguments_is_told_what_was_expected(exercise):
    assert "expected a function of (" in exercise.evaluate(torch.zeros(2, 3)).message
    assert "got a tensor of shape (2, 3)" in exercise.evaluate(torch.zeros(2, 3)).message
    verdict = exercise.evaluate(lambda: 1)
    assert verdict.status == "wrong" and verdict.message.endswith("got <lambda>()")


def test_a_wrong_shape_is_told_both_shapes():
    message = exercises.affine_grid.evaluate(lambda theta, size: torch.zeros(len(theta), *size)).message
    assert "expected shape (1, 2, 3, 2), got (1, 2, 3)" in message


def test_wrong_values_are_told_both_values_and_where():
    message = exercises.turn_about.evaluate(lambda degrees, centre: torch.zeros(6)).message
    assert "degrees=30.0" in message and "expected [0.866, -0.5" in message and "got [0.0, 0.0" in message
    message = exercises.affine_grid.evaluate(lambda theta, size: torch.zeros(len(theta), *size, 2)).message
    assert "expected -0.6667 at [0, 0, 0, 0], got 0" in message


def test_what_is_no_number_at_all_is_named():
    message = exercises.turn_about.evaluate(lambda degrees, centre: "a turn").message
    assert "got 'a turn'" in message


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("gradient_at", lambda image, x, y: 0.3, "expected two numbers, (∂V/∂x, ∂V/∂y), got 0.3"),
        ("localisation_head", lambda in_features: torch.zeros(6), "expected a layer (B, in_features) → (B, 6)"),
        ("localisation_head", lambda in_features: nn.Identity(), "got Identity()"),
        ("transform_input", lambda images, localisation: "moved", "expected the transformed images"),
        ("pull_on_theta", lambda images, theta, *rest: theta, "expected -0.0"),
        ("steady", lambda model: 0.01, "expected an optimiser over the model's parameters"),
        ("put_before", lambda cnn, localisation: lambda images: cnn(warp(images, localisation(images))), "a module"),
        ("put_before", lambda cnn, localisation: nn.Sequential(localisation, cnn), "a module, images (B, C, H, W)"),
        ("mirrored", lambda images, theta: "moved", "got 'moved'"),
        ("sharp_crop", lambda images, localisation, size: 3, "expected the crops, a tensor (B, C, *size), got 3"),
        ("channel_statistics", lambda images: 0.5, "expected mean and standard deviation, three numbers each"),
    ],
)
def test_what_cannot_be_an_answer_is_told_what_was_expected_and_is_no_fault_in_the_code(name, answer, words):
    verdict = EXERCISES[name].evaluate(answer)
    assert verdict.status == "wrong" and words in verdict.message


def test_either_standard_deviation_will_do():
    def biased(images):
        return images.numpy().mean((0, 2, 3)), images.numpy().std((0, 2, 3))

    assert exercises.channel_statistics.evaluate(biased).status == "right"


def class_with_bias_folded_in(in_features):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.cat((torch.zeros(6, in_features), Affine().identity()[:, None]), 1))

        def forward(self, features):
            return torch.cat((features, features.new_ones(len(features), 1)), 1) @ self.weight.T

    return Head()


class FromIdentity(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.register_buffer("start", Affine().identity())
        self.layer = nn.Linear(in_features, 6, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, features):
        return self.start + self.layer(features)


class Detached(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.layer = theta_head(in_features, Affine())

    def forward(self, features):
        return self.layer(features).detach()


def upside_down(result):
    """The same numbers as a view that runs backwards through memory, as np.flip gives it."""
    turned = np.ascontiguousarray(np.flip(np.asarray(result)))
    return np.flip(turned)


FORMS = {  # of the same numbers
    "a view with negative strides": upside_down,
    "big-endian": lambda result: np.asarray(result).astype(">f8"),
    "Fortran's order": lambda result: np.asfortranarray(result),
    "longdouble": lambda result: np.asarray(result).astype(np.longdouble),
    "objects": lambda result: np.vectorize(fractions.Fraction, otypes=[object])(np.asarray(result, dtype=float)),
    "complex without an imaginary part": lambda result: np.asarray(result) + 0j,
    "nested lists": lambda result: np.asarray(result).tolist(),
    "lists of arrays": lambda result: [np.asarray(each) for each in result],
    "sparse": lambda result: torch.as_tensor(result).to_sparse(),
    "not to be written": lambda result: np.broadcast_to(np.asarray(result), np.shape(result)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_numbers_are_right_in_any_form(form):
    for name in ("affine_grid", "compose", "projective_points", "aligned", "undo_normalise"):
        verdict = EXERCISES[name].evaluate(lambda *arguments, name=name: form(EXERCISES[name].reference(*arguments)))
        assert verdict.status == "right", verdict.message


@pytest.mark.parametrize(
    "number", [fractions.Fraction, decimal.Decimal, np.longdouble, np.float64, np.array, torch.tensor]
)
def test_a_number_is_right_in_any_form(number):
    for exercise in (exercises.bilinear_at, exercises.mistakes_saved):
        answer = lambda *arguments, exercise=exercise: number(float(exercise.reference(*arguments)))  # noqa: E731
        assert exercise.evaluate(answer).status == "right"
    count = exercises.count_parameters
    assert count.evaluate(lambda model: number(count.reference(model))).status == "right"
    assert exercises.zoom.evaluate(number(2)).status == "right"


def in_rows(image, x, y, **tests):
    def pixel(row, column):
        height, width = image.shape
        inside = row < height and column < width
        inside = inside and (row >= 0 or not tests["rows"]) and (column >= 0 or not tests["columns"])
        return image[row, column] if inside else 0.0

    left, top = tests.get("of_x", math.floor)(x), tests.get("of_y", math.floor)(y)
    upper = (left + 1 - x) * pixel(top, left) + (x - left) * pixel(top, left + 1)
    lower = (left + 1 - x) * pixel(top + 1, left) + (x - left) * pixel(top + 1, left + 1)
    return (top + 1 - y) * upper + (y - top) * lower


def like(compare):
    """How many test images are like a training image."""
    return lambda train, test: sum(any(bool(compare(a, b)) for a in train) for b in test)


def over(w):
    """projective_points with something done to w."""

    def answer(theta, points):
        moved = torch.cat((points, torch.ones(len(points), 1)), 1) @ Projective().matrix(theta[None])[0].T
        return moved[:, :2] / w(moved[:, 2:])

    return answer


def sgd(theta, classifier):
    def answer(model):
        groups = (model.spatial_transformer, theta), (model.classifier, classifier)
        return torch.optim.SGD([{"params": part.parameters(), "lr": lr} for part, lr in groups], momentum=0.9)

    return answer


def fetch_with(test):
    """fetch_pixel with another test of what is inside; Python counts a negative row or column from the end."""

    def answer(image, matrix, row, column):
        height, width = image.shape
        x, y = transforms.regular_grid(image.shape)[row, column] @ matrix[:2, :2].T + matrix[:2, 2]
        row, column = math.floor((y + 1) * height / 2), math.floor((x + 1) * width / 2)
        return image[row, column] if test(row, column, height, width) else 0.0

    return answer


WRONG = [
    ("fetch_pixel", fetch_with(lambda row, column, height, width: row < height and column < width), "counts from the"),
    ("fetch_pixel", fetch_with(lambda row, column, height, width: 0 < row < height and 0 < column < width), ""),
    ("fetch_pixel", fetch_with(lambda row, column, height, width: 0 <= row < height and column < width), ""),
    ("fetch_pixel", fetch_with(lambda row, column, height, width: row < height and 0 <= column < width), ""),
    ("fetch_pixel", lambda image, *rest: image, "expected shape (), got (3, 5)"),
    ("backward_warp", lambda image, matrix: F.pad(warp_by_nearest(image, matrix), (1, 1)), "expected shape (3, 5)"),
    ("regular_grid", lambda size: transforms.regular_grid(size)[..., 0], "expected shape (2, 3, 2), got (2, 3)"),
    ("shared", lambda train, test: torch.isin(test, train).flatten(1).all(1).sum(), "each grey value occurs"),
    ("shared", like(lambda a, b: a.sum() == b.sum()), "equal sums"),
    ("shared", like(lambda a, b: a.float().mean() == b.float().mean()), "equal sums, means"),
    ("shared", like(lambda a, b: a.flatten().sort()[0].equal(b.flatten().sort()[0])), "or sorted pixels"),
    ("shared", like(lambda a, b: a[:, -1].equal(b[:, -1])), "one equal row"),
    ("shared", like(lambda a, b: a[0, -1, -1] == b[0, -1, -1]), ""),
    ("shared", like(lambda a, b: a[:, :-1].equal(b[:, :-1])), ""),
    ("shared", like(lambda a, b: a[:, :, 0].equal(b[:, :, 0])), ""),
    ("shared", like(lambda a, b: a.float().std() == b.float().std()), ""),
    ("shared", like(lambda a, b: torch.allclose(a.float(), b.float(), atol=8)), "nearly equal is not equal"),
    ("shared", like(lambda a, b: torch.allclose(a.float(), b.float(), atol=1)), ""),
    ("shared", like(lambda a, b: (a != b).sum() <= 1), ""),
    ("shared", lambda train, test: len(test), "how many test images there are"),
    ("nearest_at", lambda image, x, y: image[math.floor(y), math.floor(x)] if 0 <= x < 5 and 0 <= y < 3 else 0, ""),
    ("theta_gradient", lambda slopes, targets: slopes.T @ targets, "expected six numbers"),
    ("theta_gradient", lambda slopes, targets: 0.3, "expected six numbers, of shape (2, 3) or (6,), got 0.3"),
    ("border_at", lambda image, x, y: image[min(max(round(y), 0), 2), min(max(round(x), 0), 4)], "the nearest pixel"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=False, columns=True), "test row >= 0"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=True, columns=False), "test column >= 0"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=False, columns=False), "neither is negative"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=True, columns=True, of_y=int), "above the image int(y)"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=True, columns=True, of_x=int), "left of the image int(x)"),
    ("bilinear_at", lambda *a: in_rows(*a, rows=True, columns=True, of_x=int, of_y=int), "int() rounds towards 0"),
    ("gradient_at", lambda *a: (*exercises.gradient_at.reference(*a), 7.0), "expected two numbers"),
    ("channel_statistics", lambda images: torch.zeros(3, 3), "expected mean and standard deviation"),
    ("angle", lambda theta: complex(exercises.angle.reference(theta), 7), "expected 30.0, got (29.99"),
    ("turn_about", lambda *a: exercises.turn_about.reference(*a) + 7j, "got a tensor of torch.complex64"),
    ("projective_points", over(torch.abs), "w can be negative"),
    ("projective_points", over(lambda w: w.clamp(min=0.05)), "kept away from 0"),
    ("projective_points", over(lambda w: w.clamp(min=1e-6)), ""),
    ("localisation_head", lambda n: nn.Sequential(theta_head(n, Affine()), nn.ReLU()), "a ReLU behind the layer"),
    ("localisation_head", lambda n: nn.Sequential(theta_head(n, Affine()), nn.Hardtanh()), "limits θ to [-1, 1]"),
    ("localisation_head", Detached, "starts at the identity and stays there"),
    ("localisation_head", lambda n: theta_head(n, Affine()).requires_grad_(False), "stays there"),
    ("steady", sgd(0.0001, 10), "steps of the classifier are too large"),
    ("steady", sgd(0.003, 10), "steps of the classifier are too large"),
    ("steady", sgd(0.003, 1e30), "steps of the classifier are too large"),
    ("steady", sgd(0.03, 0.3), "steps of the localisation network are too large"),
    ("steady", sgd(0.003, 0.03), "needs, larger steps"),
    ("steady", lambda model: torch.optim.LBFGS(model.parameters()), "expected an optimiser"),
    ("spline_kernel", lambda r: (r * r * r.log()).nan_to_num(), "its slope at 0 is NaN"),
    ("spline_kernel", lambda r: torch.xlogy(r * r, r), "its slope at 0 is NaN"),
    ("spline_kernel", lambda r: 0.5, "expected shape (2, 3), got ()"),
    ("spline_kernel", lambda r: exercises.spline_kernel.reference(r).tolist(), "no gradient comes through"),
    ("spline_system", lambda points: system_by_numpy(points)[::-1], ""),
    ("with_affine_part", lambda control, looks, points: points, ""),
    ("folded_share", lambda grid: 0.0, ""),
    ("folded_share", lambda grid: grid, ""),
    ("bend_back", lambda control, looks: by_blocks(control, looks, control), "already, read off at its own points"),
    ("bend_back", lambda control, looks: by_blocks(looks, control, looks), "read it off at `control`"),
    ("fit_affine", lambda points, looks: torch.linalg.pinv(points) @ looks, ""),
    ("fit_affine", lambda points, looks: affine_by_normal_equations(looks.numpy(), points.numpy()), "the way back"),
    ("chance_of", lambda first, second: sign_test(len(first), len(second)), "counted on both sides"),
    ("chance_of", lambda first, second: 1 - sign_test(len(first), len(second)), ""),
    ("widest_fcn", lambda budget: widest_by_counting(budget) + 1, "one too wide"),
    ("widest_fcn", lambda budget: budget // 1764, ""),
    ("intersection_over_union", lambda first, second: 0.5, ""),
    ("intersection_over_union", lambda first, second: torch.stack((first, second)), "expected shape ()"),
    ("triplet_hinge", lambda seen, elsewhere, margin: hinge_in_loops(seen, elsewhere, -margin), "taken off, not added"),
    ("triplet_hinge", lambda seen, elsewhere, margin: hinge_in_loops(elsewhere, seen, margin), ""),
    ("sum_logits", lambda first, second: first + second, "expected shape"),
    ("sum_logits", lambda first, second: sums_of_logs(first, second).softmax(1), "these are the probabilities"),
    ("second_look", lambda first, second: compose(second, first, Attention()), "the order is exchanged"),
    ("second_look", lambda first, second: Affine().identity().expand(len(first), 6), "expected shape"),
    ("identity_error", lambda layer, images: layer(images) - images, ""),
    ("order_of_tests", lambda names: ["identity"], "expected a list of the six names"),
    ("order_of_tests", lambda names: [*names], ""),
    ("diagnosis", lambda letter: "it is ill", "expected one of the names in patients.FAULTS"),
    ("cured", lambda size: nn.Linear(400, 10), "expected a class derived from patients.Healthy"),
    ("cured", lambda size: patients.Swapped(size), "the clinic finds anything else"),
    ("first_frame", lambda size: [1, 0, 0], "expected θ11"),
    ("first_frame", lambda size: [0.3, 0, 0.1, 0, 0.3, -0.1], "hold all of it"),
]


@pytest.mark.parametrize(("name", "answer", "words"), WRONG)
def test_a_wrong_answer_is_refused_and_a_typical_one_told_why(name, answer, words):
    verdict = EXERCISES[name].evaluate(answer)
    assert verdict.status == "wrong" and words in verdict.message, verdict


@pytest.mark.parametrize("layer", [class_with_bias_folded_in, FromIdentity])
def test_a_layer_that_starts_at_the_identity_and_learns_is_right_however_it_is_built(layer):
    assert exercises.localisation_head.evaluate(layer).status == "right"


def test_a_count_is_right_in_a_precision_that_numpy_lacks():
    count = exercises.count_parameters.reference
    answer = lambda model: torch.tensor(count(model), dtype=torch.bfloat16)  # noqa: E731
    assert exercises.count_parameters.evaluate(answer).status == "right"


def test_what_was_raised_while_an_answer_was_used_is_told():
    message = exercises.steady.evaluate(lambda model: torch.optim.LBFGS(model.parameters())).message
    assert "closure" in message


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_gradients_are_looked_at_though_the_learner_has_switched_them_off(off):
    with off():
        cut = exercises.transform_input.evaluate(
            lambda images, localisation: warp(images, localisation(images).detach())
        )
        assert cut.status == "wrong" and "no gradient reaches" in cut.message
        assert exercises.steady.evaluate(sgd(0.003, 0.3)).status == "right"
        assert torch.is_inference_mode_enabled() or not torch.is_grad_enabled()


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_no_check_moves_a_global_seed_or_switch(exercise):
    def state():
        switches = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(), switches

    before = state()
    exercise.evaluate(RIGHT[exercise.name])
    assert state() == before


@pytest.mark.parametrize(
    "answer",
    [
        lambda images, *rest: F.grid_sample(images.long(), torch.zeros(2, 2, 2, 2).long(), align_corners=False),
        lambda *arguments: nn.Module()(arguments),
        lambda *arguments: torch.zeros(3, device="meta").cpu(),
    ],
    ids=["a dtype that PyTorch lacks", "a module without forward", "the meta device"],
)
def test_not_implemented_in_pytorch_is_an_error_and_not_an_exercise_left_out(answer):
    verdict = exercises.aligned.evaluate(answer)
    assert verdict.status == "error"  # PyTorch 2.6 calls the first of them a RuntimeError
    assert "your code raised NotImplementedError" in verdict.message or "raised RuntimeError" in verdict.message


def test_not_implemented_by_the_learner_is_not_attempted_wherever_they_raise_it():
    class Answer:
        def __call__(self, first, then):
            return raises_not_implemented()

    for answer in (Answer(), functools.partial(raises_not_implemented)):
        assert exercises.compose.evaluate(answer).status == "not attempted"


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


def nested(depth):
    made = []
    for _ in range(depth):
        made = [made]
    return made


def raises_unprintable(*arguments):
    raise Unprintable


ODD = {
    "10**400": lambda *arguments: 10**400,
    "unprintable": lambda *arguments: Unprintable(),
    "deep": lambda *arguments: nested(100_000),
    "sparse": lambda *arguments: torch.zeros(3).to_sparse(),
    "ragged": lambda *arguments: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "meta": lambda *arguments: torch.zeros(6, device="meta"),
    "raises unprintable": raises_unprintable,
}


@pytest.mark.parametrize("answer", [10**400, -(10**400), Unprintable(), nested(100_000), 2j, np.zeros(2), {}, b"2"])
def test_no_answer_to_a_question_however_odd_breaks_its_check(answer):
    assert exercises.zoom.evaluate(answer).status == "wrong"


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_no_answer_however_odd_breaks_a_check(answer):
    for name in ("turn_about", "bilinear_at", "shared", "gradient_at", "localisation_head"):
        assert EXERCISES[name].evaluate(answer).status in ("wrong", "error")


@pytest.mark.parametrize(("rate", "status"), [(1e-9, "wrong"), (3e-4, "right"), (0.3, "wrong")])
def test_a_localisation_network_has_to_learn_and_must_not_run_away(rate, status):
    def two_rates(model):
        inside, outside = model.spatial_transformer.parameters(), model.classifier.parameters()
        return torch.optim.SGD([{"params": inside, "lr": rate}, {"params": outside, "lr": 0.3}], momentum=0.9)

    assert exercises.steady.evaluate(two_rates).status == status


def test_not_a_number_is_no_right_answer():
    assert exercises.compose.evaluate(lambda first, then: first * math.nan).status == "wrong"


def test_one_right_case_of_many_is_not_enough():
    only_the_identity = lambda theta, size: Affine().grid(Affine().identity().expand(len(theta), -1), size)  # noqa: E731
    assert exercises.affine_grid.evaluate(only_the_identity).status == "wrong"


def test_arguments_that_a_learner_changes_do_not_reach_the_solution():
    def changes(first, then):
        result = RIGHT["compose"](first, then)
        first.zero_(), then.zero_()
        return result

    assert exercises.compose.evaluate(changes).status == "right"


def test_hints_come_one_by_one_and_end(capsys):
    exercise = exercises.affine_grid
    exercise._hints_given = 0
    for i, hint in enumerate(exercise.hints, start=1):
        exercise.hint()
        assert capsys.readouterr().out == f"Hint {i} of {len(exercise.hints)}: {hint}\n"
    for _ in range(2):
        exercise.hint()
        assert "the last hint" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda each: each.name)
def test_a_solution_can_be_read(exercise, capsys):
    exercise.solution()
    said = capsys.readouterr().out
    if isinstance(exercise, NumberExercise):
        assert said == f"{exercise.answer}. {exercise.why}\n"
        return
    # as the notebooks have them
    names = {"math": math, "torch": torch, "F": F, "nn": nn, "Affine": Affine, "warp": warp}
    names |= {"SpatialTransformer": SpatialTransformer, "U": bending.U, "system": bending.system}
    names |= {"terms": bending.terms, "through": bending.through}
    names["Healthy"] = patients.Healthy
    exec(said, names)
    assert exercise.evaluate(names[exercise.name]).status == "right"


def test_progress_is_noted_and_what_is_solved_stays_solved(capsys, progress_file):
    exercises.zoom.check(0.5)
    wrong = {"solved": False, "tries": 1, "said": exercises.zoom.mistakes[0.5]}
    assert json.loads(progress_file.read_text(encoding="utf-8")) == {"zoom": wrong}
    exercises.zoom.check(2)
    exercises.zoom.check(0.5)
    exercises.compose.check(lambda first, then: 1 / 0)
    known = read()
    assert list(known) == ["zoom", "compose"]
    assert known["zoom"] == {"solved": True, "tries": 2, "said": exercises.zoom.why}
    assert known["compose"]["tries"] == 1 and "ZeroDivisionError" in known["compose"]["said"]
    assert "✗ zoom:" in capsys.readouterr().out


DAMAGED = [
    "",
    "{",
    "[]",
    '{"zoom": 3}',
    '{"zoom": {"solved": true}}',
    "\0\0",
    "3",
    '{"zoom": {"solved": true, "tries": 1e999, "said": ""}}',
    pytest.param("[" * 100_000, id="nested deep"),
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_progress_file_is_put_aside_and_said_so(content, capsys, progress_file):
    progress_file.write_text(content)
    exercises.zoom.check(2)
    assert "progress.json.damaged" in capsys.readouterr().out
    assert progress_file.with_name("progress.json.damaged").read_text() == content
    assert read()["zoom"]["solved"]


def test_a_damaged_progress_file_that_cannot_be_put_aside_is_told_in_words(capsys, progress_file):
    progress_file.write_text("{")
    (progress_file.with_name("progress.json.damaged") / "in the way").mkdir(parents=True)
    assert main(["progress"]) == 1
    error = capsys.readouterr().err
    assert "does not hold the progress of this course" in error and "cannot be put aside" in error
    exercises.zoom.check(2)
    assert "✓ zoom" in (said := capsys.readouterr().out) and "could not be noted" in said
    assert progress_file.read_text() == "{"


def test_a_check_works_where_nothing_can_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STN_COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))  # a file is no folder
    exercises.zoom.check(2)
    said = capsys.readouterr().out
    assert "✓ zoom" in said and "could not be noted" in said


def test_without_the_variable_progress_is_kept_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("STN_COURSE_PROGRESS")
    monkeypatch.chdir(tmp_path)
    exercises.zoom.check(2)
    assert (tmp_path / "stn_course_progress.json").exists()


def test_checks_in_several_kernels_at_once_lose_nothing(progress_file):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: note(name, True, "Yes"), EXERCISES))
    assert read().keys() == EXERCISES.keys()


def test_progress_lists_what_is_solved_tried_and_still_to_do(capsys):
    exercises.zoom.check(0.5)
    exercises.compose.check(None)
    exercises.turn_about.check(RIGHT["turn_about"])
    capsys.readouterr()
    exercises.progress("01")
    assert capsys.readouterr().out.splitlines() == [
        "01  ○ regular_grid",
        "01  ○ affine_grid",
        "01  ○ fetch_pixel",
        "01  ○ backward_warp",
        "01  ○ compose",
        "01  ✗ zoom                1 try",
        "01  ✓ turn_about          1 try",
        "01  ○ projective_points",
        "1 of 8 solved",
    ]
    exercises.progress()
    assert capsys.readouterr().out.endswith(f"1 of {len(EXERCISES)} solved\n")


def test_progress_from_a_shell_finds_the_learners_notebooks(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("STN_COURSE_PROGRESS")
    monkeypatch.chdir(tmp_path)
    assert main(["progress"]) == 0
    assert f"0 of {len(EXERCISES)} solved" in capsys.readouterr().out
    (tmp_path / "my-notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "my-notebooks")
    exercises.zoom.check(2)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    for arguments in (["progress"], ["progress", "my-notebooks"]):
        assert main(arguments) == 0
        assert f"1 of {len(EXERCISES)} solved" in capsys.readouterr().out
    assert main(["progress", "nowhere"]) == 1
    assert "expected a folder with notebooks, got nowhere" in capsys.readouterr().err
