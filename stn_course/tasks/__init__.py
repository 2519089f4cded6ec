"""Data, distortion, loss and score, and who competes: one file a task.

A file has two names: `TASK`, a `Task`, and `CONTESTANTS`, name → `Contestant`. A new one joins by its name in `TASKS`.
"""

import importlib

from stn_course.tasks.contestant import Contestant
from stn_course.tasks.recipe import OFFLINE, Profile, Recipe, course_recipe, profiles
from stn_course.tasks.task import TEST_SEED, Task, distorted

TASKS = tuple(
    importlib.import_module(f"{__name__}.{name}")
    for name in (
        "rts_mnist",
        "mnist",
        "cifar10",
        "rts_cifar10",
    )
)
"""The files of the tasks, in the order in which tables list them."""

__all__ = [
    "OFFLINE",
    "TASKS",
    "TEST_SEED",
    "Contestant",
    "Profile",
    "Recipe",
    "Task",
    "course_recipe",
    "distorted",
    "profiles",
]
