"""The same, from a shell: `python -m stn_course COMMAND`; with `--help` it lists its commands."""

import argparse
import codecs
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# The rest of the package is imported where it is used: Ctrl-C is answered in words also while PyTorch is being loaded.

PLAIN = {"✓": "+", "✗": "x", "○": "o", "…": "...", "·": ".", "−": "-", "–": "-", "×": "x", "θ": "theta", "∂": "d"}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 for an error that is told in words, 130 when stopped by hand."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _print_anywhere()
    try:
        if arguments[:1] == ["lab"]:  # the rest is JupyterLab's; its server never needs PyTorch, which takes seconds
            from stn_course import lab_server

            return lab_server.main(arguments[1:])
        given = vars(_parser().parse_args(arguments))
        return given.pop("command")(**given)
    except KeyboardInterrupt:
        print("Stopped by hand.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        from stn_course.out_of_memory import out_of_memory

        if not out_of_memory(error):
            raise
        print("\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return 1


def _print_anywhere() -> None:
    """What a terminal or file has no letter for is written in plain letters, or escaped; it stops nothing."""

    def plain(error: UnicodeError) -> tuple[str | bytes, int]:
        if isinstance(error, UnicodeEncodeError) and (letters := PLAIN.get(error.object[error.start])):
            return letters, error.start + 1
        return codecs.backslashreplace_errors(error)

    codecs.register_error("stn_course.plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="stn_course.plain")


def _parser() -> argparse.ArgumentParser:
    from stn_course import experiments

    parser = argparse.ArgumentParser("python -m stn_course", description="Train and evaluate the course's networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[..., int], description: str) -> argparse.ArgumentParser:
        """Add a command with the name of a function, which takes the command's arguments by their names."""
        added = commands.add_parser(function.__name__.removeprefix("_"), help=description)
        added.set_defaults(command=function)
        return added

    train = command(_train, "train an experiment; called again it goes on where it was stopped")
    train.add_argument("experiment", help=f"one of {', '.join(experiments.EXPERIMENTS)}")
    train.add_argument("--profile", help="smoke, quick or full (default: STN_COURSE_PROFILE, else quick)")
    train.add_argument("--recipe", default="course", help="course or published (default: %(default)s)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--epochs", type=int, help="instead of the profile's")
    train.add_argument("--device", help="cpu, cuda, cuda:1, … (default: cuda where there is one)")
    train.add_argument("--precision", help="float32 or bfloat16 (default: what was measured to be faster here)")
    train.add_argument("--output", metavar="DIR", help="for record.json, weights.pt and checkpoints/")
    train.add_argument(
        "--validate", action="store_true", help="hold out 5,000 training images; leave the test split alone"
    )
    train.add_argument("--every-epoch", action="store_true", help="score the test split after every epoch, too")

    versus = command(_compare, "tune, train from several seeds, and compare contestants of one task")
    versus.add_argument("names", nargs="+", metavar="EXPERIMENT", help="the first is compared with each other one")
    versus.add_argument("--profile", help="as for train")
    versus.add_argument("--seeds", type=int, default=3, help="runs of each (default: %(default)s)")
    versus.add_argument("--epochs", type=int, help="instead of the profile's")
    versus.add_argument("--tries-epochs", type=int, metavar="N", help="of each try of a recipe (default: as many)")
    versus.add_argument("--device", help="as for train")

    score = command(_evaluate, "test accuracy of the weights that come along, or of a file")
    score.add_argument("experiment")
    score.add_argument("--recipe", default="course")
    score.add_argument("--weights", metavar="FILE")
    score.add_argument("--device", help="as for train")

    data = command(_data, "find or download data sets, and say what is there")
    data.add_argument("names", nargs="+", choices=["mnist", "cifar10"], metavar="NAME", help="mnist or cifar10")

    results = command(_results, "the table of results, from the records that come along")
    results.add_argument("--keep", metavar="RUN", nargs="*", default=[], help="first take up runs, each by its folder")
    results.add_argument("--weights", action="store_true", help="take up their weights, too")
    results.add_argument("--write", metavar="README", nargs="?", const="README.md", help="put the table into this file")

    progress = command(_progress, "which exercises are solved")
    progress.add_argument("folder", nargs="?", help="where the notebooks are (default: here, or my-notebooks)")

    grade = command(_grade, "run notebooks that were handed in, and list what their checks found")
    grade.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")

    commands.add_parser("lab", help="JupyterLab on your copy of the notebooks; takes JupyterLab's own options")
    return parser


def _train(experiment: str, **options: object) -> int:
    from stn_course import experiments

    result = experiments.run(experiment, **options)
    if result.record is None:
        return 130 if result.history.by_hand else 1
    if not result.saved:
        return 1
    print(f"Record, weights and checkpoints are in {result.folder}.")
    return 0


def _compare(names: list[str], **options: object) -> int:
    from stn_course import experiments

    print(experiments.compare(names, **options))
    return 0


def _evaluate(experiment: str, recipe: str, weights: str | None, device: str | None) -> int:
    from stn_course import experiments
    from stn_course.data import Batches
    from stn_course.training import evaluate

    device = experiments.find_device(device)
    chosen = experiments.get_experiment(experiment)
    chosen.recipe(recipe)
    if weights is None:
        model = experiments.load_pretrained(experiment, recipe)
    else:
        model = experiments.load_weights(chosen.model(), weights)
    test = chosen.scored_images(chosen.load("test"))
    task, batches = chosen.task, Batches(test, 1000, chosen.normalise, device=device)
    scored = evaluate(model.to(device), batches, task.loss, task.score)
    print(f"{chosen.title}: {task.score.__name__} {scored.score:.2%}, loss {scored.loss:.4f}, on {test.source}")
    return 0


def _data(names: list[str]) -> int:
    from stn_course.data import SPLITS, load_cifar10, load_mnist

    loaders = {"mnist": load_mnist, "cifar10": load_cifar10}
    for name in names:
        for split in SPLITS:
            print(loaders[name](split).source)
    return 0


def _results(keep: list[str], weights: bool, write: str | None) -> int:
    from stn_course import experiments

    for folder in keep:
        print(experiments.keep(folder, weights))
    print(f"{experiments.results_table()}\n\n{experiments.comparison_table()}")
    if write:
        experiments.write_results(write)
        print(f"\nWritten to {write}.")
    return 0


def _progress(folder: str | None) -> int:
    from stn_course import exercises
    from stn_course.lab_server import COPY
    from stn_course.places import PROGRESS_FILE, progress_file

    if folder and not Path(folder).is_dir():
        raise NotADirectoryError(f"expected a folder with notebooks, got {folder}")
    path = Path(folder) / PROGRESS_FILE if folder else progress_file()
    if not folder and not path.exists():
        path = Path(COPY) / PROGRESS_FILE  # where `make lab` has put the learner's
    exercises.progress(path=path)
    return 0


def _grade(notebooks: list[str]) -> int:
    from stn_course import exercises

    status = 0
    with _sigterm_unwinds():
        for notebook in notebooks:
            shown = one_line(notebook)
            try:
                graded = exercises.grade(notebook)
            except (ValueError, OSError) as error:  # one bad notebook does not keep the others from being graded
                print(one_line(f"{type(error).__name__}: {error}"), file=sys.stderr)
                status = 1
                continue
            found, failed = graded.exercises, len(graded.failed)
            solved = sum(bool(entry and entry["solved"]) for entry in found.values())
            cells = f"; {failed} {'cell' if failed == 1 else 'cells'} failed" if failed else ""
            print(f"{shown}: {solved} of {len(found)} solved{cells}")
            if graded.unfinished:
                print(f"  did not run to its end: {one_line(graded.unfinished)}")
                status = 1
            for name, entry in found.items():
                mark, said = "○", "not attempted"
                if entry is not None:
                    mark, said = "✓" if entry["solved"] else "✗", one_line(entry["said"])
                print(f"  {name:<20}{mark} {said}", flush=True)
    return status


def one_line(text: str, longest: int = 300) -> str:
    r"""Somebody else's words on one line of a terminal: no line of their own, no colours, no end.

    Example:
        >>> one_line("no\n  zoom   ✓ Yes.\x1b[2J")
        'no zoom ✓ Yes.\\x1b[2J'
    """
    shown = " ".join(text.split())
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "…"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does: from the inside, and everything that it started with it."""

    def end(number: int, frame: object) -> None:
        print("Ended by SIGTERM.", file=sys.stderr)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
