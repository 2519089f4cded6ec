"""JupyterLab in a real browser: start it, open a notebook in it, run all its cells, ask its kernel.

Everything happens on 127.0.0.1: what a page asks of any other address is refused and noted. JupyterLab's own
JavaScript is reached through `window.jupyterapp`, which its `expose_app_in_browser` switches on.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import nbformat

from stn_course import lab_server

WAIT = 120.0
"""Seconds after which something that has not happened is a fault; on an idle machine most things take less than one."""

LOG = "jupyterlab.log"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
CHROMIUM_OPTIONS = [*QUIET.split(), "--disable-component-update", "--disable-sync"]
SETTINGS = {
    # Every cell in the page, so that what is wrong in the last one shows without scrolling there.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
# Which messages of this page the kernel still works on, how many there were, and whose they were; what only repeats the
# number that the kernel has just set, but for its last bits, is nobody's.
COUNT_MESSAGES = """() => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const waiting = new Set(), heard = new Map();
    window.traffic = {waiting, sent: 0, senders: new Set()};
    kernel.anyMessage.connect((_, {msg, direction}) => {
        const {comm_id, data} = msg.content;
        if (direction === "send" && msg.header.msg_type === "comm_msg") {
            waiting.add(msg.header.msg_id);
            traffic.sent += 1;
            if (!(Math.abs(data.state?.value - heard.get(comm_id)) < 1e-9)) traffic.senders.add(comm_id);
            heard.delete(comm_id);
        } else if (msg.header.msg_type === "comm_msg" && data.method === "update" && "value" in data.state) {
            heard.set(comm_id, data.state.value);
        } else if (msg.header.msg_type === "status" && msg.content.execution_state === "idle") {
            waiting.delete(msg.parent_header.msg_id);
        }
    });
}"""
EVALUATE = """async expression => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const request = {code: "", silent: true, store_history: false, user_expressions: {value: expression}};
    return (await kernel.requestExecute(request).done).content.user_expressions.value;
}"""


def program() -> str | None:
    """Where Chromium is, or a browser built from it."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def why_not() -> str | None:
    """Why the browser tests cannot run here, or None where they can."""
    if program() is None:
        return f"there is no Chromium: none of {', '.join(PROGRAMS)} is on the PATH"
    for module in ("playwright", "jupyterlab"):
        if not find_spec(module):
            return f"{module} is not installed"
    return None


def wait_until(condition, what: str, seconds: float = WAIT):
    """The first true value that the condition gives, which is asked again and again."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.02)


@contextmanager
def jupyterlab(folder: Path, home: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves a folder, configured as `make lab` does it, without a token."""
    for name, settings in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": True,
    }
    command = ["jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    environment = lab_server.surroundings() | {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    with server(command, folder, home, environment) as started:
        yield started["url"]


@contextmanager
def server(command: list[str], folder: Path, home: Path, environment: dict[str, str]) -> Iterator[dict]:
    """What a JupyterLab of our own says of itself, once it answers; all that it writes, its log too, is in `home`."""
    places = {
        "HOME": home,
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
    }
    environment = os.environ | {"STN_COURSE_PROFILE": "smoke"} | {k: str(v) for k, v in places.items()} | environment
    log = home / LOG
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )

    def started() -> dict | None:
        if process.poll() is not None:
            raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")
        for path in (home / "runtime").glob("jpserver-*.json"):
            try:
                said = json.loads(path.read_text())
                urllib.request.urlopen(f"{said['url']}api", timeout=5).close()
                return said
            except (OSError, ValueError):  # half written, or not listening yet
                pass
        return None

    try:
        yield wait_until(started, "JupyterLab did not answer")
    finally:
        process.terminate()  # and with it go the kernels
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def playwright_of_its_own():
    """Playwright, as a context manager."""
    from playwright.sync_api import sync_playwright  # here, because not everybody has it

    return sync_playwright()


@contextmanager
def chromium(width: int = 1280, height: int = 1000, playwright=None) -> Iterator:
    """A browser context of Playwright's, with nothing in it yet; a process can have only one Playwright at a time."""
    with playwright_of_its_own() if playwright is None else nullcontext(playwright) as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=CHROMIUM_OPTIONS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height})
            context.set_default_timeout(WAIT * 1000)
            yield context
        finally:
            browser.close()


class Lab:
    """One page with JupyterLab in it, in which notebooks are opened and run.

    Attributes:
        errors: what the page wrote to its console as an error, as (text, address).
        refused: what the page asked of other addresses, none of which was let through.
    """

    def __init__(self, context, url: str):
        self.errors: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.url = url
        self.page = context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append((str(error), "")))
        self.page.route(lambda address: not address.startswith((url, "blob:", "data:")), self._refuse)
        self.page.goto(f"{url}lab?reset")
        self.page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('docmanager:open')")
        self.page.evaluate("() => jupyterapp.restored")
        self.page.evaluate("() => jupyterapp.shell.collapseLeft()")

    def _note(self, message) -> None:
        if message.type == "error":
            self.errors.append((message.text, message.location.get("url", "")))

    def _refuse(self, route) -> None:
        self.refused.append(route.request.url)
        route.abort()

    def open(self, name: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.evaluate(
            """async path => {
                const kernel = {name: "python3"};
                const panel = await jupyterapp.commands.execute("docmanager:open", {path, factory: "Notebook", kernel});
                await panel.context.ready;
                await panel.sessionContext.ready;
                jupyterapp.shell.activateById(panel.id);
            }""",
            name,
        )
        self.page.wait_for_function(
            """path => {
                const panel = jupyterapp.shell.currentWidget;
                return panel?.context?.path === path && panel.sessionContext?.session?.kernel?.status === "idle";
            }""",
            arg=name,
        )
        self.page.evaluate(COUNT_MESSAGES)

    def run_all(self, seconds: float = WAIT) -> nbformat.NotebookNode:
        """Run every cell, as the menu does; the notebook with what came out."""
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells').finally(() => done = true) }")
        self.page.wait_for_function("() => window.done", timeout=seconds * 1000)
        self.page.evaluate("() => { delete window.done }")
        notebook = self.page.evaluate("() => jupyterapp.shell.currentWidget.content.model.toJSON()")
        return nbformat.from_dict(notebook)

    def close(self) -> None:
        """Close the notebook that is open, unsaved, and end its kernel."""
        self.page.evaluate(
            """async () => {
                const panel = jupyterapp.shell.currentWidget;
                await panel.sessionContext.shutdown();
                panel.dispose();
            }"""
        )

    def evaluate(self, expression: str):
        """The value of a Python expression in the notebook's kernel: strings, numbers, lists and dicts of them."""
        answer = self.page.evaluate(EVALUATE, f"__import__('json').dumps({expression})")
        assert answer["status"] == "ok", answer
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def settle(self) -> None:
        """Wait until the kernel has worked on everything that the page sent."""
        self.page.wait_for_function("() => traffic.waiting.size === 0")
