"""Find the device to compute on, and the precision in which a network trains sooner there.

bfloat16 halves the bytes to move, and on some hardware the time of a product. On other hardware that has it float32 is
faster, and on a GPU a small network waits for launches, of which lower precision needs more. So `measure` times steps
of the very network in both, once on each machine, and the data folder keeps the ratio.
"""

import json
import math
import platform
import time
from pathlib import Path
from typing import NamedTuple

import torch

from stn_course.allocator import reuse_freed_memory
from stn_course.data import Batches
from stn_course.experiments.catalogue import Experiment, get_experiment
from stn_course.files import atomic_write
from stn_course.out_of_memory import out_of_memory
from stn_course.places import data_folder
from stn_course.tasks import Recipe

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
FILE = "precision.json"
WORTH = 1.05  # times as fast: lower precision for less gain is not worth having
TOO_SHORT = 5000  # images: shorter trainings end before a measurement pays, and are the same on every machine
SECONDS, ON_A_CPU = 0.4, 64  # how long, and with how many images at most; a GPU's speed hangs on the batch's size
_measured: dict[tuple[str, str], float] = {}  # also where the file cannot be written


class Precision(NamedTuple):
    """One of `PRECISIONS`, and in words why a network is trained in it."""

    name: str
    because: str


def find_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of a name; if None a GPU where PyTorch finds one for CUDA, else the CPU.

    Example:
        >>> find_device("tpu")
        Traceback (most recent call last):
        ValueError: expected device as one of cpu..., got 'tpu'
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{index}" for index in range(gpus))]
    if torch.backends.mps.is_available():
        there.append("mps")
    if name is None:
        name = "cuda" if gpus else "cpu"
    if str(name) not in there:
        raise ValueError(f"expected device as one of {', '.join(there)}, got {str(name)!r}")
    return torch.device(name)


def hardware_name(device: torch.device) -> str:
    """Name a device as its maker does."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:  # where Python itself knows the architecture alone
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" in told:
        return f"{told['model name']} (family {told.get('cpu family')}, model {told.get('model')})"
    return platform.processor() or platform.machine()


def native_bfloat16(device: torch.device) -> bool:
    """Say whether the hardware multiplies bfloat16 itself; emulation costs time instead of saving it."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(supported())


def faster_precision(name: str, recipe: str, device: torch.device, images: float = math.inf) -> Precision:
    """Choose the precision in which an experiment trains sooner on a device, and say why.

    Where the recipe asks for float32, or the training sees fewer than `TOO_SHORT` images in all, nothing is measured.

    Example:
        >>> faster_precision("rts-mnist/st-cnn", "published", torch.device("cpu"))
        Precision(name='float32', because="the recipe's")
    """
    experiment = get_experiment(name)
    if not experiment.recipe(recipe).autocast:
        return Precision("float32", "the recipe's")
    if not native_bfloat16(device):
        return Precision("float32", "no bfloat16 in this hardware")
    if images < TOO_SHORT:
        return Precision("float32", "too short to measure")
    threads = "" if device.type == "cuda" else f", {torch.get_num_threads()} threads"
    key = f"{hardware_name(device)}{threads}, torch {torch.__version__}", f"{name} {recipe}"
    ratio = _measured.get(key) or _read().get(key[0], {}).get(key[1])
    if not isinstance(ratio, int | float) or not 0 < ratio < math.inf:
        try:
            ratio = measure(experiment, experiment.recipe(recipe), device)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return Precision("float32", "not measured: the GPU's memory is full")
        _keep(key, ratio)
    _measured[key] = ratio
    return Precision("bfloat16" if ratio >= WORTH else "float32", f"measured: bfloat16 {ratio:.2f} times as fast")


def measure(experiment: Experiment, recipe: Recipe, device: torch.device) -> float:
    """Measure how many times as fast a training step, forward and backward, is in bfloat16 as in float32.

    The two take turns, and the shortest time of each counts. PyTorch's random state stays as it was.
    """
    reuse_freed_memory()
    cuda = device.type == "cuda"
    size = recipe.batch_size if cuda else min(recipe.batch_size, ON_A_CPU)
    with torch.random.fork_rng([device] if cuda else []):
        model = experiment.model().to(device, memory_format=torch.channels_last).train()
        data = experiment.load("test", offline=True)[:size]
        prepare, generator = experiment.training_transform(recipe), torch.Generator(device).manual_seed(0)
        batches = Batches(data, size, prepare, generator=generator, device=device, join=experiment.task.join)
        images, labels = next(iter(batches))

        def seconds(dtype: torch.dtype | None) -> float:
            model.zero_grad()
            start = time.perf_counter()
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                outputs = model(images)
            experiment.task.loss(outputs.float(), labels).backward()
            if cuda:
                torch.cuda.synchronize(device)
            return time.perf_counter() - start

        for dtype in PRECISIONS.values():
            seconds(dtype)  # warms up
        times: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        until = time.perf_counter() + SECONDS
        while len(times["float32"]) < 2 or time.perf_counter() < until:
            for precision, dtype in PRECISIONS.items():
                times[precision].append(seconds(dtype))
    return min(times["float32"]) / min(times["bfloat16"])


def _read() -> dict[str, dict]:
    """Read the measurements so far: machine → experiment and recipe → how many times as fast bfloat16 is."""
    try:
        found = json.loads((data_folder() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # not there, or damaged: it is measured again
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _keep(key: tuple[str, str], ratio: float) -> None:
    known = _read()
    known.setdefault(key[0], {})[key[1]] = round(ratio, 4)
    try:
        with atomic_write(data_folder() / FILE) as part:
            part.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    except OSError:  # each process measures for itself then
        pass
