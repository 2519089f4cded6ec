"""Target: the course's ST-CNN reads 97.22 % of the test split after 90 s on a CPU, 5 s on a GPU; published: 50 epochs.

    python benchmarks/time_to_accuracy.py [--epochs 2] [--seeds 3]

The course's recipe, whose learning rate comes down within so many epochs, from the call to the finished record: data,
training, weights, and the test split at the end. Between two of its runs the published loop trains on a tenth of the
images; an epoch takes ten times as long, and 50 epochs were published.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace

import torch
from published_loop import loader, network, train

from stn_course.experiments import EXPERIMENTS, Profile, run

NAME = "rts-mnist/st-cnn"
PUBLISHED_EPOCHS = 50


def course(seed: int, device: torch.device) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        record = run(NAME, "full", seed=seed, device=device, output=f"{folder}/run", progress=False).record
        return time.perf_counter() - start, record["test_accuracy"]


def published(images, device: torch.device) -> float:
    model, batches = network(NAME).to(device), loader(NAME, images, 4)
    start = time.perf_counter()
    train(NAME, model, batches, device)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    experiment = EXPERIMENTS[NAME]
    profile = Profile(epochs=arguments.epochs, offline=False)
    EXPERIMENTS[NAME] = replace(experiment, profiles=experiment.profiles | {"full": profile})
    images = experiment.load("train")
    tenth = images[: len(images) // 10]
    print(f"{images.source}; {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    ours, theirs = [], []
    for seed in range(arguments.seeds):
        seconds, accuracy = course(seed, device)
        ours.append(seconds)
        theirs.append(published(tenth, device) * len(images) / len(tenth) * PUBLISHED_EPOCHS)
        reached = "reached" if 100 * accuracy >= experiment.published else "not reached"
        print(f"seed {seed}: {accuracy:.2%} after {seconds:.0f} s; {experiment.published} % {reached}")
    minutes, ratio = statistics.median(theirs) / 60, statistics.median(b / a for a, b in zip(ours, theirs))
    print(f"{PUBLISHED_EPOCHS} epochs of the published loop: {minutes:.0f} min, {ratio:.0f} times as long")


if __name__ == "__main__":
    main()
