"""Every check accepts right answers, however they are written, and names the mistake in the usual wrong ones."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nbclient import NotebookClient
from torch import nn

from stn_course import exercises
from stn_course.__main__ import main
from stn_course.algebra import compose, invert
from stn_course.data import Normalise
from stn_course.exercises import EXERCISES, Build, Question
from stn_course.exercises.notes import note, read
from stn_course.sampling import bilinear_sample
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import Affine, Projective

BUILDS = [each for each in EXERCISES.values() if isinstance(each, Build)]
QUESTIONS = [each for each in EXERCISES.values() if isinstance(each, Question)]


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


def head_in_float64(in_features):
    return nn.Sequential(nn.Identity(), theta_head(in_features, Affine())).double()


RIGHT = {
    # written differently from the solutions, in other precisions, as arrays, lists and tuples
    "affine_grid": lambda theta, size: F.affine_grid(
        theta.double().view(-1, 2, 3), [len(theta), 1, *size], align_corners=False
    ),
    "compose": lambda first, then: compose(first[None].double(), then[None].double())[0].tolist(),
    "turn_about": turn_about_by_matrices,
    "projective_points": lambda theta, points: (
        lambda moved: torch.stack((moved[..., 0] / moved[..., 2], moved[..., 1] / moved[..., 2]), -1)
    )(torch.cat((points, torch.ones(len(points), 1)), 1) @ Projective().matrix(theta[None])[0].T),
    "bilinear_at": lambda image, x, y: sum(
        float(image[i, j]) * max(0.0, 1 - abs(x - j)) * max(0.0, 1 - abs(y - i))
        for i in range(image.shape[0])
        for j in range(image.shape[1])
    ),
    "bilinear_image": lambda images, grid: F.grid_sample(images.double(), grid.double(), align_corners=False).numpy(),
    "gradient_at": gradient_by_autograd,
    "aligned": lambda images, theta: warp(images.double(), theta.double()),
    "localisation_head": head_in_float64,
    "transform_input": lambda images, localisation: SpatialTransformer(localisation)(images),
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
    "channel_statistics": lambda images: torch.stack(
        (images.double().mean((0, 2, 3)), images.double().var((0, 2, 3)).sqrt())
    ),
    "cut_out": lambda images, theta: F.grid_sample(
        images.double(), Affine().grid(theta.double(), (32, 32)), align_corners=False
    ),
    "mistakes_saved": lambda accuracy, baseline: np.float32((accuracy - baseline) / (1 - baseline)),
    "classify": lambda images, transformer, classifier: nn.Sequential()(classifier(transformer(images))),
}


def test_every_exercise_that_asks_for_code_has_a_right_answer_here():
    assert RIGHT.keys() == {each.name for each in BUILDS}


def test_names_are_those_of_the_module_and_notebooks_are_in_order():
    assert all(getattr(exercises, name) is each and each.name == name for name, each in EXERCISES.items())
    numbers = [each.notebook for each in EXERCISES.values()]
    assert numbers == sorted(numbers)
    assert all(3 <= numbers.count(number) <= 6 for number in numbers)


@pytest.mark.parametrize("exercise", BUILDS, ids=lambda each: each.name)
def test_a_right_answer_is_right_in_whatever_way_it_is_written(exercise):
    for answer in (RIGHT[exercise.name], exercise.reference):
        assert exercise.evaluate(answer) == exercises.Verdict("right", exercise.success)


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
    messages = exercise.mistakes.values() if isinstance(exercise, Question) else [m for _, m in exercise.mistakes]
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
    if isinstance(exercise, Build):
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
        ("steady", lambda model: 0.01, "expected an optimiser over the model's parameters"),
        ("classify", lambda images, transformer, classifier: 3, "expected the classifier's answer, a tensor, got 3"),
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
    if isinstance(exercise, Question):
        assert said == f"{exercise.answer}. {exercise.why}\n"
        return
    names = {
        "math": math,
        "torch": torch,
        "F": F,
        "nn": nn,
        "Affine": Affine,
        "warp": warp,
    }  # as the notebooks have them
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


@pytest.mark.parametrize("content", ["", "{", "[]", '{"zoom": 3}', '{"zoom": {"solved": true}}', "\0\0", "3"])
def test_a_damaged_progress_file_is_put_aside_and_said_so(content, capsys, progress_file):
    progress_file.write_text(content)
    exercises.zoom.check(2)
    assert "progress.json.damaged" in capsys.readouterr().out
    assert progress_file.with_name("progress.json.damaged").read_text() == content
    assert read()["zoom"]["solved"]


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
        "01  ✗ zoom                1 try",
        "01  ○ affine_grid",
        "01  ○ compose",
        "01  ✓ turn_about          1 try",
        "01  ○ projective_points",
        "1 of 5 solved",
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


HANDED_IN = [
    "from stn_course import exercises",
    "def my_turn(degrees, centre):\n    return oops",
    "exercises.turn_about.check(my_turn)",
    "1 / 0",
    "exercises.zoom.check(2)\nexercises.compose.check(lambda first, then: first + then)",
    "exercises.affine_grid.check(None)",
]


def test_a_notebook_is_graded_to_its_end_and_left_alone(tmp_path, capsys, progress_file):
    path = tmp_path / "handed in.ipynb"
    handed_in(path, *HANDED_IN)
    before = path.read_bytes()
    assert main(["grade", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"{path}: 1 of 4 solved"
    assert "turn_about          ✗ your code raised NameError: name 'oops' is not defined" in said
    assert "in line 2 of my_turn:  return oops" in said
    assert "compose             ✗ adding θs does not chain the warps" in said
    assert "zoom                ✓ Yes." in said and "affine_grid         ○ not attempted" in said
    assert path.read_bytes() == before and not progress_file.exists()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def handed_in(path, *sources):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)
    return path


def test_a_cell_without_end_is_cut_short_and_the_rest_is_graded(tmp_path, monkeypatch):
    def client(document, timeout, **options):  # only the loop is cut short: importing PyTorch may take a while
        return NotebookClient(document, timeout_func=lambda cell: timeout * ("while" in cell.source), **options)

    monkeypatch.setattr("nbclient.NotebookClient", client)
    path = handed_in(tmp_path / "loop.ipynb", HANDED_IN[0], "while True: pass", "exercises.zoom.check(2)")
    assert exercises.grade(path, timeout=2)["zoom"]["solved"]


def test_a_notebook_that_ends_its_kernel_keeps_no_other_from_being_graded(tmp_path, capsys):
    dead = handed_in(tmp_path / "dead.ipynb", HANDED_IN[0], "import os; os._exit(1)", "exercises.zoom.check(2)")
    fine = handed_in(tmp_path / "fine.ipynb", HANDED_IN[0], "exercises.zoom.check(2)")
    assert main(["grade", str(dead), str(fine)]) == 1
    said = capsys.readouterr()
    assert "ended its kernel" in said.err and "dead.ipynb" in said.err
    assert "fine.ipynb: 1 of 1 solved" in said.out


def test_what_cannot_be_graded_is_told_why(tmp_path, capsys):
    (tmp_path / "text.ipynb").write_text("no notebook")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    for name, words in (
        ("missing.ipynb", "there is no notebook"),
        ("text.ipynb", "expected a Jupyter notebook, got"),
        ("empty.ipynb", "which checks none"),
    ):
        assert main(["grade", str(tmp_path / name)]) == 1
        assert words in capsys.readouterr().err
