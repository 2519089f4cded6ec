"""Why does a spatial transformer turn digits back only in part? Three measurements beside the runs themselves.

    python benchmarks/turning.py regress [--seeds 3] [--epochs 8]  its localisation network, told the poses
    python benchmarks/turning.py tolerate RUN...                   a classifier's error on digits turned by known angles
    python benchmarks/turning.py slant                             what the writers' own slant leaves to be known

Each writes its figures as JSON into the folder that --output names (default: turning/ among the package's results).
`tolerate` takes folders of runs with the ST-CNN, each with its weights.pt and record.json.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from stn_course.data import Batches, ImageData, load_mnist
from stn_course.distortions import RTS, Pose
from stn_course.experiments import find_device, hardware_name, load_weights
from stn_course.experiments.results import RESULTS
from stn_course.files import atomic_write
from stn_course.models import STCNN
from stn_course.recovery import recovered_pose, slant, taken_back, within_class
from stn_course.tasks.task import TEST_SEED
from stn_course.training import fit
from stn_course.transforms import Affine

TURNS = list(range(0, 50, 5))
DISTORTION = RTS()


class Posed(Batches):
    """Crooked digits, each with the θ that straightens it in the label's place."""

    def __iter__(self):
        for images, _ in super().__iter__():
            theta = DISTORTION.sample(len(images), self.generator)
            yield DISTORTION.apply(images, theta), straightening(theta)


def straightening(theta: torch.Tensor) -> torch.Tensor:
    return torch.linalg.inv(Affine().matrix(theta))[:, :2].flatten(1)


def close(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Which digits are turned back to within ten degrees."""
    found, true = (DISTORTION.pose(straightening(theta)).degrees for theta in (outputs, labels))
    return (found - true).abs() < 10


def regress(output: Path, seeds: int, epochs: int) -> None:
    train, test = load_mnist("train", offline=False), load_mnist("test", offline=False)
    theta = DISTORTION.sample(len(test), torch.Generator().manual_seed(TEST_SEED), dtype=torch.float64).float()
    crooked, true = DISTORTION.apply(test.images.float() / 255, theta), DISTORTION.pose(theta)
    for seed in range(seeds):
        torch.manual_seed(seed)
        network = STCNN().spatial_transformer.localisation
        batches = Posed(train, 256, None, True, torch.Generator().manual_seed(seed))
        optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.01, fused=True)
        steps = epochs * len(batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, cycle_momentum=False)
        history = fit(
            network, batches, epochs=epochs, optimizer=optimizer, schedule=schedule, loss=F.mse_loss, score=close
        )
        with torch.inference_mode():
            found = torch.cat([network(some) for some in crooked.split(1000)])
        parts = taken_back(true, recovered_pose(DISTORTION, found), test.labels)
        write(output / f"regressed-{seed}.json", test, seed=seed, epochs=history.rows, taken_back=parts)


def tolerate(output: Path, runs: list[Path]) -> None:
    """Show the classifier digits in the frame that its transformer gives them, but turned by known angles."""
    test = load_mnist("test", offline=False)
    images = test.images.float() / 255
    theta = DISTORTION.sample(len(test), torch.Generator().manual_seed(TEST_SEED), dtype=torch.float64).float()
    for run in runs:
        record = json.loads((run / "record.json").read_text(encoding="utf-8"))
        recipe, seed = record["recipe"], record["seed"]
        model = load_weights(STCNN(), run / "weights.pt")
        errors = {}
        with torch.inference_mode():
            found = torch.cat(
                [
                    model.spatial_transformer.theta(DISTORTION.apply(some, true))
                    for some, true in zip(images.split(1000), theta.split(1000), strict=True)
                ]
            )
            parts = taken_back(DISTORTION.pose(theta), recovered_pose(DISTORTION, found), test.labels)
            frame = usual_frame(found, theta, test.labels)
            for turn in TURNS:
                wrong = 0
                for sign in (-1, 1):
                    pose = Pose(frame.degrees + sign * turn, frame.scale, frame.centre)
                    shown = DISTORTION.apply(images, DISTORTION.theta(pose))
                    said = torch.cat([model.classifier(some).argmax(1) for some in shown.split(1000)])
                    wrong += (said != test.labels).float().mean().item() / 2
                errors[turn] = round(wrong, 5)
                print(f"{recipe}, seed {seed}: turned by {turn:2d}°, error {wrong:.2%}", flush=True)
        facts = {"recipe": recipe, "seed": seed, "epochs": record["epochs"], "taken_back": parts, "errors": errors}
        write(output / f"tolerated-{recipe}-{seed}.json", test, **facts)


def usual_frame(found, theta, labels) -> Pose:
    """Find where, how large and at what angle, on average over its class, the classifier gets to see each digit."""
    seen = Affine().matrix(theta) @ Affine().matrix(found)  # output → digit
    pose = DISTORTION.pose(seen[:, :2].flatten(1))
    values = torch.column_stack((pose.degrees, pose.scale.log(), pose.centre))
    mean = values - within_class(values, labels)
    return Pose(mean[:, 0], mean[:, 1].exp(), mean[:, 2:])


def slants(output: Path) -> None:
    test = load_mnist("test", offline=False)
    own = within_class(torch.rad2deg(slant(test.images.float() / 255).atan())[:, None], test.labels).std().item()
    turned = 2 * DISTORTION.degrees / math.sqrt(12)  # of a uniform distribution
    share = turned**2 / (turned**2 + own**2)
    print(f"slant within a class {own:.1f}°, turn {turned:.1f}°: slope {share:.3f}, correlation {share**0.5:.3f}")
    write(output / "slant.json", test, slant=own, turn=turned, slope=share, correlation=share**0.5)


def write(path: Path, test: ImageData, **figures: object) -> None:
    made = {"test_source": test.source, "hardware": hardware_name(find_device("cpu")), "torch": torch.__version__}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_text(json.dumps(figures | made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("regress", "tolerate", "slant"))
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", type=Path, default=RESULTS / "turning")
    arguments = parser.parse_args()
    if arguments.what == "regress":
        regress(arguments.output, arguments.seeds, arguments.epochs)
    elif arguments.what == "tolerate":
        tolerate(arguments.output, arguments.runs)
    else:
        slants(arguments.output)


if __name__ == "__main__":
    main()
