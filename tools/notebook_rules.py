"""What a committed notebook keeps to: a rule takes a notebook and its file name and yields what is wrong."""

import ast
import copy
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from stamp import ROOT, has_tag, repository, stamp_notebook

Rule = Callable[[NotebookNode, str], Iterator[str]]

MAX_BYTES = 2 * 1024**2
MIN_CHECKED = 0.6
IGNORE = "nbval-ignore-output"

ASSERTION = re.compile(r"^\s*(assert\b|[\w.]*\bassert_\w+\()", re.MULTILINE)
SIGNED_ZERO = re.compile(r"(?<![\w.)])[-−]0+(\.0*)?(?![\d.]*\d)(?!\w)")
WARNING = re.compile(r"\w*Warning\b")
LINK = re.compile(r"""\]\(<?([^)\s>]+)|\b(?:href|src)=["']([^"']+)""")
IMAGE_WITHOUT_ALT = re.compile(r"""!\[\s*\]\(|<img\b(?![^>]*\balt=["'][^"'])""")
DATA_URI = re.compile(r"data:[\w/+.;=-]+,[\w/+=%-]+")
# Two or more parts of a path that starts at the root (not a URL, a fraction or a path below a relative one).
ABSOLUTE_PATH = re.compile(r"(?<![\w.~:/<-])(?:/[\w.+-]+){2,}|\b[A-Za-z]:\\\w+")
FOLDERS_HERE = [str(p) for p in (ROOT, Path.home(), Path(tempfile.gettempdir())) if p.name]
HERE = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, FOLDERS_HERE))})\b")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def data(output: NotebookNode) -> dict[str, str]:
    """What an output shows, by media type; a stream counts as plain text."""
    return {"text/plain": output.text} if output.output_type == "stream" else dict(output.get("data", {}))


def is_image(output: NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in data(output))


def texts(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Every text that is shown as an output, with its cell's index."""
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            for kind, text in data(output).items():
                if isinstance(text, str) and (kind.startswith("text/") or kind == "image/svg+xml"):
                    yield i, DATA_URI.sub("", text)


def stamped(notebook: NotebookNode, name: str) -> Iterator[str]:
    try:
        if stamp_notebook(copy.deepcopy(notebook), name, repository()):
            yield "setup cell or badge is not the stamped one: run `make stamp`"
    except ValueError as error:
        yield str(error)


def opens_with_a_title(notebook: NotebookNode, name: str) -> Iterator[str]:
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        yield "the first cell is not markdown"
    elif not notebook.cells[0].source.startswith("# "):
        yield "the first cell does not start with a `# ` title"


def links_lead_somewhere(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        for groups in LINK.findall(cell.source):
            target = "".join(groups).split("#")[0]
            if target and not re.match(r"[a-z]+:", target) and not (ROOT / "notebooks" / target).exists():
                yield f"cell {i}: the link to {target} leads nowhere"


def ran_top_to_bottom(notebook: NotebookNode, name: str) -> Iterator[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}"


def no_errors(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"cell {i}: {output.ename}: {output.evalue}"


def no_stderr(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                yield f"cell {i}: stderr: {output.text.strip()[:200]}"


def no_warnings(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, text in texts(notebook):
        if found := WARNING.search(text):
            yield f"cell {i}: its output has a {found[0]}"


def no_machine_paths(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, text in texts(notebook):
        if found := ABSOLUTE_PATH.search(text) or HERE.search(text):
            yield f"cell {i}: its output has a path of a machine: {found[0]}"


def no_signed_zeros(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, text in texts(notebook):
        if found := SIGNED_ZERO.search(text):
            yield f"cell {i}: its output has a zero with a sign, {found[0]}: another machine prints none"


def small_enough(notebook: NotebookNode, name: str) -> Iterator[str]:
    size = len(nbformat.writes(notebook).encode())
    if size > MAX_BYTES:
        yield f"{size:,} bytes are more than {MAX_BYTES:,}"


def numbers_are_printed_one_way(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        calls = [] if cell.cell_type != "code" else filter(_is_call, ast.walk(ast.parse(cell.source)))
        for call in calls:
            rounds = any(_is_call(inner, "round") and len(inner.args) == 2 for inner in ast.walk(call))
            if _is_call(call, "print") and rounds:
                yield f"cell {i}: it prints what `round` gives; `stn_course.numbers.short` never says −0"


def _is_call(node: ast.AST, function: str | None = None) -> bool:
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return named and function in (None, node.func.id)


def mostly_checked(notebook: NotebookNode, name: str) -> Iterator[str]:
    def checked(cell: NotebookNode) -> bool:
        shown = any(kind.startswith("text/") for o in cell.outputs if not is_image(o) for kind in data(o))
        return bool(ASSERTION.search(cell.source)) or (shown and not has_tag(cell, IGNORE))

    cells = [
        (i, checked(cell))
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and not has_tag(cell, "setup")
    ]
    n_checked = sum(ok for _, ok in cells)
    if n_checked < MIN_CHECKED * len(cells):
        unchecked = [i for i, ok in cells if not ok]
        yield f"{n_checked} of {len(cells)} cells are checked (needed: {MIN_CHECKED:.0%}); not {unchecked}"


def ignored_outputs_are_asserted(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if has_tag(cell, IGNORE) and not has_tag(cell, "setup"):
            later = (c for c in notebook.cells[i + 1 :] if c.cell_type == "code")
            if not any(ASSERTION.search(c.source) for c in later):
                yield f"cell {i}: its output is not compared, and no later cell asserts anything"


def only_tags_steer_nbval(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if "NBVAL_" in cell.source or has_tag(cell, "nbval-skip"):
            yield f"cell {i}: the tag {IGNORE} is the only way around nbval"


def figures_are_explained(notebook: NotebookNode, name: str) -> Iterator[str]:
    def has_alt(output: NotebookNode) -> bool:
        return any("alt" in output.metadata.get(kind, {}) for kind in data(output))

    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and IMAGE_WITHOUT_ALT.search(cell.source):
            yield f"cell {i}: an image without alt text"
        figures = [output for output in cell.get("outputs", []) if is_image(output)]
        sentence = [c.cell_type for c in notebook.cells[i + 1 : i + 2]] == ["markdown"]
        if not (sentence or "alt" in cell.metadata or all(map(has_alt, figures))):
            yield f"cell {i}: a figure with neither a sentence under it nor alt text"


OUTPUT_RULES: list[Rule] = [no_errors, no_stderr, no_warnings, no_machine_paths, no_signed_zeros, small_enough]
RULES: list[Rule] = [
    *OUTPUT_RULES,
    stamped,
    opens_with_a_title,
    links_lead_somewhere,
    ran_top_to_bottom,
    numbers_are_printed_one_way,
    mostly_checked,
    ignored_outputs_are_asserted,
    only_tags_steer_nbval,
    figures_are_explained,
]
