"""Target: importing the course adds little to importing torch; its first picture comes as soon as JupyterLab can.

    python benchmarks/startup.py [--rounds 5]

Imports are timed in processes of their own. The first picture is timed from the start of JupyterLab, with the options
of `make lab`, to the moment when notebook 00 shows it in headless Chromium, which is running already; what it is
compared with is a notebook that holds one small picture and nothing else. They take turns, and medians are printed.
"""

import argparse
import base64
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
import browser  # noqa: E402

IMPORTS = {
    "torch": "import torch",
    "torch and torchvision": "import torch, torchvision",
    "a network of the course": "import stn_course.models",
    "an explorer": "import stn_course.widgets",
    "what trains and records": "import stn_course.experiments",
}
SHOWN = "() => [...document.querySelectorAll('.jp-Notebook img')].some(image => image.complete && image.naturalWidth)"


def seconds_to_import(statement: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def one_picture() -> nbformat.NotebookNode:
    data = io.BytesIO()
    Image.new("RGB", (100, 100), "red").save(data, "PNG")
    output = nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(data.getvalue()).decode()})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])


def seconds_to_picture(notebook: nbformat.NotebookNode) -> float:
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as context:
        places = [Path(folder) / name for name in ("notebooks", "home")]
        for place in places:
            place.mkdir()
        nbformat.write(notebook, places[0] / "first.ipynb")
        page = context.new_page()
        start = time.perf_counter()
        with browser.jupyterlab(*places) as url:
            page.goto(f"{url}lab/tree/first.ipynb")
            page.wait_for_function(SHOWN)
            return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ways = {f"import {name}": lambda code=code: seconds_to_import(code) for name, code in IMPORTS.items()}
    if reason := browser.why_not():
        print(f"The first picture is left out: {reason}")
    else:
        ours = nbformat.read(HERE.parent / "notebooks" / "00_start_here.ipynb", 4)
        ways["first picture of notebook 00"] = lambda: seconds_to_picture(ours)
        ways["first picture of an empty notebook"] = lambda: seconds_to_picture(one_picture())
    taken = {name: [] for name in ways}
    for _ in range(arguments.rounds + 1):  # the first one fills the disk's cache
        for name, way in ways.items():
            taken[name].append(way())
    for name, times in taken.items():
        print(f"{name:42}{statistics.median(times[1:]):6.2f} s   ({min(times[1:]):.2f} to {max(times[1:]):.2f})")
    pairs = zip(taken["import what trains and records"][1:], taken["import torch and torchvision"][1:])
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"ratio of the imports, all of the course to torch and torchvision: {ratio:.2f}")


if __name__ == "__main__":
    main()
