"""Still figures in one visual language, shared with the live ones.

A colour always means the same: the target (output) and its regular grid are blue, the source side, the sampling grid
and the border where the network looks are vermillion, gradients are green, a network without a transformer is grey
(the Okabe–Ito palette, which colour-blind readers can tell apart). Images have pixel (0, 0) at the top left and are
never smoothed, and their pixels are square. Axes are in normalised coordinates, in which an image spans [-1, 1], so a
border that is drawn with the θ of `align_corners=False` lies exactly where the sampler looks.

Every function returns a `Figure` with a text that says what it shows, for those who cannot see it. Tensors may lie on
any device, and may require gradients.
"""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from stn_course.data import Normalise
from stn_course.distortions import Pose
from stn_course.palette import BASELINE, INK, SOURCE, TARGET
from stn_course.transforms import Affine, Transform

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
IMAGE_EXTENT = (-1, 1, 1, -1)  # left, right, bottom, top: y points down


class Figure(MatplotlibFigure):
    """A matplotlib figure that a notebook shows as a PNG with alternative text."""

    def __init__(self, alt: str, width: float, height: float):
        super().__init__(figsize=(width, height), layout="constrained")
        self.alt = alt

    def png(self, dpi: int = 110) -> bytes:
        """The figure as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None):
        data = {"image/png": self.png(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def _styled(function):
    """Draw in the course's style without touching the reader's own settings."""
    return matplotlib.rc_context(STYLE)(function)


@_styled
def image_grid(
    images: Tensor | Sequence[Tensor],
    titles: Sequence[str] | None = None,
    columns: int = 10,
    alt: str | None = None,
    size: float = 0.95,
) -> Figure:
    """Images side by side, each with its title above.

    Args:
        images: (N, C, H, W) with C 1 or 3, float in [0, 1] or uint8; or a list of (C, H, W), each of its own size.
        titles: one an image.
        columns: images in a row.
        alt: what the figure shows, in words.
        size: width of an image in inches.
    """
    n = len(images)
    columns = min(columns, n)
    rows = -(-n // columns)
    high = size * max(map(height_to_width, images)) + (0.25 if titles else 0)
    figure = Figure(alt or f"{n} images in {rows} rows", size * columns, high * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis in axes:
        axis.set_axis_off()
    for index, image in enumerate(images):
        show_image(axes[index], image)
        if titles is not None:
            axes[index].set_title(titles[index], pad=3)
    return figure


def height_to_width(images: Tensor) -> float:
    """Height over width, in pixels, of images (..., H, W): how long a unit along y is drawn against one along x.

    Example:
        >>> height_to_width(torch.zeros(1, 40, 80))
        0.5
    """
    height, width = images.shape[-2:]
    return height / width


def show_image(axis: Axes, image: Tensor) -> None:
    """Draw one image (C, H, W) in normalised coordinates, without ticks; its pixels are square."""
    pixels = image.detach().cpu().float() / (255 if image.dtype == torch.uint8 else 1)
    shown = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    shape = height_to_width(image)
    axis.imshow(shown.clamp(0, 1).numpy(), vmin=0, vmax=1, extent=IMAGE_EXTENT, aspect=shape)
    axis.set_xticks([])
    axis.set_yticks([])


def target_border(theta: Tensor, transform: Transform = Affine(), points: int = 33) -> Tensor:
    """Where the outer edge of the output lies in the input, for one θ: (n_params,) → (4·(points−1)+1, 2), closed.

    The curve is in normalised coordinates with `align_corners=False`, in which the edge of an image is at ±1. It is for
    drawing: on the CPU and without a gradient, wherever θ comes from.

    Example:
        >>> target_border(torch.tensor([0.5, 0, 0, 0, 0.5, 0]), points=2)  # the middle quarter
        tensor([[-0.5000, -0.5000],
                [ 0.5000, -0.5000],
                [ 0.5000,  0.5000],
                [-0.5000,  0.5000],
                [-0.5000, -0.5000]])
    """
    theta = theta.detach().cpu()
    side = torch.linspace(-1, 1, points, dtype=theta.dtype)[:-1]
    one = torch.ones_like(side)
    edge = torch.cat(
        [
            torch.stack(pair, 1)
            for pair in ((side, -one), (one, side), (-side, one), (-one, -side), (-one[:1], -one[:1]))
        ]
    )
    homogeneous = torch.cat((edge, torch.ones(len(edge), 1, dtype=theta.dtype)), dim=1)
    return transform.from_homogeneous(homogeneous @ transform.matrix(theta[None])[0].mT)


def draw_border(axis: Axes, theta: Tensor, transform: Transform = Affine(), **line) -> None:
    """Draw on an image the border where the sampler looks, with a dot at the output's top left corner."""
    border = target_border(theta, transform)
    axis.plot(*border.T, **({"color": SOURCE, "linewidth": 2} | line))
    axis.plot(*border[0], "o", color=line.get("color", SOURCE), markersize=5)


