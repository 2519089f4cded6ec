"""README.md and INSTRUCTORS.md speak of things that are there: files, headings, sections of notebooks, exercises."""

import re
from pathlib import Path

import nbformat
import pytest
import readme_animation
from PIL import Image

from stn_course.exercises import EXERCISES
from stn_course.experiments import load_record

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "INSTRUCTORS.md")
NOTEBOOKS = {path.stem[:2]: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}


def headings(path: Path) -> set[str]:
    """What a code host calls the headings of a page, in links to them."""
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def sections(number: str) -> set[int]:
    cells = nbformat.read(NOTEBOOKS[number], as_version=4).cells
    found = re.findall(r"^## (\d+) ·", "\n".join(c.source for c in cells if c.cell_type == "markdown"), re.MULTILINE)
    return {int(section) for section in found}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            name, _, place = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists() or (place and place not in headings(target)):
                dead.append(link)
    return dead


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    assert dead_links(ROOT / name) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One thing, or two\n[a](#one-thing-or-two) [b](#three) [c](page.md#one-thing-or-two) [d](other.md)"
    )
    assert dead_links(page) == ["#three", "other.md"]


def test_the_readme_opens_with_a_short_animation_of_both_parts():
    shown = re.search(r"!\[(.+)\]\((.+\.gif)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    file = ROOT / shown[2]
    assert file.stat().st_size <= 2_000_000
    with Image.open(file) as animation:
        epochs = load_record("rts-mnist/st-cnn")["epochs"]
        assert animation.n_frames == readme_animation.STEPS + 1 + epochs + 1
        assert animation.info["loop"] == 0


def test_the_sections_that_instructors_are_sent_to_exist():
    text = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    told = re.findall(r"[Ss]ection (\d+) of `(\d\d)`", text)
    assert len(told) >= 8
    for notebook, row in re.findall(r"^\| \d+ \| `(\d\d)_(.*)$", text, re.MULTILINE):  # of a lesson plan
        told += [(section, notebook) for section in re.findall(r"(?:[Ss]ections?|to) (\d+)", row)]
    assert [(section, notebook) for section, notebook in told if int(section) not in sections(notebook)] == []


def test_the_exercises_that_instructors_name_exist():
    text = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    plans = " ".join(re.findall(r"^\| \d+ \|.*$", text, re.MULTILINE))
    rows = plans + text[text.index("and the exercise `") :]
    named = {name for name in re.findall(r"`([a-z_]+)`", rows)} - {"stn_course"}
    assert len(named) >= 8 and named <= set(EXERCISES)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_readme_lists_each_notebook(number):
    assert f"](notebooks/{NOTEBOOKS[number].name})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_commands_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    for name in PAGES:
        named = set(re.findall(r"`make ([\w-]+)`", (ROOT / name).read_text(encoding="utf-8")))
        assert named and named <= targets
