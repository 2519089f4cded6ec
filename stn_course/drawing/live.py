"""A training as it goes: where the network looks in some images now, what it sees there, and the loss so far."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from stn_course.drawing.epochs import MARGIN, EpochScene
from stn_course.drawing.panel import Panel, below
from stn_course.palette import INK, TARGET

HEIGHT, WIDTH = 170, 700
GRID = "#E3E3E3"
HIGHEST, DECADES = 5.0, 3.5  # losses from 5 down to about 0.0016
REACH = 1.3  # how much of the plane around an image is drawn: the same all along, so that nothing jumps


def training_picture(losses: Sequence[tuple[float, float]], epochs: int, scene: EpochScene | None) -> Image.Image:
    """Draw the curve of (epochs done, loss), and above it the last look of a scene, if the network looks anywhere.

    Example:
        >>> training_picture([(0.5, 2.3), (1.0, 1.1)], 2, None).size
        (784, 170)
    """
    panel = Panel((WIDTH + MARGIN, HEIGHT), (-MARGIN, -16, WIDTH, HEIGHT - 16))
    across, down = WIDTH - 80, HEIGHT - 50
    for decade in range(4):
        y = down * decade / DECADES
        panel.line([(0, y), (across, y)], GRID, 1)
        panel.text((-8, y), f"{HIGHEST * 10.0**-decade:g}", INK, 13, "rm")
    panel.line([(0, 0), (0, down), (across, down)], INK, 1)
    for epoch in range(0, epochs + 1, max(1, epochs // 10)):
        x = across * epoch / epochs
        panel.line([(x, down), (x, down + 4)], INK, 1)
        panel.text((x, down + 14), str(epoch), INK, 13, "mm")
    panel.text((across + 20, down + 14), "epoch", INK, 13, "lm")
    panel.text((-MARGIN + 4, down / 2), "loss", INK, 14, "lm")
    if losses:
        done, loss = np.array(losses).T
        height = -np.log10(np.clip(loss / HIGHEST, 10.0**-DECADES, 1)) / DECADES
        curve = np.stack((across * done / epochs, down * height), axis=1)
        panel.line(curve, TARGET, 2.5)
        panel.dots(curve[-1:], TARGET, 4, outline="white")
    if scene is None:
        return panel.picture()
    said = f"after {losses[-1][0]:.1f} epochs of {epochs}" if losses else "untrained"
    return below([scene.strip(scene.epochs, said), panel.picture()], 0)
