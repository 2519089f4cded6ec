"""Claim: the course trains system B's ST-CNN at 2 times or more the images a second of the published loop, on a CPU.

    python benchmarks/training.py [--images 5120] [--rounds 5]

Ours and the published loop take turns, each in a process of its own, because how memory is handed back to the system
is a property of the whole process. The first epoch of a process warms it up and is not counted. Also printed: the share
of a step that the data path takes, and the share of the machine's matrix-product rate that the arithmetic reaches.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch

from stn_course.data import Batches, ImageData, load_mnist
from stn_course.distortions import RTS
from stn_course.experiments import native_bfloat16
from stn_course.experiments.catalogue import RTS_RECIPES
from stn_course.models import STCNN
from stn_course.training import fit

FLOP_PER_IMAGE = 54e6  # one training step of the ST-CNN, forward and backward


def timed(work) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_course(data: ImageData, device: torch.device) -> dict:
    recipe = RTS_RECIPES["course"]
    model = STCNN().to(device)
    batches = Batches(data, recipe.batch_size, RTS(), True, torch.Generator(device).manual_seed(0), device)
    optimizer, _ = recipe.make(model, 1)
    autocast = torch.bfloat16 if native_bfloat16(device) else None

    def epoch():
        fit(model, batches, epochs=1, optimizer=optimizer, clip=recipe.clip, autocast=autocast, progress=False)

    epoch()
    step, data_path = timed(epoch), timed(lambda: [None for _ in batches])
    return {"speed": len(data) / step, "data": data_path / step}


def measure_published(data: ImageData, device: torch.device) -> dict:
    from published_loop import loader, network, train

    model, batches = network().to(device), loader(data, 4)
    train(model, batches, device)
    return {"speed": len(data) / timed(lambda: train(model, batches, device))}


def matrix_product_rate(device: torch.device) -> float:
    a = torch.rand(2048, 2048, device=device)
    a @ a
    return 2 * 2048**3 / min(timed(lambda: a @ a) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_120)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=["course", "published"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_mnist("train")[: arguments.images]
    if arguments.one:
        measure = {"course": measure_course, "published": measure_published}[arguments.one]
        return print(json.dumps(measure(data, device)))
    measured: dict[str, list[dict]] = {"course": [], "published": []}
    for _ in range(arguments.rounds):
        for which, values in measured.items():
            command = [sys.executable, __file__, "--one", which, "--images", str(arguments.images)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            values.append(json.loads(done.stdout.splitlines()[-1]))
    speeds = {which: [value["speed"] for value in values] for which, values in measured.items()}
    print(
        f"{len(data):,} images of {data.source}; {device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for which, values in speeds.items():
        print(f"{which:10} {statistics.median(values):>8,.0f} images/s   ({min(values):,.0f} to {max(values):,.0f})")
    pairs = zip(*speeds.values(), strict=True)
    print(f"ratio: {statistics.median(ours / theirs for ours, theirs in pairs):.2f}")
    print(f"data path: {statistics.median(value['data'] for value in measured['course']):.1%} of a step")
    share = statistics.median(speeds["course"]) * FLOP_PER_IMAGE / matrix_product_rate(device)
    print(f"share of the float32 matrix-product rate: {share:.0%}")


if __name__ == "__main__":
    main()
