"""Every notebook keeps every rule, and every rule can find fault; then the tools that write notebooks."""

import copy
import re

import execute_notebooks
import nbformat
import notebook_rules as rules
import pytest
import stamp
from nbformat import v4
from reading_time import OPTIONAL

from stn_course.data import load_mnist
from stn_course.exercises import EXERCISES
from stn_course.places import data_folder

NOTEBOOKS = sorted(stamp.ROOT.glob("notebooks/*.ipynb"))
NAME = "made_up.ipynb"
PNG = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480 with 1 Axes>"}


def by_name(value):
    return getattr(value, "name", None) or value.__name__


@pytest.mark.parametrize("rule", rules.RULES, ids=by_name)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_every_notebook_keeps_every_rule(path, rule):
    assert list(rule(nbformat.read(path, as_version=4), path.name)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_every_exercise_stands_in_its_notebook_once_in_the_order_of_the_list_of_progress(path):
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    asked = re.findall(r"\bexercises\.(\w+)\.check\(", "\n".join(sources))
    assert asked == [name for name, exercise in EXERCISES.items() if exercise.notebook == path.name[:2]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_the_readme_and_the_map_say_how_long_a_notebook_takes_as_its_head_does(path):
    heads = rules.TO_WORK_THROUGH.search(nbformat.read(path, as_version=4).cells[0].source)[1]
    minutes = re.findall(r"\d+", heads.split("the optional")[0])
    readme = (stamp.ROOT / "README.md").read_text(encoding="utf-8")
    start = nbformat.read(NOTEBOOKS[0], as_version=4)
    table = next(cell.source for cell in start.cells if "| notebook |" in cell.source)
    for page in (readme, table):
        row = next(row for row in page.splitlines() if row.startswith("|") and (path.stem[:2] + " ") in row)
        assert f" min | {' + '.join(minutes)} min |" in row


def test_instructors_are_told_what_a_class_will_vote_for_every_prediction_of_the_main_path():
    page = (stamp.ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d\d\.\d+) \|", page, re.MULTILINE)
    asked = []
    for path in NOTEBOOKS:
        prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        main_path = OPTIONAL.split("\n".join(prose))[0]
        numbers = re.findall(r"^> \*\*Predict (\d+)\.\*\*", main_path, re.MULTILINE)
        assert len(numbers) == len(rules.PREDICTION.findall(main_path)), path.name
        asked += [f"{path.name[:2]}.{number}" for number in numbers]
    assert told == asked


def test_the_readme_and_the_notebooks_are_stamped():
    assert stamp.stamp(write=False) == []


# Each rule can fail


def printed(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


def shown(data, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def code(source, *outputs, tags=()):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)} if tags else {})


def folded(tag, source, *outputs):
    cell = code(source, *outputs, tags=[tag])
    cell.metadata.update(nbformat.from_dict({"jupyter": {"source_hidden": True}, "cellView": "form"}))
    return cell


@pytest.fixture
def good():
    """A notebook with one cell of each kind that keeps every rule."""
    notebook = v4.new_notebook(
        cells=[
            v4.new_markdown_cell(
                "# A title\n\nIn `and/or` is [here](#a-title).\n\n- **To work through:** about 11 minutes."
            ),
            v4.new_markdown_cell("", metadata={"tags": ["badge"]}),
            code("", printed("torch, found under the user's folder"), tags=["setup"]),
            code("print(6 / 8)", printed("0.75\n")),
            code("draw()", shown(PNG)),
            v4.new_markdown_cell("The figure shows 1/2 a digit. ![A digit](https://example.org/digit.png)"),
            code("time()", printed("3.2 s"), tags=[rules.IGNORE]),
            code("assert elapsed > 0"),
            code("2 + 2", shown({"text/plain": "4"})),
            v4.new_markdown_cell("> **Predict 1.** What is 6 / 8?"),
            code("exercises.half.check(None)", printed("not attempted yet\n")),
            v4.new_markdown_cell("**Answer.** Three quarters."),
            folded("course-version", "# @title The course's version\nquarters = 3", printed("3\n")),
        ]
    )
    for i, cell in enumerate(rules.code_cells(notebook)):
        cell.execution_count = i + 1
    stamp.stamp_notebook(notebook, NAME, stamp.repository(), stamp.version())
    return notebook


# Ways to spoil the good notebook


def cell(index, **new):
    return lambda notebook: notebook.cells[index].update(new)


def tags(index, *new):
    return cell(index, metadata=nbformat.from_dict({"tags": list(new)}))


def outputs(*new):
    return cell(3, outputs=list(new))


def in_setup(old, new):
    def spoil(notebook):
        notebook.cells[2].source = notebook.cells[2].source.replace(old, new)

    return spoil


def without(*indices):
    def spoil(notebook):
        notebook.cells = [c for i, c in enumerate(notebook.cells) if i not in indices]

    return spoil


def unchecked(*indices, tag=False):
    """Of seven cells two more than the good notebook's two show nothing that is compared and assert nothing."""

    def spoil(notebook):
        for i in (*indices, 10):
            if tag:
                notebook.cells[i].metadata.tags = [rules.IGNORE]
            else:
                notebook.cells[i].update(source="draw()", outputs=[shown(PNG)])

    return spoil


def announced(words):
    return lambda notebook: notebook.cells[0].update(
        source=re.sub("about 11 minutes.", words, notebook.cells[0].source)
    )


def in_cells(first, second):
    def spoil(notebook):
        notebook.cells[3].source, notebook.cells[8].source = first, second

    return spoil


NOT_IN_COLAB = {"tags": ["course-version"], "jupyter": {"source_hidden": True}}
FOLDED_UNTAGGED = {"jupyter": {"source_hidden": True}, "cellView": "form"}
NO_ASSERTION = cell(7, source="# assert elapsed > 0")


BAD = [
    (rules.stamped, "not the stamped one", in_setup('"quick"', '"full"')),
    (rules.stamped, "not the stamped one", in_setup(f"@v{stamp.version()}", "@v9.9.9")),
    (rules.stamped, "not the stamped one", in_setup("stn-course/", "somebody/")),
    (rules.stamped, "not the stamped one", tags(2, "setup")),
    (rules.stamped, "not the stamped one", cell(1, source=stamp.badge("https://a.org/b/c", NAME))),
    (rules.stamped, "not the stamped one", cell(1, source=stamp.badge(stamp.repository(), "other.ipynb"))),
    (rules.stamped, "badge", without(1)),
    (rules.stamped, "'setup', found 0", without(2)),
    (rules.stamped, "'setup', found 2", tags(3, "setup")),
    (rules.opens_with_a_title, "title", cell(0, source="## A section")),
    (rules.opens_with_a_title, "not markdown", without(0, 1)),
    (rules.opens_with_a_title, "not markdown", without(*range(13))),
    (rules.links_lead_somewhere, "99_no", cell(0, source="# A\n[next](99_no.ipynb#part)")),
    (rules.links_lead_somewhere, "../no.md", cell(5, source='<a href="../no.md">')),
    (rules.ran_top_to_bottom, "1, 3, 3", cell(3, execution_count=3)),
    (rules.ran_top_to_bottom, "None", cell(3, execution_count=None)),
    (rules.no_errors, "ZeroDivisionError", outputs(v4.new_output("error", ename="ZeroDivisionError"))),
    (rules.no_stderr, "oops", outputs(printed("oops", "stderr"))),
    (rules.no_warnings, "UserWarning", outputs(printed("x.py:3: UserWarning: no"))),
    (rules.no_warnings, "Warning", outputs(shown({"text/html": "<b>Warning</b>"}))),
    (rules.no_machine_paths, "/home/ada", outputs(printed("data in /home/ada/data"))),
    (rules.no_machine_paths, "/content/x", outputs(shown({"text/html": "<i>'/content/x'</i>"}))),
    (rules.no_machine_paths, "C:", outputs(printed(r"C:\Users\ada"))),
    (rules.no_machine_paths, str(stamp.ROOT), outputs(printed(f"in {stamp.ROOT}."))),
    *[
        (rules.no_signed_zeros, "with a sign", outputs(printed(text)))
        for text in ("-0.00 1", "(−0)", "[-0., 2]", "-0%")
    ],
    (rules.no_signed_zeros, "with a sign", outputs(shown({"text/plain": "tensor([0.1000, -0.0000])"}))),
    (rules.numbers_are_printed_one_way, "cell 3", cell(3, source="print('x', [round(x, 2) for x in [0.75]])")),
    (rules.small_enough, "bytes", outputs(printed("x" * rules.MAX_BYTES))),
    (rules.mostly_checked, "3 of 7", unchecked(3)),
    (rules.mostly_checked, "3 of 7", unchecked(3, tag=True)),
    (rules.mostly_checked, "3 of 7", unchecked(7)),
    (rules.ignored_outputs_are_asserted, "cell 6", NO_ASSERTION),
    (rules.ignored_outputs_are_asserted, "cell 7", tags(7, rules.IGNORE)),
    (rules.only_tags_steer_nbval, "cell 3", cell(3, source="# NBVAL_SKIP")),
    (rules.only_tags_steer_nbval, "cell 3", tags(3, "nbval-skip")),
    (rules.figures_are_explained, "cell 4: a figure", without(5)),
    (rules.figures_are_explained, "cell 5: an image", cell(5, source="![](x.png)")),
    (rules.figures_are_explained, "cell 5: an image", cell(5, source="<img src='x' alt=''>")),
    (rules.cells_are_short, "26 lines", cell(3, source="x = 1\n" * 26)),
    (rules.folded_everywhere_or_nowhere, "by its tag course-version", tags(12, "course-version")),
    (rules.folded_everywhere_or_nowhere, "in Colab False", cell(12, metadata=nbformat.from_dict(NOT_IN_COLAB))),
    (rules.folded_everywhere_or_nowhere, "by its tag None", cell(3, metadata=nbformat.from_dict(FOLDED_UNTAGGED))),
    (rules.folded_everywhere_or_nowhere, "does not begin", cell(12, source="quarters = 3")),
    (rules.predictions_are_answered, "0 answers", cell(11, source="Three quarters, is the **Answer**.")),
    (rules.predictions_are_answered, "0 answers", without(11)),
    (rules.predictions_are_answered, "2 predictions", cell(9, source="> **Predict 1.** x?\n\n> **Predict 2.** y?")),
    (rules.announced_time_is_true, "no line", cell(0, source="# A title")),
    (rules.announced_time_is_true, "announces [8]", announced("about 8 minutes.")),
    (rules.announced_time_is_true, "announces [14]", announced("about 14 minutes.")),
    (rules.announced_time_is_true, "announces [11, 2]", announced("about 11 minutes, then 2 more.")),
    (rules.announced_time_is_true, "gives [11, 1]", cell(11, source="**A good place to stop.** " + "Go on. " * 30)),
    (rules.announced_time_is_true, "gives [11, 1]", cell(11, source="## Optional A · More\n" + "Go on. " * 30)),
    (rules.sections_can_be_run_again, "elapsed goes", in_cells("elapsed = 1", "elapsed = 2")),
    (rules.sections_can_be_run_again, "n goes", in_cells("n = 1\ndef f():\n    return n", "n = 2")),
    (rules.sections_can_be_run_again, "n goes", in_cells("n = 1\nf = lambda: n", "n = 2")),
    (rules.sections_can_be_run_again, "n goes", in_cells("n = 1", "n += 1")),
    (rules.sections_can_be_run_again, "n goes", in_cells("n = 1", "[m for m in range(n)]\nn = 2")),
    (rules.sections_can_be_run_again, "f goes", in_cells("def f(): pass", "def f(): f()")),
]


def test_a_good_notebook_keeps_every_rule(good):
    assert {rule.__name__: list(rule(good, NAME)) for rule in rules.RULES} == {
        rule.__name__: [] for rule in rules.RULES
    }


@pytest.mark.parametrize(("rule", "complaint", "spoil"), BAD)
def test_a_rule_finds_the_notebook_that_breaks_it(good, rule, complaint, spoil):
    spoil(good)
    problems = list(rule(good, NAME))
    assert problems and complaint in problems[0]


def test_every_rule_is_seen_to_fail():
    assert {rule for rule, *_ in BAD} == set(rules.RULES)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("for i in range(3): print(i)", "for i in range(2): print(i)"),  # each assigns before it reads
        ("n = 1\nprint(n)", "n = 2\nprint(n)"),
        ("[i for i in range(3)]", "i = 3"),
        ("def f(n):\n    return n", "n = 2"),
        ("[[i for i in range(n)] for n in range(3)]", "i = n = 3"),
        ("sorted([3, 1], key=lambda n: [n for n in range(2)])", "n = 3"),
        ("[(lambda n: n)(i) for i in range(3)]", "n = 3"),
        ("n = 1", "print(n)"),
    ],
)
def test_a_name_that_stays_in_its_cell_is_free(good, first, second):
    in_cells(first, second)(good)
    assert list(rules.sections_can_be_run_again(good, NAME)) == []


