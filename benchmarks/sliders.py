"""Target: a slider's new picture is there 40 ms after a key press, at least 4 times sooner than matplotlib's.

    python benchmarks/sliders.py [--presses 60] [--explorers affine microscope ...]

Timed inside the page, in JupyterLab in headless Chromium: from the key press on a slider (the event's own time) to the
animation frame after the picture's source changed, and to the one after the new picture was decoded, which is when a
reader can see it. At most 40 ms in the median, 70 ms at the 95th percentile. Every explorer takes turns, press by press
with the same picture drawn by matplotlib under `interact`, both in one page and one kernel. The first row is the floor:
one slider, and a small picture of one colour that is ready beforehand. The machine has to be idle; its load is printed.
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
from stn_course.widgets.pictures import png
import ipywidgets

class Floor(Explorer):
    def __init__(self):
        self.pictures = [png(Image.new("RGB", (100, 100), (level, 0, 0))) for level in range(101)]
        self.picture, self.x = ipywidgets.Image(format="png", value=self.pictures[0]), ipywidgets.IntSlider(0, 0, 100)
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

def beside(explorer, name, draw):
    ours = explorer.controls[name]
    same = {{key: getattr(ours, key) for key in ("value", "min", "max", "step")}}
    theirs = ipywidgets.interactive(lambda value: draw(explorer, name, value), value=type(ours)(**same))
    theirs.add_class("theirs")
    explorer.widget.add_class("ours")
    return ipywidgets.VBox([explorer.widget, theirs])
"""

WARM_UP = 2
WATCH = """root => {
    const took = [];
    let pressed = null, before = null;
    root.addEventListener("keydown", event => {
        pressed = event.timeStamp;
        before = root.querySelector("img").src;
    }, true);
    new MutationObserver(async () => {
        const image = root.querySelector("img");
        if (pressed === null || !image || image.src === before) return;
        const since = pressed;
        pressed = null;
        const frame = () => new Promise(done => requestAnimationFrame(() => done(performance.now() - since)));
        const changed = frame();
        await image.decode();
        const decoded = frame();
        took.push([await changed, await decoded]);
    }).observe(root, {subtree: true, childList: true, attributes: true, attributeFilter: ["src"]});
    root.took = took;
}"""


def measure(
    lab: browser.Lab, folder: Path, name: str, slider: str, draw: str, presses: int
) -> dict[str, list[list[float]]]:
    """Milliseconds from key press to picture changed and decoded, ours and theirs in turns."""
    example = EXAMPLES[name]
    show = f"{example.source}\nbeside(show('it', explorer), {slider!r}, matplotlib_pictures.{draw})"
    cells = [live.PREPARE, THEIRS.format(folder=str(HERE)), show]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = folder / f"{name} {slider}.ipynb"
    nbformat.write(notebook, path)
    lab.open(path.name)
    errors = [output for cell in lab.run_all().cells for output in cell.outputs if output.output_type == "error"]
    if errors:
        raise RuntimeError("\n".join(errors[0].traceback))
    explorer = live.Live(lab, "it", example)
    handles = {
        "ours": explorer.control(slider).locator(".noUi-handle"),
        "theirs": lab.page.locator(".theirs .noUi-handle"),
    }
    took: dict[str, list[list[float]]] = {who: [] for who in handles}
    lab.page.locator(".theirs img").wait_for()
    for who in handles:
        lab.page.locator(f".{who}").evaluate(WATCH)
    for press in range(presses + WARM_UP):
        for who, handle in handles.items():
            root = lab.page.locator(f".{who}")
            count = root.evaluate("root => root.took.length")
            handle.focus()
            lab.page.wait_for_timeout(60)  # the last press has come to rest
            lab.page.keyboard.press("ArrowRight" if press % 40 < 20 else "ArrowLeft")
            pressed = root.element_handle()
            lab.page.wait_for_function("([root, count]) => root.took.length > count", arg=[pressed, count], polling=25)
            lab.settle()
            if press >= WARM_UP:
                took[who].append(root.evaluate("root => root.took.at(-1)"))
    lab.close()
    return took


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
                ours, theirs = measure(lab, notebooks, name, slider, draw, arguments.presses).values()
                changed, decoded = zip(*ours, strict=True)
                theirs_changed, theirs_decoded = zip(*theirs, strict=True)
                ratios = (
                    statistics.median(b / a for a, b in zip(x, y, strict=True))
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
