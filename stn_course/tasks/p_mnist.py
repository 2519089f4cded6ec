"""Distorted MNIST, the paper's P: digits resized and seen in perspective, each corner of their image pulled aside."""

from stn_course.data import load_mnist
from stn_course.distortions import Perspective
from stn_course.tasks.papers_table import PROFILES, contestants
from stn_course.tasks.task import Task

TASK = Task("p-mnist", load_mnist, PROFILES, distortion=Perspective())
CONTESTANTS = contestants("P")
