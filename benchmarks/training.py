"""Target: the course trains its transformers at 2 times or more the images a second of the published loop, on a CPU.

    python benchmarks/training.py [rts-mnist/st-cnn ...] [--images 5120] [--rounds 5]

Ours and the published loop take turns, each in a process of its own, because how memory is handed back to the system
is a property of the whole process. The first epoch of a process warms it up and is not counted. Each trains with its
own recipe, so in batches of the size that it was given. Also printed: the share of a step that the data path takes, and
the share of the machine's matrix-product rate that the arithmetic of all convolutions and linear layers reaches.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from stn_course.data import Batches, ImageData
from stn_course.experiments import EXPERIMENTS, faster_precision, hardware_name
from stn_course.training import fit

EXPERIMENT_NAMES = ("rts-mnist/st-cnn", "mnist/tutorial-st", "cifar10/st", "cifar10/lenet-st")


def timed(work) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_course(name: str, data: ImageData, device: torch.device) -> dict:
    experiment = EXPERIMENTS[name]
    recipe = experiment.recipes["course"]
    model = experiment.model().to(device, memory_format=torch.channels_last)
    generator = torch.Generator(device).manual_seed(0)
    prepare, join = experiment.training_transform(recipe), experiment.task.join
    batches = Batches(data, recipe.batch_size, prepare, True, generator, device, join)
    optimizer, _ = recipe.optimizer_and_schedule(model, 1)
    autocast = torch.bfloat16 if faster_precision(name, "course", device).name == "bfloat16" else None

    def epoch():
        fit(model, batches, epochs=1, optimizer=optimizer, clip=recipe.clip, autocast=autocast, progress=False)

    epoch()
    step, data_path = timed(epoch), timed(lambda: [None for _ in batches])
    return {"speed": len(data) / step, "data": data_path / step}


def measure_published(name: str, data: ImageData, device: torch.device) -> dict:
    from published_loop import loader, network, train

    model, batches = network(name).to(device), loader(name, data, 4)
    train(name, model, batches, device)
    return {"speed": len(data) / timed(lambda: train(name, model, batches, device))}


def flop_per_image(name: str, data: ImageData) -> float:
    """Of one training step, forward and backward, as PyTorch's own counter has it."""
    from published_loop import network

    experiment, model = EXPERIMENTS[name], network(name)
    images = next(iter(Batches(data[:8], 8, experiment.training_transform(experiment.recipes["published"]))))[0]
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / len(images)


def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Of large products, several for each look at the clock: a GPU is done with one before Python has asked for it."""
    side, products = (8192, 10) if device.type == "cuda" else (2048, 1)
    a = torch.rand(side, side, device=device, dtype=dtype)

    def multiply():
        for _ in range(products):
            torch.mm(a, a, out=product)

    product = torch.empty_like(a)
    timed(multiply)
    return 2 * side**3 * products / min(timed(multiply) for _ in range(5))


def compare(name: str, images: int, rounds: int, device: torch.device) -> None:
    measured: dict[str, list[dict]] = {"course": [], "published": []}
    for _ in range(rounds):
        for which, values in measured.items():
            command = [sys.executable, __file__, name, "--one", which, "--images", str(images)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            values.append(json.loads(done.stdout.splitlines()[-1]))
    data = EXPERIMENTS[name].load("train")[:images]
    speeds = {which: [value["speed"] for value in values] for which, values in measured.items()}
    precision = faster_precision(name, "course", device)
    dtype = getattr(torch, precision.name)
    flop = flop_per_image(name, data)
    share = statistics.median(speeds["course"]) * flop / matrix_product_rate(device, dtype)
    pairs = zip(*speeds.values(), strict=True)
    print(
        f"\n{name}: {len(data):,} images of {data.source}; {hardware_name(device)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, {precision.name} ({precision.because})"
    )
    for which, values in speeds.items():
        print(f"{which:10} {statistics.median(values):>8,.0f} images/s   ({min(values):,.0f} to {max(values):,.0f})")
    print(f"ratio: {statistics.median(ours / theirs for ours, theirs in pairs):.2f}")
    print(f"data path: {statistics.median(value['data'] for value in measured['course']):.1%} of a step")
    print(f"a step costs {flop / 1e6:.0f} MFLOP an image: {share:.0%} of the {dtype} matrix-product rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENT_NAMES, metavar="experiment")
    parser.add_argument("--images", type=int, default=5_120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=["course", "published"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in arguments.experiments:
        if not arguments.one:
            compare(name, arguments.images, arguments.rounds, device)
            continue
        measure = {"course": measure_course, "published": measure_published}[arguments.one]
        print(json.dumps(measure(name, EXPERIMENTS[name].load("train")[: arguments.images], device)))


if __name__ == "__main__":
    main()
