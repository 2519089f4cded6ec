"""The notebooks and the explorers as a learner meets them: in JupyterLab, in a real browser."""

import re
import shutil
import socket
from pathlib import Path

import browser
import nbformat
import pytest
import stamp
from live import EXAMPLES, Live, notebook_of
from PIL import Image

NOTEBOOKS = sorted(stamp.ROOT.glob("notebooks/*.ipynb"))
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.why_not() is not None, reason=browser.why_not() or ""),
]


@pytest.fixture(scope="module")
def playwright():
    with browser.playwright_of_its_own() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def lab(tmp_path_factory, playwright):
    """One JupyterLab and one page for all tests, with copies of the notebooks in its folder."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    for path in NOTEBOOKS:
        shutil.copy(path, folder)
    nbformat.write(notebook_of(EXAMPLES), folder / "explorers.ipynb")
    with browser.jupyterlab(folder, home) as url, browser.chromium(playwright=playwright) as context:
        yield browser.Lab(context, url)


@pytest.fixture(scope="module")
def explorers(lab):
    """The notebook with all explorers, run: what each cell gave."""
    lab.open("explorers.ipynb")
    return [cell.outputs for cell in lab.run_all().cells]


@pytest.fixture(params=EXAMPLES)
def live(lab, explorers, request):
    outputs = explorers[1 + list(EXAMPLES).index(request.param)]  # the first cell prepares
    assert complaints(outputs) == []
    return Live(lab, request.param, EXAMPLES[request.param])


def complaints(outputs) -> list[str]:
    """What a cell says on stderr, and the error it ends with."""
    said = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    return said + ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]


def console_errors(lab) -> list[tuple[str, str]]:
    """What the page's console says is wrong since it was last asked, but for the badge, which comes from elsewhere."""
    errors = [error for error in lab.errors if error[1] != BADGE]
    lab.errors.clear()
    return errors


def test_every_control_by_keyboard_alone(lab, live):
    first = live.settled()
    live.enter()
    for name in [name for name in live.controls if name != "reset"]:
        before = live.settled()
        live.reveal(name)
        live.move(name)
        if name not in live.example.quiet:
            live.changed(before, f"{name} does not change the picture")
        live.settled()
        assert live.senders() == {name}, f"more was moved than {name}"
    live.move("reset")
    browser.wait_until(lambda: live.settled() == first, "reset does not return to the first picture")
    assert live.senders() == {"reset"}, "more was moved than reset"
    assert console_errors(lab) == []


def test_dragging_a_slider_shows_the_last_value_queues_nothing_and_moves_nothing(lab, live):
    sliders = [name for name, kind in live.controls.items() if kind in live.SLIDERS]
    for name in dict.fromkeys((sliders[0], sliders[-1])):  # where there are two sets, one of each
        live.reveal(name)
        drag = live.drag(name)
        assert drag.sent_after_release <= 2, name
        assert drag.frames > 2 and len(drag.layouts) == 1, name
    assert console_errors(lab) == []


@pytest.mark.parametrize("live", ["affine"], indirect=True)
def test_a_file_that_is_too_large_is_refused_with_words_and_the_next_is_shown(lab, live, tmp_path):
    before = live.settled()
    large, small = tmp_path / "film.png", tmp_path / "sea.png"
    large.write_bytes(bytes(25 * 2**20))
    Image.new("RGB", (30, 20), "#3366CC").save(small)
    live.enter()
    live.upload("upload", large)
    message = live.root.get_by_role("status")
    browser.wait_until(lambda: "at most 20 MB, got 25.0 MB in film.png" in message.inner_text(), "no word of refusal")
    assert live.settled() == before
    live.upload("upload", small)
    live.changed(before, "the small file is not shown")
    live.settled()
    live.move("reset")
    assert console_errors(lab) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_runs_from_top_to_bottom_and_complains_of_nothing(lab, path):
    console_errors(lab)
    lab.refused.clear()
    lab.open(path.name)
    try:
        cells = [cell for cell in lab.run_all(seconds=600).cells if cell.cell_type == "code" and cell.source.strip()]
        assert [words for cell in cells for words in complaints(cell.outputs)] == []
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        assert console_errors(lab) == []
        assert set(lab.refused) <= {BADGE}
    finally:
        lab.close()


def test_the_lab_starts_beside_another_server_opens_the_first_notebook_and_asks_nothing(tmp_path, playwright):
    course, home, opened = tmp_path / "course", tmp_path / "home", tmp_path / "opened"
    home.mkdir()
    shutil.copytree(stamp.ROOT / "notebooks", course / "notebooks")
    spec = home / "data" / "kernels" / "python3" / "kernel.json"  # of the user's, which must not be taken
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false"], "display_name": "not ours", "language": "python"}')
    screen = tmp_path / "screen"  # the browser of this machine, as the server sees it
    screen.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    screen.chmod(0o755)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = ["stn_course", "lab", f"--port={port}"]
        with (
            browser.server(command, course, home, {"BROWSER": f"{screen} %s"}) as started,
            browser.chromium(playwright=playwright) as context,
        ):
            log = (home / browser.LOG).read_text()
            assert started["port"] != port and started["hostname"] == "localhost" and started["token"]
            address = re.findall(rf"http://localhost:{started['port']}\S+", log)[-1]
            page = context.new_page()
            page.route(lambda url: "localhost" not in url, lambda route: route.abort())
            page.goto(address)
            page.locator(".jp-NotebookPanel:visible", has_text="Start here").wait_for()
            page.locator(
                "[title*='Kernel status: Idle'], .jp-Notebook-ExecutionIndicator[data-status='idle']"
            ).wait_for()
            page.wait_for_timeout(2000)  # what asks does so when everything else is done
            assert page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts() == []
            assert page.get_by_text("not ours").count() == 0
            assert address in Path(opened.read_text().strip().removeprefix("file://")).read_text()
