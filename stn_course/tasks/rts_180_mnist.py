"""Distorted MNIST with turns of any angle, where `rts_mnist` has up to 45°."""

from dataclasses import replace

from stn_course.distortions import RTS
from stn_course.tasks import rts_mnist
from stn_course.tasks.task import first_of_each

TASK = replace(rts_mnist.TASK, name="rts-180-mnist", distortion=RTS(degrees=180), probe_images=first_of_each)
CONTESTANTS = rts_mnist.ON_OTHER_DIGITS
