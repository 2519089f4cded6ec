"""Images, their pixels with values, the points where a sampler looks, and what a network makes of images."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch, Rectangle
from torch import Tensor

from stn_course.algebra import reach
from stn_course.checks import Size, describe
from stn_course.data import Normalise
from stn_course.models import looks_of
from stn_course.palette import BASELINE, GRADIENT, INK, SOURCE, TARGET
from stn_course.plots.figure import Figure, styled
from stn_course.plots.frames import draw_border
from stn_course.transforms import Affine, Transform

IMAGE_EXTENT = (-1, 1, 1, -1)  # left, right, bottom, top: y points down
FARTHEST = 2.0  # frames that reach beyond are cut off: the pictures would become too small


@styled
def image_grid(
    images: Tensor | Sequence[Tensor],
    titles: Sequence[str] | None = None,
    columns: int = 10,
    alt: str | None = None,
    size: float = 0.95,
    thetas: Sequence[Tensor | None] | None = None,
) -> Figure:
    """Draw images side by side, each with its title above.

    The images are float in [0, 1] or uint8, C 1 or 3; in a list each may have a size of its own. `size` is the width of
    one in inches. `thetas` has a θ (6,) an image, whose border to draw, or None.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """
    n = len(images)
    for name, values in (("titles", titles), ("thetas", thetas)):
        if values is not None and len(values) != n:
            raise ValueError(f"expected one of the {name} an image, {n}, got {len(values)}")
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
        if thetas is not None and thetas[index] is not None:
            draw_border(axes[index], thetas[index])
    return figure


def height_to_width(images: Tensor) -> float:
    """Return height over width, in pixels: how long a unit along y is drawn against one along x.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).

    Example:
        >>> height_to_width(torch.zeros(1, 40, 80))
        0.5
    """
    height, width = images.shape[-2:]
    return height / width


@styled
def show_image(axis: Axes, image: Tensor) -> None:
    """Draw one image (C, H, W) in normalised coordinates, without ticks; its pixels are square.

    The panel ends at the image's edge, whatever else is drawn on it, until its limits are set.

    Built in: 01, "The regular grid".
    """
    pixels = image.detach().cpu().float() / (255 if image.dtype == torch.uint8 else 1)
    shown = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    shape = height_to_width(image)
    axis.imshow(shown.clamp(0, 1).numpy(), vmin=0, vmax=1, extent=IMAGE_EXTENT, aspect=shape)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.autoscale(False)


@styled
def show_pixels(
    axis: Axes,
    image: Tensor,
    values: bool = True,
    weights: Tensor | None = None,
    size: Size | None = None,
) -> None:
    """Draw one grey image in pixel coordinates: the centre of the pixel in column m and row n is (m, n).

    Built in: 02, "What lies between the pixels?".

    Args:
        image: (1, H, W), float in [0, 1].
        values: write the value of each pixel above its centre.
        weights: (H, W): a green frame for each pixel, the thicker the larger its weight, and the number; none for 0.
        size: (H, W) of the original, if the image is an enlarged copy of it, shown without dots and numbers.

    Example:
        >>> from stn_course.plots import panels
        >>> figure, [axis] = panels("three pixels")
        >>> show_pixels(axis, torch.tensor([[[0.0, 0.5, 1.0]]]))
        >>> [text.get_text() for text in axis.texts], [float(end) for end in axis.get_xlim()]
        (['0.0', '0.5', '1.0'], [-0.5, 2.5])
    """
    if image.dim() != 3 or len(image) != 1:
        raise ValueError(f"expected one grey image (1, H, W), got {describe(image)}")
    image = image.detach().cpu()
    height, width = size or image.shape[1:]
    axis.imshow(image[0].numpy(), vmin=0, vmax=1, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    axis.set(xticks=range(width), yticks=range(height), xlabel="x (pixels)")
    axis.set_ylabel("y", rotation=0)
    for n, m in [] if size else torch.cartesian_prod(torch.arange(height), torch.arange(width)).tolist():
        value = image[0, n, m].item()
        colour = "white" if value < 0.45 else INK
        word = {"color": colour, "ha": "center", "va": "center"}
        axis.plot(m, n, ".", color=colour, markersize=3)
        if values:
            axis.text(m, n - 0.27, f"{value:.1f}", fontsize=9, **word)
        if weights is not None and weights[n, m] != 0:
            frame = {"fill": False, "edgecolor": GRADIENT, "linewidth": 1 + 9 * float(weights[n, m])}
            axis.add_patch(Rectangle((m - 0.46, n - 0.46), 0.92, 0.92, **frame))
            axis.text(m, n + 0.24, f"{weights[n, m]:.2f}", weight="bold", **word)


def draw_points(
    axis: Axes, points: Tensor, arrows: Tensor | None = None, size: float = 22, colour: str = SOURCE
) -> None:
    """Draw dots, the places where a sampler looks, and a green arrow from each, such as its gradient.

    Points and arrows may be in pixels, if the axis is; `size` is a dot's area in square points.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 01, "The regular grid".

    Example:
        >>> from stn_course.plots import panels
        >>> figure, [axis] = panels("two dots")
        >>> draw_points(axis, torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
        >>> axis.collections[0].get_offsets().tolist()
        [[0.0, 1.0], [2.0, 3.0]]
    """
    if arrows is not None and arrows.shape != points.shape:
        raise ValueError(f"expected an arrow for each of the points {tuple(points.shape)}, got {describe(arrows)}")
    x, y = points.detach().cpu().reshape(-1, 2).T
    axis.scatter(x, y, s=size, color=colour, edgecolors="white", linewidths=0.15 * size**0.5, zorder=3)
    if arrows is not None:
        in_units = {"angles": "xy", "scale_units": "xy", "scale": 1}
        axis.quiver(x, y, *arrows.detach().cpu().reshape(-1, 2).T, color=GRADIENT, width=0.006, **in_units)


@styled
def warping(
    image: Tensor,
    theta: Tensor,
    output: Tensor,
    transform: Transform = Affine(),
    alt: str | None = None,
) -> Figure:
    """Draw the input with its sampling grid, and beside it the output with its regular grid: the same dots, moved.

    The images are (C, H, W) and (C, H', W'); θ is one alone, (n_params,).

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 00, "How it does that, in one picture".
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
        axis.spines[["left", "bottom"]].set_visible(True)
        axis.set_xticks([-1, 0, 1])
        axis.set_yticks([-1, 0, 1])
        axis.set_xlabel("x")
        axis.set_ylabel("y", rotation=0)
    shown = 1.05 * reach(theta[None], transform)
    left.set_xlim(-shown, shown)
    left.set_ylim(shown, -shown)
    right.set_xlim(-1.05, 1.05)
    right.set_ylim(1.05, -1.05)
    return figure


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
    """Rows joined by arrows: input, the border where the network looks, what it sees, what it says.

    A network that looks several times at its input has all borders in one row, and a row of what it sees for each; one
    that looks again at what it saw has a row for each. Of features the mean of all channels is drawn.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 05, "What it looks at".

    Args:
        model: a network with spatial transformers that classifies, in evaluation mode.
        images: (N, C, H, W), float in [0, 1]; about five.
        labels: (N,), the right answers.
        normalise: what is done to images before the network gets them; it is undone before they are drawn.
        classes: what each label stands for; the numbers themselves if None.
        alt: what the figure shows, in words.
    """
    inputs = images if normalise is None else normalise(images)
    answers = model(inputs).softmax(1)
    names = classes or [str(label) for label in range(answers.shape[1])]
    said, truth = [names[label] for label in answers.argmax(1).tolist()], [names[label] for label in labels.tolist()]
    words = f"it says {', '.join(said)}; right is {', '.join(truth)}"
    verdicts = [name if name == right else f"{name},\nbut it is {right}" for name, right in zip(said, truth)]
    alt = alt or f"{len(images)} inputs, where the network looks in them, what it sees; {words}"
    rows = _rows_of_looks(looks_of(model, inputs), images, inputs, normalise)
    return _draw_rows(rows, list(zip(verdicts, answers.amax(1).tolist())), alt)


class _Row(NamedTuple):
    """Pictures side by side, and the borders of some looks on them."""

    label: str
    pictures: Tensor
    looks: list
    colour: str

    def reach(self) -> float:
        """How far all borders reach from the middle, in units of the picture, but within reason."""
        return min(max(reach(look.theta, look.layer.transform) for look in self.looks), FARTHEST) + 0.05


def _rows_of_looks(looks: list, images: Tensor, inputs: Tensor, normalise: Normalise | None) -> list[_Row]:
    def visible(pixels: Tensor) -> Tensor:
        if pixels.shape[1] in (1, 3):
            return pixels if normalise is None else normalise.undo(pixels)
        mean = pixels.mean(1, keepdim=True)
        return (mean - mean.amin()) / (mean.amax() - mean.amin()).clamp(min=1e-12)

    rows, given = [_Row("input", images, [], BASELINE)], None
    for look in looks:
        if given is None or not torch.equal(look.images, given):  # the first, or at another picture
            shown = images if torch.equal(look.images, inputs) else visible(look.images)
            rows.append(_Row("where it\nlooks", shown, [], BASELINE))
            given, above = look.images, rows[-1].looks
        above.append(look)
        rows.append(_Row("what it\nsees", visible(look.warped), [], TARGET))
    return rows


def _draw_rows(rows: list[_Row], verdicts: list[tuple[str, float]], alt: str) -> Figure:
    n, heights = len(verdicts), [height_to_width(row.pictures) for row in rows]
    figure = Figure(alt, 1.45 * n + 1.1, 5.6 + 1.5 * (sum(heights) - 3))
    axes = figure.subplots(len(rows) + 1, n, squeeze=False, gridspec_kw={"height_ratios": [*heights, 0.45]})
    for i, column in enumerate(axes.T):
        for axis, row in zip(column, rows):
            show_image(axis, row.pictures[i])
            if row.looks:  # room for frames that reach beyond the picture, whose edge is drawn instead
                shown = row.reach()
                axis.set(xlim=(-shown, shown), ylim=(shown, -shown))
                axis.add_patch(Rectangle((-1, -1), 2, 2, fill=False, color=BASELINE, linewidth=1))
            else:
                axis.spines[:].set(visible=True, color=row.colour, linewidth=1.2)
            for look in row.looks:
                draw_border(axis, look.theta[i], look.layer.transform)
        last = column[-1]
        last.set_axis_off()
        verdict, certainty = verdicts[i]
        size = 18 if len(verdict) == 1 else 11
        last.text(0.5, 0.55, verdict, ha="center", va="center", fontsize=size, weight="bold")
        last.text(0.5, 0.0, f"{certainty:.1%}", ha="center", va="center")
        for above, below in pairwise(column):
            _join(figure, above, below, top=0.95 if below is last else 1.02)
    for axis, text in zip(axes[:, 0], (*(row.label for row in rows), "what it\nsays")):
        axis.text(-0.12, 0.5, text, ha="right", va="center", transform=axis.transAxes)
    return figure


def _join(figure: Figure, above: Axes, below: Axes, top: float) -> None:
    places = {"coordsA": "axes fraction", "coordsB": "axes fraction", "axesA": above, "axesB": below}
    arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 1, "shrinkB": 1}
    figure.add_artist(ConnectionPatch((0.5, -0.02), (0.5, top), **places, **arrow))
