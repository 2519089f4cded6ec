"""A figure in the course's style, with alternative text, and its empty panels."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from stn_course.palette import INK

STYLE = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "text.color": INK,
    "figure.facecolor": "white",
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


class Figure(MatplotlibFigure):
    """A matplotlib figure that a notebook shows as a PNG with alternative text."""

    def __init__(self, alt: str, width: float, height: float):
        super().__init__(figsize=(width, height), layout="constrained")
        self.alt = alt

    def png(self, dpi: int = 110) -> bytes:
        """Return the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": self.png(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def styled(function):
    """Draw in the course's style without touching the reader's own settings."""
    return matplotlib.rc_context(STYLE)(function)


@styled
def panels(
    alt: str,
    titles: Sequence[str] = ("",),
    size: tuple[float, float] = (7.2, 3.1),
    columns: int | None = None,
    **arrangement,
) -> tuple[Figure, list[Axes]]:
    """Make empty panels, each with its title above, to draw on: from left to right, from top to bottom.

    `size` is (width, height) of a panel in inches; `columns` panels stand in a row, all of them if None; `arrangement`
    is what matplotlib's `subplots` takes besides, such as `width_ratios` or `sharey`.

    Example:
        >>> figure, (left, right) = panels("an input beside its output", ["input", "output"], size=(3, 3))
        >>> figure.alt, right.get_title()
        ('an input beside its output', 'output')
    """
    columns = min(columns or len(titles), len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(alt, size[0] * columns, size[1] * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False, **arrangement).flat)
    for axis, title in zip(axes, titles):
        axis.set_title(title)
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    return figure, axes[: len(titles)]
