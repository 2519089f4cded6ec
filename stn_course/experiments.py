"""A name → data, distortion, model and recipe, at a profile; and the records and weights of the runs that were made.

`run` is where every number of the course comes from: it trains, goes on where it was stopped, looks at the test split
once, at the end, with the very weights it saves (float16), and writes one record.
"""

import copy
import datetime
import functools
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import stn_course
from stn_course.checkpoints import resume, save_checkpoint
from stn_course.data import SAMPLES, Batches, DataError, ImageData, data_folder, load_mnist
from stn_course.distortions import RTS
from stn_course.files import atomic_write, load_tensors, lock
from stn_course.models import CNN, STCNN
from stn_course.training import Evaluation, History, evaluate, fit
from stn_course.transforms import Attention, Projective

RESULTS = Path(__file__).parent / "results"
TEST_SEED = 20150605
HELD_OUT = 12  # one image in so many: 5,000 of MNIST's 60,000


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `localisation_rate` multiplies the learning rate of the localisation network."""

    optimizer: str
    learning_rate: float
    batch_size: int
    localisation_rate: float = 1.0
    weight_decay: float = 0.0
    one_cycle: bool = False
    clip: float | None = None
    autocast: bool = False

    def make(self, model: nn.Module, steps: int):
        """The optimiser and the schedule (or None) for a model and a number of steps."""
        groups = {False: [], True: []}
        for name, parameter in model.named_parameters():
            groups[".localisation." in f".{name}"].append(parameter)
        rates = {False: self.learning_rate, True: self.learning_rate * self.localisation_rate}
        parameters = [{"params": group, "lr": rates[inside]} for inside, group in groups.items() if group]
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[self.optimizer]
        optimizer = kind(parameters, weight_decay=self.weight_decay)
        if not self.one_cycle:
            return optimizer, None
        highest = [group["lr"] for group in parameters]
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=steps, cycle_momentum=False
        )


@dataclass(frozen=True)
class Profile:
    """How much of an experiment is done: sizes and epochs, never another path through the code."""

    epochs: int
    train_images: int | None = None
    test_images: int | None = None
    offline: bool | None = None


@dataclass(frozen=True)
class Experiment:
    """What is trained on what. `published` is what the original reported, in per cent, or None."""

    title: str
    model: Callable[[], nn.Module]
    recipes: dict[str, Recipe]
    profiles: dict[str, Profile]
    load: Callable[..., ImageData] = load_mnist
    distortion: RTS = field(default_factory=RTS)
    published: float | None = None


RTS_PROFILES = {
    "smoke": Profile(epochs=1, train_images=512, test_images=500, offline=True),
    "quick": Profile(epochs=5),
    "full": Profile(epochs=50, offline=False),
}
RTS_RECIPES = {
    "published": Recipe("sgd", 0.01, batch_size=256),
    "course": Recipe(  # the transformer learns faster than the classifier, or it leaves turned digits turned
        "adamw", 1e-3, batch_size=256, localisation_rate=5.0, weight_decay=0.01, one_cycle=True, clip=1.0, autocast=True
    ),
}
COURSE_ONLY = {"course": RTS_RECIPES["course"]}

EXPERIMENTS = {
    "rts-mnist/cnn": Experiment("CNN", CNN, RTS_RECIPES, RTS_PROFILES, published=91.76),
    "rts-mnist/st-cnn": Experiment("ST-CNN, affine", STCNN, RTS_RECIPES, RTS_PROFILES, published=97.22),
    "rts-mnist/st-cnn-attention": Experiment(
        "ST-CNN, attention", functools.partial(STCNN, Attention()), COURSE_ONLY, RTS_PROFILES
    ),
    "rts-mnist/st-cnn-projective": Experiment(
        "ST-CNN, projective", functools.partial(STCNN, Projective()), COURSE_ONLY, RTS_PROFILES
    ),
}


@dataclass
class Result:
    """What `run` gives: the trained model in evaluation mode, its history and its record (None if it was stopped)."""

    model: nn.Module
    history: History
    record: dict | None
    folder: Path


def profile_name(profile: str | None = None) -> str:
    """The profile to use: the argument, else STN_COURSE_PROFILE, else "quick"."""
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
) -> Result:
    """Train an experiment, evaluate it once on its test split, and write `record.json` and `weights.pt`.

    Called again with the same arguments it goes on from its last finished epoch.

    Args:
        name: one of `EXPERIMENTS`.
        profile: "smoke", "quick" or "full"; see `profile_name`.
        recipe: "course" or "published".
        seed: of the weights, the order of the images and their distortions.
        device: cuda where there is one, else the CPU, if None.
        output: the folder for record, weights and checkpoints; one in `data_folder()` if None.
        validate: hold out the last twelfth of the training images (5,000 of MNIST's), evaluate on them after each
            epoch and at the end, and leave the test split alone. This is how recipes are chosen. The record says
            "held_out_accuracy" then, and the folder is another one.
        progress: whether to show a bar and a line for each epoch.

    Raises:
        ValueError: for an unknown experiment, profile or recipe, with the known ones; or checkpoints of another run.
        ConnectionError: if the profile is "full" and the data set can neither be found nor downloaded.

    Example:
        >>> run("rts-mnist/lenet")
        Traceback (most recent call last):
        ValueError: expected experiment as one of rts-mnist/cnn, rts-mnist/st-cnn, ..., got 'rts-mnist/lenet'
    """
    experiment = find(name)
    profile = profile_name(profile)
    size = _choose("profile", profile, experiment.profiles)
    plan = _choose("recipe", recipe, experiment.recipes)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kind = "validation-runs" if validate else "runs"  # two runs, two folders: neither is the other's checkpoint
    folder = Path(output) if output is not None else data_folder() / kind / name / f"{recipe}-{profile}-{seed}"

    train = experiment.load("train", offline=size.offline)
    if validate:
        kept = len(train) - len(train) // HELD_OUT
        train, test = train[:kept], train[kept:]
    else:
        test = experiment.load("test", offline=size.offline)[: size.test_images]
    train, scored_on = train[: size.train_images], distorted(test, experiment.distortion)

    torch.manual_seed(seed)
    model = experiment.model().to(device)
    generator = torch.Generator(device).manual_seed(seed)
    batches = Batches(train, plan.batch_size, experiment.distortion, True, generator, device)
    scoring = Batches(scored_on, 1000, device=device)
    optimizer, schedule = plan.make(model, size.epochs * len(batches))
    autocast = torch.bfloat16 if plan.autocast and native_bfloat16(device) else None
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
        "precision": "bfloat16" if autocast else "float32",
        "version": stn_course.__version__,
    }
    with lock(folder, f"training {name} in {folder}"):
        history = resume(folder / "checkpoints", fingerprint, model, optimizer, schedule, generator)
        if history.rows and progress:
            print(f"Going on after epoch {len(history)} of {size.epochs}.")
        ten = ten_digits().to(device)

        def after_epoch(row: dict) -> dict:
            extra = {"theta": _thetas(model, ten)} if hasattr(model, "spatial_transformer") else {}
            finished = History([*history.rows, row | extra])
            save_checkpoint(
                folder / "checkpoints", fingerprint, row["epoch"], model, optimizer, schedule, generator, finished
            )
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
            if "by hand" in history.stopped:  # after a loss that is not finite the same call would end the same way
                print("The same call goes on from the last finished epoch.")
            return Result(model, history, None, folder)
        with atomic_write(folder / "weights.pt") as part:
            torch.save({key: value.half().cpu() for key, value in model.state_dict().items()}, part)
        load_weights(model, folder / "weights.pt")
        scored = evaluate(model, scoring)
        record = _record(fingerprint, train, scored_on, scored, history, device)
        with atomic_write(folder / "record.json") as part:
            part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if progress:
        print(f"{experiment.title}: {scored.accuracy:.2%} on {scored_on.source}.")
    return Result(model, history, record, folder)


def distorted(data: ImageData, distortion: RTS, seed: int = TEST_SEED) -> ImageData:
    """A data set under one fixed draw of distortions, the same on every machine.

    It is made on the CPU in float64 and rounded to the eight bits that images come in, so that the last bit of a
    machine's arithmetic does not reach the digest.
    """
    generator = torch.Generator().manual_seed(seed)
    theta = distortion.sample(len(data), generator, dtype=torch.float64)
    made = [
        distortion.apply(images.double(), thetas).round().to(torch.uint8)
        for images, thetas in zip(data.images.split(1000), theta.split(1000), strict=True)
    ]
    return ImageData(torch.cat(made), data.labels, f"{data.source}, distorted (RTS)", data.complete)


def ten_digits() -> Tensor:
    """The ten distorted digits whose θ every run records after each epoch: float32 (10, 1, 42, 42) in [0, 1].

    They are the first 0, 1, …, 9 of MNIST's test split under the fixed draw of `distorted`, and come with the package.

    Example:
        >>> ten_digits().shape
        torch.Size([10, 1, 42, 42])
    """
    with np.load(SAMPLES) as archive:
        return torch.from_numpy(archive["ten_distorted"]).float() / 255


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 itself; where it is emulated it costs time instead of saving it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(supported())


def load_weights(model: nn.Module, path: str | os.PathLike) -> nn.Module:
    """Load a file of weights into a model, in evaluation mode.

    Raises:
        DataError: if the file is damaged or holds the weights of another network; it says which.
        FileNotFoundError: if there is no such file.
    """
    try:
        weights = load_tensors(path)
        copy.deepcopy(model).load_state_dict(weights)  # refused here, before the first tensor is changed
        model.load_state_dict(weights)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged zip archives fail in many ways
        raise DataError(f"{path} does not hold weights for {type(model).__name__}: {error}") from error
    return model.eval()


def load_pretrained(name: str, recipe: str = "course") -> nn.Module:
    """The network of a recorded run that comes with the package, in evaluation mode on the CPU.

    Args:
        name: one of `EXPERIMENTS`.
        recipe: "course" or "published".

    Raises:
        ValueError: for an unknown name or recipe.
        FileNotFoundError: if no such run comes with the package; the message lists those that do.

    Example:
        >>> model = load_pretrained("rts-mnist/st-cnn")
        >>> model.training
        False
    """
    experiment = find(name)
    _choose("recipe", recipe, experiment.recipes)
    path = _result_path(name, recipe, 0, ".pt")
    if not path.exists():
        raise FileNotFoundError(
            f"no weights of {name} under the {recipe} recipe come with the package; it has: {_have('.pt')}"
        )
    return load_weights(experiment.model(), path)


def load_record(name: str, recipe: str = "course", seed: int = 0) -> dict:
    """The record of a run that comes with the package; errors as `load_pretrained`."""
    _choose("recipe", recipe, find(name).recipes)
    path = _result_path(name, recipe, seed, ".json")
    if not path.exists():
        raise FileNotFoundError(
            f"no record of {name} under the {recipe} recipe with seed {seed} comes with the package; "
            f"it has: {_have('.json')}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def records() -> list[dict]:
    """All records that come with the package, in the order of `EXPERIMENTS`."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.rglob("*.json"))]
    order = list(EXPERIMENTS)
    return sorted(found, key=lambda r: (order.index(r["experiment"]), r["recipe"] != "published", r["seed"]))


def results_table() -> str:
    """The records that come along as a Markdown table: test accuracy after the last epoch, in per cent.

    Several seeds of one run become one row with their mean and, in brackets, the lowest and the highest.
    """
    rows: dict[tuple[str, str, int], list[dict]] = {}
    for record in records():
        rows.setdefault((record["experiment"], record["recipe"], record["epochs"]), []).append(record)
    columns = (
        "network",
        "experiment",
        "recipe",
        "epochs",
        "test accuracy (%)",
        "published, 50 epochs (%)",
        "seeds",
        "min",
    )
    lines = [_row(columns), _row(["---"] * len(columns))]
    for (name, recipe, epochs), group in rows.items():
        experiment = EXPERIMENTS[name]
        accuracy = [100 * record["test_accuracy"] for record in group]
        shown = f"{sum(accuracy) / len(group):.2f}"
        if len(group) > 1:
            shown += f" ({min(accuracy):.2f} to {max(accuracy):.2f})"
        published = f"{experiment.published:.2f}" if experiment.published else "–"
        minutes = sum(record["seconds"] for record in group) / len(group) / 60
        lines.append(
            _row((experiment.title, f"`{name}`", recipe, epochs, shown, published, len(group), f"{minutes:.0f}"))
        )
    return "\n".join(lines)


def _row(cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def write_results(path: str | os.PathLike) -> None:
    """Put `results_table` between the lines `<!-- results:begin -->` and `<!-- results:end -->` of a text file.

    Raises:
        ValueError: if the file lacks one of the two lines; it is left as it was.
    """
    path = Path(path)
    before, begin, rest = path.read_text(encoding="utf-8").partition("<!-- results:begin -->\n")
    _, end, after = rest.partition("<!-- results:end -->")
    if not begin or not end:
        raise ValueError(f"expected the lines <!-- results:begin --> and <!-- results:end --> in {path}")
    with atomic_write(path) as part:
        part.write_text(f"{before}{begin}{results_table()}\n{end}{after}", encoding="utf-8")


def find(name: str) -> Experiment:
    """The experiment of a name; a ValueError that lists the known ones for any other."""
    return _choose("experiment", name, EXPERIMENTS)


def _result_path(name: str, recipe: str, seed: int, suffix: str) -> Path:
    return RESULTS / name / f"{recipe}-{seed}{suffix}"


def _have(suffix: str) -> str:
    return ", ".join(
        sorted(file.relative_to(RESULTS).with_suffix("").as_posix() for file in RESULTS.rglob(f"*{suffix}"))
    )


def _choose(what: str, name: str, known: dict):
    if name not in known:
        raise ValueError(f"expected {what} as one of {', '.join(known)}, got {name!r}")
    return known[name]


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
