"""A 6, or turned round a 9? Here the pose is the answer: sixes in every direction, to be told apart by how they lie."""

from dataclasses import replace

import torch

from stn_course.data import ImageData, load_mnist
from stn_course.distortions import RTS
from stn_course.tasks import rts_mnist
from stn_course.tasks.recipe import Profile, profiles
from stn_course.tasks.task import first_of_each

SIX, NINE = 6, 9


def sixes_and_nines(split: str, offline: bool | None = None) -> ImageData:
    """Load the sixes of MNIST, each twice: as it is, labelled 6, and turned by half a circle, labelled 9."""
    data = load_mnist(split, offline=offline)
    sixes = data.images[data.labels == SIX]
    images = torch.stack((sixes, sixes.flip(2, 3)), dim=1).flatten(0, 1)  # one after the other
    labels = torch.tensor((SIX, NINE)).repeat(len(sixes))
    return replace(data, images=images, labels=labels, source=f"{data.source}, its sixes, and each turned round")


TASK = replace(
    rts_mnist.TASK,
    name="six-or-nine",
    load=sixes_and_nines,
    profiles=profiles(smoke=Profile(1, train_images=100, test_images=100), quick=Profile(5), full=Profile(10)),
    distortion=RTS(degrees=90),  # so that all sixes together lie in every direction, and nines, too
    probe_images=first_of_each,
)
CONTESTANTS = rts_mnist.ON_OTHER_DIGITS
