"""Target: RTS in whole batches makes at least 6 times the images a second of the per-sample pipeline with 4 workers.

    python benchmarks/distortion.py [--images 20000] [--rounds 5]

All three ways take turns, round by round, in one run; medians and ratios are printed.
"""

import argparse
import statistics
import time

import torch
from published_loop import loader

from stn_course.allocator import reuse_freed_memory
from stn_course.data import Batches, load_mnist
from stn_course.distortions import RTS


def images_per_second(batches) -> float:
    start, n = time.perf_counter(), 0
    for images, _ in batches:
        n += len(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize()
    return n / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    reuse_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_mnist("train")[: arguments.images]
    generator = torch.Generator(device).manual_seed(0)
    ways = {
        "RTS, whole batches": Batches(data, 256, RTS(), True, generator, device),
        "per sample, no workers": loader("rts-mnist/st-cnn", data, 0),
        "per sample, 4 workers": loader("rts-mnist/st-cnn", data, 4),
    }
    for batches in ways.values():
        images_per_second(batches)  # starts the workers, warms the caches
    measured = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, batches in ways.items():
            measured[name].append(images_per_second(batches))
    print(
        f"{len(data):,} images of {data.source}; {device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name, speeds in measured.items():
        print(f"{name:24} {statistics.median(speeds):>10,.0f} images/s   ({min(speeds):,.0f} to {max(speeds):,.0f})")
    ours, *others = measured.values()
    for name, speeds in zip(list(ways)[1:], others, strict=True):
        ratio = statistics.median(a / b for a, b in zip(ours, speeds, strict=True))
        print(f"ratio to {name}: {ratio:.1f}")


if __name__ == "__main__":
    main()
