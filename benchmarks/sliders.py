"""Target: a slider's new picture is there 40 ms after a key press, at least 4 times sooner than matplotlib's.

    python benchmarks/sliders.py [--presses 60] [--explorers affine microscope ...]

Timed inside the page, in JupyterLab in headless Chromium: from the key press on a slider (the event's own time) to the
animation frame after the picture's source changed, and to the one after the new picture was decoded, which is when a
reader can see it. At most 40 ms in the median, 70 ms at the 95th percentile. Each explorer is followed by the same
picture drawn by matplotlib under `interact`, in a notebook of its own, as readers have it: beside the other one, a page
has twice as much to do. The first row is the floor: one slider, and a small picture of one colour that is ready
beforehand. The machine has to be idle; its load is printed.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
import browser  # noqa: E402
import live  # noqa: E402

FLOOR = """\
from PIL import Image
from stn_course.widgets.base import Explorer
from stn_course.drawing.panel import webp
import ipywidgets

class Floor(Explorer):
    def __init__(self):
        self.pictures = [webp(Image.new("RGB", (100, 100), (level, 0, 0))) for level in range(101)]
        self.picture, self.x = ipywidgets.Image(format="webp", value=self.pictures[0]), ipywidgets.IntSlider(0, 0, 100)
        self.controls, self.widget = {"x": self.x}, ipywidgets.VBox([self.x, self.picture])
        self.x.observe(lambda change: setattr(self.picture, "value", self.pictures[change["new"]]), "value")

explorer = Floor()
"""
EXAMPLES = {"floor": live.Example(FLOOR)} | live.EXAMPLES
SLIDERS = [
    # which explorer, the slider that is pressed, and the function of matplotlib_pictures.py that draws the same
    ("floor", "x", "one_colour"),
    ("epochs", "epoch", "epochs"),
    ("affine", "θ11", "transformation"),
    ("attention", "s", "transformation"),
    ("projective", "θ31", "transformation"),
    ("microscope", "x", "microscope"),
    ("descent", "step", "descent"),
    ("descent", "shift_x", "descent"),
]

THEIRS = """\
%matplotlib inline
import ipywidgets, sys
sys.path.insert(0, {folder!r})
import matplotlib_pictures

def twin(explorer, name, draw):
    ours = explorer.controls[name]
    same = {{key: getattr(ours, key) for key in ("value", "min", "max", "step")}}
    theirs = ipywidgets.interactive(lambda value: draw(explorer, name, value), value=type(ours)(**same))
    theirs.add_class("theirs")
    return theirs
"""

WARM_UP = 10  # presses: a browser compiles what a page does while it does it
REST = 100  # milliseconds before a press: as long as somebody takes who presses a key again and again
WATCH = """root => {
    let pressed = null, before = null, done = null;
    root.nextPicture = () => new Promise(resolve => { done = resolve });
    root.addEventListener("keydown", event => {
        pressed = event.timeStamp;
        before = root.querySelector("img").src;
    }, true);
    new MutationObserver(async () => {
        const image = root.querySelector("img");
        if (pressed === null || !image || image.src === before) return;
        const since = pressed;
        pressed = null;
        const frame = () => new Promise(shown => requestAnimationFrame(() => shown(performance.now() - since)));
        const changed = frame();
        await image.decode();
        const decoded = frame();
        done([await changed, await decoded]);
    }).observe(root, {subtree: true, childList: true, attributes: true, attributeFilter: ["src"]});
}"""


def opened(lab: browser.Lab, folder: Path, name: str, cells: list[str]) -> None:
    """A new notebook of these cells, open and run."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / f"{name}.ipynb")
    lab.open(f"{name}.ipynb")
    errors = [output for cell in lab.run_all().cells for output in cell.outputs if output.output_type == "error"]
    if errors:
        raise RuntimeError("\n".join(errors[0].traceback))


def milliseconds(lab: browser.Lab, root, handle, presses: int) -> list[list[float]]:
    """From key press to picture changed and decoded, once for each press."""
    took = []
    root.locator("img").first.wait_for()
    root.evaluate(WATCH)
    for press in range(presses + WARM_UP):
        root.evaluate("root => { root.waiting = root.nextPicture() }")
        handle.focus()
        lab.page.wait_for_timeout(REST)
        lab.page.keyboard.press("ArrowRight" if press % 40 < 20 else "ArrowLeft")
        took.append(root.evaluate("root => root.waiting"))  # asked once: asking repeatedly takes the page's time
        lab.settle()
    lab.close()
    return took[WARM_UP:]


def measure(lab: browser.Lab, folder: Path, name: str, slider: str, draw: str, presses: int) -> list[list[list[float]]]:
    """Milliseconds from key press to picture changed and decoded, ours and theirs."""
    example = EXAMPLES[name]
    opened(lab, folder, f"{name} {slider}", [live.PREPARE, f"{example.source}\nshow('it', explorer)"])
    explorer = live.Live(lab, "it", example)
    ours = milliseconds(lab, explorer.root, explorer.control(slider).locator(".noUi-handle"), presses)
    twin = f"{example.source}\ntwin(explorer, {slider!r}, matplotlib_pictures.{draw})"
    opened(lab, folder, f"{name} {slider}, matplotlib", [live.PREPARE, THEIRS.format(folder=str(HERE)), twin])
    root = lab.page.locator(".theirs")
    return [ours, milliseconds(lab, root, root.locator(".noUi-handle"), presses)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=60)
    parser.add_argument("--explorers", nargs="+", metavar="NAME", help="by default all")
    arguments = parser.parse_args()
    if reason := browser.why_not():
        parser.error(f"this needs JupyterLab and a browser: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        home, notebooks = Path(folder, "home"), Path(folder, "notebooks")
        home.mkdir()
        notebooks.mkdir()
        with browser.jupyterlab(notebooks, home) as url, browser.chromium() as context:
            lab = browser.Lab(context, url)
            print(f"{os.cpu_count()} CPU cores, {os.getloadavg()[0]:.1f} of them busy in the last minute")
            print("ms, median (95th %)       ours: changed        decoded   theirs: changed     decoded     ratios")
            for name, slider, draw in SLIDERS:
                if arguments.explorers and name not in arguments.explorers:
                    continue
                ours, theirs = measure(lab, notebooks, name, slider, draw, arguments.presses)
                changed, decoded = zip(*ours, strict=True)
                theirs_changed, theirs_decoded = zip(*theirs, strict=True)
                ratios = (
                    statistics.median(y) / statistics.median(x)
                    for x, y in ((changed, theirs_changed), (decoded, theirs_decoded))
                )
                columns = [
                    f"{statistics.median(times):5.0f} ({percentile(times):.0f})"
                    for times in (changed, decoded, theirs_changed, theirs_decoded)
                ]
                print(
                    f"{f'{name}, {slider}':24}",
                    *(f"{column:>14}" for column in columns),
                    *(f"{r:7.1f}" for r in ratios),
                    flush=True,
                )


def percentile(values: list[float], share: float = 0.95) -> float:
    return sorted(values)[min(len(values) - 1, round(share * len(values)))]


if __name__ == "__main__":
    main()
