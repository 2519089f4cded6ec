"""Run one experiment from data to record: train it, go on where it was stopped, score it once at the end."""

import contextlib
import copy
import datetime
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

import stn_course
from stn_course.checkpoints import resume, save_checkpoint, saved_fingerprint
from stn_course.checks import lookup
from stn_course.cuda_graph import check_graph
from stn_course.data import Batches, ImageData
from stn_course.experiments.catalogue import Experiment, get_experiment
from stn_course.experiments.hardware import (
    PRECISIONS,
    Precision,
    faster_precision,
    find_device,
    hardware_name,
    native_bfloat16,
)
from stn_course.files import atomic_write, check_writable, lock, save_tensors
from stn_course.models import STNetwork
from stn_course.out_of_memory import advice_when_out_of_memory
from stn_course.places import runs_folder
from stn_course.recovery import recovered_pose, taken_back
from stn_course.tasks import Profile, Recipe
from stn_course.tasks.recipe import take_average
from stn_course.training import Evaluation, History, Watch, evaluate, fit

HELD_OUT = 5000


@dataclass
class Result:
    """The trained model, its history and its record (None if training was stopped).

    The model is in evaluation mode and on the CPU, wherever it was trained. `saved` says whether record and weights are
    in the folder, too.
    """

    model: nn.Module
    history: History
    record: dict | None
    folder: Path
    saved: bool = False


def profile_name(profile: str | None = None) -> str:
    """Choose the profile: the argument, else STN_COURSE_PROFILE, else "quick"."""
    return profile or os.environ.get("STN_COURSE_PROFILE") or "quick"


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
    epochs: int | None = None,
    watch: Watch | None = None,
    graph: bool = False,
) -> Result:
    """Train an experiment, evaluate it once on its test split, and write `record.json` and `weights.pt`.

    Called again with the same arguments it goes on from its last finished epoch. When the disk fills up it trains on,
    and says what it could not save. It leaves PyTorch's global random state as it was.

    Built in: 05, "Train it".

    Args:
        name: one of `EXPERIMENTS`.
        profile: "smoke", "quick" or "full"; see `profile_name`.
        recipe: "course" or "published".
        seed: of the weights, the order of the images and their distortions; from 0 to 2**64 - 1.
        device: "cpu", "cuda", "cuda:1", …; a GPU where there is one, else the CPU, if None.
        output: the folder for record, weights and checkpoints; one in `runs_folder()` if None.
        validate: hold out the last 5,000 training images (a tenth, if that is less), evaluate on them after each epoch
            and at the end as "held_out_accuracy", in a folder of its own, and leave the test split alone. Recipes are
            chosen this way.
        progress: whether to show a bar and a line for each epoch.
        precision: "float32" or "bfloat16", for the network in training; θ and the sampler stay in float32. If None, the
            precision in which the run began, if it goes on; else bfloat16 where the recipe allows it and
            `faster_precision` has measured it to be faster. The record says which, and why.
        every_epoch: score the test split after every epoch, too, into the rows' "test_accuracy"; training is the same.
            It shows what a published "best epoch" is worth: a recipe chosen by it is chosen on the test split.
        epochs: how many, instead of the profile's.
        watch: called after every step, as for `fit`, and once for each epoch that was finished before:
            `widgets.LiveTraining` draws what it is told.
        graph: whether a GPU for CUDA replays each training step from a recording, so that Python does not limit it: see
            `cuda_graph`. The numbers are the same up to rounding, and a run may go on with it or without.

    Raises:
        CheckpointError: if the folder holds checkpoints of another run.
        ConnectionError: if the profile is "full" and the data set can neither be found nor downloaded.
        OSError: if the folder cannot be written, before anything is trained.
        TimeoutError: if another process has been training the same for ten minutes.
        torch.OutOfMemoryError: if the GPU's memory is full and splitting does not help; a note says what to do.

    Example:
        >>> run("rts-mnist/lenet")
        Traceback (most recent call last):
        ValueError: expected experiment as one of rts-mnist/cnn, rts-mnist/st-cnn, ..., got 'rts-mnist/lenet'
    """
    job = _resolve(
        name, profile, recipe, seed, device, output, validate, progress, precision, every_epoch, epochs, graph
    )
    train, scored_on = _splits(job)
    folder = _folder(job, train)
    check_writable(folder, f"training {name}")
    with (
        lock(folder, f"training {name} in {folder}"),
        _random_state_of_its_own(job.seed, job.device),
        advice_when_out_of_memory(),
    ):
        fingerprint = _fingerprint(job, train, _precision(job, folder, job.size.epochs * len(train)))
        scoring = Batches(scored_on, 1000, job.experiment.normalise, device=job.device)
        model, history = _train(job, train, scored_on, scoring, folder / "checkpoints", fingerprint, watch)
        if history.stopped:
            if history.by_hand:  # after a loss that is not finite the same call would end the same way
                print("The same call goes on from the last finished epoch.")
            return Result(model.cpu(), history, None, folder)
        weights = _rounded(model)
        model.load_state_dict(weights)  # score the very weights that it saves
        scored = evaluate(model, scoring, job.experiment.task.loss, job.experiment.task.score)
        record = _record(job, fingerprint, train, scored_on, scored, history)
        saved = _save(folder, weights, record)
    if progress:
        print(f"{job.experiment.title}: {scored.score:.2%} on {scored_on.source}.")
    return Result(model.cpu(), history, record, folder, saved)


