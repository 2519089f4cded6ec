"""The usual way, as most notebooks do it: the explorers' pictures as matplotlib figures, redrawn by `interact`.

Each function draws what an explorer shows, with one of its sliders at another value. Where ours has more to it (titles,
notes, legends, patterns), the figure goes without: what is left out is in its favour.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from stn_course.algebra import target_border
from stn_course.drawing.microscope import REACH
from stn_course.drawing.sampling_point import read_point
from stn_course.palette import GRADIENT, INK, SOURCE, TARGET
from stn_course.plots import IMAGE_EXTENT
from stn_course.spatial_transformer import warp

GREY = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def one_colour(explorer, name: str, value: float) -> None:
    _, axis = plt.subplots(figsize=(1, 1))
    axis.imshow([[value]], vmin=0, vmax=100)
    plt.show()


def epochs(explorer, name: str, value: float) -> None:
    theta = explorer.scene.looks[0][value]
    seen = warp(explorer.scene.images, theta, explorer.scene.transforms[0])
    _, axes = plt.subplots(2, len(seen), figsize=(12, 2.5))
    for i, (above, below) in enumerate(axes.T):
        above.imshow(explorer.scene.images[i, 0], extent=IMAGE_EXTENT, **GREY)
        above.plot(*target_border(theta[i], explorer.scene.transforms[0]).T, color=SOURCE)
        below.imshow(seen[i, 0], extent=IMAGE_EXTENT, **GREY)
        for axis in (above, below):
            axis.set(xlim=(-1, 1), ylim=(1, -1), xticks=[], yticks=[])
    plt.show()


def transformation(explorer, name: str, value: float) -> None:
    theta = list(explorer.theta)
    theta[list(explorer.transform.names).index(name)] = value
    row = torch.tensor([theta], dtype=torch.float32)
    image = explorer.images[explorer.image.value]
    output = warp(image[None], row, explorer.transform)[0]
    regular = _grid()
    matrix = explorer.transform.matrix(row)[0].numpy()
    sampling = np.concatenate((regular, np.ones((*regular.shape[:2], 1))), axis=2) @ matrix.T
    sampling = sampling[..., :2] / sampling[..., 2:]
    figure = plt.figure(figsize=(12, 4))
    looks, sees, space = (figure.add_subplot(1, 3, i + 1, projection="3d" if i == 2 else None) for i in range(3))
    looks.imshow(image[0], extent=IMAGE_EXTENT, **GREY)
    _lines(looks, sampling, SOURCE)
    looks.set(xlim=(-1.6, 1.6), ylim=(1.6, -1.6))
    sees.imshow(output[0], extent=IMAGE_EXTENT, **GREY)
    _lines(sees, regular, TARGET)
    for lines, height, colour in ((regular, 1, TARGET), (sampling, 0, SOURCE)):
        space.plot_wireframe(*np.moveaxis(lines, 2, 0), np.full(lines.shape[:2], height), color=colour, linewidth=1)
    for a, b in zip(regular[[0, 0, -1, -1], [0, -1, 0, -1]], sampling[[0, 0, -1, -1], [0, -1, 0, -1]]):
        space.plot(*zip((*a, 1), (*b, 0)), color=INK, linewidth=1)
    plt.show()


def microscope(explorer, name: str, value: float) -> None:
    state = explorer.state() | {name: value}
    zoom = state.pop("zoom")
    x, y = state["x"], state["y"]
    reading = read_point(explorer.image, **state)
    patches = explorer.scene.patches(x, y, state["padding"], state["align_corners"], zoom)
    _, (whole, *sides) = plt.subplots(1, 3, figsize=(12, 4))
    whole.imshow(explorer.image[0], **GREY)
    for (n, m), level in np.ndenumerate(explorer.image[0].numpy()):
        whole.text(m, n, f"{level:.1f}", ha="center", va="center", color="white" if level < 0.5 else "black")
    for column, row, weight, _, _ in reading.neighbours:
        whole.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=SOURCE))
        whole.text(column, row + 0.3, f"{weight:.2f}", ha="center", color=SOURCE)
    whole.arrow(x, y, reading.slopes_x[0], reading.slopes_y[0], color=GRADIENT, head_width=0.1)
    whole.plot(x, y, "o", color=SOURCE)
    for axis, patch in zip(sides, patches.values()):
        axis.imshow(patch[0], extent=(x - REACH, x + REACH, y + REACH, y - REACH), **GREY)
        axis.plot(x, y, "o", color=SOURCE)
    plt.show()


def descent(explorer, name: str, value: float) -> None:
    settings = explorer.state() | {name: value}
    step = settings.pop("step")
    course = explorer.trajectory(**settings)
    theta = torch.from_numpy(course.theta(step))[None].float()
    start, border = (
        target_border(torch.from_numpy(course.theta(at)).float(), explorer.scene.transform) for at in (0, step)
    )
    _, (looks, sees, curve) = plt.subplots(1, 3, figsize=(12, 4))
    looks.imshow(explorer.image[0], extent=IMAGE_EXTENT, **GREY)
    looks.plot(*start.T, color=SOURCE, alpha=0.4)
    looks.plot(*border.T, color=SOURCE)
    output = warp(explorer.image[None], theta, explorer.scene.transform, explorer.template.shape[1:])[0]
    sees.imshow(output[0], extent=IMAGE_EXTENT, **GREY)
    sees.contour(explorer.template[0], [0.5], extent=(-1, 1, -1, 1), colors=TARGET)
    curve.semilogy(course.losses(step), color=TARGET)
    plt.show()


def _grid(lines: int = 9) -> np.ndarray:
    """The regular grid: (lines, lines, 2)."""
    at = np.linspace(-1, 1, lines)
    return np.stack(np.meshgrid(at, at), axis=2)


def _lines(axis: Axes, grid: np.ndarray, colour: str) -> None:
    """Rows and columns of a grid (N, N, 2)."""
    axis.plot(*np.moveaxis(grid, 2, 0), color=colour, linewidth=1)
    axis.plot(*np.moveaxis(grid.transpose(1, 0, 2), 2, 0), color=colour, linewidth=1)
