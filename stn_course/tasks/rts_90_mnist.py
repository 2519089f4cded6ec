"""Distorted MNIST with turns of up to 90° either way, twice as far as in `rts_mnist`."""

from dataclasses import replace

from stn_course.distortions import RTS
from stn_course.tasks import rts_mnist
from stn_course.tasks.task import first_of_each

TASK = replace(rts_mnist.TASK, name="rts-90-mnist", distortion=RTS(degrees=90), probe_images=first_of_each)
CONTESTANTS = rts_mnist.ON_OTHER_DIGITS
