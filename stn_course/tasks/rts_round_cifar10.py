"""Distorted CIFAR-10 once more, a disc cut out of each photograph: its edges no longer say how it is turned."""

import functools
from dataclasses import replace

from stn_course.distortions import RTS
from stn_course.models import CifarCNN, PooledCNN, RtsCifarSTN
from stn_course.tasks import rts_cifar10
from stn_course.tasks.task import Contestant
from stn_course.transforms import Attention

TASK = replace(rts_cifar10.TASK, name="rts-round-cifar10", distortion=RTS(canvas=48, image=32, disc=True))
COURSE = rts_cifar10.COURSE
# as many tries for each; where there is no localisation network, its rate does nothing
TRIES = ("64-0.0015-0.1", "64-0.0015-0.3", "64-0.003-0.1")
TRIES_OF_THE_RIVALS = ("64-0.00075-1", "64-0.0015-1", "64-0.003-1")


rival = functools.partial(Contestant, recipes=COURSE, tries=TRIES_OF_THE_RIVALS)  # without a transformer

CONTESTANTS = {
    "st": Contestant("STN", RtsCifarSTN, COURSE, tries=TRIES, baseline="cnn"),
    "st-attention": Contestant(
        "STN, attention", functools.partial(RtsCifarSTN, Attention()), COURSE, tries=TRIES, baseline="cnn"
    ),
    # each as large as the first: with a wide linear layer, with the mean over all places, on half the canvas
    "cnn": rival("CNN", functools.partial(CifarCNN, (32, 64), 48, 219)),
    "cnn-pooled": rival("CNN, pooled over all places", PooledCNN),
    "cnn-halved": rival("CNN, half the canvas", functools.partial(CifarCNN, (64, 128), 48, 843, halved=True)),
}
