"""Distorted images in whole batches, made by the course's own grid: one file a distortion.

A distortion is a spatial transformer whose θ is drawn at random instead of learnt. θ maps the canvas (target) to the
image (source), so it is the *inverse* of what is seen to happen to the image.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4.
"""

from stn_course.distortions.clutter import Clutter
from stn_course.distortions.distortion import Distortion, Pose
from stn_course.distortions.each_channel import EachChannel
from stn_course.distortions.elastic import Elastic
from stn_course.distortions.perspective import Perspective
from stn_course.distortions.rts import RTS, StraightRTS

__all__ = ["RTS", "Clutter", "Distortion", "EachChannel", "Elastic", "Perspective", "Pose", "StraightRTS"]
