"""CIFAR-10 turned, resized and moved about on a 48×48 canvas."""

import functools
from dataclasses import replace

from stn_course.augmentation import FlipAndShift
from stn_course.distortions import RTS
from stn_course.models import CifarCNN, RtsCifarSTN
from stn_course.tasks import cifar10
from stn_course.tasks.recipe import Profile, course_recipe, profiles
from stn_course.tasks.task import Contestant

TASK = replace(
    cifar10.TASK,
    name="rts-cifar10",
    profiles=profiles(**cifar10.TASK.profiles | {"full": Profile(15)}),
    distortion=RTS(canvas=48, image=32),
)

COURSE = {  # the canvas has its own shifts
    "course": course_recipe(
        1.5e-3, batch_size=64, localisation_rate=0.1, weight_decay=0.01, augmentation=FlipAndShift(shift=0)
    )
}

CONTESTANTS = {
    "st": Contestant("STN on distorted CIFAR-10", RtsCifarSTN, COURSE, baseline="st-baseline"),
    "st-baseline": Contestant("CNN of its size", functools.partial(CifarCNN, (32, 64), 48, 219), COURSE),
}
