"""Where a transformation takes the frame of the output: the border where the sampler looks."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from stn_course.algebra import target_border
from stn_course.checks import Theta, describe
from stn_course.palette import SOURCE, TARGET
from stn_course.plots.figure import Figure, panels
from stn_course.transforms import Affine, Transform


def draw_border(axis: Axes, theta: Theta, transform: Transform = Affine(), **line) -> None:
    """Draw on an image the border where the sampler looks, with a dot at the output's top left corner.

    θ is one alone, (n_params,); `line` takes what matplotlib's `plot` takes.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "The regular grid".
    """
    border = target_border(theta, transform)
    axis.plot(*border.T, **({"color": SOURCE, "linewidth": 2} | line))
    axis.plot(*border[0], "o", color=line.get("color", SOURCE), markersize=5)


LETTER_F = ((-0.3, 0.55), (-0.3, 0.0), (0.2, 0.0), (-0.3, 0.0), (-0.3, -0.55), (0.4, -0.55))


def moved_frames(
    matrices: Mapping[str, Tensor], alt: str, reach: float = 1.7, columns: int = 4, size: float = 2.35
) -> Figure:
    """Draw one panel a matrix: a frame with a letter F where it starts, in blue, and where the matrix takes it.

    A dot marks the corner that starts at the top left. Nothing is drawn where the third coordinate is not positive.

    `matrices` maps titles to (3, 3), target → source. The panels go from -reach to reach, normalised; `size` is the
    width of a panel in inches.

    Built in: 01, "Four moves".

    Example:
        >>> moved_frames({"nothing": torch.eye(3)}, "a frame that stays where it is").axes[0].get_title()
        'nothing'
    """
    figure, axes = panels(alt, [*matrices], (size, size + 0.2), columns)
    for axis, matrix in zip(axes, matrices.values()):
        if matrix.shape != (3, 3):
            raise ValueError(f"expected a matrix (3, 3), got {describe(matrix)}")
        _draw_frame(axis, torch.eye(3), TARGET, alpha=0.45)
        _draw_frame(axis, matrix.detach().cpu().float(), SOURCE, rules=True)
        axis.set(xlim=(-reach, reach), ylim=(reach, -reach), xticks=(-1, 0, 1), yticks=(-1, 0, 1), aspect="equal")
        axis.spines[:].set_visible(False)
    return figure


def _draw_frame(axis: Axes, matrix: Tensor, colour: str, rules: bool = False, **style) -> None:
    def place(points: Tensor) -> np.ndarray:
        x, y, w = (torch.cat((points, torch.ones_like(points[..., :1])), -1) @ matrix.mT).unbind(-1)
        return torch.where(w > 1e-3, torch.stack((x, y)) / w, torch.nan).numpy()

    t, rows = torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 9)
    across = torch.stack(torch.meshgrid(t, rows, indexing="ij"), dim=-1)
    lines = torch.cat((across, across.flip(-1)), dim=1)  # (65, 18, 2): nine rows and nine columns
    if rules:
        axis.plot(*place(lines), color=colour, linewidth=0.6, alpha=0.55)
    axis.plot(*place(lines[:, [0, 8, 9, 17]]), color=colour, linewidth=2, **style)
    axis.plot(*place(torch.tensor(LETTER_F)), color=colour, linewidth=3, solid_capstyle="round", **style)
    axis.plot(*place(lines[0, :1]), "o", color=colour, markersize=6)
