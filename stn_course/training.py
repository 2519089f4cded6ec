"""Fit and evaluate, on one screen. Nothing here knows what a spatial transformer is.

    for each batch:  l = loss(model(images), labels);  θ_model ← optimiser(∇ l)

Source: the loop is the usual one; cross entropy is the log-softmax and negative log-likelihood of the published runs.
"""

import contextlib
import copy
import functools
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
from stn_course.checks import describe
from stn_course.cuda_graph import Recorded, check_graph
from stn_course.out_of_memory import SplitOnOutOfMemory, advice_when_out_of_memory

LOOK_EVERY = 20  # steps between two looks at the loss: each look makes a GPU wait
COLUMNS = ("epoch", "loss", "seconds")  # in every row, beside the score

Loss = Callable[[Tensor, Tensor], Tensor]  # (outputs, labels) → one number; see `fit`
Score = Callable[[Tensor, Tensor], Tensor]  # (outputs, labels) → (B,)
Watch = Callable[[nn.Module, float, int, Tensor], None]  # (model, epochs done, epochs, loss) → nothing; see `fit`


@dataclass
class History:
    """One row an epoch: "epoch", "loss", "accuracy" (of training), "seconds", and columns that `fit` adds on demand.

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
    """Mean loss and mean score over images: of a classifier the cross entropy, and the share of right answers.

    `missed` lists the images whose score is 0, of a classifier those it misreads, by their place in the data.

    Built in: 05, "The honest comparison".
    """

    loss: float
    score: float
    missed: tuple[int, ...] = ()


class NotFiniteError(ArithmeticError):
    """The loss is NaN or infinite."""


def accuracy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Say which images are classified right: logits (B, classes) and labels (B,) → (B,), true or false.

    Built in: 05, "The honest comparison".

    Example:
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor([ True, False])
    """
    return outputs.argmax(1) == labels


def fit(
    model: nn.Module,
    train: Iterable[tuple[Tensor, Tensor]],
    validation: Iterable[tuple[Tensor, Tensor]] | None = None,
    *,
    epochs: int,
    until: int | None = None,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip: float | None = None,
    autocast: torch.dtype | None = None,
    graph: bool = False,
    loss: Loss = F.cross_entropy,
    score: Score = accuracy,
    history: History | None = None,
    after_epoch: Callable[[dict], dict | None] | None = None,
    watch: Watch | None = None,
    progress: bool = True,
) -> History:
    """Train a model: a classifier on cross entropy, unless `loss` and `score` say otherwise.

    However it ends, the model is in evaluation mode, and `history.stopped` says what ended it early. Ctrl-C leaves the
    model as it was at that moment; a loss that is not finite puts it back to the end of its last whole epoch.

    If a batch is too large for a GPU's memory, `fit` says so, splits it and sums the gradients; not with batch
    normalisation, whose statistics would be those of another batch.

    Built in: 04, "Train them together".

    Args:
        model: images (B, C, H, W) → outputs (B, ...); logits (B, classes) for cross entropy.
        train: batches of images (B, C, H, W) and labels (B, ...), for cross entropy (B,), int64. They are read once an
            epoch: `data.Batches`, a `DataLoader` or a list will do; a generator, empty after one epoch, will not.
        validation: the same, evaluated after each epoch into "validation_loss" and "validation_accuracy".
        epochs: how many there shall be in the end, those in `history` included.
        until: the epoch after which to return, if it is not the last; a call with its history goes on.
        schedule: stepped after every batch.
        clip: the largest norm of the whole gradient, above 0.
        autocast: bfloat16 or float16 to compute in lower precision where it is safe; None for full precision.
        graph: whether the step is recorded as a CUDA graph, and replayed by the GPU: see `cuda_graph`. Each row then
            says in "replayed" how many of its steps were. `Batches(graph=True)` does the same for the batches.
        loss: (outputs in float32, labels) → one number, the mean over the images, to be minimised.
        score: (outputs, labels) → (B,), for each image true or false, or a share from 0 to 1. Its `__name__` names the
            column of its mean: "accuracy", and "validation_accuracy".
        history: to go on from.
        after_epoch: takes each finished row; `fit` adds what it returns to the row.
        watch: called after every step with the model, how many epochs are done (2.5 is half of the third), how many
            there shall be, and the step's mean loss, a tensor on the model's device. `widgets.LiveTraining` is one.
        progress: whether to show a bar, and a line for each epoch.

    Raises:
        torch.OutOfMemoryError: if splitting does not help; a note says what to do.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> batch = torch.eye(4).reshape(4, 1, 2, 2), torch.tensor([0, 0, 1, 1])
        >>> fit(model, [batch], epochs=50, optimizer=torch.optim.SGD(model.parameters(), 1.0), progress=False).stopped
        >>> evaluate(model, [batch]).score
        1.0
    """
    _check_arguments(model, train, validation, optimizer, clip, graph, score)
    reuse_freed_memory()
    history = History() if history is None else history  # an empty one is false
    history.stopped, history.by_hand = None, False
    step = _Step(model, optimizer, clip, autocast, loss, SplitOnOutOfMemory(model))
    step = Recorded(step, "The training step", optimizer=optimizer) if graph else step
    with _ending_in_evaluation_mode(model), advice_when_out_of_memory():
        for epoch in range(len(history) + 1, (epochs if until is None else until) + 1):
            good = copy.deepcopy(model.state_dict())
            try:
                with _bar(train, f"epoch {epoch}/{epochs}", progress) as bar:
                    seen = None if watch is None else functools.partial(_watched, watch, model, bar, epoch, epochs)
                    row = {"epoch": epoch} | _train_one_epoch(model, bar, step, schedule, loss, score, seen)
                    if graph:
                        row["replayed"], step.replays = step.replays, 0
                    row |= _validation_columns(model, validation, loss, score)
                    row |= (after_epoch(row) if after_epoch else None) or {}
            except KeyboardInterrupt:
                history.stopped, history.by_hand = f"stopped by hand in epoch {epoch} of {epochs}", True
            except NotFiniteError as error:
                model.load_state_dict(good)
                end = f"the model is back at the end of epoch {epoch - 1}"
                history.stopped = f"{error} in epoch {epoch} of {epochs}; {end}"
            if history.stopped:
                print(f"Training {history.stopped}.")
                break
            history.rows.append(row)
            if progress:
                print(_line(row, epochs, score.__name__))
    return history