@pytest.mark.parametrize("text", ["-0.004", "1-0", "2026-01-02", "1e-05", "x-0.0", "0.0 - 0.5", "-05", "-0.00001"])
def test_a_zero_without_a_sign_is_let_pass(good, text):
    outputs(printed(text))(good)
    assert list(rules.no_signed_zeros(good, NAME)) == []


def test_alt_text_stands_in_for_a_sentence(good):
    without(5)(good)
    good.cells[4].outputs = [shown(PNG, **{"image/png": {"alt": "A digit"}})]
    assert list(rules.figures_are_explained(good, NAME)) == []


# stamp.py


@pytest.fixture
def clone(tmp_path, good):
    """A small course at another address, not stamped with it yet."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nversion = "4.5.6"\n[project.urls]\nRepository = "https://github.com/ada/course"\n'
    )
    (tmp_path / "README.md").write_text(
        f"{stamp.badge(stamp.repository(), NAME)}\n`git clone {stamp.repository()}`\n[site](https://github.com/x/y)\n"
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(good, tmp_path / "notebooks" / NAME)
    return tmp_path


def test_stamping_writes_the_address_everywhere_and_once(clone):
    assert stamp.stamp(clone) == [f"notebooks/{NAME}", "README.md"]
    assert (clone / "README.md").read_text() == (
        f"{stamp.badge('https://github.com/ada/course', NAME)}\n"
        "`git clone https://github.com/ada/course`\n[site](https://github.com/x/y)\n"
    )
    cells = nbformat.read(clone / "notebooks" / NAME, as_version=4).cells
    assert cells[1].source == stamp.badge("https://github.com/ada/course", NAME)
    assert '"git+https://github.com/ada/course"' in cells[2].source and '"@v4.5.6"' in cells[2].source
    assert stamp.stamp(clone) == []


def test_a_check_names_what_differs_and_changes_nothing(clone):
    before = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    assert stamp.stamp(clone, write=False) == [f"notebooks/{NAME}", "README.md"]
    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == before


# execute_notebooks.py


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """A function that executes a notebook of these code cells and returns it with its bytes from before."""
    monkeypatch.setattr(execute_notebooks, "require_real_data", lambda: None)

    def execute(*sources):
        path = tmp_path / NAME
        nbformat.write(v4.new_notebook(cells=[code(source) for source in sources]), path)
        before = path.read_bytes()
        return execute_notebooks.main([path]), path, before

    return execute


def test_an_execution_keeps_the_outputs_and_no_trace_of_the_machine(on_disk):
    failures, path, _ = on_disk("x = 6 / 8", "print(x)")
    notebook = nbformat.read(path, as_version=4)
    assert failures == 0
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert notebook.cells[1].outputs[0].text == "0.75\n"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert [p.name for p in path.parent.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("1 / 0", "ZeroDivisionError"), ("import warnings; warnings.warn('old')", "stderr")],
)
def test_an_unfit_execution_is_not_written(on_disk, capsys, source, complaint):
    failures, path, before = on_disk("print(1)", source)
    assert failures == 1
    assert complaint in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [NAME]


def test_an_execution_sees_the_data_but_no_earlier_run(monkeypatch, tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    with execute_notebooks.nothing_trained_yet():
        assert data_folder() != tmp_path
        assert [path.name for path in data_folder().iterdir()] == ["MNIST"]
        assert (data_folder() / "MNIST" / "raw").is_dir()
        (data_folder() / "runs").mkdir()
        scratch = data_folder()
    assert data_folder() == tmp_path
    assert not scratch.exists() and (tmp_path / "MNIST" / "raw").is_dir()


def test_an_execution_without_the_real_data_is_refused(monkeypatch, tmp_path):
    sample = load_mnist("test", offline=True)
    monkeypatch.setattr(execute_notebooks, "load_mnist", lambda split: copy.copy(sample))
    with pytest.raises(SystemExit, match="real MNIST, but only this was found: MNIST sample"):
        execute_notebooks.main([tmp_path / NAME])
