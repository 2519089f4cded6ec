"""What several test files use."""

import os
from pathlib import Path

import pytest
import torch


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


@pytest.fixture
def one_thread():
    """Tiny tensors are slower on several, the more so where other processes want the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
