"""Fit and evaluate, on one screen. Nothing here knows what a spatial transformer is.

    for each batch:  loss = cross entropy(model(images), labels);  θ_model ← optimiser(∇ loss)

Source: the loop is the usual one; cross entropy is the log-softmax and negative log-likelihood of the published runs.
"""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stn_course.memory import FittingParts, keep_freed_memory

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
        train: iterated once an epoch; has a length. `data.Batches` is one.
        validation: evaluated after each epoch into "validation_loss" and "validation_accuracy".
        epochs: how many there shall be in the end, those in `history` included.
        optimizer: over the model's parameters.
        schedule: stepped after every batch.
        clip: the largest norm of the whole gradient.
        autocast: bfloat16 or float16 to compute in lower precision where it is safe; None for full precision.
        history: to go on from.
        after_epoch: called with each finished row; what it returns is added to the row.
        progress: whether to show a bar, and a line for each epoch.

    Returns:
        The history. Ctrl-C ends it early and leaves the model as it was at that moment. A loss that is not finite ends
        it early and puts the model back to where its last finished epoch left it. `history.stopped` says which. A
        batch that is too large for a GPU's memory is taken in parts, in words, whose gradients are added up.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> batch = torch.eye(4).reshape(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])
        >>> fit(model, [batch], epochs=50, optimizer=torch.optim.SGD(model.parameters(), 1.0), progress=False).stopped
        >>> evaluate(model, [batch]).accuracy
        1.0
    """
    keep_freed_memory()
    history = History() if history is None else history  # an empty one is false
    history.stopped, history.by_hand, fitting = None, False, FittingParts()
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
            history.stopped = f"{error} in epoch {epoch} of {epochs}; the model is back at the end of epoch {epoch - 1}"
        finally:
            bar.close()
        if history.stopped:
            print(f"Training {history.stopped}.")
            break
        history.rows.append(row)
        if progress:
            print(_line(row, epochs))
    model.eval()
    return history


def _train_one_epoch(model, batches, optimizer, schedule, clip, autocast, fitting) -> dict:
    model.train()
    start, losses, right, seen = time.perf_counter(), [], 0, 0
    for step, (images, labels) in enumerate(batches, start=1):
        loss, logits = fitting(_gradient, images, labels, model, optimizer, autocast)
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss * len(labels))
        right, seen = right + (logits.argmax(1) == labels).sum(), seen + len(labels)
        if step % LOOK_EVERY == 0 or step == len(batches):
            mean = _finite_mean(losses, step, seen)
            batches.set_postfix_str(f"loss {mean:.3f}, accuracy {right.item() / seen:.1%}", refresh=False)
    if not seen:
        raise ValueError("expected at least one batch to train on, got none")
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():  # the last step can spoil them after the last look at the loss
            raise NotFiniteError(f"stopped because {name} was no longer finite at the end")
    return {"loss": mean, "accuracy": right.item() / seen, "seconds": time.perf_counter() - start}


def _gradient(parts: int, images, labels, model, optimizer, autocast) -> tuple[Tensor, Tensor]:
    """Forward and backward of a batch: the mean loss, and logits (B, classes); the gradient is left in the model."""
    optimizer.zero_grad()
    mean, logits = 0.0, []
    for some, their_labels in zip(images.chunk(parts), labels.chunk(parts), strict=True):
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            logits.append(model(some))
        loss = F.cross_entropy(logits[-1].float(), their_labels) * (len(some) / len(images))
        loss.backward()
        mean, logits[-1] = mean + loss.detach(), logits[-1].detach()
    return mean, torch.cat(logits)


def _finite_mean(losses: list[Tensor], step: int, seen: int) -> float:
    total = torch.stack(losses)
    if not math.isfinite(mean := total.sum().item() / seen):
        first = int((~total.isfinite()).nonzero()[0]) + 1
        raise NotFiniteError(f"stopped because the loss became {total[first - 1].item()} at step {first}")
    return mean


@torch.inference_mode()
def evaluate(model: nn.Module, data: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Mean loss and accuracy of a classifier over batches, in evaluation mode; the model's mode is put back.

    Raises:
        ValueError: if there is no batch in data.
    """
    was_training = model.training
    model.eval()
    loss, right, seen, fitting = 0.0, 0, 0, FittingParts()
    for images, labels in data:
        logits = fitting(_logits, images, model)
        loss = loss + F.cross_entropy(logits, labels, reduction="sum")
        right, seen = right + (logits.argmax(1) == labels).sum(), seen + len(labels)
    model.train(was_training)
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
