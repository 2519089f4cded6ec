"""How long a notebook takes to work through: one formula for all of them, which INSTRUCTORS.md states in words.

    minutes = words / 100 + lines of code / 10 + 2 · predictions + figures + 3 · explorers + 7 · exercises

Words are those of the prose, at the pace of somebody who reads technical English as a second language. Lines of code
are those that are not blank, without the set-up and without cells that only draw. A figure is one that a cell shows, an
explorer something to drag, an exercise something to write. What a reader counted and timed in an early version of the
notebooks 01 to 03 is what the factors are chosen by; nobody has been timed with a clock.

    python tools/reading_time.py        a table of all notebooks
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from stamp import ROOT, has_tag

STOP = "**A good place to stop.**"
OPTIONAL = re.compile(r"^## Optional\b", re.MULTILINE)
LIVE = "application/vnd.jupyter.widget-view+json"
PREDICTION = re.compile(r"^> \*\*Predict\b", re.MULTILINE)
CHECK = re.compile(r"^exercises\.\w+\.check\(", re.MULTILINE)


@dataclass
class Reading:
    """What there is to do in some cells of a notebook."""

    words: int = 0
    lines: int = 0
    longest: int = 0
    predictions: int = 0
    figures: int = 0
    explorers: int = 0
    exercises: int = 0

    @property
    def minutes(self) -> float:
        return (
            self.words / 100
            + self.lines / 10
            + 2 * self.predictions
            + self.figures
            + 3 * self.explorers
            + 7 * self.exercises
        )

    def add(self, cell: NotebookNode) -> None:
        if cell.cell_type == "markdown":
            self.words += len(cell.source.split())
            self.predictions += len(PREDICTION.findall(cell.source))
            return
        lines = cell.source.splitlines()
        if not has_tag(cell, "setup"):
            self.longest = max(self.longest, len(lines))
            self.lines += 0 if has_tag(cell, "drawing") else sum(bool(line.strip()) for line in lines)
        self.exercises += len(CHECK.findall(cell.source))
        shown = [output.get("data", {}) for output in cell.get("outputs", [])]
        self.explorers += any(LIVE in data for data in shown)
        self.figures += any("image/png" in data for data in shown)


def sittings(notebook: NotebookNode) -> tuple[list[Reading], Reading]:
    """What there is to do in each sitting of the main path, and in the optional sections at the end."""
    path, optional, at_the_end = [Reading()], Reading(), False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            at_the_end = at_the_end or bool(OPTIONAL.search(cell.source))
            if cell.source.startswith(STOP):
                path.append(Reading())
        (optional if at_the_end else path[-1]).add(cell)
    return path, optional


def main(root: Path = ROOT) -> None:
    print(
        f"{'':<24}{'words':>7}{'lines':>7}{'longest':>9}{'predict':>9}{'figures':>9}{'drag':>6}{'write':>7}{'minutes':>9}"
    )
    for path in sorted(root.glob("notebooks/*.ipynb")):
        parts, optional = sittings(nbformat.read(path, as_version=4))
        names = [path.stem, *[f"  sitting {i}" for i in range(2, len(parts) + 1)], "  optional"]
        for name, part in zip(names, [*parts, optional]):
            if part.minutes:
                counts = (part.words, part.lines, part.longest, part.predictions, part.figures, part.explorers)
                widths = (7, 7, 9, 9, 9, 6)
                print(f"{name:<24}" + "".join(f"{n:>{w}}" for n, w in zip(counts, widths)), end="")
                print(f"{part.exercises:>7}{part.minutes:>9.0f}")


if __name__ == "__main__":
    main()
