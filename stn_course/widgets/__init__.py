"""The same pictures, live: plain ipywidgets, version 7.7 or 8, with no extension to install.

A picture is composed as an array and sent as the bytes of a WebP file into one `ipywidgets.Image`. Nothing goes through
the output area, so nothing flickers and the layout stays where it is. The state is in the sliders alone.
"""

from stn_course.drawing.panel import Still
from stn_course.widgets.descent import ThetaDescent
from stn_course.widgets.epochs import EpochSlider
from stn_course.widgets.explorer import TransformationExplorer
from stn_course.widgets.microscope import InterpolationMicroscope

__all__ = ["EpochSlider", "InterpolationMicroscope", "Still", "ThetaDescent", "TransformationExplorer"]
