"""Target: on one GPU and in ten minutes, each thing that the course says of GPUs is proven or refuted.

    python benchmarks/gpu.py [--only 2 4 12] [--minutes 10] [--output gpu.json]
    python benchmarks/gpu.py --dry      all of it at tiny sizes, on the CPU, in a minute: does the script itself work?
    python benchmarks/gpu.py --pack     MNIST and CIFAR-10 into runs/gpu-data, in numbered parts; see below

Each check runs in a process of its own under a time limit of its own, prints PASS or FAIL with its figure as soon as it
ends, and is written to the output then: a failure, a crash or a limit stops nothing. "not run" is what lacks something,
and the line says what. The whole data sets are looked for as everywhere in the course. To a machine without a network
they travel in parts: carry the folders runs/gpu-data/1, 2, … there, in as many goes as it takes, and the script joins
them. What the course needs and that machine lacks can be unpacked wheels on PYTHONPATH.
"""

import argparse
import contextlib
import gzip
import io
import json
import multiprocessing
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F

from stn_course import algebra
from stn_course.data import Batches, ImageData
from stn_course.distortions import RTS
from stn_course.experiments import EXPERIMENTS, Experiment, hardware_name, run
from stn_course.experiments.hardware import PRECISIONS, native_bfloat16
from stn_course.models import STNetwork
from stn_course.places import data_folder
from stn_course.sampling import bilinear_sample, nearest_sample
from stn_course.spatial_transformer import grid_sample, warp
from stn_course.tasks import Profile
from stn_course.training import fit
from stn_course.transforms import Affine, Attention, Projective, ThinPlateSpline

ROOT = Path(__file__).resolve().parents[1]
PARTS, PART = ROOT / "runs" / "gpu-data", 24 << 20  # bytes: beside the course itself they fit into 64 MiB
B, P, C1, C2, RESIDUAL = "rts-mnist/st-cnn", "mnist/tutorial-st", "cifar10/st", "cifar10/lenet-st", "cifar10/st-resnet"
WITHOUT_GPU = ("no GPU", "needs a GPU")  # how tests say why they were skipped


@dataclass(frozen=True)
class Sizes:
    """How much each check does."""

    device: str
    networks: tuple[str, ...]  # to compare on two devices; empty: each network of the course once
    experiments: tuple[str, ...]  # to time
    steps: int  # of an epoch that is timed
    batch: int | None  # images; None: the recipe's
    rounds: int
    workers: tuple[int, ...]
    tests: tuple[str, ...]
    notebooks: tuple[str, ...]
    profile: str  # of the notebooks
    seeds: int
    whole: bool  # trainings are whole ones, on the real data

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"


REAL = Sizes(
    "cuda", (), (B, P, C1, C2), 100, None, 2, (4, 12),
    ("test_cuda_graph", "test_out_of_memory", "test_augmentation", "test_data", "test_hardware", "test_experiments",
     "test_spatial_transformer", "test_sampling", "test_transforms", "test_training", "test_recipe"),
    ("00", "01", "02", "03", "04", "05", "06", "07"), "quick", 3, True,
)  # fmt: skip
DRY = Sizes("cpu", (B, P), (B,), 3, 4, 1, (0,), ("test_numbers",), ("00",), "smoke", 1, False)
TINY = replace(DRY, networks=(P,), experiments=(P,), steps=2, tests=(), notebooks=())  # for the test of this script


class NotRun(Exception):
    """Something that a check needs is not there."""


Outcome = tuple[bool, str, dict]  # (passed, in words, figures)


@dataclass(frozen=True)
class Check:
    work: Callable[[Sizes], Outcome]
    seconds: int  # a limit
    usual: bool = True  # whether it runs where nothing is named


CHECKS: dict[int, Check] = {}


def check(number: int, seconds: int, usual: bool = True):
    def add(work):
        CHECKS[number] = Check(work, seconds, usual)
        return work

    return add


# What they have in common


def noise(name: str, n: int) -> ImageData:
    shape = (3, 32, 32) if "cifar" in name else (1, 28, 28)
    generator = torch.Generator().manual_seed(0)
    return ImageData(
        torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator), torch.arange(n) % 10, "noise"
    )


