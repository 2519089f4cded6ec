"""CIFAR-10: photographs, upright (systems C1 and C2)."""

from dataclasses import replace

from stn_course.augmentation import FlipAndShift, FlipShiftAndCut
from stn_course.data import Normalise, load_cifar10
from stn_course.models import CifarCNN, CifarLeNet, CifarLeNetSTN, CifarSTN, ResidualCNN, ResidualSTN
from stn_course.tasks.recipe import Profile, Recipe, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task

TASK = Task(
    "cifar10",
    load_cifar10,
    profiles(
        smoke=Profile(1, train_images=256, test_images=200), quick=Profile(3, train_images=10_000), full=Profile(50)
    ),
    normalise=Normalise(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
)

# the first was published without its optimiser: the second's is taken, as in another log of the same network
PUBLISHED = {"published": Recipe("sgd", 0.01, batch_size=64)}
COURSE = {
    "course": course_recipe(
        1.5e-3, batch_size=128, localisation_rate=0.3, weight_decay=0.01, augmentation=FlipAndShift(shift=1)
    )
}
LENET_COURSE = {  # so small a classifier, without dropout, learns more by larger steps
    "course": course_recipe(
        6e-3, batch_size=128, localisation_rate=0.1, weight_decay=0.01, augmentation=FlipAndShift(shift=2)
    )
}
RESIDUAL_COURSE = {
    "course": course_recipe(4e-3, batch_size=512, localisation_rate=0.1, weight_decay=0.05, augmentation=FlipAndShift())
}
# What the fast public residual networks have in common. Nobody has trained these two recipes yet.
# Source: Page, "How to Train Your ResNet", 2018; Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024 (arXiv:2404.00498).
FAST = {"augmentation": FlipShiftAndCut(), "smoothing": 0.1, "average": 0.99}
RESIDUAL_RECIPES = RESIDUAL_COURSE | {
    "nesterov": replace(
        RESIDUAL_COURSE["course"],
        optimizer="nesterov",
        learning_rate=0.4,
        localisation_rate=0.02,
        weight_decay=5e-4,
        **FAST,
    ),
    "smoothed": replace(RESIDUAL_COURSE["course"], **FAST),
}
RESIDUAL_PROFILES = profiles(  # fourteen times the arithmetic of `CifarSTN`: meant for a GPU
    smoke=Profile(1, train_images=32, test_images=40),
    quick=Profile(3, train_images=2000, test_images=2000),
    full=Profile(24),
)

CONTESTANTS = {
    "st": Contestant("STN on CIFAR-10", CifarSTN, PUBLISHED | COURSE, published=66.94, baseline="st-baseline"),
    "st-baseline": Contestant("CNN of its size", CifarCNN, COURSE),
    "lenet-st": Contestant(
        "STN with a LeNet", CifarLeNetSTN, PUBLISHED | LENET_COURSE, published=65.83, baseline="lenet-st-baseline"
    ),
    "lenet-st-baseline": Contestant("LeNet of its size", CifarLeNet, LENET_COURSE),
    "st-resnet": Contestant(
        "residual STN", ResidualSTN, RESIDUAL_RECIPES, baseline="st-resnet-baseline", profiles=RESIDUAL_PROFILES
    ),
    "st-resnet-baseline": Contestant("residual network", ResidualCNN, RESIDUAL_RECIPES, profiles=RESIDUAL_PROFILES),
}
