"""What every notebook starts with: versions, device, profile and data, in four lines."""

import math
import os
import sys
import warnings

import torch
import torchvision

import stn_course
from stn_course.allocator import reuse_freed_memory
from stn_course.checks import lookup
from stn_course.data import load_mnist
from stn_course.experiments import EXPERIMENTS, faster_precision, find_device, hardware_name, profile_name
from stn_course.places import drive_folder, runs_folder
from stn_course.tasks import OFFLINE

SHOWN = "rts-mnist/st-cnn"  # the network whose precision stands beside the device


def setup() -> None:
    """Prepare a notebook and print what it runs on: versions, device, profile and where the digits come from.

    Beside the device stands the precision in which `run` trains the ST-CNN here, measured once if need be; another
    network may get another one, which its record says.

    Example:
        >>> setup()  # doctest: +SKIP
        stn_course 0.1.0   torch 2.9.0   torchvision 0.24.0   Python 3.12.3
        device    cpu, 2 threads, bfloat16 (measured: bfloat16 1.71 times as fast)
        profile   quick: minutes
        data      MNIST, test split, 10,000 digits
    """
    profile = profile_name()
    takes = {"smoke": "seconds, on the digits that come with the package", "quick": "minutes", "full": "as published"}
    lookup("STN_COURSE_PROFILE", profile, takes)
    reuse_freed_memory()
    with warnings.catch_warnings():  # the first import of pyplot on a machine builds its font cache and says so
        warnings.simplefilter("ignore")
        import matplotlib.pyplot  # noqa: F401
    digits = load_mnist("test", offline=OFFLINE[profile] or None)  # also "full" shows what there is
    device, size = find_device(), EXPERIMENTS[SHOWN].profiles[profile]
    precision = faster_precision(SHOWN, "course", device, size.epochs * (size.train_images or math.inf))
    what = hardware_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    python = ".".join(map(str, sys.version_info[:3]))
    versions = {"stn_course": stn_course, "torch": torch, "torchvision": torchvision}
    shown = {name: module.__version__ for name, module in versions.items()}
    print("   ".join(f"{name} {version}" for name, version in (shown | {"Python": python}).items()))
    print(f"device    {what}, {precision.name} ({precision.because})")
    print(f"profile   {profile}: {takes[profile]}")
    print(f"data      {digits.source}")
    if os.environ.get("COLAB_RELEASE_TAG"):
        _about_colab()


def _about_colab() -> None:
    if not torch.cuda.is_available():
        print("There is no GPU here. To get one: menu Runtime, Change runtime type, T4 GPU. All notebooks run without.")
    if drive_folder():
        print(f"runs      {runs_folder()}: what is trained here, and which exercises you solved, outlives this runtime")
    else:
        print(
            "What is trained is lost with this runtime. To keep it, and go on where it stopped, mount Google Drive:\n"
            "    from google.colab import drive; drive.mount('/content/drive')"
        )
