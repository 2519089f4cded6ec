"""Spatial transformers, one idea a module: the package that the notebooks of the course import.

Importing it is light: nothing is downloaded, no window opens, and matplotlib and ipywidgets are not loaded until a
module that draws is used.
"""

import sys
from importlib.util import find_spec

NEEDS = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "PIL", "tqdm", "filelock")

# In words and all at once, where somebody opens a notebook of a copy in which nothing is installed.
if missing := [name for name in NEEDS if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"The course needs {', '.join(missing)}, which {sys.executable} does not have. "
        "In the course's folder, `make lab` installs everything, or: python -m pip install -e '.[lab]'"
    )

__version__ = "0.1.0"
