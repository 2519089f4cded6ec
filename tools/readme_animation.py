"""Draw the README's animation: a slider moved, and what follows it; then five digits straightened, epoch by epoch.

The θ of the second part were recorded while the network that comes with the course was trained.
"""

import math
from collections.abc import Iterator

import torch
from PIL import Image
from stamp import ROOT

from stn_course import algebra
from stn_course.drawing.epochs import EpochScene
from stn_course.drawing.panel import Panel, below
from stn_course.drawing.transformation import WIDTH, TransformationScene
from stn_course.experiments import load_record, ten_digits
from stn_course.files import atomic_write
from stn_course.palette import INK, PAPER, QUIET
from stn_course.transforms import Affine

FILE = ROOT / "notebooks" / "straightened.gif"
CHOSEN = [2, 3, 5, 7, 8]
LARGEST, STEPS = 50.0, 40  # degrees, either way; pictures of one turn there and back
MILLISECONDS, REST = 70, 1500  # a frame is shown; the first and the last of a part
COLOURS = 64


def slider(title: str, text: str, share: float) -> Image.Image:
    """Draw a slider with its knob at a share of its way, and words above."""
    panel = Panel((WIDTH, 76), (0, 0, WIDTH, 76))
    panel.text((8, 20), title, INK, 21, "lm")
    left, right = 150, 600
    knob = left + share * (right - left)
    panel.text((8, 58), text.split(" = ")[0], INK, 17, "lm")
    panel.line([(left, 58), (right, 58)], QUIET, 4)
    panel.dots([(knob, 58)], INK, 10, outline=PAPER)
    panel.text((right + 24, 58), text.split(" = ")[1], INK, 17, "lm")
    return panel.picture()


def moved() -> Iterator[Image.Image]:
    """Turn the frame to one side, to the other and back."""
    scene = TransformationScene()
    names = Affine().part_names
    for step in range(STEPS + 1):
        degrees = LARGEST * math.sin(2 * math.pi * step / STEPS)
        parts = algebra.to_parts(Affine().identity()[None], Affine())
        parts[0, names.index("rotation")] = degrees
        theta = algebra.from_parts(parts, Affine())[0]
        said = f"rotation = {round(degrees)}°".replace("-", "−").replace("−0°", "0°")
        yield below([slider("Move θ yourself …", said, 0.5 + degrees / LARGEST / 2), scene.compose(theta)], 0)


def straightened() -> Iterator[Image.Image]:
    """Straighten five digits, one epoch after the other."""
    rows = load_record("rts-mnist/st-cnn")["epochs_run"]
    scene = EpochScene(ten_digits()[CHOSEN], torch.tensor([row["theta"] for row in rows])[:, CHOSEN])
    for epoch in range(scene.epochs + 1):
        said = "… or let a network learn it, from the names of the digits alone"
        strip = scene.strip(epoch, "")
        strip = strip.resize((WIDTH, round(strip.height * WIDTH / strip.width)), Image.Resampling.LANCZOS)
        yield below([slider(said, f"epoch = {epoch}", epoch / scene.epochs), strip], 0)


def main() -> None:
    parts = [list(part()) for part in (moved, straightened)]
    height = max(frame.height for part in parts for frame in part)
    frames, durations = [], []
    for part in parts:
        for i, frame in enumerate(part):
            sheet = Image.new("RGB", (WIDTH, height), PAPER)
            sheet.paste(frame, (0, 0))
            frames.append(sheet)
            durations.append(REST if i in (0, len(part) - 1) else MILLISECONDS)
    everything = below([frame.resize((WIDTH // 2, height // 2)) for frame in frames[::12]], 0)
    palette = everything.quantize(COLOURS)  # one for all frames, so that nothing flickers and little changes
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with atomic_write(FILE) as part:
        flat[0].save(part, "GIF", save_all=True, append_images=flat[1:], duration=durations, loop=0)


if __name__ == "__main__":
    main()
