"""What a committed notebook keeps to: a rule takes a notebook and its file name and yields what is wrong."""

import ast
import builtins
import copy
import re
import symtable
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from reading_time import PREDICTION, sittings
from stamp import ROOT, has_tag, repository, stamp_notebook, version

Rule = Callable[[NotebookNode, str], Iterator[str]]

MAX_BYTES = 2 * 1024**2
MIN_CHECKED = 0.6
IGNORE = "nbval-ignore-output"
MAX_LINES = 25
FOLDED = {"course-version": "# @title The course's version", "drawing": "# @title Drawing: "}
ANSWER = re.compile(r"^\*\*Answer\b", re.MULTILINE)
TO_WORK_THROUGH = re.compile(r"^- \*\*To work through:\*\* (.+)", re.MULTILINE)
NEAR = 0.2  # how far the announced minutes may be from the formula's

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
        if stamp_notebook(copy.deepcopy(notebook), name, repository(), version()):
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


def cells_are_short(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > MAX_LINES and not has_tag(cell, "setup"):
            yield f"cell {i}: {lines} lines of code are more than {MAX_LINES}"


def folded_everywhere_or_nowhere(notebook: NotebookNode, name: str) -> Iterator[str]:
    """JupyterLab folds by one entry of the metadata, Colab by another and a title, the static pages by the tag."""
    for i, cell in enumerate(notebook.cells):
        tag = next((tag for tag in FOLDED if has_tag(cell, tag)), None)
        in_lab = bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
        in_colab = cell.metadata.get("cellView") == "form"
        if not in_lab == in_colab == (tag is not None):
            yield f"cell {i}: folded by its tag {tag}, in JupyterLab {in_lab}, in Colab {in_colab}"
        elif tag and not cell.source.startswith(FOLDED[tag]):
            yield f"cell {i}: tagged {tag}, it does not begin with {FOLDED[tag]!r}"


def predictions_are_answered(notebook: NotebookNode, name: str) -> Iterator[str]:
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and (asked := len(PREDICTION.findall(cell.source))):
            following = (c.source for c in notebook.cells[i + 1 : i + 3] if c.cell_type == "markdown")
            answers = sum(len(ANSWER.findall(source)) for source in following)
            if asked > 1 or not answers:
                yield f"cell {i}: {asked} predictions, {answers} answers within the next two cells"


def announced_time_is_true(notebook: NotebookNode, name: str) -> Iterator[str]:
    line = TO_WORK_THROUGH.search(notebook.cells[0].source) if notebook.cells else None
    if line is None:
        yield "its first cell has no line '- **To work through:** …'"
        return
    path, optional = sittings(notebook)
    minutes = [part.minutes for part in (*path, optional) if part.minutes]
    announced = [int(number) for number in re.findall(r"\d+", line[1])]
    true = len(announced) == len(minutes) and all(
        abs(said - computed) <= NEAR * computed for said, computed in zip(announced, minutes)
    )
    if not true:
        yield f"it announces {announced} minutes, and the formula gives {[round(m) for m in minutes]}"


def sections_can_be_run_again(notebook: NotebookNode, name: str) -> Iterator[str]:
    """A name that goes from one cell to another is assigned in one cell only."""
    cells = [(i, _Names(cell.source)) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for carried in sorted({name for _, names in cells for name in names.carried}):
        assigned = [i for i, names in cells if carried in names.assigned]
        if len(assigned) > 1:
            yield f"{carried} goes from cell to cell and is assigned in the cells {assigned}"


class _Names(ast.NodeVisitor):
    """The names that a cell assigns at its top level, and those it takes from elsewhere: `carried`.

    What a function reads it reads when it is called, so a name that it takes from outside is always carried.
    """

    def __init__(self, source: str):
        self.assigned: set[str] = set()
        self.carried: set[str] = set()
        table = symtable.symtable(source, "cell", "exec")
        for inner in _inside(table):
            for symbol in inner.get_symbols():
                if symbol.is_global() and symbol.is_referenced() and not hasattr(builtins, symbol.get_name()):
                    self.carried.add(symbol.get_name())
        self.visit(ast.parse(source))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.assigned.add(node.id)
        elif node.id not in self.assigned and not hasattr(builtins, node.id):
            self.carried.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)  # it is read before the target is assigned
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.assigned:
            self.carried.add(node.target.id)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for outside in (*node.args.defaults, *node.args.kw_defaults, *node.decorator_list):
            if outside is not None:
                self.visit(outside)
        self.assigned.add(node.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outside in (*node.bases, *node.decorator_list):
            self.visit(outside)
        self.assigned.add(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)

    def _visit_comprehension(self, node: ast.AST) -> None:
        """What it draws from is read at once; its own names end with it, and those of `:=` do not."""
        own = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.comprehension):
                own |= {name.id for name in ast.walk(inner.target) if isinstance(name, ast.Name)}
            elif isinstance(inner, ast.NamedExpr):
                self.assigned.add(inner.target.id)
                own.add(inner.target.id)
            elif isinstance(inner, ast.arg):  # of a lambda
                own.add(inner.arg)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id not in own:
                self.visit_Name(inner)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """The functions, classes and lambdas inside a cell, which read names when they are called; not comprehensions."""
    for inner in table.get_children():
        if inner.get_name() not in ("listcomp", "setcomp", "dictcomp", "genexpr"):
            yield inner
            yield from _inside(inner)


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
    cells_are_short,
    folded_everywhere_or_nowhere,
    predictions_are_answered,
    announced_time_is_true,
    sections_can_be_run_again,
]
