"""The experiments of the course by name: every contestant at its task."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from stn_course.checks import lookup
from stn_course.tasks import TASKS, Contestant, Profile, Recipe, Task


@dataclass(frozen=True)
class Experiment:
    """A contestant at a task, and the facts of both.

    Example:
        >>> EXPERIMENTS["rts-mnist/st-cnn"].title, EXPERIMENTS["rts-mnist/st-cnn"].baseline
        ('ST-CNN, affine', 'rts-mnist/cnn')
    """

    task: Task
    contestant: Contestant

    title = property(attrgetter("contestant.title"))
    model = property(attrgetter("contestant.model"))
    recipes = property(attrgetter("contestant.recipes"))
    tries = property(attrgetter("contestant.tries"))
    published = property(attrgetter("contestant.published"))
    paper = property(attrgetter("contestant.paper"))
    load = property(attrgetter("task.load"))
    distortion = property(attrgetter("task.distortion"))
    normalise = property(attrgetter("task.normalise"))
    probe_images = property(attrgetter("task.probe_images"))
    scored_images = property(attrgetter("task.scored_images"))
    training_transform = property(attrgetter("task.training_transform"))

    def recipe(self, name: str) -> Recipe:
        """Return the contestant's recipe of a name."""
        return self.contestant.recipe(name)

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The contestant's own, else the task's."""
        return self.contestant.profiles or self.task.profiles

    @property
    def baseline(self) -> str | None:
        """The name of the experiment without a transformer to compare with, or None."""
        return self.contestant.baseline and f"{self.task.name}/{self.contestant.baseline}"


EXPERIMENTS = {
    f"{file.TASK.name}/{name}": Experiment(file.TASK, contestant)
    for file in TASKS
    for name, contestant in file.CONTESTANTS.items()
}


def get_experiment(name: str) -> Experiment:
    """Return the experiment of a name; for an unknown name, raise a ValueError that lists the known ones.

    Example:
        >>> get_experiment("mnist")
        Traceback (most recent call last):
        ValueError: expected experiment as one of rts-mnist/cnn, rts-mnist/st-cnn, ..., got 'mnist'
    """
    return lookup("experiment", name, EXPERIMENTS)
