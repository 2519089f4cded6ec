"""Stop anywhere, go on: every epoch ends by saving the whole state of the training run, in one atomic step.

The state is everything the next epoch depends on: model, optimiser, schedule, history and the states of the random
generators. A run that goes on from it ends, on the CPU, with the same weights to the last bit as one never stopped.
"""

import contextlib
import os
from pathlib import Path

import torch
from torch import nn

from stn_course.files import load_tensors, save_tensors
from stn_course.training import COLUMNS, History

KEEP = 2
STATE = ("fingerprint", "epoch", "model", "optimizer", "schedule", "generator", "random", "history")


class CheckpointError(ValueError):
    """A checkpoint that belongs to another run, or that somebody has edited."""


def save_checkpoint(
    folder: str | os.PathLike,
    fingerprint: dict,
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    generator: torch.Generator,
    history: History,
) -> Path:
    """Save the state after an epoch, and PyTorch's own random state, as `epoch-NNNN.pt`; keep the last two files.

    `fingerprint` says which run it is (experiment, recipe, seed, …): `resume` refuses a checkpoint of another one. If
    saving fails, what was saved before stays as it was.
    """
    state = {
        "fingerprint": fingerprint,
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict() if schedule is not None else None,
        "generator": generator.get_state(),
        "random": torch.get_rng_state(),
        "history": history.rows,
    }
    if generator.device.type == "cuda":  # a run on the CPU has nothing to do with a GPU
        state["random_cuda"] = [torch.cuda.get_rng_state(generator.device)]
    path = Path(folder) / f"epoch-{epoch:04d}.pt"
    save_tensors(state, path)
    kept = [other for other in _found(folder) if other.name <= path.name][-KEEP:]
    for other in _found(folder):  # a later one is damaged: this run could not go on from it
        if other not in kept:
            with contextlib.suppress(FileNotFoundError):
                os.truncate(other, 0)  # Google Drive keeps what is removed for a month, at its full length
                other.unlink()
    return path


def saved_fingerprint(folder: str | os.PathLike) -> dict:
    """Read the fingerprint of the newest readable checkpoint of a folder; {} if there is none."""
    for path in reversed(_found(folder)):
        with contextlib.suppress(Exception):  # `resume` will say that it is damaged
            return _load(path)["fingerprint"]
    return {}


def resume(
    folder: str | os.PathLike,
    fingerprint: dict,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    generator: torch.Generator,
) -> History:
    """Put everything back to the newest readable checkpoint of a folder, and return its history (empty if none).

    It passes over a damaged file, says so, and takes the one before it; it removes what a killed process left
    half-written.

    Raises:
        CheckpointError: if the run has another fingerprint, and the message says what differs; or if the state does not
            fit although the fingerprint does, because somebody has edited it.
    """
    for left in Path(folder).glob(".epoch-*.part"):
        left.unlink(missing_ok=True)
    for path in reversed(_found(folder)):
        try:
            state = _load(path)
        except Exception as error:  # damage shows in many ways: zip, pickle, missing keys, wrong types
            print(f"{path.name} is damaged ({type(error).__name__}) and passed over.")
            continue
        theirs = state["fingerprint"]
        differing = [key for key in sorted({*theirs, *fingerprint}, key=str) if theirs.get(key) != fingerprint.get(key)]
        if differing:
            what = "; ".join(f"{key}: {theirs.get(key)!r} there, {fingerprint.get(key)!r} here" for key in differing)
            raise CheckpointError(f"{path} belongs to another run ({what}). Choose another folder, or remove that one.")
        try:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            if schedule is not None:
                schedule.load_state_dict(state["schedule"])
            generator.set_state(state["generator"])
            torch.set_rng_state(state["random"])
            if generator.device.type == "cuda":
                torch.cuda.set_rng_state(state["random_cuda"][0], generator.device)
        except Exception as error:  # of many kinds
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CheckpointError(
                f"{path} does not hold the state of this run ({why}). Remove it, and "
                "what was saved before it is used; or choose another folder."
            ) from error
        return History(state["history"])
    return History()


def _load(path: Path) -> dict:
    state = load_tensors(path)
    missing = [key for key in STATE if key not in state]
    if missing:
        raise KeyError(f"no {', '.join(missing)}")
    rows = state["history"]
    if not isinstance(state["fingerprint"], dict) or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise TypeError("no fingerprint, or no history")
    if [row["epoch"] for row in rows] != list(range(1, state["epoch"] + 1)):
        raise ValueError("another number of epochs in its history")
    return state


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(column), int | float) for column in COLUMNS)


def _found(folder: str | os.PathLike) -> list[Path]:
    return sorted(Path(folder).glob("epoch-*.pt"))
