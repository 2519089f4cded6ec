"""The same pictures, live: plain ipywidgets, version 7.7 or 8, with no extension to install.

An explorer composes its picture as an array and sends it, as a WebP file, into one `ipywidgets.Image`. Nothing goes
through the output area, so nothing flickers and the layout stays in place. The state is in the sliders alone.
"""

from stn_course.drawing.panel import Still
from stn_course.widgets.descent import ClassifierDescent, ThetaDescent
from stn_course.widgets.epochs import EpochSlider
from stn_course.widgets.explorer import TransformationExplorer
from stn_course.widgets.game import LocalisationGame
from stn_course.widgets.microscope import InterpolationMicroscope
from stn_course.widgets.training import LiveTraining

__all__ = [
    "ClassifierDescent",
    "EpochSlider",
    "InterpolationMicroscope",
    "LiveTraining",
    "LocalisationGame",
    "Still",
    "ThetaDescent",
    "TransformationExplorer",
]