def _check_arguments(model, train, validation, optimizer, clip, graph, score) -> None:
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
    check_graph(graph, next(model.parameters()).device)
    name = getattr(score, "__name__", "")
    if not name.isidentifier() or name in COLUMNS:
        raise TypeError(f"expected score as a function with a name of its own for its column, got {score!r}")


@contextlib.contextmanager
def _ending_in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    try:
        yield
    finally:
        model.eval()


def _bar(batches, text: str, shown: bool) -> tqdm:
    return tqdm(batches, text, leave=False, disable=not shown, file=sys.stdout, mininterval=0.5)


@dataclass
class _Step:
    """One step on a batch: (images, labels) → mean loss, outputs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    clip: float | None
    autocast: torch.dtype | None
    loss: Loss
    fitting: SplitOnOutOfMemory

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        # forward and backward
        loss, outputs = self.fitting(self.gradient, images, labels)
        # step
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss, outputs

    def gradient(self, chunks: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean loss and outputs (B, ...) of a batch, taken in chunks; leave the gradient in the model."""
        self.optimizer.zero_grad()
        self.model.zero_grad()  # gradients that the optimiser does not hold would add up, and count in the norm
        mean, outputs = 0.0, []
        for some, their_labels in zip(images.chunk(chunks), labels.chunk(chunks), strict=True):
            with torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None):
                output = self.model(some)
            loss = _one_number(self.loss, output.float(), their_labels) * (len(some) / len(images))
            loss.backward()
            mean = mean + loss.detach()
            outputs.append(output.detach())
        return mean, torch.cat(outputs).float()


def _watched(watch: Watch, model: nn.Module, bar: tqdm, epoch: int, epochs: int, index: int, loss: Tensor) -> None:
    watch(model, epoch - 1 + (index / bar.total if bar.total else 1), epochs, loss.clone())  # a replay overwrites it


