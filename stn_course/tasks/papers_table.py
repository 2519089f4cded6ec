"""The eight networks of the paper's Table 1, its test errors, and what its tasks have in common.

The paper trains each for 150,000 steps of SGD on a canvas of its own choice. Here every task has the 42×42 canvas of
RTS, so that a network has one size in all columns, and the course's recipe.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), table 1.
"""

import functools
from dataclasses import replace

from stn_course.models import CNN, FCN, STCNN, STFCN
from stn_course.tasks.recipe import Profile, course_recipe, profiles
from stn_course.tasks.task import Contestant
from stn_course.transforms import Affine, Projective, ThinPlateSpline

COLUMNS = ("R", "RTS", "P", "E")
ERRORS = {  # network → test error in per cent, a column each
    "fcn": (2.1, 5.2, 3.1, 3.2),
    "cnn": (1.2, 0.8, 1.5, 1.4),
    "st-fcn": (1.2, 0.8, 1.5, 2.7),
    "st-fcn-projective": (1.3, 0.9, 1.4, 2.6),
    "st-fcn-tps": (1.1, 0.8, 1.4, 2.4),
    "st-cnn": (0.7, 0.5, 0.8, 1.2),
    "st-cnn-projective": (0.8, 0.6, 0.8, 1.3),
    "st-cnn-tps": (0.7, 0.5, 0.8, 1.1),
}
PROFILES = profiles(
    smoke=Profile(1, train_images=128, test_images=100), quick=Profile(3, train_images=10_000), full=Profile(20)
)

# the transformer learns faster than the classifier, or it leaves turned digits turned
COURSE = {"course": course_recipe(1e-3, batch_size=256, localisation_rate=5.0, weight_decay=0.01)}
# as many tries for each; where there is no localisation network, its rate does nothing
TRIES = ("64-0.001-5", "64-0.001-1", "64-0.002-1", "64-0.004-1", "256-0.001-5")
TRIES_WITHOUT = ("64-0.001-1", "64-0.002-1", "64-0.004-1", "64-0.008-1", "256-0.001-1")


FAMILIES = (Affine(), Projective(), ThinPlateSpline())  # the first gives a network its plain name


def contestants(column: str) -> dict[str, Contestant]:
    """Make the eight networks of a column of the table, by their names."""
    place = COLUMNS.index(column)
    made = {}
    for name, plain, transformed in (("fcn", FCN, STFCN), ("cnn", CNN, STCNN)):
        made[name] = Contestant(name.upper(), plain, COURSE, tries=TRIES_WITHOUT)
        for family in FAMILIES:
            label = "" if family == FAMILIES[0] else f"-{family.label}"
            made[f"st-{name}{label}"] = Contestant(
                f"ST-{name.upper()}, {family.label}",
                functools.partial(transformed, family),
                COURSE,
                tries=TRIES,
                baseline=name,
            )
    return {name: replace(one, paper=ERRORS[name][place]) for name, one in made.items()}
