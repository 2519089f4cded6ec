"""Render every notebook as a static page that reads well without a kernel, and needs neither scripts nor a network.

    python tools/render_html.py [FOLDER]        html/, if none is named

Formulas become MathML, which browsers draw by themselves; pictures are put into the page, with their alternative text;
links between notebooks become links between pages. In the place of something to drag stands a sentence that says so.
What a notebook folds is folded here, too, behind its title.
"""

import re
import sys
from html import escape
from pathlib import Path

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from stamp import BADGE

ROOT = Path(__file__).resolve().parent.parent
LIVE = "application/vnd.jupyter.widget-view+json"
INSTEAD = '<p class="live">Here is something to drag. It moves where the notebook is run; what follows is still.</p>'
FOLDING = """
{%- extends 'lab/index.html.j2' -%}
{%- block input_group -%}
{%- if cell.metadata.cellView == "form" -%}
<details><summary>Show: {{ cell.source.splitlines()[0].removeprefix("# @title ") | escape }}</summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock input_group -%}
"""
STYLE = """
<style>
  body { margin: 0 auto; max-width: 62rem; padding: 0 1rem; }
  .jp-RenderedHTMLCommon { font-size: 1.05rem; line-height: 1.6; }
  .jp-OutputArea-output img { max-width: 100%; height: auto; }
  .jp-Cell-inputWrapper, .jp-Cell-outputWrapper { margin: 0; }
  summary { color: #0072B2; cursor: pointer; margin: 0.5rem 0; }
  .live { border-left: 4px solid #0072B2; padding-left: 0.8rem; }
  math[display="block"] { margin: 1rem 0; overflow-x: auto; }
</style>
"""


class Renderer(IPythonRenderer):
    """Markdown to HTML, with formulas as MathML and links that lead to pages."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    multiline_math = block_math

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, re.sub(r"^([\w-]+)\.ipynb(?=$|#)", r"\1.html", url), title)


class Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context, source: str) -> str:
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = Renderer(escape=False, embed_images=True, path=path, exclude_anchor_links=True)
        return MarkdownWithMath(renderer=renderer).render(source)


def for_reading(notebook: NotebookNode) -> NotebookNode:
    """The notebook with words in the place of widgets and of the badge's picture, and words for all other pictures."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub(lambda badge: "[Open in Colab]" + badge[0][badge[0].rindex("(") :], cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if LIVE in data:
                output.data = {"text/html": INSTEAD}
            elif "image/png" in data:  # nbconvert itself leaves the alternative text out
                alt = output.metadata.get("image/png", {}).get("alt") or data["text/plain"]
                content = data["image/png"].replace("\n", "")
                output.data = {"text/html": f'<img src="data:image/png;base64,{content}" alt="{escape(alt)}">'}
    return notebook


def page(path: Path) -> str:
    """The page of one notebook."""
    notebook = for_reading(nbformat.read(path, as_version=4))
    title = re.search(r"^# (.+)", notebook.cells[0].source, re.MULTILINE)[1]
    exporter = Exporter(raw_template=FOLDING, exclude_input_prompt=True, exclude_output_prompt=True, embed_images=True)
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(path.parent), "name": path.stem}})
    html = re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL)
    html = re.sub(r"<title>.*?</title>", f"<title>{escape(title)}</title>", html, flags=re.DOTALL)
    return html.replace("</head>", f"{STYLE}</head>")


def render(folder: Path, root: Path = ROOT) -> list[Path]:
    """Write the page of each notebook into a folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for notebook in sorted(root.glob("notebooks/*.ipynb")):
        pages.append(folder / f"{notebook.stem}.html")
        pages[-1].write_text(page(notebook), encoding="utf-8")
    return pages


if __name__ == "__main__":
    for written in render(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "html"):
        print(written)
