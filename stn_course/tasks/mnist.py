"""Plain MNIST, with the gentlest spatial transformer (system P)."""

from stn_course.augmentation import FlipAndShift
from stn_course.data import Normalise, load_mnist
from stn_course.models import TutorialCNN, TutorialSTN
from stn_course.tasks.recipe import Profile, Recipe, course_recipe, profiles
from stn_course.tasks.task import Contestant, Task

TASK = Task(
    "mnist",
    load_mnist,
    profiles(smoke=Profile(1, train_images=512, test_images=500), quick=Profile(3), full=Profile(20)),
    normalise=Normalise(mean=(0.1307,), std=(0.3081,)),
)

COURSE = {
    "course": course_recipe(3e-3, batch_size=128, weight_decay=0.01, augmentation=FlipAndShift(flip=False, shift=2))
}
RECIPES = {"published": Recipe("sgd", 0.01, batch_size=64)} | COURSE

CONTESTANTS = {
    "tutorial-st": Contestant("first STN", TutorialSTN, RECIPES, published=98.76, baseline="tutorial-st-baseline"),
    "tutorial-st-baseline": Contestant("CNN of its size", TutorialCNN, COURSE),
}