@_styled
def warping(
    image: Tensor,
    theta: Tensor,
    output: Tensor,
    transform: Transform = Affine(),
    alt: str | None = None,
) -> Figure:
    """Left the input with the sampling grid over it, right the output with its regular grid: the same dots, moved.

    Args:
        image: (C, H, W), the input.
        theta: (n_params,).
        output: (C, H', W'), what the sampler made of it.
        transform: the family θ belongs to.
        alt: what the figure shows, in words.
    """
    flattest = min(1, max(height_to_width(image), height_to_width(output)))
    figure = Figure(alt or "an input with its sampling grid, and the output", 7.2, 1.0 + 3.1 * flattest)
    left, right = figure.subplots(1, 2)
    dots = (8, 8)
    theta = theta.detach().cpu()
    sampling = transform.grid(theta[None], dots)[0].flatten(0, 1)
    regular = transform.grid(transform.identity()[None], dots)[0].flatten(0, 1)
    for axis, picture, grid, colour, border, title in (
        (left, image, sampling, SOURCE, theta, "input, and where the sampler looks"),
        (right, output, regular, TARGET, transform.identity(), "output, on its regular grid"),
    ):
        show_image(axis, picture)
        axis.scatter(*grid.T, s=9, color=colour, linewidths=0)
        draw_border(axis, border, transform, color=colour)
        axis.set_title(title)
        axis.set_xticks([-1, 0, 1])
        axis.set_yticks([-1, 0, 1])
        axis.set_xlabel("x")
        axis.set_ylabel("y", rotation=0)
    reach = max(1.05, 1.05 * float(target_border(theta, transform).abs().max()))
    left.set_xlim(-reach, reach)
    left.set_ylim(reach, -reach)
    right.set_xlim(-1.05, 1.05)
    right.set_ylim(1.05, -1.05)
    return figure


