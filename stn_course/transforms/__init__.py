"""From θ to a sampling grid: the families of transforms, one file each.

θ maps **target** (output) coordinates to **source** (input) coordinates: for every output pixel it says where in the
input to look. That is backward warping, and it is why a *small* scale in θ *enlarges* the picture.

**Add a family of your own** in one file: derive from `Transform`, and write `names`, `identity` and `map`. Here is one
with three numbers, which bends each column of the picture up or down along a parabola:

    import torch
    from stn_course.transforms.transform import Transform

    class Bend(Transform):
        names = ("bend", "t_x", "t_y")

        def identity(self):
            return torch.zeros(3)  # the θ that changes nothing

        def map(self, theta, points):
            bend, t_x, t_y = self.entries(theta, points)
            x, y = points.unbind(-1)
            return torch.stack((x + t_x, y + t_y + bend * x * x), dim=-1)

θ is (B, 3), and points are (B, ..., 2), normalised (x, y), y down. `entries` checks both, and shapes each entry of θ so
that it fits x and y. `stn_course.widgets.TransformationExplorer(Bend())` shows the family at once, and so do
`ThetaDescent`, `EpochSlider` and all figures. `spatial_transformer.warp`, `SpatialTransformer` and `models.STCNN` take
it as their transform.

Everything else has a default, which a family may replace in its file:

    part_names, parts_to_theta, theta_to_parts    numbers that people think in, such as a rotation in degrees
    ranges     {"bend": Range(-1, 1, 0.01)}       of the sliders, by the name of an entry or of a part
    presets    {"smile": {"bend": 0.5}}           θ to begin from, by the parts that differ from the identity's
    keeps      ("straight lines", "parallels")    what it never changes; lines that it may bend are drawn bent
    control_points                                if θ is where some points look: they are marked, and moved one by one
    formula                                       θ as text

`Bounded` is a family made of another one: the same motions, with bounds for the parts of θ.

A family of matrices derives from `MatrixTransform` instead, and writes `matrix` and `from_matrix`. To put a family into
the catalogue, import it below and add it to `FAMILIES`: the tests of all families run on it, and `python -m stn_course
train rts-mnist/st-cnn-bend` trains it. (A name such as `LensDistortion` becomes lens-distortion there.)
"""

from stn_course.transforms.affine import Affine
from stn_course.transforms.attention import Attention
from stn_course.transforms.bounded import Bounded
from stn_course.transforms.matrix import MatrixTransform
from stn_course.transforms.projective import HORIZON, Projective
from stn_course.transforms.similarity import Similarity
from stn_course.transforms.thin_plate_spline import ThinPlateSpline
from stn_course.transforms.transform import Range, Transform, check_transform, regular_grid, without_autocast
from stn_course.transforms.translation import Translation

FAMILIES: tuple[Transform, ...] = (
    Affine(),
    Attention(),
    Similarity(),
    Projective(),
    Translation(),
    ThinPlateSpline(),
)
"""The families of the course."""

__all__ = [
    "FAMILIES",
    "HORIZON",
    "Affine",
    "Attention",
    "Bounded",
    "MatrixTransform",
    "Projective",
    "Range",
    "Similarity",
    "ThinPlateSpline",
    "Transform",
    "Translation",
    "check_transform",
    "regular_grid",
    "without_autocast",
]
