"""The photographs of `rts_round_cifar10` after a perfect transformer: each canvas is undone by its true pose."""

import functools
from dataclasses import replace

from stn_course.distortions import StraightRTS
from stn_course.models import CifarCNN
from stn_course.tasks import rts_round_cifar10
from stn_course.tasks.rts_round_cifar10 import rival

TASK = replace(
    rts_round_cifar10.TASK,
    name="straight-round-cifar10",
    distortion=StraightRTS(canvas=48, image=32, disc=True),
)
CONTESTANTS = {
    "classifier": rival("the STN's classifier", functools.partial(CifarCNN, (16, 32))),
    "cnn": rival("CNN of the STN's size", functools.partial(CifarCNN, (32, 64), 32, 706)),
}
