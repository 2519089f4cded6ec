"""A run goes on from its last readable checkpoint as if it had never stopped, and from no other run's."""

import copy
import os
import pickle
import random
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stn_course.checkpoints import CheckpointError, resume, save_checkpoint, saved_fingerprint
from stn_course.data import Batches, ImageData
from stn_course.training import History, fit

FINGERPRINT = {"experiment": "tiny", "seed": 0, "clip": None, "rate": 3e-3, "one_cycle": True}
EPOCHS = 5
ROW = {"epoch": 1, "loss": 0.5, "accuracy": 0.5, "seconds": 1.0}


pytestmark = pytest.mark.usefixtures("one_thread")


def noise(images, generator):
    return images + 0.1 * torch.rand(images.shape, generator=generator)


class Run:
    """A tiny training run with everything that has a state: dropout, momentum, a schedule, shuffling, distortion."""

    def __init__(self, folder, seed=0, schedule=True):
        pixels = torch.randint(256, (40, 1, 4, 4), generator=torch.Generator().manual_seed(9), dtype=torch.uint8)
        images = ImageData(pixels, torch.arange(40) % 3, "made up")
        torch.manual_seed(seed)
        self.folder = folder
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
        self.generator = torch.Generator().manual_seed(seed)
        self.batches = Batches(images, 16, noise, True, self.generator)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 0.01)
        steps = EPOCHS * len(self.batches)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.01, steps) if schedule else None
        self.history = History()

    @property
    def parts(self):
        return self.model, self.optimizer, self.schedule, self.generator

    def save(self, epoch, rows=None):
        rows = rows or [dict(ROW, epoch=n) for n in range(1, epoch + 1)]
        return save_checkpoint(self.folder, FINGERPRINT, epoch, *self.parts, History(rows))

    def resume(self, **changes):
        self.history = resume(self.folder, FINGERPRINT | changes, *self.parts)
        return self.history

    def train(self, stop_in=None, at_step=1):
        """Go on, up to a Ctrl-C in epoch `stop_in`."""
        rows = list(self.history.rows)
        started = len(rows)

        def after_epoch(row):
            rows.append(row)
            self.save(row["epoch"], rows)

        def batches():
            for step, batch in enumerate(Batches.__iter__(self.batches), start=1):
                if len(rows) + 1 == stop_in and step == at_step:
                    raise KeyboardInterrupt
                yield batch

        class Stopping:
            __len__ = lambda _: len(self.batches)  # noqa: E731
            __iter__ = lambda _: batches()  # noqa: E731

        self.history = fit(
            self.model,
            Stopping(),
            epochs=EPOCHS,
            optimizer=self.optimizer,
            schedule=self.schedule,
            history=self.history,
            after_epoch=after_epoch,
            progress=False,
        )
        assert len(self.history) == (EPOCHS if stop_in is None else max(stop_in - 1, started))
        return self

    def everything(self):
        """All that the next epoch depends on, and what was said of those before."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "history": [{name: value for name, value in row.items() if name != "seconds"} for row in self.history.rows],
        }


def assert_same(ours, theirs, where="state"):
    """To the last bit."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}[{key!r}]")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(our, their, f"{where}[{i}]")
    else:
        assert ours == theirs, where


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# Saving and going on


@pytest.mark.parametrize("schedule", [True, False])
def test_everything_comes_back(tmp_path, schedule):
    run = Run(tmp_path, schedule=schedule).train()
    expected = copy.deepcopy(run.everything())
    torch.rand(10)
    fresh = Run(tmp_path, seed=1, schedule=schedule)
    assert isinstance(fresh.resume(), History)
    assert_same(fresh.everything(), expected)


def test_the_path_is_returned_and_folders_are_made(tmp_path):
    path = Run(tmp_path / "runs" / "one").save(7)
    assert path == tmp_path / "runs" / "one" / "epoch-0007.pt"
    assert path.exists()


