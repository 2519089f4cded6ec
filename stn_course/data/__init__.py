"""Real images as tensors, wherever they come from.

`load_mnist` and `load_cifar10` look, in this order, for torchvision's layout and for `mnist.npz` or `cifar10.npz` in
the data folder (the environment variable STN_COURSE_DATA, else the user's cache folder), try a download through
torchvision, and fall back on what the package carries: real digits for MNIST, shapes that it draws itself for CIFAR-10.
`.source` says in words what was used; nothing else is ever called MNIST or CIFAR-10.

`load_folder` reads pictures of your own, and `load_signs` draws some, for who has none.
"""

from stn_course.data.cifar10 import load_cifar10
from stn_course.data.folder import folder_problems, load_folder, on_canvas
from stn_course.data.images import Batches, ImageData, Join, Normalise
from stn_course.data.mnist import SAMPLES, load_mnist
from stn_course.data.signs import Sign, draw_signs, load_signs, write_signs
from stn_course.data.source import SPLITS, DataError

__all__ = [
    "SAMPLES",
    "SPLITS",
    "Batches",
    "DataError",
    "ImageData",
    "Join",
    "Normalise",
    "Sign",
    "draw_signs",
    "folder_problems",
    "load_cifar10",
    "load_folder",
    "load_mnist",
    "load_signs",
    "on_canvas",
    "write_signs",
]
