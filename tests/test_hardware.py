"""What there is to compute on is found by name, and bfloat16 is chosen where it was measured to be faster.

Nothing is timed here: what a measurement would find is put in its place.
"""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import changed
from torch import nn

from stn_course.experiments import EXPERIMENTS, Precision, faster_precision, find_device, hardware, hardware_name
from stn_course.experiments.hardware import FILE, TOO_SHORT, WORTH, measure, native_bfloat16

CPU = torch.device("cpu")
NAME = "rts-mnist/st-cnn"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data folder, not yet there."""
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def machine(monkeypatch, folder):
    """A machine that has bfloat16; `ratio` is what measuring finds, `asked` what was measured."""

    class Machine:
        ratio, asked = 1.5, []

        @staticmethod
        def start_python_anew():
            monkeypatch.setattr(hardware, "_measured", {})

    def found(experiment, recipe, device):
        machine.asked.append((experiment.title, recipe.batch_size, device.type))
        if isinstance(machine.ratio, Exception):
            raise machine.ratio
        return machine.ratio

    machine = Machine()
    machine.asked = []
    monkeypatch.setattr(hardware, "native_bfloat16", lambda device: True)
    monkeypatch.setattr(hardware, "measure", found)
    machine.start_python_anew()
    return machine


# Which precision


@pytest.mark.parametrize(
    "ratio, name, because",
    [
        (1.714, "bfloat16", "measured: bfloat16 1.71 times as fast"),
        (WORTH, "bfloat16", "measured: bfloat16 1.05 times as fast"),
        (1.02, "float32", "measured: bfloat16 1.02 times as fast"),
        (0.52, "float32", "measured: bfloat16 0.52 times as fast"),
    ],
)
def test_it_is_the_faster_one_and_says_why(machine, ratio, name, because):
    machine.ratio = ratio
    assert faster_precision(NAME, "course", CPU) == Precision(name, because)
    assert machine.asked == [("ST-CNN, affine", 256, "cpu")]


def test_nothing_is_measured_where_nothing_hangs_on_it(machine, folder, monkeypatch):
    assert faster_precision(NAME, "published", CPU) == ("float32", "the recipe's")
    assert faster_precision(NAME, "course", CPU, TOO_SHORT - 1) == ("float32", "too short to measure")
    monkeypatch.setattr(hardware, "native_bfloat16", lambda device: False)
    assert faster_precision(NAME, "course", CPU) == ("float32", "no bfloat16 in this hardware")
    assert machine.asked == []
    assert not folder.exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_smoke_run_is_too_short_and_a_full_one_is_not(machine, name):
    smoke, full = (EXPERIMENTS[name].profiles[profile] for profile in ("smoke", "full"))
    assert smoke.epochs * smoke.train_images < TOO_SHORT <= full.epochs * 50_000


def test_it_is_measured_once_a_machine_and_network(machine, folder):
    first = faster_precision(NAME, "course", CPU)
    for _ in range(2):
        machine.ratio = 0.1  # a busy moment
        assert faster_precision(NAME, "course", CPU) == first
        machine.start_python_anew()
    assert len(machine.asked) == 1
    assert faster_precision("rts-mnist/cnn", "course", CPU).name == "float32"
    assert len(machine.asked) == 2
    ((key, found),) = json.loads((folder / FILE).read_text()).items()
    assert hardware_name(CPU) in key and torch.__version__ in key and f"{torch.get_num_threads()} threads" in key
    assert found == {f"{NAME} course": 1.5, "rts-mnist/cnn course": 0.1}


@pytest.mark.parametrize("what", ["processor", "threads", "torch"])
def test_another_machine_measures_for_itself(machine, folder, what, monkeypatch):
    faster_precision(NAME, "course", CPU)
    machine.start_python_anew()
    machine.ratio = 0.5
    if what == "processor":
        monkeypatch.setattr(hardware, "hardware_name", lambda device: "another")
    elif what == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    else:
        monkeypatch.setattr(torch, "__version__", "99.0")
    assert faster_precision(NAME, "course", CPU).name == "float32"
    assert len(machine.asked) == len(json.loads((folder / FILE).read_text())) == 2


KEY = f"{hardware_name(CPU)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
DAMAGED = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b"[]",
    b"3",
    json.dumps({KEY: 3}).encode(),
    *(json.dumps({KEY: {f"{NAME} course": value}}).encode() for value in ("fast", None, -1, 0, math.nan, math.inf, [])),
]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[-30:]))
def test_a_damaged_file_is_no_problem(machine, folder, content):
    folder.mkdir()
    (folder / FILE).write_bytes(content)
    assert faster_precision(NAME, "course", CPU).name == "bfloat16"
    machine.start_python_anew()
    assert faster_precision(NAME, "course", CPU).name == "bfloat16"
    assert len(machine.asked) == 1  # it was mended


@pytest.mark.parametrize("place", ["the folder", "the file"])
def test_a_place_that_cannot_be_written_is_no_problem(machine, folder, place):
    if place == "the folder":
        folder.write_text("a file")
    else:
        (folder / FILE).mkdir(parents=True)
    for _ in range(2):
        assert faster_precision(NAME, "course", CPU).name == "bfloat16"
    assert len(machine.asked) == 1  # once in each process


def test_what_others_have_measured_is_kept(machine, folder):
    folder.mkdir()
    (folder / FILE).write_text(json.dumps({"another machine": {"rts-mnist/cnn course": 2.0}}))
    faster_precision(NAME, "course", CPU)
    assert json.loads((folder / FILE).read_text())["another machine"] == {"rts-mnist/cnn course": 2.0}


def test_a_gpu_that_is_full_is_not_measured(machine, folder):
    machine.ratio = torch.OutOfMemoryError("CUDA out of memory.")
    chosen = faster_precision(NAME, "course", CPU)
    assert chosen == ("float32", "not measured: the GPU's memory is full")
    assert not (folder / FILE).exists()
    machine.ratio = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        faster_precision(NAME, "course", CPU)


# Measuring, by a clock that is not one


def test_the_shortest_times_of_both_are_compared_and_nothing_random_is_used_up(monkeypatch):
    clock, modes = [0.0], []
    seconds = {False: [1, 3, 2, 4], True: [1, 5, 4, 6]}  # without and with autocast: the first one warms up

    class Timed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(28 * 28, 10))

        def forward(self, images):
            mode = torch.is_autocast_enabled("cpu")
            clock[0] += seconds[mode][modes.count(mode)]
            modes.append(mode)
            assert self.training and images.shape == (64, 1, 28, 28)
            return self.layers(images)

    monkeypatch.setattr(hardware.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(hardware, "SECONDS", 3 + 5 + 2 + 4 + 4)  # over in the third round
    experiment = changed(EXPERIMENTS["mnist/tutorial-st"], model=Timed)
    state = torch.get_rng_state()
    assert measure(experiment, experiment.recipes["course"], CPU) == 2 / 4
    assert modes == [False, True] * 4  # in turns
    assert torch.equal(torch.get_rng_state(), state)


# Devices


def test_native_bfloat16_is_yes_or_no():
    assert type(native_bfloat16(CPU)) is bool
    assert native_bfloat16(torch.device("meta")) is False
    if torch.cuda.is_available():
        assert type(native_bfloat16(torch.device("cuda"))) is bool


@pytest.fixture
def gpus(monkeypatch):
    def have(n):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return have


@pytest.mark.parametrize("n, default", [(0, "cpu"), (1, "cuda"), (2, "cuda")])
def test_a_device_that_is_there_is_found(gpus, n, default):
    gpus(n)
    assert find_device() == find_device(None) == torch.device(default)
    for name in ["cpu", *(["cuda"] if n else []), *(f"cuda:{index}" for index in range(n))]:
        assert find_device(name) == find_device(torch.device(name)) == torch.device(name)


@pytest.mark.parametrize("n, there", [(0, "cpu"), (1, "cpu, cuda, cuda:0"), (2, "cpu, cuda, cuda:0, cuda:1")])
@pytest.mark.parametrize("name", ["mps", "tpu", "gpu", "meta", "cuda:7", "", "CPU", 7, torch.device("meta")])
def test_a_device_that_is_not_there_is_told_what_is(gpus, n, there, name):
    gpus(n)
    with pytest.raises(ValueError, match=f"^expected device as one of {there}, got {str(name)!r}$"):
        find_device(name)


@given(st.text())
def test_no_word_is_a_traceback(name):
    try:
        assert str(find_device(name)) == name
    except ValueError as error:
        assert "expected device as one of cpu" in str(error)


def test_the_name_and_precision_are_those_of_the_gpu_that_is_asked_for(monkeypatch):
    current = [0]

    class On:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device.index)

        def __exit__(self, *error):
            current.pop()

    monkeypatch.setattr(torch.cuda, "device", On)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current[-1] == 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: ["T4", "H100"][device.index])
    assert [native_bfloat16(torch.device("cuda", index)) for index in (0, 1)] == [False, True]
    assert [hardware_name(torch.device("cuda", index)) for index in (0, 1)] == ["T4", "H100"]


def test_a_processor_has_a_name_also_where_nobody_tells_it(monkeypatch):
    assert hardware_name(CPU)
    monkeypatch.setattr(hardware, "Path", lambda path: hardware.data_folder() / "nowhere")
    assert hardware_name(CPU) == (hardware.platform.processor() or hardware.platform.machine())
