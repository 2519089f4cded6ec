"""Runs that survive being stopped, killed, started twice, and a full disk: they go on, and end the same to the bit."""

import math
import multiprocessing
import random
import shutil
import signal
import sys
import time
from dataclasses import replace

import pytest
from tiny_runs import (
    BATCHES_AN_EPOCH,
    TINY,
    Doing,
    assert_same_weights,
    in_another_process,
    run_and_be_killed_while_saving,
    run_and_be_stopped,
    run_and_say,
    run_on_a_full_disk,
    run_with_dropout,
    sending,
    start,
    tiny_run,
    without_time,
)

from stn_course.checkpoints import CheckpointError
from stn_course.experiments import EXPERIMENTS, run
from stn_course.tasks import Recipe


@pytest.fixture(autouse=True)
def on_one_thread(one_thread, tmp_path, monkeypatch):
    """Another number of threads adds up in another order: it may give other last bits."""
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))


def assert_unfinished(folder, epochs):
    assert not (folder / "weights.pt").exists()
    assert not (folder / "record.json").exists()
    last = sorted((folder / "checkpoints").glob("epoch-*.pt"))[-1].name if epochs else None
    assert last == (f"epoch-{epochs:04d}.pt" if epochs else None)


def assert_goes_on(name, undisturbed, folder, epochs, capsys):
    """The same call once more ends with the same bits as the run that nobody disturbed."""
    assert_unfinished(folder, epochs)
    capsys.readouterr()
    result = run(name, "tiny", device="cpu", output=folder)
    assert (f"Going on after epoch {epochs} of 4" in capsys.readouterr().out) == (epochs > 0)
    assert_same_weights(folder, undisturbed.folder)
    assert without_time(result.record) == without_time(undisturbed.record)
    assert result.history.column("epoch") == [1, 2, 3, 4]


needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")


@needs_sigkill
def test_a_killed_run_goes_on(make_tiny, undisturbed, tmp_path, capsys):
    batch = 2 * BATCHES_AN_EPOCH + 2
    assert in_another_process(run_and_be_stopped, tmp_path / "run", batch, signal.SIGKILL) == -signal.SIGKILL
    assert_goes_on(make_tiny(), undisturbed, tmp_path / "run", 2, capsys)


@needs_sigkill
def test_a_run_killed_while_saving_goes_on_from_the_epoch_before(make_tiny, undisturbed, tmp_path, capsys):
    assert in_another_process(run_and_be_killed_while_saving, tmp_path / "run", 2) == -signal.SIGKILL
    assert_goes_on(make_tiny(), undisturbed, tmp_path / "run", 1, capsys)


@pytest.mark.parametrize("batches", [[2], [8], [5, 2, 5]], ids=str)  # of each call until it is stopped
def test_a_run_stopped_by_hand_goes_on(make_tiny, undisturbed, tmp_path, capsys, sigint, batches):
    epochs = 0
    for batch in batches:
        name = make_tiny(distortion=Doing(batch, sending(sigint)))
        result = tiny_run(name, output=tmp_path / "run")
        epochs += (batch - 1) // BATCHES_AN_EPOCH
        assert result.record is None
        assert result.history.stopped == f"stopped by hand in epoch {epochs + 1} of 4"
        assert len(result.history) == epochs
        assert "goes on from the last finished epoch" in capsys.readouterr().out
        assert_unfinished(tmp_path / "run", epochs)
    assert_goes_on(make_tiny(), undisturbed, tmp_path / "run", epochs, capsys)


def test_a_finished_run_is_not_trained_again(make_tiny, undisturbed, tmp_path, capsys):
    name = make_tiny("rts-mnist/cnn", replace(TINY, epochs=2))
    first = tiny_run(name, output=tmp_path)
    second = tiny_run(name, output=tmp_path)
    assert second.history.rows == first.history.rows  # to the seconds they took
    assert second.record | {"date": ""} == first.record | {"date": ""}


def test_a_folder_of_another_run_is_refused_and_left_alone(make_tiny, undisturbed):
    files = {path: path.read_bytes() for path in undisturbed.folder.rglob("*") if path.is_file()}
    name = make_tiny()
    with pytest.raises(CheckpointError, match="seed: 0 there, 1 here"):
        tiny_run(name, seed=1, output=undisturbed.folder)
    with pytest.raises(CheckpointError, match="validate: False there, True here"):
        tiny_run(name, validate=True, output=undisturbed.folder)
    with pytest.raises(CheckpointError, match="epochs: 4 there, 5 here"):
        tiny_run(make_tiny(size=replace(TINY, epochs=5)), output=undisturbed.folder)
    with pytest.raises(CheckpointError, match="train_digest: "):
        tiny_run(make_tiny(size=replace(TINY, train_images=95)), output=undisturbed.folder)
    make_tiny()
    recipe = EXPERIMENTS[name].recipes["course"]
    EXPERIMENTS[name].recipes["course"] = replace(recipe, learning_rate=0.5)
    with pytest.raises(CheckpointError, match=f"learning_rate: {recipe.learning_rate} there, 0.5 here"):
        tiny_run(name, output=undisturbed.folder)
    assert {path: path.read_bytes() for path in undisturbed.folder.rglob("*") if path.is_file()} == files