def _train_one_epoch(
    model: nn.Module,
    batches: tqdm,
    step: _Step | Recorded,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    loss_of: Loss,
    score: Score,
    watch: Callable[[int, Tensor], None] | None = None,
) -> dict:
    model.train()
    start, losses, total, seen = time.perf_counter(), [], 0, 0
    for index, batch in enumerate(batches, start=1):
        images, labels = _check_batch(batch, loss_of)
        loss, outputs = step(images, labels)
        if schedule is not None:
            schedule.step()
        # count; without a look at the numbers, which would make a GPU wait
        if watch is not None:
            watch(index, loss)
        losses.append(loss * len(labels))
        total, seen = total + _scores(score, outputs, labels).sum(), seen + len(labels)
        if index % LOOK_EVERY == 0:
            mean = _finite_mean(losses, seen)
            batches.set_postfix_str(f"loss {mean:.3f}, {score.__name__} {total.item() / seen:.1%}", refresh=False)
    if not seen:
        raise ValueError("expected at least one batch to train on, got none")
    mean = _finite_mean(losses, seen)
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():  # the last step can spoil them after the last look at the loss
            raise NotFiniteError(f"stopped because {name} was no longer finite at the end")
    return {"loss": mean, score.__name__: total.item() / seen, "seconds": time.perf_counter() - start}


def _check_batch(batch, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return images and labels, checked as far as possible without waiting for a GPU."""
    if not (isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(one, Tensor) for one in batch)):
        got = [type(one).__name__ for one in batch] if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"expected each batch as a tensor of images and one of labels, got {got}")
    images, labels = batch
    classes = loss is F.cross_entropy
    expected = images.shape[:1] if classes else (*images.shape[:1], *labels.shape[1:])
    if labels.shape != expected or (classes and labels.dtype != torch.int64):
        n = len(images) if images.ndim else "B"
        what = f"int64 ({n},)" if classes else f"({n}, ...)"
        raise ValueError(f"expected labels as {what}, one for each image, got {labels.dtype} {tuple(labels.shape)}")
    if not len(labels):
        raise ValueError("expected at least one image in every batch, got one without any")
    if classes and labels.device.type == "cpu" and labels.min() < 0:  # PyTorch would pass over -100 without a word
        raise ValueError(f"expected labels from 0 on, got {labels.min().item()}")
    return images, labels


def _one_number(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    if (value := loss(outputs, labels)).ndim:
        raise ValueError(f"expected loss to give one number, the mean over the images, got {describe(value)}")
    return value


def _scores(score: Score, outputs: Tensor, labels: Tensor) -> Tensor:
    if (scores := score(outputs, labels)).shape != labels.shape[:1]:
        raise ValueError(
            f"expected {score.__name__} to give ({len(labels)},), one number for each image, got {describe(scores)}"
        )
    return scores


def _finite_mean(losses: list[Tensor], seen: int) -> float:
    total = torch.stack(losses)
    if not math.isfinite(mean := total.sum().item() / seen):
        first = int((~total.isfinite()).nonzero()[0]) + 1
        raise NotFiniteError(f"stopped because the loss became {total[first - 1].item()} at step {first}")
    return mean


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    data: Iterable[tuple[Tensor, Tensor]],
    loss: Loss = F.cross_entropy,
    score: Score = accuracy,
) -> Evaluation:
    """Compute mean loss and mean score of a model over batches, in evaluation mode; `loss` and `score` as for `fit`.

    However it ends, each part of the model has its own mode back.

    Built in: 05, "The honest comparison".
    """
    modes = {module: module.training for module in model.modules()}
    losses, scores, fitting = [], [], SplitOnOutOfMemory(model)
    try:
        model.eval()
        with advice_when_out_of_memory():
            for batch in data:
                images, labels = _check_batch(batch, loss)
                outputs = fitting(_outputs, images, model)
                losses.append(_one_number(loss, outputs, labels) * len(labels))
                scores.append(_scores(score, outputs, labels))
    finally:
        for module, training in modes.items():
            module.training = training
    if not scores:
        raise ValueError("expected at least one batch to evaluate on, got none")
    each = torch.cat(scores)
    missed = tuple((each == 0).nonzero().flatten().tolist())
    return Evaluation(float(sum(losses)) / len(each), float(each.sum()) / len(each), missed)


def _outputs(chunks: int, images: Tensor, model: nn.Module) -> Tensor:
    return torch.cat([model(some).float() for some in images.chunk(chunks)])


def _validation_columns(model, validation, loss: Loss, score: Score) -> dict:
    if validation is None:
        return {}
    scored = evaluate(model, validation, loss, score)
    return {"validation_loss": scored.loss, f"validation_{score.__name__}": scored.score}


def _line(row: dict, epochs: int, score: str) -> str:
    cells = [f"epoch {row['epoch']:>2}/{epochs}", f"loss {row['loss']:.4f}", f"{score} {row[score]:.2%}"]
    if f"validation_{score}" in row:
        cells.append(f"validation {row[f'validation_{score}']:.2%}")
    return "   ".join([*cells, f"{row['seconds']:.0f} s"])
