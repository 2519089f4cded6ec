"""Data, distortion, loss and score, and who competes: one file a task.

Each file says `TASK`, a `Task`, and `CONTESTANTS`, name → `Contestant`; add the name of a new file to the list below.
"""

import importlib

from stn_course.tasks.recipe import OFFLINE, Phase, Profile, Recipe
from stn_course.tasks.task import TEST_SEED, Contestant, Task, distorted

IN_ORDER = [  # of the tables
    "rts_mnist",
    "r_mnist",
    "p_mnist",
    "e_mnist",
    "rts_90_mnist",
    "rts_180_mnist",
    "six_or_nine",
    "cluttered_mnist",
    "mnist_addition",
    "co_localisation",
    "co_localisation_clutter",
    "mnist",
    "cifar10",
    "rts_cifar10",
    "rts_round_cifar10",
    "straight_round_cifar10",
    "signs",
]
TASKS = [importlib.import_module(f"{__name__}.{name}") for name in IN_ORDER]

__all__ = ["OFFLINE", "TASKS", "TEST_SEED", "Contestant", "Phase", "Profile", "Recipe", "Task", "distorted"]
