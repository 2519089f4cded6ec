"""What several test files use."""

import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, tiny, tiny_run

from stn_course.experiments import EXPERIMENTS, hardware


@pytest.fixture(scope="session")
def real_mnist() -> Path:
    """The folder that holds the real MNIST; tests that need it are skipped, with the reason, where it is not found."""
    folder = Path(os.environ.get("STN_COURSE_DATA") or "nowhere")
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip("the real MNIST is not in STN_COURSE_DATA")
    return folder


@pytest.fixture(scope="session")
def real_cifar10() -> Path:
    """The folder that holds the real CIFAR-10, in either form."""
    folder = Path(os.environ.get("STN_COURSE_DATA") or "nowhere")
    if not ((folder / "cifar10.npz").is_file() or (folder / "cifar-10-batches-py").is_dir()):
        pytest.skip("the real CIFAR-10 is not in STN_COURSE_DATA")
    return folder


@pytest.fixture(autouse=True)
def no_bfloat16(monkeypatch):
    """Nothing is timed, and no outcome hangs on what the machine has; who asks for bfloat16 by name still gets it."""
    monkeypatch.setattr(hardware, "native_bfloat16", lambda device: False)


@pytest.fixture
def one_thread():
    """Tiny tensors are slower on several, the more so where other processes want the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_tiny(monkeypatch):
    """Puts the small version of an experiment in its place, and returns its name."""

    def put(name="rts-mnist/st-cnn", size=TINY, **changes):
        monkeypatch.setitem(EXPERIMENTS, name, tiny(name, size, **changes))
        return name

    return put


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The tiny ST-CNN, trained on one thread without a stop."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(hardware, "native_bfloat16", lambda device: False)  # made before `no_bfloat16` is
        monkeypatch.setitem(EXPERIMENTS, "rts-mnist/st-cnn", tiny("rts-mnist/st-cnn"))
        result = tiny_run("rts-mnist/st-cnn", output=tmp_path_factory.mktemp("undisturbed"))
    torch.set_num_threads(before)
    return result


@pytest.fixture
def sigint():
    """SIGINT as Python usually takes it, which a process in the background may not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.SIGINT
    signal.signal(signal.SIGINT, before)