def batch_size(name: str, size: Sizes, recipe: str = "course") -> int:
    return size.batch or EXPERIMENTS[name].recipe(recipe).batch_size


def precisions(size: Sizes) -> list[str]:
    """Those that the device computes itself."""
    return list(PRECISIONS) if native_bfloat16(torch.device(size.device)) else ["float32"]


def trained(
    name: str,
    size: Sizes,
    *,
    steps: int,
    epochs: int,
    precision: str | None = None,
    layout=torch.channels_last,
    graph: bool = False,
    watch=None,
):
    """The history of a training on noise by the course's recipe, as `run` trains."""
    torch.manual_seed(0)
    experiment, device = EXPERIMENTS[name], torch.device(size.device)
    recipe = experiment.recipe("course")
    model = experiment.model().to(device, memory_format=layout)
    generator, n = torch.Generator(device).manual_seed(0), batch_size(name, size)
    prepare = experiment.training_transform(recipe)
    batches = Batches(noise(name, steps * n), n, prepare, True, generator, device, graph=graph)
    optimizer, schedule = recipe.optimizer_and_schedule(model, steps * epochs)
    how = dict(optimizer=optimizer, schedule=schedule, clip=recipe.clip, graph=graph)
    how["autocast"] = PRECISIONS[precision or precisions(size)[-1]]
    return fit(model, batches, epochs=epochs, progress=False, watch=watch, **how)


def milliseconds(name: str, size: Sizes, **how) -> float:
    """A step's time: of the quicker of two epochs after a first one, which warms up."""
    rows = trained(name, size, steps=size.steps, epochs=3, **how).rows
    return min(row["seconds"] for row in rows[1:]) / size.steps * 1e3


@contextlib.contextmanager
def instead(name: str, epochs: int, size: Sizes, recipe: str = "course", **numbers) -> Iterator[None]:
    """An experiment with other epochs, and other numbers in its recipe."""
    usual = EXPERIMENTS[name]
    whole = Profile(epochs, offline=False) if size.whole else Profile(1, 8, 10, offline=True)
    numbers = numbers if size.whole else numbers | {"batch_size": 4}
    recipes = usual.recipes | {recipe: replace(usual.recipe(recipe), **numbers)}
    EXPERIMENTS[name] = Experiment(usual.task, replace(usual.contestant, recipes=recipes, profiles={"full": whole}))
    try:
        yield
    finally:
        EXPERIMENTS[name] = usual


def whole_run(name: str, size: Sizes, *, recipe: str = "course", seed: int = 0, epochs: int, graph: bool, **numbers):
    """The record of a run from data to score, and its seconds from the call to the end."""
    with instead(name, epochs, size, recipe, **numbers), tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        try:
            how = dict(device=size.device, output=folder, progress=False, graph=graph)
            record = run(name, "full", recipe, seed, **how).record
        except ConnectionError as error:
            raise NotRun(f"the real data is not here ({error})") from error
    if record is None:
        raise AssertionError(f"{name} by {recipe} was stopped")
    return record, time.perf_counter() - start


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def farthest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return (ours.cpu().double() - theirs.cpu().double()).abs().max().item()


# The checks


@check(0, 60, usual=False)
def gpu(size: Sizes) -> Outcome:
    """There is one at all; asked for in a process of its own, like everything."""
    return torch.cuda.device_count() > 0, "", {}


