"""Distorted MNIST, the paper's R: digits turned by up to 90° either way, in the middle of the canvas.

The diagonal of their 28×28 pixels is 39.6 long, so that a canvas of 42×42 cuts nothing off, however they lie.
"""

from stn_course.data import load_mnist
from stn_course.distortions import RTS
from stn_course.tasks.papers_table import PROFILES, contestants
from stn_course.tasks.task import Task

TASK = Task("r-mnist", load_mnist, PROFILES, distortion=RTS(degrees=90, scale=(1, 1), shift=0))
CONTESTANTS = contestants("R")
