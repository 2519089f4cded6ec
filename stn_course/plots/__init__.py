"""Still figures in one visual language, shared with the live ones.

A colour always means the same: the target (output) and its regular grid are blue; the source side, the sampling grid
and the border where the network looks are vermillion; gradients are green; a network without a transformer is grey
(the Okabe–Ito palette, which colour-blind readers can tell apart). Images are never smoothed, and their pixels are
square. Axes are in normalised coordinates, so a border drawn with the θ of `align_corners=False` lies exactly where
the sampler looks.

Every figure has a text that says in words what it shows: `alt`, for those who cannot see it. A function either returns
a `Figure`, or draws on one of the axes that `panels` makes. Tensors may lie on any device, and may require gradients.
"""

from stn_course.plots.chart import chart
from stn_course.plots.curves import draw_curves, learning_curves, recovered_poses
from stn_course.plots.figure import STYLE, Figure, panels
from stn_course.plots.frames import draw_border, moved_frames
from stn_course.plots.images import (
    IMAGE_EXTENT,
    draw_points,
    height_to_width,
    image_grid,
    learned_transformations,
    show_image,
    show_pixels,
    warping,
)

__all__ = [
    "IMAGE_EXTENT",
    "STYLE",
    "Figure",
    "chart",
    "draw_border",
    "draw_curves",
    "draw_points",
    "height_to_width",
    "image_grid",
    "learned_transformations",
    "learning_curves",
    "moved_frames",
    "panels",
    "recovered_poses",
    "show_image",
    "show_pixels",
    "warping",
]
