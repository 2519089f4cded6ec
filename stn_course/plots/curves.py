"""Curves and clouds of dots: losses, kernels, values along a line, what a network recovered."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter
from torch import Tensor

from stn_course.checks import lookup
from stn_course.distortions import Pose
from stn_course.palette import BASELINE, INK, SOURCE, TARGET
from stn_course.plots.figure import Figure, panels, styled

LINES = ("-", "--", ":", "-.")
LEGENDS = {
    "inside": {},
    "above": {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "columnspacing": 1},
    "right": {"loc": "center left", "bbox_to_anchor": (1, 0.5)},
}


@styled
def draw_curves(
    axis: Axes,
    x: Sequence[float] | Tensor,
    curves: Mapping[str, Sequence[float] | Tensor],
    colours: Mapping[str, str] | str = TARGET,
    dots: Mapping[str, tuple] | None = None,
    legend: str | None = "inside",
    marker: str | None = None,
    **settings,
) -> None:
    """Draw curves over one x: the first of a colour is solid, the next are dashed, dotted and dash-dotted.

    Args:
        curves: label → (N,) values, one for each x.
        colours: of all curves, or label → colour; blue where none is named, and black for dots.
        dots: label → (x, y), drawn over the curves: what is given, such as pixels, or stands out.
        legend: "inside", "above" or "right" of the panel, or None.
        marker: matplotlib's sign for every value of a curve.
        settings: what matplotlib's `set` takes, such as `xlabel`.

    Example:
        >>> figure, [axis] = panels("a line and a parabola")
        >>> draw_curves(axis, [0, 1, 2], {"line": [0, 1, 2], "parabola": [0, 1, 4]}, xlabel="x")
        >>> [line.get_linestyle() for line in axis.lines]
        ['-', '--']
    """
    named = dict.fromkeys(curves, colours) if isinstance(colours, str) else colours
    for label, y in curves.items():
        if len(y) != len(x):
            raise ValueError(f"expected {len(x)} values, one for each x, got {len(y)} for {label!r}")
        colour = named.get(label, TARGET)
        before = [line.get_color() for line in axis.lines].count(colour)
        style = LINES[before % 4]  # without colour the lines differ, too
        axis.plot(x, y, style, color=colour, linewidth=2, marker=marker, markersize=4, label=label)
    for label, (at, values) in (dots or {}).items():
        axis.plot(at, values, "o", color=named.get(label, INK), markersize=5, label=label)
    axis.set(**settings)
    if legend is not None:
        axis.legend(frameon=False, handlelength=2.8, **lookup("legend", legend, LEGENDS))


@styled
def learning_curves(curves: Mapping[str, Sequence[dict]], column: str = "loss", alt: str | None = None) -> Figure:
    """Draw the loss (on a logarithmic axis) or another column against the epoch, one curve a run.

    `curves` maps labels to the rows of a history or of a record's "epochs_run". A label that starts with "CNN" is a
    baseline: grey, with dots.

    Built in: 05, "Learning curves".
    """
    ends = ", ".join(f"{label} ends at {rows[-1][column]:.3g}" for label, rows in curves.items())
    figure, [axis] = panels(alt or f"{column} by epoch: {ends}", size=(7.2, 3.6))
    for label, rows in curves.items():
        colour = BASELINE if label.startswith("CNN") else TARGET
        marker = "o" if len(rows) == 1 else "." if colour == BASELINE else None  # without colour the kinds differ, too
        values = {label: [row[column] for row in rows]}
        draw_curves(axis, [row["epoch"] for row in rows], values, colour, legend=None, marker=marker)
        axis.lines[-1].set(markersize=6, markevery=max(1, len(rows) // 12))
    if "loss" in column:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="epoch", ylabel=column.replace("_", " "))
    axis.grid(alpha=0.25, which="both", linewidth=0.5)
    axis.legend(frameon=False)
    return figure


@styled
def recovered_poses(true: Pose, recovered: Pose, alt: str | None = None) -> Figure:
    """Draw the angle and the size that distorted each image against those that the network's θ undid.

    The recovered ones are right up to a turn and a size that the network chose for all images. The solid line is the
    best fit, with its slope in the title; the dashed one is what it would be if all were taken back. Sizes are drawn,
    and fitted, by their logarithms.

    Built in: 05, "Does it recover the pose?".
    """
    figure = Figure(alt or "true against recovered angle and size", 7.2, 3.7)
    for axis, name, word, unit in zip(
        figure.subplots(1, 2), ("degrees", "scale"), ("angle", "size"), (" (degrees)", ""), strict=True
    ):
        x, y = (getattr(pose, name).detach().cpu().double() for pose in (true, recovered))
        axis.scatter(x, y, s=5, alpha=0.35, color=SOURCE, linewidths=0)
        if name == "scale":
            axis.set(xscale="log", yscale="log")
            for side in (axis.xaxis, axis.yaxis):
                side.set_major_locator(MaxNLocator(6))
                side.set_major_formatter(ScalarFormatter())
                side.set_minor_locator(NullLocator())
            x, y = x.log(), y.log()
        there = x.isfinite() & y.isfinite()
        x, y = x[there], y[there]
        slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
        ends = torch.stack((x.min(), x.max()))
        for steep, dashes, colour in ((slope, "-", INK), (1.0, "--", BASELINE)):
            line = torch.stack((ends, y.mean() + steep * (ends - x.mean())))
            axis.plot(*(line.exp() if name == "scale" else line).numpy(), dashes, color=colour, linewidth=1.5)
        correlation = float(torch.corrcoef(torch.stack((x, y)))[0, 1])
        axis.set_title(f"{word}: slope {slope:.2f}, correlation {correlation:.2f}")
        axis.set_xlabel(f"true {word}{unit}")
        axis.set_ylabel(f"recovered {word}{unit}")
        axis.grid(alpha=0.25, linewidth=0.5)
    return figure