# Names, data and a folder


@dataclass(frozen=True)
class _Job:
    """The arguments of `run`, checked; each name with the thing it names."""

    name: str
    experiment: Experiment
    profile: str
    size: Profile
    recipe: str
    plan: Recipe
    seed: int
    device: torch.device
    output: str | os.PathLike | None
    validate: bool
    progress: bool
    precision: str | None
    every_epoch: bool
    graph: bool


def _resolve(
    name, profile, recipe, seed, device, output, validate, progress, precision, every_epoch, epochs, graph
) -> _Job:
    experiment, profile = get_experiment(name), profile_name(profile)
    size = lookup("profile", profile, experiment.profiles)
    if epochs is not None:
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"expected epochs as a whole number of at least 1, got {epochs!r}")
        size = replace(size, epochs=epochs)
    plan = experiment.recipe(recipe)
    device = find_device(device)
    check_graph(graph, device)
    if precision is not None:
        lookup("precision", precision, PRECISIONS)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"expected seed as a whole number from 0 to 2**64 - 1, got {seed!r}")
    if output is not None and not os.fspath(output):
        raise ValueError(f"expected output as the name of a folder, got {output!r}")
    if validate and every_epoch:
        raise ValueError("expected validate or every_epoch, got both: validate leaves alone what every_epoch scores")
    settings = validate, progress, precision, every_epoch, graph
    return _Job(name, experiment, profile, size, recipe, plan, seed, device, output, *settings)


