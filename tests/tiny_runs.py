"""Runs so small that they can be stopped, killed and repeated many times."""

import contextlib
import functools
import multiprocessing
import os
import signal
from dataclasses import fields, replace

import torch

from stn_course.distortions import RTS
from stn_course.experiments import EXPERIMENTS, Experiment, hardware, run
from stn_course.tasks import Contestant, Profile

BATCHES_AN_EPOCH = 3
TINY = Profile(epochs=4, train_images=96, test_images=50, offline=True)


class Doing(RTS):
    """Does something, once, before it distorts batch number `batch` of training."""

    def __init__(self, batch, action):
        super().__init__()
        self.left, self.action = batch, action

    def __call__(self, images, generator=None):
        self.left -= 1
        if self.left == 0:
            self.action()
        return super().__call__(images, generator)


def sending(number) -> functools.partial:
    """A signal to this process."""
    return functools.partial(os.kill, os.getpid(), number)


def tiny(name, size=TINY, **changes):
    """The experiment with one small profile, "tiny", and small batches."""
    experiment = EXPERIMENTS[name]
    recipes = {key: replace(recipe, batch_size=32) for key, recipe in experiment.recipes.items()}
    return changed(experiment, recipes=recipes, profiles={"tiny": size}, **changes)


def changed(experiment, **changes):
    """The experiment with some of its parts replaced, wherever they stand."""
    names = {field.name for field in fields(Contestant)}
    return Experiment(
        replace(experiment.task, **{name: part for name, part in changes.items() if name not in names}),
        replace(experiment.contestant, **{name: part for name, part in changes.items() if name in names}),
    )


quiet_run = functools.partial(run, device="cpu", progress=False)
tiny_run = functools.partial(quiet_run, profile="tiny")


def assert_same_weights(folder, other):
    ours, theirs = (torch.load(path / "weights.pt", weights_only=True) for path in (folder, other))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def without_time(record):
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in record["epochs_run"]]
    return record | {"seconds": 0, "date": "", "epochs_run": rows}


# In a process of their own. A server that has imported PyTorch already forks them: some of them live for a moment only.


def start(function, *arguments) -> multiprocessing.Process:
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    if hasattr(os, "fork"):
        context.set_forkserver_preload(["stn_course.experiments"])
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def in_another_process(function, *arguments) -> int:
    process = start(function, *arguments)
    process.join()
    return process.exitcode


def run_and_be_stopped(output, batch, number):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background hands down that it is ignored
    _run(output, distortion=Doing(batch, sending(number)))


def run_and_be_killed_while_saving(output, epoch):
    save = torch.save

    def save_half(state, path):
        save(state, path)
        if state.get("epoch") == epoch:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_half
    _run(output)


def run_on_a_full_disk(output, full_from, said):
    """From batch `full_from` on the system refuses to write more than 20 kB into a file, as if its disk were full."""
    import resource

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with open(said, "w") as file, contextlib.redirect_stdout(file):
        result = _run(output, distortion=Doing(full_from, fill))
    assert not result.saved and result.record["epochs_run"] == result.history.rows  # what came back is whole


def run_and_say(output, said):
    with open(said, "w") as file, contextlib.redirect_stdout(file):
        _run(output, progress=True)


def run_with_dropout(output, epochs, ready=None):
    """Short epochs of a network with dropout, whose random numbers are saved, too."""
    torch.set_num_threads(1)
    EXPERIMENTS["mnist/tutorial-st"] = tiny("mnist/tutorial-st", replace(TINY, epochs=epochs, train_images=40))
    if ready is not None:
        ready.set()
    tiny_run("mnist/tutorial-st", output=output)


def _run(output, progress=False, **changes):
    torch.set_num_threads(1)
    hardware.native_bfloat16 = lambda device: False  # no fixture reaches this process
    EXPERIMENTS["rts-mnist/st-cnn"] = tiny("rts-mnist/st-cnn", **changes)
    return tiny_run("rts-mnist/st-cnn", output=output, progress=progress)
