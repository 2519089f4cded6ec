"""Examine a model that does not learn: fourteen tests in the order in which one looks."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import describe
from stn_course.clinic import before_training as before
from stn_course.clinic import in_training as during
from stn_course.clinic.case import Case, copied
from stn_course.clinic.examination import CannotTellError, Examination, Finding

TESTS: dict[str, Callable[[Case], Finding | str]] = {
    "runs": before.runs,
    "looks somewhere": before.looks_somewhere,
    "identity": before.identity,
    "warped is used": before.warped_is_used,
    "known θ": before.known_theta_does_what_it_says,
    "precision": before.precision,
    "sampler's gradient": before.sampler_has_a_gradient,
    "gradient at the head": before.gradient_reaches_the_head,
    "border": before.zeros_are_the_background,
    "modes": during.modes_fit,
    "frame": during.frame_is_in_sight,
    "rates": during.rates_are_small_enough,
    "reach": during.reaches_what_there_is,
    "overfit one batch": during.overfits_one_batch,
}
"""In the order in which one looks; each takes for granted what those before it found in order."""


def examine(
    model: nn.Module,
    batch: Tensor | tuple[Tensor, Tensor],
    optimizer: torch.optim.Optimizer | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Examination:
    """Examine a network with spatial transformers that does not learn, and say what to mend first: `print` it.

    It works on a copy. The model, its modes, its gradients, the optimiser and the random state stay as they are.

    Built in: 11, "Can one line ask all of it?".

    Args:
        model: any module that samples with `F.grid_sample` or has the course's `SpatialTransformer`, once or several
            times, trained or not. Give it in the mode in which it is trained.
        batch: (images, labels), or images alone: prepared as for training, (B, C, H, W), floating-point; 16 to 64 of
            them. They are taken to the model's device.
        optimizer: the model's own, so that its steps can be tried.
        loss: (outputs, labels) → one number.

    Example:
        >>> from stn_course.models import STCNN
        >>> found = examine(STCNN(), torch.rand(2, 1, 42, 42))
        >>> found.findings, found.untested["rates"]
        ([], 'it needs the optimiser: examine(model, batch, optimizer=…)')
    """
    images, labels = _parts(batch)
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected model as an nn.Module, got {describe(model)}")
    examination = Examination(tuple(TESTS))
    try:
        own, steps = copied(model, optimizer)
    except Exception as error:
        reason = f"the model cannot be copied ({type(error).__name__}), and a model is never examined itself"
        examination.untested.update(dict.fromkeys(TESTS, reason))
        return examination
    device = next((each.device for each in model.parameters()), images.device)
    if device.type != "meta":
        images, labels = images.to(device), None if labels is None else labels.to(device)
    case = Case(own, images, labels, steps, loss, model.training)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        _go_through(case, examination)
    return examination


def _go_through(case: Case, examination: Examination) -> None:
    for name, test in TESTS.items():
        if "runs" not in examination.fine and name != "runs":
            examination.untested[name] = "the model has to run first"
            continue
        try:
            told = test(case)
        except CannotTellError as error:
            examination.untested[name] = str(error)
            continue
        except Exception as error:
            examination.untested[name] = f"the test failed with {type(error).__name__}: {str(error)[:200]}"
            continue
        if isinstance(told, Finding):
            examination.findings.append(Finding(told.fault, told.seen, told.means, told.mend, name))
        else:
            examination.fine[name] = told


def _parts(batch: object) -> tuple[Tensor, Tensor | None]:
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"expected batch as images, or as (images, labels), got {_what(batch, parts)}")
    images, labels = (*parts, None)[:2]
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise ValueError(f"expected images as a floating-point tensor (B, C, H, W), got {describe(images)}")
    if labels is not None and labels.shape[:1] != images.shape[:1]:
        raise ValueError(f"expected a label for each image, got {describe(labels)} and {describe(images)}")
    return images.detach(), labels


def _what(batch: object, parts: tuple) -> str:
    if isinstance(batch, torch.utils.data.DataLoader):
        return f"{describe(batch)}; take one batch: next(iter(loader))"
    kinds = [type(part).__name__ for part in parts]
    what = f"{describe(batch)} of {', '.join(kinds)}" if isinstance(batch, tuple | list) else describe(batch)
    return f"{what}; convert with torch.from_numpy" if "ndarray" in kinds else what