def _splits(job: _Job) -> tuple[ImageData, ImageData]:
    """Load the images to train on, and those to score on: of the test split, or held out."""
    train = job.experiment.load("train", offline=job.size.offline)
    if job.validate:
        kept = len(train) - min(HELD_OUT, len(train) // 10)
        train, test = train[:kept], train[kept:]
    else:
        test = job.experiment.load("test", offline=job.size.offline)[: job.size.test_images]
    return train[: job.size.train_images], job.experiment.scored_images(test)


def _folder(job: _Job, train: ImageData) -> Path:
    """Choose the folder: `output`, else one that no run with held-out images or on other data shares."""
    if job.output is not None:
        return Path(job.output)
    kind = "validation-runs" if job.validate else "runs"
    usual = job.size.epochs == job.experiment.profiles[job.profile].epochs
    epochs = "" if usual else f"-{job.size.epochs}-epochs"
    return runs_folder() / kind / job.name / f"{job.recipe}-{job.profile}{epochs}-{job.seed}-{train.digest[:4]}"


def _precision(job: _Job, folder: Path, images: int) -> Precision:
    """Choose the precision: the argument, else that of the run in this folder, else the faster one here."""
    began = saved_fingerprint(folder / "checkpoints")
    if began.get("precision") in [*PRECISIONS] and job.precision in (None, began["precision"]):
        return Precision(began["precision"], began.get("precision_chosen"))
    if job.precision is not None:
        return Precision(job.precision, "asked for")
    return faster_precision(job.name, job.recipe, job.device, images)


def _fingerprint(job: _Job, train: ImageData, precision: Precision) -> dict:
    """Describe the run: a checkpoint with another fingerprint belongs to another run."""
    return {
        "experiment": job.name,
        "recipe": job.recipe,
        **asdict(job.plan) | {"phases": job.plan.phases and [asdict(phase) for phase in job.plan.phases]},
        "profile": job.profile,
        "epochs": job.size.epochs,
        "seed": job.seed,
        "validate": job.validate,
        "train_digest": train.digest,
        "device": job.device.type,
        "precision": precision.name,
        "precision_chosen": precision.because,
        "version": stn_course.__version__,
    }


# Training, with a checkpoint after each epoch


def _train(
    job: _Job,
    train: ImageData,
    scored_on: ImageData,
    scoring: Batches,
    checkpoints: Path,
    fingerprint: dict,
    watch: Watch | None = None,
) -> tuple[nn.Module, History]:
    task, device, epochs = job.experiment.task, job.device, job.size.epochs
    # colour networks train faster with channels last, but not in float32 on GPUs that are older than bfloat16
    channels_last = device.type != "cuda" or native_bfloat16(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = job.experiment.model().to(device, memory_format=layout)
    generator = torch.Generator(device).manual_seed(job.seed)
    steps = epochs * -(-len(train) // job.plan.batch_size)
    optimizer, schedule = job.plan.optimizer_and_schedule(model, steps)
    state = model, optimizer, schedule, generator
    history = resume(checkpoints, fingerprint, *state)
    _say_what_is_there(job, history)
    probes = _Probes(job, train, scored_on) if isinstance(model, STNetwork) else None

    def after_epoch(row: dict) -> dict:
        extra = {} if probes is None else probes.columns(model)
        if job.every_epoch:
            as_saved = copy.deepcopy(model)
            as_saved.load_state_dict(_rounded(model))
            extra[f"test_{task.score.__name__}"] = evaluate(as_saved, scoring, task.loss, task.score).score
        finished = History([*history.rows, row | extra])
        try:
            save_checkpoint(checkpoints, fingerprint, row["epoch"], *state, finished)
        except OSError as error:
            tqdm.write(f"Epoch {row['epoch']} could not be saved ({error}). Training goes on without.")
        return extra

    if watch is not None:
        for row in history.rows:
            watch(model, row["epoch"], epochs, torch.tensor(row["loss"], device=device))
    for phase, end in job.plan.phase_ends(epochs):
        job.plan.let_learn(model, phase)
        prepare = task.training_transform(job.plan, phase.distortion)
        history = fit(
            model,
            Batches(train, job.plan.batch_size, prepare, True, generator, device, join=task.join, graph=job.graph),
            scoring if job.validate else None,
            epochs=epochs,
            until=end,
            optimizer=optimizer,
            schedule=schedule,
            clip=job.plan.clip,
            autocast=PRECISIONS[fingerprint["precision"]],
            graph=job.graph,
            loss=job.plan.training_loss(task.loss),
            score=task.score,
            history=history,
            after_epoch=after_epoch,
            watch=watch,
            progress=job.progress,
        )
        if history.stopped:
            break
    if not history.stopped:
        take_average(optimizer)
    return model.requires_grad_(True), history


class _Probes:
    """What a network with transformers does with the same images after each epoch."""

    def __init__(self, job: _Job, train: ImageData, scored_on: ImageData):
        images, normalise = job.experiment.probe_images(scored_on), job.experiment.normalise
        self.images = (images if normalise is None else normalise(images)).to(job.device)
        self.distortion, self.posed = job.experiment.distortion, job.experiment.task.posed_images(train)

    @torch.inference_mode()
    def columns(self, model: STNetwork) -> dict:
        """Record one look as {"theta": [a θ for each image]}, several as {"thetas": [the same for each look]}.

        With known poses there is {"taken_back": {"angle": [slope, correlation], …}} as well, of the last look.
        """
        model.eval()
        thetas = [
            [[round(value, 4) for value in theta] for theta in look.theta.tolist()] for look in model.looks(self.images)
        ]
        columns = {"theta": thetas[0]} if len(thetas) == 1 else {"thetas": thetas}
        if self.posed is not None:
            images, labels, true = self.posed
            last = [model.looks(some.to(self.images.device))[-1] for some in images.split(250)]
            theta = torch.cat([look.theta for look in last]).cpu()
            recovered = recovered_pose(self.distortion, theta, last[0].layer.transform)
            shares = taken_back(true, recovered, labels)
            columns["taken_back"] = {part: [round(value, 4) for value in share] for part, share in shares.items()}
        return columns


def _say_what_is_there(job: _Job, history: History) -> None:
    if history.rows and job.progress:
        print(f"Going on after epoch {len(history)} of {job.size.epochs}.")
    column = f"test_{job.experiment.task.score.__name__}"
    if job.every_epoch and (without := [row["epoch"] for row in history.rows if column not in row]):
        print(f"The test split was not scored after epochs {without[0]} to {without[-1]}, which are not repeated.")


@contextlib.contextmanager
def _random_state_of_its_own(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generators of the CPU and of one GPU, and put them back in the end; touch no other."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


# Scoring, and what is written


def _rounded(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights as `run` saves them: half as large, and on the CPU."""
    return {key: value.half().cpu() for key, value in model.state_dict().items()}


def _save(folder: Path, weights: dict[str, Tensor], record: dict) -> bool:
    """Write weights, then record, and say whether that worked; a full disk must not cost the learner the training."""
    try:
        save_tensors(weights, folder / "weights.pt")
        with atomic_write(folder / "record.json") as part:
            part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"Weights and record could not be saved ({error}); they are in the result's .model and .record alone.")
        return False
    return True


def _record(
    job: _Job, fingerprint: dict, train: ImageData, test: ImageData, scored: Evaluation, history: History
) -> dict:
    split, device = "held_out" if job.validate else "test", job.device
    return (
        fingerprint
        | {
            "train_source": train.source,
            "train_images": len(train),
            "complete": train.complete and test.complete,
            f"{split}_source": test.source,
            f"{split}_images": len(test),
            f"{split}_digest": test.digest,
            f"{split}_loss": scored.loss,
            f"{split}_{job.experiment.task.score.__name__}": scored.score,
            f"{split}_missed": list(scored.missed),
            "seconds": round(sum(history.column("seconds")), 1),
            "hardware": hardware_name(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "date": datetime.date.today().isoformat(),
            "epochs_run": history.rows,
        }
        | ({"tf32": _tf32(device)} if device.type == "cuda" else {})
    )


def _tf32(device: torch.device) -> bool:
    """Say whether a GPU rounds the factors of a float32 convolution to ten bits, its default."""
    return torch.cuda.get_device_capability(device) >= (8, 0) and torch.backends.cudnn.allow_tf32
