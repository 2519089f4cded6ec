"""Distorted MNIST with turns of any angle, where `rts_mnist` has up to 45°."""

from dataclasses import replace

from stn_course.distortions import RTS
from stn_course.tasks import rts_mnist
from stn_course.tasks.task import first_of_each

TASK = replace(rts_mnist.TASK, name="rts-180-mnist", distortion=RTS(degrees=180), probe_images=first_of_each)
CONTESTANTS = {
    name: replace(rts_mnist.CONTESTANTS[name], recipes=rts_mnist.COURSE, published=None)
    for name in ("cnn", "st-cnn", "st-cnn-attention")
}
