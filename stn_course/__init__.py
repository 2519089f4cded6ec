"""Spatial transformers, one idea a module: the package that the notebooks of the course import.

Importing it is light: nothing is downloaded, no window opens, and matplotlib and ipywidgets are not loaded until a
module that draws is used.
"""

__version__ = "0.1.0"
