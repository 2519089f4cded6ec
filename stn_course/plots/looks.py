"""What a network with a spatial transformer does to images."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch
from torch import Tensor

from stn_course.data import Normalise
from stn_course.palette import INK, SOURCE, TARGET
from stn_course.plots.figure import Figure, styled
from stn_course.plots.frames import draw_border
from stn_course.plots.images import height_to_width, show_image
from stn_course.transforms import Transform


@styled
@torch.inference_mode()
def learned_transformations(
    model: torch.nn.Module,
    images: Tensor,
    labels: Tensor,
    normalise: Normalise | None = None,
    classes: Sequence[str] | None = None,
    alt: str | None = None,
) -> Figure:
    """Four rows joined by arrows: input, the border where the network looks, what it sees, what it says.

    Args:
        model: a network with `.spatial_transformer` and `.classifier`, in evaluation mode.
        images: (N, C, H, W), float in [0, 1]; about five.
        labels: (N,), the right answers.
        normalise: what is done to images before the network gets them; it is undone before they are drawn.
        classes: what each label stands for; the numbers themselves if None.
        alt: what the figure shows, in words.
    """
    layer = model.spatial_transformer
    inputs = images if normalise is None else normalise(images)
    theta = layer.theta(inputs)
    seen = layer.warp(inputs, theta)
    answers = model.classifier(seen).softmax(1)
    if normalise is not None:
        seen = normalise.undo(seen)
    names = classes or [str(label) for label in range(answers.shape[1])]
    said, truth = [names[label] for label in answers.argmax(1).tolist()], [names[label] for label in labels.tolist()]
    words = f"it says {', '.join(said)}; right is {', '.join(truth)}"
    verdicts = [name if name == right else f"{name},\nbut it is {right}" for name, right in zip(said, truth)]
    alt = alt or f"{len(images)} inputs, where the network looks in them, what it sees; {words}"
    return _four_rows(images, theta, layer.transform, seen, verdicts, answers.amax(1).tolist(), alt)


def _four_rows(
    images: Tensor,
    theta: Tensor,
    transform: Transform,
    seen: Tensor,
    verdicts: Sequence[str],
    certainties: Sequence[float],
    alt: str,
) -> Figure:
    n, shape = len(images), height_to_width(images)
    heights = [shape, shape, height_to_width(seen)]
    figure = Figure(alt, 1.45 * n + 1.1, 5.6 + 1.5 * (sum(heights) - 3))
    axes = figure.subplots(4, n, squeeze=False, gridspec_kw={"height_ratios": [*heights, 0.45]})
    for i, column in enumerate(axes.T):
        for axis, image, colour in zip(column, (images[i], images[i], seen[i]), (SOURCE, SOURCE, TARGET)):
            show_image(axis, image)
            axis.spines[:].set(visible=True, color=colour, linewidth=1.2)
        draw_border(column[1], theta[i], transform)
        column[3].set_axis_off()
        size = 18 if len(verdicts[i]) == 1 else 11
        column[3].text(0.5, 0.55, verdicts[i], ha="center", va="center", fontsize=size, weight="bold")
        column[3].text(0.5, 0.0, f"{certainties[i]:.1%}", ha="center", va="center")
        for above, below in pairwise(column):
            _join(figure, above, below, top=0.95 if below is column[3] else 1.02)
    for axis, text in zip(axes[:, 0], ("input", "where it\nlooks", "what it\nsees", "what it\nsays")):
        axis.text(-0.12, 0.5, text, ha="right", va="center", transform=axis.transAxes)
    return figure


def _join(figure: Figure, above: Axes, below: Axes, top: float) -> None:
    places = {"coordsA": "axes fraction", "coordsB": "axes fraction", "axesA": above, "axesB": below}
    arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 1, "shrinkB": 1}
    figure.add_artist(ConnectionPatch((0.5, -0.02), (0.5, top), **places, **arrow))
