"""Fit and evaluate, on one screen. Nothing here knows what a spatial transformer is.

    for each batch:  loss = cross entropy(model(images), labels);  θ_model ← optimiser(∇ loss)

Source: the loop is the usual one; cross entropy is the log-softmax and negative log-likelihood of the published runs.
"""

import contextlib
import copy
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stn_course.allocator import reuse_freed_memory
from stn_course.out_of_memory import SplitOnOutOfMemory, advice_when_out_of_memory

LOOK_EVERY = 20  # steps between two looks at the loss: each look makes a GPU wait


@dataclass
class History:
    """One row an epoch: "epoch", "loss", "accuracy" (of training), "seconds", and what was added to them.

    `stopped` says in words why training ended early, None if it did not; `by_hand` whether it was Ctrl-C.
    """

    rows: list[dict] = field(default_factory=list)
    stopped: str | None = None
    by_hand: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list:
        """One value an epoch: `history.column("loss")`."""
        return [row[name] for row in self.rows]


class Evaluation(NamedTuple):
    """Mean cross entropy, and the share of right answers, from 0 to 1."""

    loss: float
    accuracy: float


class NotFiniteError(ArithmeticError):
    """The loss is NaN or infinite."""


def fit(
    model: nn.Module,
    train: Iterable[tuple[Tensor, Tensor]],
    validation: Iterable[tuple[Tensor, Tensor]] | None = None,
    *,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
    autocast: torch.dtype | None = None,
    history: History | None = None,
    after_epoch: Callable[[dict], dict | None] | None = None,
    progress: bool = True,
) -> History:
    """Train a classifier on cross entropy.

    Args:
        model: images (B, C, H, W) → logits (B, classes).
        train: batches of images (B, C, H, W) and labels (B,), int64; iterated once an epoch. `data.Batches` is one, a
            `DataLoader` or a list another; a generator, which is empty after one epoch, is none.
        validation: the same, evaluated after each epoch into "validation_loss" and "validation_accuracy".
        epochs: how many there shall be in the end, those in `history` included.
        optimizer: over the model's parameters.
        schedule: stepped after every batch.
        clip: the largest norm of the whole gradient, above 0.
        autocast: bfloat16 or float16 to compute in lower precision where it is safe; None for full precision.
        history: to go on from.
        after_epoch: called with each finished row; what it returns is added to the row.
        progress: whether to show a bar, and a line for each epoch.

    Returns:
        The history. Ctrl-C ends it early and leaves the model as it was at that moment. A loss that is not finite ends
        it early and puts the model back to where its last finished epoch left it. `history.stopped` says which. A
        batch that is too large for a GPU's memory is taken in parts, in words, whose gradients are added up; not so
        with batch normalisation, which would see another batch. However it ends, the model is in evaluation mode.

    Raises:
        TypeError: before the first step, for batches that cannot be gone through again and again; before its step, for
            a batch that is none.
        ValueError: before the first step, for an optimiser that holds none of the model's parameters, or a clip that
            is not above 0; for a batch without an image, or labels that are no classes; for no batch at all.
        torch.OutOfMemoryError: if it cannot be helped; a note says what to do.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> batch = torch.eye(4).reshape(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])
        >>> fit(model, [batch], epochs=50, optimizer=torch.optim.SGD(model.parameters(), 1.0), progress=False).stopped
        >>> evaluate(model, [batch]).accuracy
        1.0
    """
    _check_arguments(model, train, validation, optimizer, clip)
    reuse_freed_memory()
    history = History() if history is None else history  # an empty one is false
    history.stopped, history.by_hand, fitting = None, False, SplitOnOutOfMemory(model)
    with _ending_in_evaluation_mode(model), advice_when_out_of_memory():
        for epoch in range(len(history) + 1, epochs + 1):
            good = copy.deepcopy(model.state_dict())
            bar = tqdm(
                train, f"epoch {epoch}/{epochs}", leave=False, disable=not progress, file=sys.stdout, mininterval=0.5
            )
            try:
                row = {"epoch": epoch} | _train_one_epoch(model, bar, optimizer, schedule, clip, autocast, fitting)
                if validation is not None:
                    scored = evaluate(model, validation)
                    row |= {"validation_loss": scored.loss, "validation_accuracy": scored.accuracy}
                row |= (after_epoch(row) if after_epoch else None) or {}
            except KeyboardInterrupt:
                history.stopped, history.by_hand = f"stopped by hand in epoch {epoch} of {epochs}", True
            except NotFiniteError as error:
                model.load_state_dict(good)
                end = f"the model is back at the end of epoch {epoch - 1}"
                history.stopped = f"{error} in epoch {epoch} of {epochs}; {end}"
            finally:
                bar.close()
            if history.stopped:
                print(f"Training {history.stopped}.")
                break
            history.rows.append(row)
            if progress:
                print(_line(row, epochs))
    return history