@check(1, 30)
def machine(size: Sizes) -> Outcome:
    """The device, and whether it multiplies bfloat16 itself."""
    device = torch.device(size.device)
    figures = {
        "hardware": hardware_name(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "bfloat16": native_bfloat16(device),
        "tf32": torch.backends.cudnn.allow_tf32,
    }
    return figures["bfloat16"] or not size.cuda, f"{figures['hardware']}, torch {figures['torch']}", figures


def answers(model, images: torch.Tensor, labels: torch.Tensor, autocast: torch.dtype | None = None) -> dict:
    """Logits, θ, and the whole gradient, in evaluation mode."""
    model.zero_grad()
    with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
        logits = model(images)
        theta = model.looks(images)[-1].theta if isinstance(model, STNetwork) else logits[:0]
    F.cross_entropy(logits.float() if autocast else logits, labels).backward()
    gradient = torch.cat([each.grad.flatten() for each in model.parameters()])
    return {"logits": logits.detach(), "theta": theta.detach(), "gradient": gradient}


@check(2, 60)
def two_devices(size: Sizes) -> Outcome:
    """Every network, the same weights and inputs, on the CPU and on the device."""
    names = size.networks or {str(one.model()): name for name, one in EXPERIMENTS.items()}.values()
    most, device = {}, torch.device(size.device)
    for name in names:
        torch.manual_seed(0)
        model = EXPERIMENTS[name].model().eval()
        with torch.no_grad():  # away from the identity, where every sample lies on a kink
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        data = noise(name, 8)
        task = EXPERIMENTS[name].task
        images = next(iter(Batches(data, 8, task.training_transform(EXPERIMENTS[name].recipe("course")))))[0]
        for kind, dtype, autocast in (
            ("float64", torch.float64, None),
            ("float32", torch.float32, None),
            ("tf32", torch.float32, None),
            ("bfloat16", torch.float32, torch.bfloat16),
        ):
            ours, labels = images.to(dtype), data.labels
            expected = answers(model.to("cpu", dtype), ours, labels)
            with contextlib.nullcontext() if kind in ("tf32", "bfloat16") else without_tf32():
                found = answers(model.to(device), ours.to(device), labels.to(device), autocast)
            for key, value in found.items():
                if value.numel():
                    largest = expected[key].abs().max().item()
                    scale = largest if key == "gradient" else max(1.0, largest)
                    there = most.setdefault(f"{kind} {key}", [0.0, ""])
                    most[f"{kind} {key}"] = max(there, [farthest(value, expected[key]) / scale, name])
    limits = {
        "float64": dict(logits=1e-10, theta=1e-10, gradient=1e-9),
        "float32": dict(logits=1e-5, theta=1e-5, gradient=1e-3),
        "tf32": dict(logits=3e-2, theta=1e-3),
        "bfloat16": dict(logits=0.4, theta=1e-2),
    }
    over = [
        f"{kind} {key}: {most[f'{kind} {key}'][0]:.1e} in {most[f'{kind} {key}'][1]}"
        for kind, keys in limits.items()
        for key, limit in keys.items()
        if most.get(f"{kind} {key}", [0])[0] > limit
    ]
    words = f"float32 logits differ by {most['float32 logits'][0]:.1e} at most" + "".join(f"; {one}" for one in over)
    return not over, words, {"networks": len(names), "most": most, "limits": limits}


@check(3, 30)
def pieces(size: Sizes) -> Outcome:
    """Families, samplers and paddings, a distortion and an inverse, on the CPU and on the device."""
    most, generator = {}, torch.Generator().manual_seed(0)
    images = torch.rand(4, 2, 11, 13, generator=generator)
    with without_tf32():
        for family in (Affine(), Attention(), Projective(), ThinPlateSpline()):
            theta = family.identity() + 0.1 * torch.rand(4, family.n_params, generator=generator)
            for sampler in (grid_sample, bilinear_sample, nearest_sample):
                for padding in ("zeros", "border", "reflection"):
                    do = partial(warp, transform=family, padding_mode=padding, sampler=sampler)
                    ours, theirs = do(images, theta), do(images.to(size.device), theta.to(size.device)).cpu()
                    if sampler is nearest_sample:  # rounding the other way shows another pixel
                        value = ((ours - theirs).abs() > 1e-5).double().mean().item() / 1e3
                    else:
                        value = farthest(ours, theirs)
                    most[sampler.__name__] = max(most.get(sampler.__name__, 0.0), value)
        rts, digits = RTS(), torch.rand(5, 1, 28, 28, generator=generator)
        theta = rts.sample(5, generator)
        on_device = rts.apply(digits.to(size.device), theta.to(size.device))
        most["RTS"] = farthest(on_device, rts.apply(digits, theta))
        most["invert"] = farthest(algebra.invert(theta.to(size.device)), algebra.invert(theta))
    largest = max(most.values())
    return largest < 1e-5, f"{largest:.1e} at most", most


@check(4, 30)
def waits(size: Sizes) -> Outcome:
    """Inside a step the host waits for nothing: with and without a recording."""
    seen = {"steps": 0}

    def watch(*_) -> None:
        seen["steps"] += 1  # from here on PyTorch raises where the host would wait; `fit` looks at the loss after 20
        if size.cuda and seen["steps"] in (6, 18):
            torch.cuda.set_sync_debug_mode("error" if seen["steps"] == 6 else "default")

    for graph in (False, True) if size.cuda else (False,):
        for name in size.experiments + ((RESIDUAL,) if size.cuda else ()):
            seen["steps"] = 0
            trained(name, size, steps=19 if size.cuda else size.steps, epochs=1, graph=graph, watch=watch)
    return seen["steps"] > 0, "no wait in 12 steps of each" if size.cuda else "no GPU to wait for", {}


@check(5, 45)
def launches(size: Sizes) -> Outcome:
    """What a step asks for, and how long it takes, plain and recorded."""
    from torch.profiler import ProfilerActivity, profile

    figures = {}
    for name in size.experiments:
        for graph in (False, True) if size.cuda else (False,):
            with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * size.cuda]) as profiled:
                trained(name, size, steps=size.steps, epochs=1, graph=graph)
            asked = sum(e.count for e in profiled.key_averages() if "Launch" in e.key) / size.steps
            replays = sum(e.count for e in profiled.key_averages() if "GraphLaunch" in e.key)
            ms = milliseconds(name, size, graph=graph)
            figures[f"{name} {'graph' if graph else 'plain'}"] = dict(launches=asked, replays=replays, milliseconds=ms)
    plain, graph = ({k: v for k, v in figures.items() if k.endswith(kind)} for kind in ("plain", "graph"))
    faster = all(
        two["milliseconds"] < one["milliseconds"] and two["replays"] for one, two in zip(plain.values(), graph.values())
    )
    words = ", ".join(f"{k} {v['milliseconds']:.2f} ms ({v['launches']:.0f} launches)" for k, v in figures.items())
    return faster, words, figures


