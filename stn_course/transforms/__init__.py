"""From θ to a sampling grid: the families of transforms, one file each.

θ maps **target** (output) coordinates to **source** (input) coordinates: for every output pixel it says where in the
input to look. That is backward warping, and it is why a *small* scale in θ *enlarges* the picture.

**Add a family of your own** in one file: derive from `Transform`, and write `names`, `identity` and `map`. Here is one
with three numbers, which bends each column of the picture up or down along a parabola:

    class Bend(Transform):
        names = ("bend", "t_x", "t_y")

        def identity(self):
            return torch.zeros(3)  # the θ that changes nothing

        def map(self, theta, points):
            bend, t_x, t_y = self.entries(theta, points)
            x, y = points.unbind(-1)
            return torch.stack((x + t_x, y + t_y + bend * x * x), dim=-1)

`TransformationExplorer(Bend())` shows it at once, and so do all figures; `SpatialTransformer`, `warp` and the networks
take it as `transform=Bend()`. Everything else has a default, which a family may replace in its file: `part_names`,
`parts_to_theta` and `theta_to_parts` (numbers that people think in), `ranges` (of sliders), `presets`, `keeps`,
`formula`. A family of matrices derives from `MatrixTransform` instead, and writes `matrix` and `from_matrix`. A line in
`FAMILIES` below puts it into the catalogue: every test of all families runs on it, and `python -m stn_course train
rts-mnist/st-cnn-bend` trains it.
"""

from stn_course.transforms.affine import Affine
from stn_course.transforms.attention import Attention
from stn_course.transforms.matrix import MatrixTransform
from stn_course.transforms.projective import HORIZON, Projective
from stn_course.transforms.similarity import Similarity
from stn_course.transforms.transform import Range, Transform, regular_grid, without_autocast

FAMILIES: tuple[Transform, ...] = (
    Affine(),
    Attention(),
    Similarity(),
    Projective(),
)
"""The families of the course."""

__all__ = [
    "FAMILIES",
    "HORIZON",
    "Affine",
    "Attention",
    "MatrixTransform",
    "Projective",
    "Range",
    "Similarity",
    "Transform",
    "regular_grid",
    "without_autocast",
]
