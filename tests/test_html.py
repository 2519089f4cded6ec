"""The static pages: nothing to load from elsewhere, every link leads somewhere, every picture has words."""

import html
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from render_html import INSTEAD, LIVE, render

ROOT = Path(__file__).resolve().parent.parent


class Reader(HTMLParser):
    """Collects elements with their attributes, and the text that a reader sees."""

    def __init__(self, page: str):
        super().__init__()
        self.elements, self.text, self.inside = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"style", "pre", "code", "annotation"} & set(self.inside):
            self.text.append(data)

    def all(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.elements if name == tag and attribute in attributes]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return {path.name: path.read_text(encoding="utf-8") for path in render(tmp_path_factory.mktemp("html"))}


@pytest.fixture(scope="module")
def readers(pages):
    return {name: Reader(page) for name, page in pages.items()}


def notebooks():
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted(ROOT.glob("notebooks/*.ipynb"))}


def test_there_is_a_page_for_each_notebook(pages):
    assert list(pages) == [f"{name}.html" for name in notebooks()]


def test_nothing_is_loaded_from_elsewhere(readers):
    for reader in readers.values():
        assert not [tag for tag, _ in reader.elements if tag in ("script", "link", "iframe")]
        assert all(source.startswith("data:image/") for source in reader.all("img", "src"))
        assert not re.search(r"@import|url\(\s*['\"]?https?:", " ".join(reader.text))


def test_every_link_between_pages_leads_somewhere(readers):
    headings = ("h1", "h2", "h3")
    places = {name: {"", *(i for tag in headings for i in reader.all(tag, "id"))} for name, reader in readers.items()}
    between = 0
    for name, reader in readers.items():
        for link in reader.all("a", "href"):
            if not link.startswith("https://"):
                page, _, place = link.partition("#")
                assert place in places[page or name], f"{name}: {link}"
                between += page != ""
    assert between >= 2 * len(readers) - 2  # each page but the last leads on, each but the first back


def test_every_picture_has_words_of_its_own(readers):
    for reader in readers.values():
        words = [attributes.get("alt") or "" for tag, attributes in reader.elements if tag == "img"]
        assert len(set(words)) == len(words) > 0
        assert not [alt for alt in words if len(alt) < 12 or "description" in alt or alt.startswith("<")]


def test_every_formula_is_drawn(pages, readers):
    formula = re.compile(r"\$\$.+?\$\$|\$[^$\n]+?\$", re.DOTALL)
    code = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
    for name, notebook in notebooks().items():
        prose = [code.sub("", cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
        assert pages[f"{name}.html"].count("<math") == sum(len(formula.findall(text)) for text in prose)
        assert "$" not in "".join(readers[f"{name}.html"].text)


def test_every_line_of_code_and_of_output_is_there(pages):
    for name, notebook in notebooks().items():
        text = re.sub(r"\s", "", "".join(Everything(pages[f"{name}.html"]).text))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert re.sub(r"\s", "", cell.source) in text
                for output in cell.outputs:
                    assert re.sub(r"\s", "", output.get("text", "")) in text


class Everything(Reader):
    def handle_data(self, data):
        self.text.append(data)


def test_what_can_be_dragged_is_replaced_by_words(pages):
    for name, notebook in notebooks().items():
        found = sum(LIVE in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
        assert pages[f"{name}.html"].count(INSTEAD) == found


def test_what_a_notebook_folds_is_folded_on_its_page(pages):
    for name, notebook in notebooks().items():
        titles = [
            cell.source.splitlines()[0].removeprefix("# @title ")
            for cell in notebook.cells
            if cell.metadata.get("cellView") == "form"
        ]
        shown = re.findall(r"<details><summary>Show: (.*?)</summary>", pages[f"{name}.html"])
        assert [unescape(title) for title in shown] == titles


def test_a_page_has_the_title_of_its_notebook(pages):
    for name, notebook in notebooks().items():
        title = re.search("^# (.+)", notebook.cells[0].source, re.MULTILINE)[1]
        assert f"<title>{html.escape(title)}</title>" in pages[f"{name}.html"]