@_styled
def learning_curves(curves: Mapping[str, Sequence[dict]], column: str = "loss", alt: str | None = None) -> Figure:
    """Loss (on a logarithmic axis) or another column against the epoch, one curve a run.

    Args:
        curves: label → rows of a history or a record's "epochs_run". A label that starts with "CNN" is a baseline and
            drawn in grey with dots; solid lines are the first of a kind, dashed and dotted ones the next.
        column: which value of the rows.
        alt: what the figure shows, in words.
    """
    ends = ", ".join(f"{label} ends at {rows[-1][column]:.3g}" for label, rows in curves.items())
    figure = Figure(alt or f"{column} by epoch: {ends}", 7.2, 3.6)
    axis = figure.subplots()
    used = {BASELINE: 0, TARGET: 0}
    for label, rows in curves.items():
        colour = BASELINE if label.startswith("CNN") else TARGET
        style = ("-", "--", ":", "-.")[used[colour] % 4]
        used[colour] += 1
        x, y = [row["epoch"] for row in rows], [row[column] for row in rows]
        marker = "o" if len(rows) == 1 else "." if colour == BASELINE else None  # a kind is told without colour, too
        dots = {"marker": marker, "markersize": 6, "markevery": max(1, len(rows) // 12)}
        axis.plot(x, y, color=colour, linestyle=style, linewidth=2, label=label, **dots)
    if "loss" in column:
        axis.set_yscale("log")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch")
    axis.set_ylabel(column.replace("_", " "))
    axis.grid(alpha=0.25, which="both", linewidth=0.5)
    axis.legend(frameon=False)
    return figure


@_styled
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
    n = len(images)
    best = answers.argmax(1).tolist()
    names = classes or [str(label) for label in range(answers.shape[1])]
    said, truth = [names[label] for label in best], [names[label] for label in labels.tolist()]
    words = f"it says {', '.join(said)}; right is {', '.join(truth)}"
    shape = height_to_width(images)
    heights = [shape, shape, height_to_width(seen)]
    figure = Figure(
        alt or f"{n} inputs, where the network looks in them, what it sees; {words}",
        1.45 * n + 1.1,
        5.6 + 1.5 * (sum(heights) - 3),
    )
    axes = figure.subplots(4, n, squeeze=False, gridspec_kw={"height_ratios": [*heights, 0.45]})
    for i in range(n):
        show_image(axes[0, i], images[i])
        show_image(axes[1, i], images[i])
        draw_border(axes[1, i], theta[i], layer.transform)
        axes[1, i].set_xlim(-1, 1)
        axes[1, i].set_ylim(1, -1)
        show_image(axes[2, i], seen[i])
        for row, colour in ((0, SOURCE), (1, SOURCE), (2, TARGET)):
            for spine in axes[row, i].spines.values():
                spine.set(visible=True, color=colour, linewidth=1.2)
        right = said[i] == truth[i]
        axes[3, i].set_axis_off()
        verdict = said[i] if right else f"{said[i]},\nbut it is {truth[i]}"
        size = 18 if len(verdict) == 1 else 11
        axes[3, i].text(0.5, 0.55, verdict, ha="center", va="center", fontsize=size, weight="bold")
        axes[3, i].text(0.5, 0.0, f"{answers[i, best[i]].item():.1%}", ha="center", va="center")
        for row in range(3):
            figure.add_artist(
                ConnectionPatch(
                    (0.5, -0.02), (0.5, 1.02 if row < 2 else 0.95), "axes fraction", "axes fraction",
                    axesA=axes[row, i], axesB=axes[row + 1, i], arrowstyle="-|>", color=INK, shrinkA=1, shrinkB=1,
                )
            )  # fmt: skip
    for axis, text in zip(axes[:, 0], ("input", "where it\nlooks", "what it\nsees", "what it\nsays"), strict=True):
        axis.text(-0.12, 0.5, text, ha="right", va="center", transform=axis.transAxes)
    return figure


@_styled
def recovered_poses(true: Pose, recovered: Pose, alt: str | None = None) -> Figure:
    """The angle and the scale that distorted each image against those the network undid.

    Args:
        true: the poses that were drawn.
        recovered: the poses behind the network's θ, up to a turn and a size of its own choice.
        alt: what the figure shows, in words.
    """
    figure = Figure(alt or "true against recovered angle and scale", 7.2, 3.5)
    for axis, name, word, unit in zip(
        figure.subplots(1, 2), ("degrees", "scale"), ("angle", "scale"), (" (degrees)", ""), strict=True
    ):
        x, y = (getattr(pose, name).detach().cpu() for pose in (true, recovered))
        axis.scatter(x, y, s=5, alpha=0.35, color=SOURCE, linewidths=0)
        correlation = float(torch.corrcoef(torch.stack((x, y)))[0, 1])
        axis.set_title(f"{word}: correlation {correlation:.2f}")
        axis.set_xlabel(f"true {word}{unit}")
        axis.set_ylabel(f"recovered {word}{unit}")
        axis.grid(alpha=0.25, linewidth=0.5)
    return figure
