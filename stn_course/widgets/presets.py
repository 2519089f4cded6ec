"""Named θ to begin from, one set a family."""

import torch

from stn_course.algebra import from_parts, part_names, to_parts
from stn_course.checks import Size
from stn_course.transforms import Attention, Transform
from stn_course.widgets.theta_text import checked_theta

_CROPS = {  # name → the parts that differ from the identity's
    "identity": {},
    "zoom in": {"scale": 0.5},
    "zoom out": {"scale": 1.5},
    "shift": {"shift_x": 0.5},
    "top left quarter": {"scale": 0.5, "shift_x": -0.5, "shift_y": -0.5},
    "bottom right quarter": {"scale": 0.5, "shift_x": 0.5, "shift_y": 0.5},
    "upside down": {"scale": -1.0},
}
_FRAMES = {
    "identity": {},
    "zoom in": {"scale_x": 0.5, "scale_y": 0.5},
    "zoom out": {"scale_x": 1.5, "scale_y": 1.5},
    "shift": {"shift_x": 0.5},
    "rotate 30°": {"rotation": 30.0},
    "mirror": {"scale_x": -1.0},
    "shear": {"shear": 0.5},
    "flatten to a line": {"scale_y": 0.0},
}
_VIEWS = {
    "turn aside": {"perspective_x": 0.5},
    "tilt back": {"perspective_y": 0.5},
    "look over the horizon": {"perspective_y": 1.5},
}


def presets(transform: Transform, size: Size | None = None) -> dict[str, tuple[float, ...]]:
    """Named θ of a family for pictures of a size (H, W), square ones if None; the identity first.

    Example:
        >>> presets(Attention())["top left quarter"]
        (0.5, -0.5, -0.5)
    """
    names = part_names(transform)
    named = _CROPS if isinstance(transform, Attention) else _FRAMES
    if "perspective_x" in names:
        named = named | _VIEWS
    neutral = dict(zip(names, to_parts(transform.identity()[None], transform)[0].tolist()))
    parts = torch.tensor([[*(neutral | changes).values()] for changes in named.values()], dtype=torch.float64)
    thetas = from_parts(parts, transform, size).tolist()
    return {name: checked_theta(theta, transform) for name, theta in zip(named, thetas)}
