"""Target: the course's ST-CNN reads 97.22 % of the test split after 90 s on a CPU; published: 50 epochs.

    python benchmarks/time_to_accuracy.py [--images 37500] [--seeds 3]

From the call to the finished record: data, two epochs, weights, and the test split at the end. It is the course's
recipe but for three numbers: where so few images are seen, smaller batches at a higher rate reach further (`SPRINT`).
Between two of its runs the published loop trains on a tenth of the images; an epoch takes ten times as long, and 50
epochs were published.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace

import torch
from published_loop import loader, network, train

from stn_course.experiments import EXPERIMENTS, Experiment, run
from stn_course.tasks import Profile

NAME = "rts-mnist/st-cnn"
PUBLISHED_EPOCHS = 50
SPRINT = {"batch_size": 64, "learning_rate": 2e-3, "localisation_rate": 3.0}


def course(seed: int, device: torch.device) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        record = run(NAME, "full", seed=seed, device=device, output=f"{folder}/run", progress=False).record
        return time.perf_counter() - start, record["test_accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=37_500, help="in each of the two epochs")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    experiment = EXPERIMENTS[NAME]
    contestant = replace(
        experiment.contestant,
        recipes=experiment.recipes | {"course": replace(experiment.recipes["course"], **SPRINT)},
        profiles={"full": Profile(epochs=2, train_images=arguments.images, offline=False)},
    )
    EXPERIMENTS[NAME] = Experiment(experiment.task, contestant)
    images = experiment.load("train")
    tenth = images[: len(images) // 10]
    machine = f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"2 x {arguments.images:,} images of {images.source}; {machine}")
    model, batches = network(NAME).to(device), loader(NAME, tenth, 4)
    train(NAME, model, batches, device)  # starts the workers
    ours, theirs = [], []
    for seed in range(arguments.seeds):
        seconds, accuracy = course(seed, device)
        ours.append(seconds)
        start = time.perf_counter()
        train(NAME, model, batches, device)
        theirs.append((time.perf_counter() - start) * len(images) / len(tenth) * PUBLISHED_EPOCHS)
        reached = "reached" if 100 * accuracy >= experiment.published else "not reached"
        print(f"seed {seed}: {accuracy:.2%} after {seconds:.0f} s; {experiment.published} % {reached}")
    minutes, ratio = statistics.median(theirs) / 60, statistics.median(b / a for a, b in zip(ours, theirs))
    print(f"{PUBLISHED_EPOCHS} epochs of the published loop: {minutes:.0f} min, {ratio:.0f} times as long")


if __name__ == "__main__":
    main()
