"""Which exercises a notebook's code speaks of, read off its syntax and not off its text."""

import ast
import re

from stn_course.exercises.catalogue import EXERCISES

NUMBERS = {exercise.notebook for exercise in EXERCISES.values()}
MODULE = "stn_course.exercises"


def spoken_of(sources: list[str]) -> tuple[list[set[str]], set[str]]:
    """Which exercises each code cell speaks of, and the numbers of the notebooks that they belong to.

    Names are followed through imports, `as` and plain assignments. A comment or a string asks for nothing. Only where
    a cell is no Python at all are its exercises looked for in the text, because somebody tried to write one.

    Example:
        >>> spoken_of(["import stn_course.exercises as ex", "check = ex.zoom.check", "check (2)  # ex.compose"])
        ([set(), {'zoom'}, {'zoom'}], {'01'})
    """
    names: dict[str, str] = {}  # what a name stands for, as "stn_course.exercises.zoom"
    cells, numbers = [], set()
    for source in sources:
        tree = _parsed(source)
        if tree is None:
            found = _in_text(source, names)
        else:
            # Imports and assignments before what stands below them.
            nodes = sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0))
            found = {short for node in nodes if (short := _exercise(_seen(node, names, numbers)))}
        cells.append(found)
        numbers |= {EXERCISES[name].notebook for name in found}
    return cells, numbers


def _parsed(source: str) -> ast.AST | None:
    without_magics = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)
    for text in (source, without_magics):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for code nested too deep
            continue
    return None


def _seen(node: ast.AST, names: dict[str, str], numbers: set[str]) -> str | None:
    """What a node stands for; what it names something, or asks the progress of, is kept."""
    if isinstance(node, ast.Import):
        for each in node.names:
            top = each.name.partition(".")[0]
            names[each.asname or top] = each.name if each.asname else top
    elif isinstance(node, ast.ImportFrom):
        for each in node.names:
            if each.name == "*" and node.module == MODULE:
                names |= {name: f"{MODULE}.{name}" for name in EXERCISES}
            names[each.asname or each.name] = f"{node.module}.{each.name}"
    elif isinstance(node, ast.Assign):
        stands_for = _stands_for(node.value, names) or ""
        names |= {target.id: stands_for for target in node.targets if isinstance(target, ast.Name)}
    elif isinstance(node, ast.Call):
        called, first = _stands_for(node.func, names), node.args[0] if node.args else None
        if called == f"{MODULE}.progress" and isinstance(first, ast.Constant) and first.value in NUMBERS:
            numbers.add(first.value)
    return _stands_for(node, names)


def _stands_for(node: ast.AST, names: dict[str, str]) -> str | None:
    """The dotted name of what an expression stands for, as far as imports and assignments tell it."""
    path = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        key = node.attr if isinstance(node, ast.Attribute) else getattr(node.slice, "value", None)
        path.append(str(key))
        node = node.value
    known = names.get(node.id) if isinstance(node, ast.Name) else None
    return ".".join([known, *reversed(path)]) if known else None


def _exercise(dotted: str | None) -> str | None:
    """ "zoom", for stn_course.exercises.zoom.check, …EXERCISES["zoom"] or …transformations.zoom."""
    parts = (dotted or "").split(".")
    return next((part for part in parts[2:4] if part in EXERCISES), None) if parts[:2] == MODULE.split(".") else None


def _in_text(source: str, names: dict[str, str]) -> set[str]:
    checked = re.findall(r"(\w+)\s*\.\s*check\b", re.sub(r"#.*", "", source))
    return {short for word in checked if (short := _exercise(names.get(word, f"{MODULE}.{word}")))}
