"""One experiment, from data to record: trained, gone on with where it was stopped, scored once at the end."""

import copy
import datetime
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

import stn_course
from stn_course.checkpoints import resume, save_checkpoint
from stn_course.data import Batches, ImageData, data_folder
from stn_course.experiments.catalogue import choose, find
from stn_course.files import atomic_write, drive_folder, lock, save_tensors
from stn_course.models import STNetwork
from stn_course.training import Evaluation, History, evaluate, fit

HELD_OUT = 5000
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass
class Result:
    """What `run` gives: the trained model in evaluation mode, its history and its record (None if it was stopped).

    `saved` says whether record and weights are in the folder, too.
    """

    model: nn.Module
    history: History
    record: dict | None
    folder: Path
    saved: bool = False


def profile_name(profile: str | None = None) -> str:
    """The profile to use: the argument, else STN_COURSE_PROFILE, else "quick"."""
    return profile or os.environ.get("STN_COURSE_PROFILE") or "quick"


def runs_folder() -> Path:
    """Where runs are kept: `data_folder()`, unless there is a `drive_folder()` and STN_COURSE_DATA names no other."""
    drive = None if os.environ.get("STN_COURSE_DATA") else drive_folder()
    return drive or data_folder()


def run(
    name: str,
    profile: str | None = None,
    recipe: str = "course",
    seed: int = 0,
    device: torch.device | str | None = None,
    output: str | os.PathLike | None = None,
    validate: bool = False,
    progress: bool = True,
    precision: str | None = None,
    every_epoch: bool = False,
) -> Result:
    """Train an experiment, evaluate it once on its test split, and write `record.json` and `weights.pt`.

    Called again with the same arguments it goes on from its last finished epoch. When the disk fills up in the middle
    it trains on, and says what it could not save.

    Args:
        name: one of `EXPERIMENTS`.
        profile: "smoke", "quick" or "full"; see `profile_name`.
        recipe: "course" or "published".
        seed: of the weights, the order of the images and their distortions.
        device: cuda where there is one, else the CPU, if None.
        output: the folder for record, weights and checkpoints; one in `runs_folder()` if None.
        validate: hold out the last 5,000 training images (a tenth, if that is less), evaluate on them after each epoch
            and at the end, and leave the test split alone. This is how recipes are chosen. The record says
            "held_out_accuracy" then, and the folder is another one.
        progress: whether to show a bar and a line for each epoch.
        precision: "float32" or "bfloat16", in which the network is computed in training; θ and the sampler stay in
            float32. None for bfloat16 where the recipe allows it and the hardware has it. The record says which.
        every_epoch: score the test split after every epoch, too, into the rows' "test_accuracy". Training is the same.
            It shows what a published "best epoch" is worth; a recipe chosen by it is chosen on the test split.

    Raises:
        ValueError: for an unknown experiment, profile, recipe or precision, with the known ones; checkpoints of another
            run; or if the test split is to be left alone and scored after every epoch.
        ConnectionError: if the profile is "full" and the data set can neither be found nor downloaded.
        OSError: if nothing can be written where the folder shall be, before anything is trained.
        TimeoutError: if another process has been training the same for ten minutes.

    Example:
        >>> run("rts-mnist/lenet")
        Traceback (most recent call last):
        ValueError: expected experiment as one of rts-mnist/cnn, rts-mnist/st-cnn, ..., got 'rts-mnist/lenet'
    """
    experiment = find(name)
    profile = profile_name(profile)
    size = choose("profile", profile, experiment.profiles)
    plan = choose("recipe", recipe, experiment.recipes)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if precision is None:
        precision = "bfloat16" if plan.autocast and native_bfloat16(device) else "float32"
    autocast = choose("precision", precision, PRECISIONS)
    if validate and every_epoch:
        raise ValueError("expected validate or every_epoch, got both: validate leaves alone what every_epoch scores")
    kind = "validation-runs" if validate else "runs"  # two runs, two folders: neither is the other's checkpoint
    folder = Path(output) if output is not None else runs_folder() / kind / name / f"{recipe}-{profile}-{seed}"

    train = experiment.load("train", offline=size.offline)
    if validate:
        kept = len(train) - min(HELD_OUT, len(train) // 10)
        train, test = train[:kept], train[kept:]
    else:
        test = experiment.load("test", offline=size.offline)[: size.test_images]
    train, scored_on = train[: size.train_images], experiment.task(test)

    torch.manual_seed(seed)
    model = experiment.model().to(device, memory_format=torch.channels_last)  # colour networks train faster so
    generator = torch.Generator(device).manual_seed(seed)
    batches = Batches(train, plan.batch_size, experiment.preparation(plan), True, generator, device)
    scoring = Batches(scored_on, 1000, experiment.normalise, device=device)
    optimizer, schedule = plan.make(model, size.epochs * len(batches))
    fingerprint = {
        "experiment": name,
        "recipe": recipe,
        **asdict(plan),
        "profile": profile,
        "epochs": size.epochs,
        "seed": seed,
        "validate": validate,
        "train_digest": train.digest,
        "device": device.type,
        "precision": precision,
        "version": stn_course.__version__,
    }
    with lock(folder, f"training {name} in {folder}"):
        history = resume(folder / "checkpoints", fingerprint, model, optimizer, schedule, generator)
        if history.rows and progress:
            print(f"Going on after epoch {len(history)} of {size.epochs}.")
        watched = experiment.watched(scored_on)  # as the network sees them
        watched = (watched if experiment.normalise is None else experiment.normalise(watched)).to(device)

        def after_epoch(row: dict) -> dict:
            extra = {"theta": _thetas(model, watched)} if isinstance(model, STNetwork) else {}
            if every_epoch:
                as_saved = copy.deepcopy(model)
                as_saved.load_state_dict(_rounded(model))
                extra["test_accuracy"] = evaluate(as_saved, scoring).accuracy
            finished = History([*history.rows, row | extra])
            try:
                save_checkpoint(
                    folder / "checkpoints", fingerprint, row["epoch"], model, optimizer, schedule, generator, finished
                )
            except OSError as error:
                tqdm.write(f"Epoch {row['epoch']} could not be saved ({error}). Training goes on without.")
            return extra

        history = fit(
            model,
            batches,
            scoring if validate else None,
            epochs=size.epochs,
            optimizer=optimizer,
            schedule=schedule,
            clip=plan.clip,
            autocast=autocast,
            history=history,
            after_epoch=after_epoch,
            progress=progress,
        )
        if history.stopped:
            if history.by_hand:  # after a loss that is not finite the same call would end the same way
                print("The same call goes on from the last finished epoch.")
            return Result(model, history, None, folder)
        weights = _rounded(model)
        model.load_state_dict(weights)  # what is scored is what is saved
        scored = evaluate(model, scoring)
        record = _record(fingerprint, train, scored_on, scored, history, device)
        saved = _save(folder, weights, record)
    if progress:
        print(f"{experiment.title}: {scored.accuracy:.2%} on {scored_on.source}.")
    return Result(model, history, record, folder, saved)


def _rounded(model: nn.Module) -> dict[str, Tensor]:
    """A model's weights as they are saved: half as large, and on the CPU."""
    return {key: value.half().cpu() for key, value in model.state_dict().items()}


def _save(folder: Path, weights: dict[str, Tensor], record: dict) -> bool:
    """Write weights, then record; whether that was possible. What the learner waited for is not lost to a full disk."""
    try:
        save_tensors(weights, folder / "weights.pt")
        with atomic_write(folder / "record.json") as part:
            part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"Weights and record could not be saved ({error}); they are in the result's .model and .record alone.")
        return False
    return True


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself; where it is emulated it costs time instead of saving it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(supported())


@torch.inference_mode()
def _thetas(model: nn.Module, images: Tensor) -> list[list[float]]:
    model.eval()
    return [[round(value, 4) for value in theta] for theta in model.spatial_transformer.theta(images).tolist()]


def _record(fingerprint: dict, train: ImageData, test: ImageData, scored: Evaluation, history: History, device) -> dict:
    hardware = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    )
    split = "held_out" if fingerprint["validate"] else "test"
    return fingerprint | {
        "train_source": train.source,
        "train_images": len(train),
        "complete": train.complete and test.complete,
        f"{split}_source": test.source,
        f"{split}_images": len(test),
        f"{split}_digest": test.digest,
        f"{split}_loss": scored.loss,
        f"{split}_accuracy": scored.accuracy,
        "seconds": round(sum(history.column("seconds")), 1),
        "hardware": hardware,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
        "epochs_run": history.rows,
    }
