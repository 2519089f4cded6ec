"""An exercise: hints one after the other, a check that names the likely mistake, a solution.

A check does to a learner's function what a teacher would: it tries cases that tell the usual wrong answers apart,
compares what comes out with the solution, and if they differ asks which known mistake would have given just that. A
mistake is therefore written down as the code that makes it, with the sentence that a teacher would say.
"""

import copy
import dis
import functools
import inspect
import linecache
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from stn_course.checks import describe
from stn_course.exercises.progress_file import note

TOLERANCE = 1e-4
RIGHT, WRONG, ERROR, NOT_ATTEMPTED = "right", "wrong", "error", "not attempted"


@dataclass(frozen=True)
class Verdict:
    """What a check found: `status` is "right", "wrong", "error" (the learner's code raised) or "not attempted"."""

    status: str
    message: str


@dataclass(eq=False, repr=False, kw_only=True)
class Exercise:
    """What all exercises can do: `.hint()`, `.check(answer)`, `.solution()`.

    Attributes:
        hints: from a nudge to nearly the answer.
        name: of the exercise, as the course's progress lists it; the catalogue sets it,
        notebook: and this, the number of its notebook, "01".
    """

    hints: tuple[str, ...]
    name: str = field(default="", init=False)
    notebook: str = field(default="", init=False)
    _hints_given: int = field(default=0, init=False)

    def hint(self) -> None:
        """Print the next hint."""
        if self._hints_given == len(self.hints):
            print("That was the last hint. .solution() shows one way to do it.")
            return
        self._hints_given += 1
        print(f"Hint {self._hints_given} of {len(self.hints)}: {self.hints[self._hints_given - 1]}")

    def check(self, answer: object) -> None:
        """Print what is right or wrong with an answer, and note it in the learner's progress."""
        verdict = self.evaluate(answer)
        mark = {RIGHT: "✓", WRONG: "✗", ERROR: "✗", NOT_ATTEMPTED: "○"}[verdict.status]
        print(f"{mark} {self.name}: {verdict.message}")
        if verdict.status != NOT_ATTEMPTED:
            note(self.name, verdict.status == RIGHT, verdict.message)

    def evaluate(self, answer: object) -> Verdict:
        """What `check` prints, without printing or noting it."""
        if answer is None or answer is ...:
            return Verdict(NOT_ATTEMPTED, "not attempted yet")
        return self._judged(answer)

    def _judged(self, answer: object) -> Verdict:
        raise NotImplementedError

    def solution(self) -> None:
        """Print one way to do it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.name}: .hint(), .check(your answer), .solution()"


@dataclass(eq=False, repr=False, kw_only=True)
class NumberExercise(Exercise):
    """An exercise whose answer is a number.

    Attributes:
        answer: the right one.
        why: what is said when it was given.
        mistakes: wrong answers, and what is said to each.

    Example:
        >>> wrong = {2: "The other way round."}
        >>> half = NumberExercise(answer=0.5, why="Yes.", mistakes=wrong, hints=("A hint.",))
        >>> half.evaluate(2)
        Verdict(status='wrong', message='The other way round.')
    """

    answer: float
    why: str
    mistakes: dict[float, str]

    def _judged(self, answer: object) -> Verdict:
        try:
            number = None if isinstance(answer, bool | str | bytes) else float(answer)
        except OverflowError:
            number = math.inf
        except Exception:  # a tensor of several numbers, and whatever else cannot be one
            number = None
        if number is None:
            return Verdict(WRONG, f"expected a number, got {describe(answer)}")
        if math.isclose(number, self.answer, abs_tol=TOLERANCE):
            return Verdict(RIGHT, self.why)
        for wrong, message in self.mistakes.items():
            if math.isclose(number, wrong, abs_tol=TOLERANCE):
                return Verdict(WRONG, message)
        return Verdict(WRONG, f"{number:g} is not it. .hint() helps.")

    def solution(self) -> None:
        print(f"{self.answer}. {self.why}")


@dataclass(eq=False, repr=False, kw_only=True)
class FunctionExercise(Exercise):
    """An exercise whose answer is a function; `function_exercise` makes one.

    Attributes:
        reference: the solution, whose arguments' names stand in messages.
        cases: makes the arguments of each call; chosen so that the mistakes give something else.
        success: what is said to a right answer.
        observe: (result, *arguments) → what is compared, by name; the result itself if left out. What it cannot
            observe is no answer.
        gives: what the function has to give, in words; said when that cannot be observed.
        mistakes: typical wrong answers, and what is said to each.
        given: the code that a learner is asked to mend, if that is the task.
    """

    reference: Callable
    cases: Callable[[], list[tuple]]
    success: str
    observe: Callable[..., dict[str, object]] = lambda result, *arguments: {"": result}
    gives: str = "a result"
    mistakes: list[tuple[Callable, str]] = field(default_factory=list, init=False)
    given: Callable | None = field(default=None, init=False)

    def mistake(self, message: str) -> Callable[[Callable], Callable]:
        """Note a typical wrong answer, as the code that gives it, and what is said to it."""

        def keep(function: Callable) -> Callable:
            self.mistakes.append((function, message))
            return function

        return keep

    def as_given(self, function: Callable) -> Callable:
        """Note the code that a learner is asked to mend: unchanged, it is not an attempt."""
        self.given = function
        return function

    def _judged(self, answer: object) -> Verdict:
        names = list(inspect.signature(self.reference).parameters)
        if not callable(answer):
            return Verdict(WRONG, f"expected a function of ({', '.join(names)}), got {describe(answer)}")
        if getattr(answer, "__code__", None) is self.reference.__code__:
            return Verdict(WRONG, "that is the course's own solution; the check is for yours")
        # Whatever the learner has switched off, gradients are computed; whoever draws numbers moves no other's.
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            return self._compared(answer, names)

    def _compared(self, answer: Callable, names: list[str]) -> Verdict:
        cases = self.cases()
        try:
            inspect.signature(answer).bind(*cases[0])
        except TypeError:
            return Verdict(
                WRONG, f"expected a function of ({', '.join(names)}), got {_name(answer)}{inspect.signature(answer)}"
            )
        except ValueError:  # a built-in that does not tell its arguments
            pass
        try:
            results = [self._results(answer, case) for case in cases]
        except _NoAnswerError as error:
            return Verdict(WRONG, f"expected {self.gives}, got {error}")
        except Exception as error:
            if isinstance(error, NotImplementedError) and _raised_by(answer, error.__traceback__):
                return Verdict(NOT_ATTEMPTED, "not attempted yet")
            return Verdict(ERROR, _as_theirs(error, answer))
        if all(result is None for result in results):
            return Verdict(NOT_ATTEMPTED, "not attempted yet (your function returns None)")
        expected = [self._results(self.reference, case) for case in cases]
        problems = [_difference(mine, theirs) for mine, theirs in zip(expected, results)]
        if not any(problems):
            return Verdict(RIGHT, self.success)
        if self.given is not None and self._gives(self.given, cases, results):
            return Verdict(NOT_ATTEMPTED, "not attempted yet (it still does what it did)")
        for function, message in self.mistakes:
            if self._gives(function, cases, results):
                return Verdict(WRONG, message)
        case, problem = next((case, problem) for case, problem in zip(cases, problems) if problem)
        arguments = ", ".join(f"{name}={_short(value)}" for name, value in zip(names, case))
        return Verdict(WRONG, f"{_name(answer)}({arguments}): {problem}")

    def solution(self) -> None:
        source = inspect.getsource(self.reference)  # from its decorator on
        print(source[source.index(f"def {self.name}(") :].rstrip())

    def _results(self, function: Callable, case: tuple) -> dict[str, object] | None:
        arguments = copy.deepcopy(case)
        torch.manual_seed(0)  # whoever draws numbers draws the same
        result = function(*arguments)
        try:
            return None if result is None else self.observe(result, *arguments)
        except Exception as error:
            # What was raised deep inside says more than what came; that a number has no second one does not.
            inside = error.__traceback__.tb_next is not None and error.__traceback__.tb_next.tb_next is not None
            raise _NoAnswerError(f"{_short(result)} ({_said(error)})" if inside else _short(result)) from error

    def _gives(self, function: Callable, cases: list[tuple], results: list) -> bool:
        try:
            return not any(_difference(self._results(function, case), seen) for case, seen in zip(cases, results))
        except Exception:  # a mistake that raises was not made by code that did not
            return False


def function_exercise(**asked) -> Callable[[Callable], FunctionExercise]:
    """Make an exercise of the function below, which is its solution; `asked` are the other attributes.

    Example:
        >>> @function_exercise(cases=lambda: [(1,), (3,)], hints=("x + x",), success="Yes.")
        ... def double(x):
        ...     return 2 * x
        >>> @double.mistake("that is the square")
        ... def _(x):
        ...     return x**2
        >>> double.evaluate(lambda number: number * number).message
        'that is the square'
        >>> double.evaluate(lambda number: number + 1).message
        '<lambda>(x=3): expected 6.0, got 4.0'
    """
    return lambda solution: FunctionExercise(reference=solution, **asked)


class _NoAnswerError(Exception):
    """What came out, in words: it cannot be compared with anything."""


def _difference(expected: dict[str, object] | None, got: dict[str, object] | None) -> str | None:
    """What is wrong with what was observed, in words; None if nothing is."""
    if expected is None or got is None:
        return None if expected is got else "expected a result, got None"
    for name, want in expected.items():
        what = f"{name}: " if name else ""
        value, want = got[name], _tensor(want)
        try:
            value = _tensor(value)
        except Exception:  # not numbers at all, or not real ones
            return f"{what}expected {_short(want)}, got {_short(value)}"
        if value.shape != want.shape:
            return f"{what}expected shape {tuple(want.shape)}, got {tuple(value.shape)}"
        off = ~torch.isclose(value, want, rtol=TOLERANCE, atol=TOLERANCE)
        if off.any():
            if want.numel() <= 8:
                return f"{what}expected {_numbers(want)}, got {_numbers(value)}"
            place = tuple(off.nonzero()[0].tolist())
            return f"{what}expected {want[place]:.4g} at {list(place)}, got {value[place]:.4g}"
    return None


def _tensor(value: object) -> Tensor:
    """Tensors, arrays, numbers of any kind, and lists or tuples of them, as float64: precision is not what is asked."""
    if isinstance(value, list | tuple):
        return torch.stack([_tensor(each) for each in value])
    if isinstance(value, Tensor):
        dense = (value if value.layout == torch.strided else value.to_dense()).detach().cpu()
        value = dense.to(torch.complex128 if dense.is_complex() else torch.float64).resolve_conj().resolve_neg().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biufcO" or (array.dtype.kind == "O" and None in array.ravel().tolist()):
        raise TypeError(f"expected numbers, got {describe(value)}")  # NumPy would make a NaN of None
    if np.iscomplexobj(array):
        if array.imag.any():
            raise TypeError("expected real numbers, got complex ones")
        array = array.real
    return torch.from_numpy(array.astype(np.float64))  # a copy: no view runs backwards


def _numbers(value: Tensor) -> str:
    rounded = torch.round(value, decimals=4) + 0.0  # no -0
    return str(rounded.tolist())


def _short(value: object) -> str:
    if isinstance(value, Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, Tensor) else "an array"
        try:
            return _numbers(_tensor(value)) if math.prod(value.shape) <= 8 else f"{kind} of shape {tuple(value.shape)}"
        except Exception:  # neither real numbers nor, it may be, of any shape
            return f"{kind} of {value.dtype}"
    try:
        text = repr(value)
    except Exception:  # a learner's own class may do anything
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"a {type(value).__name__}"


def _said(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__} (which cannot be printed)"


def _raised_by(answer: Callable, where: TracebackType | None) -> bool:
    """Whether an exception comes from a `raise` in the learner's own code, and not from what that calls."""
    while where.tb_next is not None:
        where = where.tb_next
    while isinstance(answer, functools.partial):
        answer = answer.func
    code = where.tb_frame.f_code.co_code
    own = where.tb_frame.f_globals.get("__name__") == getattr(answer, "__module__", None)
    return own and code[where.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _as_theirs(error: Exception, answer: Callable) -> str:
    """The exception, and the line of the learner's that it came from."""
    said = f"your code raised {_said(error)}"
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if frame.filename == file]
    if not theirs:
        return said
    line = linecache.getline(theirs[-1].filename, theirs[-1].lineno).strip() or theirs[-1].line or ""
    return f"{said}\n  in line {theirs[-1].lineno} of {theirs[-1].name}:  {line}".rstrip()