@check(6, 90)
def tests(size: Sizes) -> Outcome:
    """The tests that a GPU could change, those for a GPU among them."""
    if not size.tests:
        raise NotRun("none is asked for")
    for needed in ("pytest", "hypothesis"):
        if find_spec(needed) is None:
            raise NotRun(f"{needed} is not here")
    files = [f"tests/{name}.py" for name in size.tests]
    plain = ["-p", "no:cacheprovider", "-o", "addopts=", "-o", "pythonpath=tools", "-m", "not slow"]
    spread = ["-n", "8"] if size.cuda and find_spec("xdist") else []
    command = [sys.executable, "-m", "pytest", "-q", "-rsfE", *spread, *plain, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    skipped = [line for line in lines if line.startswith("SKIPPED") and any(why in line for why in WITHOUT_GPU)]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    figures = {"failed": failed, "skipped for want of a GPU": skipped, "end": lines[-5:]}
    return done.returncode == 0 and not (skipped and size.cuda), lines[-1] if lines else done.stderr[-200:], figures


@check(7, 40)
def memory(size: Sizes) -> Outcome:
    """Short of memory: the ST-CNN takes a batch in parts, to the same gradient; the residual network says why not."""

    def step(name: str, share: float | None) -> tuple[torch.Tensor, str]:
        torch.manual_seed(0)
        experiment, n = EXPERIMENTS[name], batch_size(name, size)
        model = experiment.model().to(size.device)
        before = torch.cat([each.detach().flatten() for each in model.parameters()]).clone()
        generator = torch.Generator(size.device).manual_seed(0)
        prepare = experiment.training_transform(experiment.recipe("course"))
        batches, said = list(Batches(noise(name, n), n, prepare, False, generator, size.device)), io.StringIO()
        with short_of_memory(model, n, share, size), contextlib.redirect_stdout(said):
            fit(model, batches, epochs=1, optimizer=torch.optim.SGD(model.parameters(), 1.0), progress=False)
        return torch.cat([each.detach().flatten() for each in model.parameters()]) - before, said.getvalue()

    whole, _ = step(B, None)
    parts, said = step(B, 1 / 3)
    off = farthest(parts, whole) / whole.abs().max().item()
    other = RESIDUAL if size.whole else B
    step(other, None)  # how much it needs
    try:
        step(other, 1 / 3 if size.whole else 0.0)
        why = "no error"
    except torch.OutOfMemoryError as error:
        why = " ".join(getattr(error, "__notes__", ["no note"]))
    expected = "batch normalisation" if size.whole else "Not even a single image fits"
    passed = "in parts of" in said and off < 1e-3 and expected in why
    said = " ".join(said.split()) or "The batch stayed whole."
    return passed, f"{said} The gradient differs by {off:.1e} of its largest part.", {"note": why}


@contextlib.contextmanager
def short_of_memory(model, n: int, share: float | None, size: Sizes) -> Iterator[None]:
    """Leave only a share of the memory that a step took last; on the CPU, refuse more than a share of a batch."""
    if share is None:
        if size.cuda:
            torch.cuda.reset_peak_memory_stats()
        yield
    elif size.cuda:
        used, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((used + (peak - used) * share + (8 << 20)) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    else:

        def refuse(_, given):
            if len(given[0]) > share * n:
                raise torch.OutOfMemoryError("pretended")

        hook = model.register_forward_pre_hook(refuse)
        try:
            yield
        finally:
            hook.remove()


@check(8, 40)
def resumed(size: Sizes) -> Outcome:
    """Stopped in its second epoch, disturbed, resumed: random states and losses of a run that was never stopped."""
    with tempfile.TemporaryDirectory() as folder:

        def go(name: str, watch=None):
            task = EXPERIMENTS[P]
            recipes = {"course": replace(task.recipe("course"), batch_size=batch_size(P, size))}
            profile = {"full": Profile(3, 2000 if size.whole else 12, 10, offline=True)}
            EXPERIMENTS["gpu/resumed"] = Experiment(
                task.task, replace(task.contestant, recipes=recipes, profiles=profile)
            )
            how = dict(device=size.device, output=f"{folder}/{name}", progress=False, graph=size.cuda, watch=watch)
            with contextlib.redirect_stdout(io.StringIO()):
                return run("gpu/resumed", "full", **how)

        def stop(model, done, *_) -> None:
            if done > 1.2:
                torch.rand(7777, device=size.device)
                raise KeyboardInterrupt

        whole = go("whole")
        if not go("stopped", stop).history.by_hand:
            raise AssertionError("the run was not stopped")
        again = go("stopped")
        last = [
            torch.load(max(Path(folder, name).rglob("epoch-*.pt")), weights_only=True) for name in ("whole", "stopped")
        ]
    keys = ["generator", "random", *(["random_cuda"] if size.cuda else [])]
    alike = all(torch.equal(*(torch.stack(s[k]) if isinstance(s[k], list) else s[k] for s in last)) for k in keys)
    ours, theirs = whole.history.column("loss")[1], again.history.column("loss")[1]
    off = abs(ours - theirs) / ours
    words = f"random states {'are alike' if alike else 'differ'}; the second epoch's loss differs by {off:.1e} of it"
    return alike and off < 1e-3, words, {"losses": [ours, theirs]}


@check(9, 150)
def notebooks(size: Sizes) -> Outcome:
    """The notebooks from top to bottom, four at once, each in a data folder without runs."""
    if not size.notebooks:
        raise NotRun("none is asked for")
    if find_spec("IPython") is None:
        raise NotRun("IPython is not here")
    found = {path.name[:2]: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}
    waiting, running, failed, seconds = [found[one] for one in size.notebooks], {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < 4:
                path = waiting.pop(0)
                running[path.stem] = started(path, size, Path(folder, path.stem)), time.perf_counter()
            time.sleep(0.1)
            for name, (process, start) in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    seconds[name] = round(time.perf_counter() - start, 1)
                    if process.returncode:
                        failed[name] = Path(folder, name, "output.txt").read_text(encoding="utf-8")[-2000:]
    words = ", ".join(f"{name} {'FAILED' if name in failed else f'{s:.0f} s'}" for name, s in sorted(seconds.items()))
    return not failed, f"{size.profile}: {words}", {"seconds": seconds, "failed": failed}


def started(path: Path, size: Sizes, folder: Path) -> subprocess.Popen:
    """A notebook on its way, with a data folder of its own."""
    folder.mkdir()
    for name in ("MNIST", "mnist.npz", "cifar-10-batches-py", "cifar10.npz"):
        if (data_folder() / name).exists():
            (folder / name).symlink_to((data_folder() / name).resolve())
    environment = os.environ | {
        "STN_COURSE_PROFILE": size.profile,
        "STN_COURSE_DATA": str(folder),
        "STN_COURSE_PROGRESS": str(folder / "progress.json"),
        "MPLBACKEND": "agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
    }
    command = [sys.executable, __file__, "--cells", str(path)]
    with open(folder / "output.txt", "w", encoding="utf-8") as output:
        return subprocess.Popen(command, cwd=path.parent, env=environment, stdout=output, stderr=subprocess.STDOUT)


def run_cells(path: Path) -> int:
    """Run the code cells of a notebook one after another, without a kernel; the number of those that failed."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    codes = [(index, "".join(cell["source"])) for index, cell in enumerate(cells) if cell["cell_type"] == "code"]
    for index, source in codes:
        if not shell.run_cell(source, store_history=True).success:
            print(f"\n{path.name}: cell {index} failed")
            return 1  # those after it need what it makes
    return 0


@check(10, 150)
def published_loop(size: Sizes) -> Outcome:
    """Images a second of the course's training, plain and recorded, against the published loop."""
    from published_loop import loader, network, train

    figures, device = {}, torch.device(size.device)
    for name in size.experiments:
        speeds: dict[str, list[float]] = {}
        for _ in range(size.rounds):
            for kind, graph in {"plain": False, "graph": True}.items():
                if size.cuda or not graph:
                    ms = min(milliseconds(name, size, graph=graph, precision=one) for one in precisions(size))
                    speeds.setdefault(kind, []).append(batch_size(name, size) / ms * 1e3)
            for workers in size.workers:
                data = noise(name, min(20_000, size.steps * 4 * batch_size(name, size, "published")))
                model, batches = network(name).to(device), loader(name, data, workers)
                train(name, model, batches, device)  # starts the workers
                start = time.perf_counter()
                train(name, model, batches, device)
                speeds.setdefault(f"{workers} workers", []).append(len(data) / (time.perf_counter() - start))
                del batches
        medians = {kind: statistics.median(values) for kind, values in speeds.items()}
        ours = medians.get("graph", medians["plain"])
        ratios = {f"{workers} workers": ours / medians[f"{workers} workers"] for workers in size.workers}
        figures[name] = {"images a second": medians, "times": ratios}
    last = f"{size.workers[-1]} workers"
    words = "; ".join(
        f"{name} {one['times'][last]:.2f} times ({one['images a second'].get('graph', 0):,.0f} recorded, "
        f"{one['images a second']['plain']:,.0f} plain, {one['images a second'][last]:,.0f} published, {last})"
        for name, one in figures.items()
    )
    return all(one["times"][last] >= 4 for one in figures.values()) or not size.cuda, words, figures


@check(11, 60)
def soon(size: Sizes) -> Outcome:
    """97.22 % of the test split within 5 seconds, from the call to the record."""
    from time_to_accuracy import NAME, SPRINT

    done = [whole_run(NAME, size, seed=seed, epochs=2, graph=size.cuda, **SPRINT) for seed in range(size.seeds)]
    scores, seconds = [record["test_accuracy"] for record, _ in done], [each for _, each in done]
    words = ", ".join(f"{score:.2%} after {each:.1f} s" for score, each in zip(scores, seconds))
    passed = min(scores) >= 0.9722 and statistics.median(seconds) <= 5
    return passed or not size.whole, words, {"scores": scores, "seconds": seconds}


@check(12, 90)
def fifty_epochs(size: Sizes) -> Outcome:
    """50 epochs of the ST-CNN, recorded, within 12 seconds; and three epochs plain and recorded, to the same losses."""
    whole, _ = whole_run(B, size, epochs=50, graph=size.cuda)
    rows = {}
    for kind in (False, size.cuda):
        rows[kind] = whole_run(B, size, epochs=3, graph=kind)[0]["epochs_run"]
    losses = {("graph" if kind else "plain"): [row["loss"] for row in one] for kind, one in rows.items()}
    off = max(abs(a - b) / a for a, b in zip(losses["plain"], losses.get("graph", losses["plain"])))
    replayed = [row.get("replayed", 0) for row in whole["epochs_run"]]
    passed = whole["seconds"] <= 12 and whole["test_accuracy"] >= 0.992 and off < 0.03 and min(replayed) > 0
    words = f"{whole['test_accuracy']:.2%} after {whole['seconds']:.1f} s of training; losses differ by {off:.1%}"
    figures = {"losses": losses, "replayed": replayed, "precision": whole["precision_chosen"]}
    seconds = {("graph" if kind else "plain"): [row["seconds"] for row in one] for kind, one in rows.items()}
    return passed or not size.whole, words, figures | {"seconds of an epoch": seconds}


@check(13, 200)
def residual(size: Sizes) -> Outcome:
    """94 % of CIFAR-10 by the residual network with a transformer within 60 seconds, by each of its recipes."""
    figures = {}
    for recipe in ("nesterov", "smoothed", "course") if size.whole else ("nesterov",):
        record, _ = whole_run(RESIDUAL, size, recipe=recipe, epochs=24, graph=size.cuda)
        figures[recipe] = {"accuracy": record["test_accuracy"], "seconds": record["seconds"]}
    words = ", ".join(f"{name} {one['accuracy']:.2%} after {one['seconds']:.0f} s" for name, one in figures.items())
    passed = any(one["accuracy"] >= 0.94 and one["seconds"] <= 60 for one in figures.values())
    return passed or not size.whole, words, figures


@check(14, 60)
def choices(size: Sizes) -> Outcome:
    """Milliseconds of a step by precision, layout and recording: what `run` chooses should be the quickest."""
    figures = {}
    for name in (B, C1) if size.whole else size.experiments:
        for precision in precisions(size):
            for where, layout in {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}.items():
                for graph in (False, True) if size.cuda else (False,):
                    ms = milliseconds(name, size, precision=precision, layout=layout, graph=graph)
                    figures[f"{name} {precision} {where} {'graph' if graph else 'plain'}"] = ms
    names = sorted({key.split()[0] for key in figures})
    best = {name: min((ms, key) for key, ms in figures.items() if key.startswith(f"{name} ")) for name in names}
    words = "; ".join(f"{key} {ms:.2f} ms" for ms, key in best.values())
    return True, f"the quickest: {words}", figures


@check(15, 400, usual=False)
def five_seeds(size: Sizes) -> Outcome:
    """The ST-CNN misreads at most 0.5 % of the test split, the mean of 5 seeds, by the recipe that five tries chose."""
    records = [
        whole_run(B, size, recipe="64-0.002-1", seed=seed, epochs=50, graph=size.cuda)[0]
        for seed in range(5 if size.whole else 1)
    ]
    errors = [100 * (1 - record["test_accuracy"]) for record in records]
    words = f"{statistics.mean(errors):.2f} % ({min(errors):.2f} to {max(errors):.2f})"
    return statistics.mean(errors) <= 0.5 or not size.whole, words, {"errors": errors}


# Running them


def alone(number: int, size: Sizes, path: str) -> None:
    """One check in this process, its outcome into a file."""
    os.setsid()  # ended together with whatever it starts
    start = time.perf_counter()
    try:
        passed, words, figures = CHECKS[number].work(size)
        status = "PASS" if passed else "FAIL"
    except NotRun as error:
        status, words, figures = "not run", str(error), {}
    except BaseException as error:
        notes = getattr(error, "__notes__", [])
        status, words, figures = "FAIL", f"{type(error).__name__}: {error}".splitlines()[0], {"notes": notes}
    outcome = {"status": status, "words": words, "seconds": round(time.perf_counter() - start, 1), "figures": figures}
    Path(path).write_text(json.dumps(outcome, default=str), encoding="utf-8")


def limited(number: int, size: Sizes, seconds: float) -> dict:
    """One check in a process of its own, ended when its time is up."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/outcome.json"
        process = multiprocessing.get_context("fork").Process(target=alone, args=(number, size, path))
        process.start()  # a fork: PyTorch is imported once, and no GPU is touched before
        try:
            process.join(seconds)
        finally:  # Ctrl-C as well
            if late := process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.join()
        if os.path.exists(path):
            return json.loads(Path(path).read_text(encoding="utf-8"))
        words = f"not done after {seconds:.0f} s" if late else f"its process ended with {process.exitcode}"
        return {"status": "FAIL", "words": words, "seconds": round(seconds, 1) if late else None, "figures": {}}


ORDER = (1, 2, 4, 5, 7, 8, 14, 3, 10, 12, 11, 13, 9, 6, 15)  # what decides most comes first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", choices=ORDER, metavar="N")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all of it (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--dry", action="store_true", help="at tiny sizes, on the CPU")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pack", action="store_true", help="the real data into numbered parts")
    parser.add_argument("--cells", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cells:
        return run_cells(arguments.cells)
    if arguments.pack:
        return pack()
    unpack()
    size = TINY if arguments.tiny else DRY if arguments.dry else REAL
    if size.cuda and limited(0, size, 60)["status"] == "FAIL":
        print("There is no GPU here. --dry runs all of it at tiny sizes on the CPU.", file=sys.stderr)
        return 2
    asked = arguments.only or [number for number in ORDER if CHECKS[number].usual or not size.whole]
    chosen = [number for number in ORDER if number in asked]
    end, results = time.perf_counter() + 60 * arguments.minutes, {}
    for number in chosen:
        left = end - time.perf_counter()
        if left < 1:
            result = {"status": "not run", "words": "no time is left", "seconds": 0.0, "figures": {}}
        else:
            result = limited(number, size, min(left, CHECKS[number].seconds))
        work = CHECKS[number].work
        results[str(number)] = {"check": work.__name__, "claim": " ".join(work.__doc__.split()), **result}
        seconds = f"{result['seconds']:.1f} s" if result["seconds"] is not None else "?"
        print(f"{result['status']:8}{number:3} {work.__name__:15}{seconds:>8}  {result['words']}", flush=True)
        whole = {"date": time.strftime("%Y-%m-%d"), "sizes": asdict(size), "checks": results}
        arguments.output.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = {
        status: sum(one["status"] == status for one in results.values()) for status in ("PASS", "FAIL", "not run")
    }
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return int(counts["FAIL"] > 0)


# The data in parts


def pack() -> int:
    """MNIST and CIFAR-10 as one stream of gzipped files, cut into parts of one size."""
    import shutil

    stored = [path for path in sorted((data_folder() / "MNIST" / "raw").glob("*-ubyte"))]
    stored += [path for path in (data_folder() / "mnist.npz", data_folder() / "cifar10.npz") if path.exists()]
    stored += sorted((data_folder() / "cifar-10-batches-py").glob("*"))
    if not stored:
        print(f"Neither data set is in {data_folder()}.", file=sys.stderr)
        return 1
    shutil.rmtree(PARTS, ignore_errors=True)
    PARTS.mkdir(parents=True)
    whole = io.BytesIO()
    for path in stored:
        content = gzip.compress(path.read_bytes(), 6)
        head = json.dumps({"name": str(path.relative_to(data_folder())), "length": len(content)}).encode()
        whole.write(head + b"\n" + content)
    stream = whole.getvalue()
    count = -(-len(stream) // PART)
    for index in range(count):
        folder = PARTS / str(index + 1)
        folder.mkdir()
        (folder / f"of-{count}").write_bytes(stream[index * PART : (index + 1) * PART])
    print(f"{len(stored)} files in {count} parts of at most {PART >> 20} MiB: {PARTS}/1 to {count}")
    return 0


def unpack() -> None:
    """Join the parts, if all are here and the data is not; and look for the data there."""
    parts = sorted(PARTS.glob("*/of-*"), key=lambda path: int(path.parent.name))
    if not parts or os.environ.get("STN_COURSE_DATA"):
        return
    count = int(parts[0].name.removeprefix("of-"))
    if [int(part.parent.name) for part in parts] != list(range(1, count + 1)):
        print(f"Of {count} parts of the data only {len(parts)} are here: going on without.")
        return
    folder = PARTS / "joined"
    if not folder.exists():
        stream = io.BytesIO(b"".join(part.read_bytes() for part in parts))
        while line := stream.readline():
            head = json.loads(line)
            (folder / head["name"]).parent.mkdir(parents=True, exist_ok=True)
            (folder / head["name"]).write_bytes(gzip.decompress(stream.read(head["length"])))
    os.environ["STN_COURSE_DATA"] = str(folder)


if __name__ == "__main__":
    sys.exit(main())
