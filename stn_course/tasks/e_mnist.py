"""Distorted MNIST, the paper's E: digits resized and bent, their image pulled aside at 16 points."""

from stn_course.data import load_mnist
from stn_course.distortions import Elastic
from stn_course.tasks.papers_table import PROFILES, contestants
from stn_course.tasks.task import Task

TASK = Task("e-mnist", load_mnist, PROFILES, distortion=Elastic())
CONTESTANTS = contestants("E")
