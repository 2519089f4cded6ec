"""The same, from a shell: `python -m stn_course train | evaluate | data | results | progress | grade | lab`."""

import argparse
import sys
from pathlib import Path

if __name__ == "__main__" and sys.argv[1:2] == ["lab"]:  # before PyTorch, which takes seconds and a server never needs
    from stn_course import lab_server

    sys.exit(lab_server.main(sys.argv[2:]))

from stn_course import exercises, experiments
from stn_course.data import SPLITS, Batches, load_cifar10, load_mnist
from stn_course.exercises.notes import FILE, notes_file
from stn_course.training import evaluate

LOADERS = {"mnist": load_mnist, "cifar10": load_cifar10}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 for an error that is told in words, 130 when stopped by hand."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.command(parsed)
    except (ValueError, OSError, ImportError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m stn_course", description="Train and evaluate the course's networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train an experiment; called again it goes on where it was stopped")
    train.set_defaults(command=_train)
    train.add_argument("experiment", help=f"one of {', '.join(experiments.EXPERIMENTS)}")
    train.add_argument("--profile", help="smoke, quick or full (default: STN_COURSE_PROFILE, else quick)")
    train.add_argument("--recipe", default="course", help="course or published (default: %(default)s)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    train.add_argument("--precision", help="float32 or bfloat16 (default: bfloat16 where the hardware has it)")
    train.add_argument("--output", metavar="DIR", help="for record.json, weights.pt and checkpoints/")
    train.add_argument(
        "--validate", action="store_true", help="hold out 5,000 training images; leave the test split alone"
    )
    train.add_argument("--every-epoch", action="store_true", help="score the test split after every epoch, too")

    score = commands.add_parser("evaluate", help="test accuracy of the weights that come along, or of a file")
    score.set_defaults(command=_evaluate)
    score.add_argument("experiment")
    score.add_argument("--recipe", default="course")
    score.add_argument("--weights", metavar="FILE")

    data = commands.add_parser("data", help="find or download data sets, and say what is there")
    data.set_defaults(command=_data)
    data.add_argument("names", nargs="+", choices=[*LOADERS], metavar="NAME", help="mnist or cifar10")

    results = commands.add_parser("results", help="the table of results, from the records that come along")
    results.set_defaults(command=_results)
    results.add_argument("--write", metavar="README", nargs="?", const="README.md", help="put the table into this file")

    progress = commands.add_parser("progress", help="which exercises are solved")
    progress.set_defaults(command=_progress)
    progress.add_argument("folder", nargs="?", help="where the notebooks are (default: here, or my-notebooks)")

    grade = commands.add_parser("grade", help="run notebooks that were handed in, and list what their checks found")
    grade.set_defaults(command=_grade)
    grade.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")

    commands.add_parser("lab", help="JupyterLab on your copy of the notebooks; takes JupyterLab's own options")
    return parser


def _train(arguments: argparse.Namespace) -> int:
    result = experiments.run(
        arguments.experiment,
        arguments.profile,
        arguments.recipe,
        arguments.seed,
        arguments.device,
        arguments.output,
        arguments.validate,
        precision=arguments.precision,
        every_epoch=arguments.every_epoch,
    )
    if result.record is None:
        return 130 if result.history.by_hand else 1
    if not result.saved:
        return 1
    print(f"Record, weights and checkpoints are in {result.folder}.")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    model = experiments.load_pretrained(arguments.experiment, arguments.recipe) if arguments.weights is None else None
    experiment = experiments.find(arguments.experiment)
    if model is None:
        model = experiments.load_weights(experiment.model(), arguments.weights)
    test = experiment.task(experiment.load("test"))
    scored = evaluate(model, Batches(test, 1000, experiment.normalise))
    print(f"{experiment.title}: accuracy {scored.accuracy:.2%}, loss {scored.loss:.4f}, on {test.source}")
    return 0


def _data(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        for split in SPLITS:
            print(LOADERS[name](split).source)
    return 0


def _results(arguments: argparse.Namespace) -> int:
    table = experiments.results_table()
    print(f"{table}\n\n{experiments.comparison_table()}")
    if arguments.write:
        experiments.write_results(arguments.write)
        print(f"\nWritten to {arguments.write}.")
    return 0


def _progress(arguments: argparse.Namespace) -> int:
    if arguments.folder and not Path(arguments.folder).is_dir():
        raise NotADirectoryError(f"expected a folder with notebooks, got {arguments.folder}")
    path = Path(arguments.folder) / FILE if arguments.folder else notes_file()
    if not arguments.folder and not path.exists():
        path = Path("my-notebooks") / FILE  # where `make lab` has put the learner's
    exercises.progress(path=path)
    return 0


def _grade(arguments: argparse.Namespace) -> int:
    status = 0
    for notebook in arguments.notebooks:
        try:
            found = exercises.grade(notebook)
        except (ValueError, OSError) as error:  # one bad notebook does not keep the others from being graded
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            status = 1
            continue
        print(f"{notebook}: {sum(bool(entry and entry['solved']) for entry in found.values())} of {len(found)} solved")
        for name, entry in found.items():
            said = "○ not attempted" if entry is None else f"{'✓' if entry['solved'] else '✗'} {entry['said']}"
            print(f"  {name:<20}{said}")
    return status


if __name__ == "__main__":
    sys.exit(main())