def test_the_last_two_are_kept(tmp_path):
    run = Run(tmp_path)
    kept = []
    for epoch in (1, 2, 3, 9, 10, 11, 100):
        run.save(epoch)
        kept.append(names(tmp_path))
    assert kept[:3] == [["epoch-0001.pt"], ["epoch-0001.pt", "epoch-0002.pt"], ["epoch-0002.pt", "epoch-0003.pt"]]
    assert kept[-1] == ["epoch-0011.pt", "epoch-0100.pt"]


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    run = Run(tmp_path)
    run.save(1)
    (tmp_path / ".epoch-0002.pt.x1y2.part").write_bytes(b"half")
    run.resume()
    assert names(tmp_path) == ["epoch-0001.pt"]


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run = Run(tmp_path)
    for epoch in (1, 2, 3):
        run.save(epoch)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_nothing_to_go_on_from_changes_nothing(tmp_path, there, capsys):
    folder = tmp_path / "checkpoints"
    if there:
        folder.mkdir()
        (folder / ".epoch-0001.pt.x3.part").write_bytes(b"what a killed process left")
    run = Run(folder)
    before = copy.deepcopy(run.everything())
    assert run.resume() == History()
    assert_same(run.everything(), before)
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    ended = copy.deepcopy(Run(tmp_path_factory.mktemp("undisturbed")).train().everything())
    torch.set_num_threads(threads)
    return ended


@pytest.mark.parametrize("stops", [[1], [2], [3], [5], [2, 3], [2, 2, 4, 5]])
def test_a_stopped_run_ends_like_one_that_was_not(tmp_path, undisturbed, stops):
    def started_again():
        return Run(tmp_path, seed=99 if names(tmp_path) else 0)  # what was saved counts, not how the process starts

    for at_step, stop in enumerate(stops, start=1):
        run = started_again()
        run.resume()
        run.train(stop, at_step=min(at_step, 3))
    run = started_again()
    assert len(run.resume()) == stops[-1] - 1
    assert_same(run.train().everything(), undisturbed)


def test_a_finished_run_has_nothing_left_to_do(tmp_path, undisturbed):
    Run(tmp_path).train()
    run = Run(tmp_path, seed=99)
    run.resume()
    assert_same(run.train().everything(), undisturbed)


# Damage


class Files(dict):
    def __repr__(self):
        return f"files {', '.join(self)}"  # their bytes are nothing to read


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    """The files of epochs 3 and 4."""
    folder = tmp_path_factory.mktemp("two")
    Run(folder).train(stop_in=5)
    assert names(folder) == ["epoch-0003.pt", "epoch-0004.pt"]
    return Files({path.name: path.read_bytes() for path in sorted(folder.iterdir())})


def put(folder, files):
    for name, content in files.items():
        Path(folder, name).write_bytes(content)