def _check_arguments(model, train, validation, optimizer, clip) -> None:
    for name, batches in {"train": train, "validation": [] if validation is None else validation}.items():
        if isinstance(batches, Iterator) or not (hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")):
            raise TypeError(
                f"expected {name} as batches that can be gone through once an epoch, such as a list or a DataLoader, "
                f"got a {type(batches).__name__}"
            )
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if held.isdisjoint(map(id, model.parameters())):
        raise ValueError("expected an optimizer over the model's parameters, got one that holds none of them")
    if clip is not None and not clip > 0:
        raise ValueError(f"expected clip as a number above 0, or None, got {clip!r}")


@contextlib.contextmanager
def _ending_in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    try:
        yield
    finally:
        model.eval()


def _train_one_epoch(model, batches, optimizer, schedule, clip, autocast, fitting) -> dict:
    model.train()
    start, losses, right, seen = time.perf_counter(), [], 0, 0
    for step, batch in enumerate(batches, start=1):
        images, labels = _check_batch(batch)
        loss, logits = fitting(_gradient, images, labels, model, optimizer, autocast)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss * len(labels))
        right, seen = right + (logits.argmax(1) == labels).sum(), seen + len(labels)
        if step % LOOK_EVERY == 0:
            mean = _finite_mean(losses, seen)
            batches.set_postfix_str(f"loss {mean:.3f}, accuracy {right.item() / seen:.1%}", refresh=False)
    if not seen:
        raise ValueError("expected at least one batch to train on, got none")
    mean = _finite_mean(losses, seen)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():  # the last step can spoil them after the last look at the loss
            raise NotFiniteError(f"stopped because {name} was no longer finite at the end")
    return {"loss": mean, "accuracy": right.item() / seen, "seconds": time.perf_counter() - start}


def _check_batch(batch) -> tuple[Tensor, Tensor]:
    """Images and labels, checked as far as a GPU does not have to be waited for."""
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(one, Tensor) for one in batch)):
        got = [type(one).__name__ for one in batch] if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"expected each batch as a tensor of images and one of labels, got {got}")
    images, labels = batch
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"expected labels as int64 ({len(images) if images.ndim else 'B'},), one for each image, "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    if not len(labels):
        raise ValueError("expected at least one image in every batch, got one without any")
    if labels.device.type == "cpu" and labels.min() < 0:  # PyTorch would pass over -100 without a word
        raise ValueError(f"expected labels from 0 on, got {labels.min().item()}")
    return images, labels


def _gradient(parts: int, images, labels, model, optimizer, autocast) -> tuple[Tensor, Tensor]:
    """Forward and backward of a batch: the mean loss, and logits (B, classes); the gradient is left in the model."""
    optimizer.zero_grad()
    model.zero_grad()  # what the optimiser does not hold would be added up, and be part of the norm that is clipped
    mean, logits = 0.0, []
    for some, their_labels in zip(images.chunk(parts), labels.chunk(parts), strict=True):
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            logits.append(model(some))
        loss = F.cross_entropy(logits[-1].float(), their_labels) * (len(some) / len(images))
        loss.backward()
        mean, logits[-1] = mean + loss.detach(), logits[-1].detach()
    return mean, torch.cat(logits)


def _finite_mean(losses: list[Tensor], seen: int) -> float:
    total = torch.stack(losses)
    if not math.isfinite(mean := total.sum().item() / seen):
        first = int((~total.isfinite()).nonzero()[0]) + 1
        raise NotFiniteError(f"stopped because the loss became {total[first - 1].item()} at step {first}")
    return mean


@torch.inference_mode()
def evaluate(model: nn.Module, data: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Mean loss and accuracy of a classifier over batches, in evaluation mode.

    However it ends, each part of the model has its own mode back.

    Raises:
        TypeError, ValueError: for a batch that `fit` would refuse, or if there is none in data.
    """
    modes = {module: module.training for module in model.modules()}
    loss, right, seen, fitting = 0.0, 0, 0, SplitOnOutOfMemory(model)
    try:
        model.eval()
        with advice_when_out_of_memory():
            for batch in data:
                images, labels = _check_batch(batch)
                logits = fitting(_logits, images, model)
                loss = loss + F.cross_entropy(logits, labels, reduction="sum")
                right, seen = right + (logits.argmax(1) == labels).sum(), seen + len(labels)
    finally:
        for module, training in modes.items():
            module.training = training
    if not seen:
        raise ValueError("expected at least one batch to evaluate on, got none")
    return Evaluation(float(loss) / seen, float(right) / seen)


def _logits(parts: int, images: Tensor, model: nn.Module) -> Tensor:
    return torch.cat([model(some).float() for some in images.chunk(parts)])


def _line(row: dict, epochs: int) -> str:
    parts = [f"epoch {row['epoch']:>2}/{epochs}", f"loss {row['loss']:.4f}", f"accuracy {row['accuracy']:.2%}"]
    if "validation_accuracy" in row:
        parts.append(f"validation {row['validation_accuracy']:.2%}")
    return "   ".join([*parts, f"{row['seconds']:.0f} s"])