def test_a_run_whose_loss_is_no_number_has_no_record(make_tiny, tmp_path, capsys):
    name = make_tiny("rts-mnist/cnn")
    EXPERIMENTS[name].recipes["course"] = Recipe("sgd", 1e20, 32)
    result = tiny_run(name, output=tmp_path)
    assert "the loss became" in result.history.stopped
    assert "same call" not in capsys.readouterr().out  # it would end in the same way
    assert result.record is None
    assert_unfinished(tmp_path, len(result.history))
    assert all(math.isfinite(value) for row in result.history.rows for value in row.values())


# At any instant

KILLS = 20


@needs_sigkill
def test_killed_twenty_times_at_random_a_run_ends_with_the_same_bits(tmp_path):
    epochs, folder, dice = 150, tmp_path / "run", random.Random(0)
    began = time.perf_counter()
    assert in_another_process(run_with_dropout, tmp_path / "undisturbed", epochs) == 0
    an_epoch = (time.perf_counter() - began) / epochs

    def finished() -> int:
        return max((int(path.stem[-4:]) for path in folder.glob("checkpoints/epoch-*.pt")), default=0)

    ready = multiprocessing.get_context("forkserver").Event()
    for kill in range(KILLS):
        ready.clear()
        process, until = start(run_with_dropout, folder, epochs, ready), finished() + kill % 3
        ready.wait()
        while finished() < until and process.is_alive():  # it goes on by no, one or two epochs before it is killed …
            time.sleep(0.001)
        time.sleep(dice.uniform(0, (8 if kill % 3 == 0 else 2) * an_epoch))  # … in training, saving or starting
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL  # none of them came to its end
    assert KILLS - 2 <= finished() < epochs
    assert in_another_process(run_with_dropout, folder, epochs) == 0
    assert_same_weights(folder, tmp_path / "undisturbed")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file that was just being opened
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no interval timer")
def test_ctrl_c_at_any_instant_and_the_run_ends_with_the_same_bits(make_tiny, undisturbed, tmp_path):
    def interrupt(number, frame):
        raise KeyboardInterrupt

    name, dice, stops = make_tiny(), random.Random(1), 0
    seconds = sum(undisturbed.history.column("seconds"))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(20):
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.001, seconds / 3))
            try:
                stops += tiny_run(name, output=tmp_path).record is None
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:  # outside of training: while data are read, or the network scored
                stops += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stops >= 3
    assert without_time(tiny_run(name, output=tmp_path).record) == without_time(undisturbed.record)
    assert_same_weights(tmp_path, undisturbed.folder)


# Where it writes

needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of files")


@needs_limits
@pytest.mark.parametrize("batch, saved", [(1, 0), (2 * BATCHES_AN_EPOCH + 2, 2)])
def test_a_disk_that_fills_up_costs_no_training_and_no_file(make_tiny, undisturbed, tmp_path, capsys, batch, saved):
    folder, said = tmp_path / "run", tmp_path / "said"
    assert in_another_process(run_on_a_full_disk, folder, batch, said) == 0
    for epoch in range(saved + 1, 5):
        assert f"Epoch {epoch} could not be saved (" in said.read_text()
    assert said.read_text().count("Training goes on without.") == 4 - saved
    assert "Weights and record could not be saved" in said.read_text()
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]
    assert_goes_on(make_tiny(), undisturbed, folder, saved, capsys)  # once there is room again


def test_a_folder_that_is_removed_meanwhile_is_made_again(make_tiny, undisturbed, tmp_path):
    folder = tmp_path / "here" / "run"
    name = make_tiny(distortion=Doing(8, lambda: shutil.rmtree(tmp_path / "here")))
    result = tiny_run(name, output=folder)
    assert result.saved
    assert_same_weights(folder, undisturbed.folder)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["epoch-0003.pt", "epoch-0004.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no folder that nobody may write to")
def test_where_nothing_can_be_written_nothing_is_trained(make_tiny, monkeypatch):
    monkeypatch.setattr("stn_course.experiments.runner.fit", None)
    with pytest.raises(OSError, match="expected a folder that can be written for training .*, got /proc/mnist"):
        tiny_run(make_tiny(), output="/proc/mnist/st-cnn")  # made by the system; not even root may add to it


def test_two_at_once_train_once(make_tiny, undisturbed, tmp_path):
    folder, said = tmp_path / "run", [tmp_path / "one", tmp_path / "two"]
    both = [start(run_and_say, folder, path) for path in said]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert_same_weights(folder, undisturbed.folder)
    first, second = sorted((path.read_text() for path in said), key=lambda text: "epoch  1" not in text)
    assert all(f"epoch  {epoch}/4" in first for epoch in (1, 2, 3, 4))
    assert "epoch  " not in second and "Going on after epoch 4 of 4." in second