def assert_falls_back(two_checkpoints, damaged: bytes):
    """The newest checkpoint is damaged: the one before is used, to the last bit, and it is said so."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        put(folder, {"epoch-0003.pt": two_checkpoints["epoch-0003.pt"]})
        expected = Run(folder)
        expected.resume()
        put(folder, {"epoch-0004.pt": damaged})
        said = []
        monkeypatch.setattr("builtins.print", said.append)
        run = Run(folder, seed=5)
        assert run.resume().column("epoch") == [1, 2, 3]
        assert_same(run.everything(), expected.everything())
        assert len(said) == 1
        assert re.match(r"epoch-0004\.pt is damaged .*passed over", said[0])


@settings(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_checkpoint_is_passed_over(two_checkpoints, share):
    whole = two_checkpoints["epoch-0004.pt"]
    assert_falls_back(two_checkpoints, whole[: int(share * len(whole))])


@settings(max_examples=25)
@given(garbage=st.binary(max_size=300))
def test_garbage_is_passed_over(two_checkpoints, garbage):
    assert_falls_back(two_checkpoints, garbage)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x02}q\x00(X"]))
def test_random_bytes_of_the_right_length_are_passed_over(two_checkpoints, seed, start):
    length = len(two_checkpoints["epoch-0004.pt"])
    assert_falls_back(two_checkpoints, start + random.Random(seed).randbytes(length - len(start)))


def test_zeros_are_passed_over(two_checkpoints):
    for n in (0, 1, 1000, len(two_checkpoints["epoch-0004.pt"])):
        assert_falls_back(two_checkpoints, bytes(n))


@settings(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_an_altered_byte_is_noticed_or_means_nothing(two_checkpoints, share, flipped):
    whole = bytearray(two_checkpoints["epoch-0004.pt"])
    whole[int(share * len(whole))] ^= flipped
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("builtins.print", lambda text: None)
        put(folder, two_checkpoints)
        expected = Run(folder)
        expected.resume()
        put(folder, {"epoch-0004.pt": bytes(whole)})
        run = Run(folder)
        if len(run.resume()) == 4:
            assert_same(run.everything(), expected.everything())
        else:
            assert len(run.history) == 3


def test_altered_weights_are_noticed(two_checkpoints):
    """`torch.load` alone does not notice."""
    whole = bytearray(two_checkpoints["epoch-0004.pt"])
    with tempfile.TemporaryDirectory() as folder:
        put(folder, two_checkpoints)
        run = Run(folder)
        run.resume()
        weights = run.model[1].weight.detach().numpy().tobytes()
    where = whole.index(weights)
    whole[where : where + 4] = b"\0\0\x80\x3f"
    assert_falls_back(two_checkpoints, bytes(whole))


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def saved(thing, **options) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        torch.save(thing, f"{folder}/file", **options)
        return Path(folder, "file").read_bytes()


def test_a_file_of_something_else_is_passed_over_and_no_code_in_it_runs(two_checkpoints, tmp_path):
    bomb = Bomb(str(tmp_path / "trace"))
    for thing in (saved([1, 2]), saved(torch.zeros(3)), saved({"epoch": 4}), saved(bomb), pickle.dumps(bomb)):
        assert_falls_back(two_checkpoints, thing)
    assert not (tmp_path / "trace").exists()


def test_a_damaged_checkpoint_does_not_change_how_the_run_ends(tmp_path, two_checkpoints, undisturbed):
    put(tmp_path, two_checkpoints | {"epoch-0004.pt": two_checkpoints["epoch-0004.pt"][:999]})
    run = Run(tmp_path, seed=5)
    assert len(run.resume()) == 3
    assert_same(run.train().everything(), undisturbed)


def test_where_all_are_damaged_the_run_starts_anew_and_says_so(tmp_path, two_checkpoints, undisturbed, capsys):
    put(tmp_path, {name: content[:999] for name, content in two_checkpoints.items()})
    run = Run(tmp_path)
    assert run.resume() == History()
    said = capsys.readouterr().out
    assert "epoch-0004.pt is damaged" in said
    assert "epoch-0003.pt is damaged" in said
    assert_same(run.train().everything(), undisturbed)


def test_what_is_saved_after_all_were_damaged_is_kept(tmp_path, two_checkpoints, undisturbed):
    put(tmp_path, {name: content[:999] for name, content in two_checkpoints.items()})
    run = Run(tmp_path)
    run.resume()
    run.train(stop_in=3)
    run = Run(tmp_path, seed=5)
    assert run.resume().column("epoch") == [1, 2]
    assert_same(run.train().everything(), undisturbed)


# Edited by hand


HISTORIES = {
    "no list": 3,
    "no rows": [3, 4],
    "a row too many": [dict(ROW, epoch=n) for n in (1, 2, 3, 4, 5)],
    "a row missing": [dict(ROW, epoch=n) for n in (1, 3, 4)],
    "a column missing": [{"epoch": n, "loss": 0.5} for n in (1, 2, 3, 4)],
    "a word for a number": [dict(ROW, epoch=n, seconds="long") for n in (1, 2, 3, 4)],
}


def edited(content, **changes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        put(folder, {"file": content})
        return saved(torch.load(f"{folder}/file", weights_only=True) | changes)


@pytest.mark.parametrize(
    "changes",
    [{"history": history} for history in HISTORIES.values()] + [{"fingerprint": "mine"}, {"epoch": "4"}],
    ids=str,
)
def test_what_makes_no_history_is_passed_over(two_checkpoints, changes):
    assert_falls_back(two_checkpoints, edited(two_checkpoints["epoch-0004.pt"], **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {}},
        {"model": {"1.weight": torch.zeros(3)}},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"schedule": None},
        {"generator": torch.zeros(3)},
        {"generator": "a word"},
        {"random": None},
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_told_with_what_to_do(two_checkpoints, tmp_path, changes):
    put(tmp_path, {"epoch-0004.pt": edited(two_checkpoints["epoch-0004.pt"], **changes)})
    with pytest.raises(CheckpointError, match="does not hold the state of this run .* Remove it") as error:
        Run(tmp_path).resume()
    assert str(tmp_path / "epoch-0004.pt") in str(error.value)


# What a run is


def test_the_fingerprint_of_the_newest_readable_checkpoint(tmp_path, two_checkpoints, capsys):
    assert saved_fingerprint(tmp_path / "nowhere") == {}
    put(tmp_path, two_checkpoints)
    assert saved_fingerprint(tmp_path) == FINGERPRINT
    other = edited(two_checkpoints["epoch-0004.pt"], fingerprint={"experiment": "other"})
    put(tmp_path, {"epoch-0004.pt": other})
    assert saved_fingerprint(tmp_path) == {"experiment": "other"}
    put(tmp_path, {"epoch-0004.pt": other[:999]})
    assert saved_fingerprint(tmp_path) == FINGERPRINT
    put(tmp_path, {"epoch-0003.pt": b""})
    assert saved_fingerprint(tmp_path) == {}
    assert capsys.readouterr().out == ""  # that is left to `resume`


# GPUs


class OnGPU(torch.Generator):
    """Says that it is on a GPU."""

    device = torch.device("cuda", 1)


@pytest.fixture
def gpus(monkeypatch):
    """Random states of two GPUs, of which only those that are asked for may be touched."""
    states = {1: torch.tensor([7], dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: pytest.fail("all GPUs were asked"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device.index])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device.index: state}))
    return states


def test_a_run_on_the_cpu_has_nothing_to_do_with_a_gpu(tmp_path, gpus):
    path = Run(tmp_path).save(1)
    assert "random_cuda" not in torch.load(path, weights_only=True)
    gpus.clear()
    Run(tmp_path).resume()
    assert gpus == {}


def test_a_run_on_a_gpu_saves_the_state_of_that_one_alone(tmp_path, gpus):
    run = Run(tmp_path)
    run.generator = OnGPU()
    run.save(1)
    gpus[1] = torch.tensor([9], dtype=torch.uint8)
    run.resume()
    assert {index: state.tolist() for index, state in gpus.items()} == {1: [7]}


def test_what_is_removed_is_emptied_first(tmp_path, monkeypatch):
    """Google Drive keeps it for a month, at the length it had."""
    run, lengths, unlink = Run(tmp_path), [], Path.unlink
    for epoch in (1, 2):
        run.save(epoch)

    def watched(path, **options):
        lengths.extend([path.stat().st_size] if path.suffix == ".pt" else [])
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", watched)
    run.save(3)
    assert lengths == [0]
    assert names(tmp_path) == ["epoch-0002.pt", "epoch-0003.pt"]
    assert run.resume().column("epoch") == [1, 2, 3]


# Another run's


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"seed": 1}, r"\(seed: 0 there, 1 here\)"),
        ({"rate": 1e-3}, r"\(rate: 0\.003 there, 0\.001 here\)"),
        ({"clip": 1.0}, r"\(clip: None there, 1\.0 here\)"),
        ({"seed": 1, "experiment": "large"}, r"\(experiment: 'tiny' there, 'large' here; seed: 0 there, 1 here\)"),
        ({"added": 3}, r"\(added: None there, 3 here\)"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, changes, told):
    Run(tmp_path).train(stop_in=3)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run = Run(tmp_path, seed=5)
    before = copy.deepcopy(run.everything())
    with pytest.raises(CheckpointError, match=told) as error:
        run.resume(**changes)
    assert isinstance(error.value, ValueError)
    assert str(tmp_path / "epoch-0002.pt") in str(error.value)
    assert_same(run.everything(), before)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_fingerprint_with_less_in_it_is_another(tmp_path):
    run = Run(tmp_path)
    run.save(1)
    with pytest.raises(CheckpointError, match=r"\(seed: 0 there, None here\)"):
        resume(tmp_path, {key: value for key, value in FINGERPRINT.items() if key != "seed"}, *run.parts)
