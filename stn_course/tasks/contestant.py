"""Who competes at a task: a network, and how it is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from stn_course.tasks.recipe import Profile, Recipe


@dataclass(frozen=True)
class Contestant:
    """A network and its recipes by name; it knows nothing of the task.

    Args:
        title: what tables and figures call it.
        model: makes the network, untrained.
        recipes: "course", and "published" where there is something to repeat.
        published: what the original reported, in per cent, or None.
        baseline: the contestant without a transformer to compare with, by its name at the same task, or None.
        profiles: its own, if the task's do not suit it.
    """

    title: str
    model: Callable[[], nn.Module]
    recipes: Mapping[str, Recipe]
    published: float | None = None
    baseline: str | None = None
    profiles: Mapping[str, Profile] | None = None
