"""The explorers in a real browser, used as a learner uses them: by keyboard, by mouse, and by looking."""

import base64
import hashlib
import io
from dataclasses import dataclass

import nbformat
from browser import Lab, wait_until
from PIL import Image


@dataclass(frozen=True)
class Example:
    """An explorer to drive: Python that makes `explorer`.

    `quiet` names the controls that need not change the picture, such as a switch between two sets of sliders.
    """

    source: str
    quiet: tuple[str, ...] = ()


EPOCHS = """\
from stn_course.experiments import ten_digits
from stn_course.transforms import Affine
from stn_course.widgets import EpochSlider

ways = torch.randn(60, 10, 6, generator=torch.Generator().manual_seed(0))
explorer = EpochSlider(ten_digits(), Affine().identity() + 0.1 * ways)
"""

TRANSFORMATION = """\
from stn_course.transforms import Affine, Attention, Projective, ThinPlateSpline
from stn_course.widgets import TransformationExplorer

explorer = TransformationExplorer({family})
"""

MICROSCOPE = """\
from stn_course.widgets import InterpolationMicroscope

explorer = InterpolationMicroscope()
"""

DESCENT = """\
from stn_course.widgets import ThetaDescent

explorer = ThetaDescent()
"""

READING = """\
from stn_course.experiments import ten_digits
from stn_course.widgets import ClassifierDescent

torch.manual_seed(0)
reader = torch.nn.Sequential(torch.nn.AvgPool2d(3), torch.nn.Flatten(), torch.nn.Linear(196, 10))
explorer = ClassifierDescent(ten_digits(), reader, torch.arange(10))
"""

GAME = """\
from stn_course.experiments import ten_digits
from stn_course.widgets import LocalisationGame

two = dict(zip(("a 0", "a 1"), ten_digits()))
known = dict.fromkeys(two, torch.tensor([0.5, -0.2, 0.1, 0.2, 0.5, 0.0]))
explorer = LocalisationGame(two, known, two)
"""

EXAMPLES = {
    "epochs": Example(EPOCHS),
    "affine": Example(TRANSFORMATION.format(family="Affine()"), quiet=("mode",)),
    "attention": Example(TRANSFORMATION.format(family="Attention()"), quiet=("mode",)),
    "projective": Example(TRANSFORMATION.format(family="Projective()"), quiet=("mode",)),
    "spline": Example(TRANSFORMATION.format(family="ThinPlateSpline(2)")),
    "microscope": Example(MICROSCOPE),
    "descent": Example(DESCENT),
    "reading": Example(READING),
    "game": Example(GAME, quiet=("mode",)),
}

PREPARE = """\
import hashlib, json
import torch

explorers = {}

def show(name, explorer):
    explorer.widget.add_class(f"explorer-{name}")
    explorer.picture.add_class("explorer-picture")
    for i, control in enumerate(explorer.controls.values()):
        control.add_class(f"control-{i}")
    explorers[name] = explorer
    return explorer

def digest(image):
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()
"""


def notebook_of(examples: dict[str, Example]) -> nbformat.NotebookNode:
    """A notebook that shows each of these explorers; one that fails does not keep the others from being shown."""
    goes_on = {"tags": ["raises-exception"]}
    cells = [nbformat.v4.new_code_cell(PREPARE)]
    for name, example in examples.items():
        source = f"{example.source}\nshow({name!r}, explorer)"
        cells.append(nbformat.v4.new_code_cell(source, metadata=goes_on))
    return nbformat.v4.new_notebook(cells=cells)


class Live:
    """An explorer in the page, used by keyboard and mouse."""

    SLIDERS = ("IntSlider", "FloatSlider", "FloatLogSlider", "SelectionSlider")

    def __init__(self, lab: Lab, name: str, example: Example):
        self.lab, self.page, self.example = lab, lab.page, example
        self._kernel = f"explorers[{name!r}]"
        self.root = self.page.locator(f".explorer-{name}")
        self.image = self.root.locator("img.explorer-picture")
        self.image.wait_for()
        self.root.scroll_into_view_if_needed()
        self.controls: dict[str, str] = self.ask("{name: type(w).__name__ for name, w in explorer.controls.items()}")

    def ask(self, expression: str):
        """A Python expression about `explorer`, evaluated in the kernel."""
        return self.lab.evaluate(f"(lambda explorer: {expression})({self._kernel})")

    def value(self, name: str):
        return self.ask(f"explorer.controls[{name!r}].value")

    def at_the_end(self, name: str) -> bool:
        """Whether a slider, or a list of options, stands at its last value."""
        control = f"explorer.controls[{name!r}]"
        of_options = f"{control}.index == len({control}.options) - 1"
        return self.ask(f"{of_options} if hasattr({control}, 'options') else {control}.value == {control}.max")

    def control(self, name: str):
        """Where a control is in the page."""
        return self.root.locator(f".control-{list(self.controls).index(name)}")

    def shown(self) -> bytes:
        """The bytes of the picture that the page shows now; empty while one takes the place of another."""
        read = """async image => {
            try {
                await image.decode();
                const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
                return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
            } catch (replaced) {
                return "";
            }
        }"""
        return base64.b64decode(self.image.evaluate(read))

    def settled(self) -> bytes:
        """The picture shown once the kernel has answered all; it must be the picture that the controls stand for."""

        def agrees() -> bytes | None:
            self.lab.settle()
            shown = self.shown()
            if not shown:
                return None
            expected = self.ask("digest(explorer.compose(**explorer.state()))")
            return shown if hashlib.sha256(pixels(shown)).hexdigest() == expected else None

        return wait_until(agrees, "the page does not show the picture that the controls stand for")

    def senders(self) -> set[str]:
        """The controls that sent anything to the kernel since the last move.

        There should be only one. A slider that the kernel sets to a value between two of its steps goes to the nearest
        step by itself, in the page, and reports that as if it had been moved by hand.
        """
        names = self.ask("{control.model_id: name for name, control in explorer.controls.items()}")
        return {names.get(sender, sender) for sender in self.page.evaluate("() => [...traffic.senders]")}

    def changed(self, before: bytes, why: str) -> None:
        """Wait until another picture is shown than before."""
        wait_until(lambda: self.shown() not in (b"", before), why)

    def enter(self) -> None:
        """Put the focus on the explorer's first control: from there on the keyboard is enough."""
        self.root.evaluate("root => root.querySelector('[tabindex=\"0\"], button, select, input').focus()")

    def tab_to(self, name: str, wanted: str = "*") -> None:
        """Press Tab, or Shift and Tab, until the focus is in a control, on something that matches a CSS selector."""
        where = """(control, wanted) => {
            const active = document.activeElement;
            if (control.contains(active) && active.matches(wanted)) return "";
            const places = [...control.querySelectorAll("*"), control].filter(element => element.matches(wanted));
            const behind = active.compareDocumentPosition(places[0] ?? control) & Node.DOCUMENT_POSITION_PRECEDING;
            return behind ? "Shift+Tab" : "Tab";
        }"""
        for _ in range(200):
            if not (key := self.control(name).evaluate(where, wanted)):
                return
            self.page.keyboard.press(key)
        raise AssertionError(f"Tab does not lead to {name} {wanted}")

    def upload(self, name: str, file) -> None:
        """Choose a file: a path, or what Playwright takes in its place.

        A list of options that is just closing swallows the next key, which a reader would press again.
        """
        from playwright.sync_api import TimeoutError as NoChooser

        self.tab_to(name)

        def choose():
            try:
                with self.page.expect_file_chooser(timeout=5000) as chooser:
                    self.page.keyboard.press("Space")
                return chooser.value
            except NoChooser:
                return None

        wait_until(choose, f"{name} does not ask for a file").set_files(file)

    def reveal(self, name: str) -> None:
        """Bring a control into sight that a switch hides."""
        switches = [switch for switch, kind in self.controls.items() if kind == "ToggleButtons"]
        for switch in switches:
            for option in range(self.ask(f"len(explorer.controls[{switch!r}].options)")):
                if self.control(name).is_visible():
                    return
                self.tab_to(switch, f"button:nth-child({option + 1})")
                self.page.keyboard.press("Space")
                self.settled()
        assert self.control(name).is_visible(), f"{name} is not to be seen, whatever the switches say"

    def move(self, name: str) -> None:
        """Move a control by the keys that its kind knows. An open list of options is closed again."""
        self.page.evaluate("() => traffic.senders.clear()")
        kind, press = self.controls[name], self.page.keyboard.press
        if kind in self.SLIDERS:
            self.tab_to(name, ".noUi-handle")
            press("ArrowLeft" if self.at_the_end(name) else "ArrowRight")
        elif kind == "Dropdown":
            self.tab_to(name, "select")
            back = self.at_the_end(name)
            for key in ("Space", "ArrowUp" if back else "ArrowDown", "Enter"):
                press(key)
        elif kind == "ToggleButtons":
            self.tab_to(name, "button:not(.mod-active)")
            press("Space")
        elif kind == "Checkbox":
            self.tab_to(name, "input")
            press("Space")
        elif kind == "Text":
            self.tab_to(name, "input")
            first, *rest = self.value(name).split(",")
            press("Control+a")
            self.page.keyboard.type(",".join([f"{float(first) + 0.25:.4g}", *rest]))
            press("Enter")
        elif kind == "FileUpload":
            self.upload(name, {"name": "own.png", "mimeType": "image/png", "buffer": a_picture()})
        elif kind == "Play":
            self.tab_to(name, "button")
            before = self.shown()
            press("Space")
            wait_until(lambda: self.shown() not in (b"", before), f"{name} does not play")
            press("Space")
        else:
            assert kind == "Button", f"no keys known for a {kind}"
            self.tab_to(name)
            press("Space")

    def drag(self, name: str, steps: int = 24) -> "Drag":
        """Take a slider's handle with the mouse across its whole range, let go, and wait for the last picture."""
        handle, track = self.control(name).locator(".noUi-handle"), self.control(name).locator(".noUi-base")
        handle.scroll_into_view_if_needed()
        start, range_ = handle.bounding_box(), track.bounding_box()
        y = start["y"] + start["height"] / 2
        self.page.mouse.move(start["x"] + start["width"] / 2, y)
        self.page.mouse.down()
        watch = """root => {
            const boxes = () => [root, ...root.querySelectorAll(".jupyter-widgets, img")].map(element => {
                const {x, y, width, height} = element.getBoundingClientRect();
                return [element.className, x, y, width, height].join(" ");
            }).join("\\n");
            window.watched = {frames: 0, layouts: new Set(), on: true};
            const frame = () => {
                watched.frames += 1;
                watched.layouts.add(boxes());
                if (watched.on) requestAnimationFrame(frame);
            };
            frame();
        }"""
        self.root.evaluate(watch)
        for step in range(-1, steps + 1):
            self.page.mouse.move(range_["x"] + range_["width"] * step / (steps - 1), y)
        sent = self.page.evaluate("() => traffic.sent")
        self.page.mouse.up()
        wait_until(lambda: self.at_the_end(name), f"{name} does not end where it was dragged to")
        self.settled()
        self.page.evaluate("() => { watched.on = false }")
        watched = self.page.evaluate("() => ({...watched, layouts: [...watched.layouts], sent: traffic.sent})")
        return Drag(watched["sent"] - sent, watched["frames"], watched["layouts"])


@dataclass(frozen=True)
class Drag:
    """What was seen while a slider was dragged.

    Attributes:
        sent_after_release: how many updates the page still had to send when the mouse button was let go.
        frames: in how many frames the layout was looked at.
        layouts: the different layouts seen: where each widget was, line by line.
    """

    sent_after_release: int
    frames: int
    layouts: list[str]


def pixels(shown: bytes) -> bytes:
    """The colours in the file of a picture, row by row."""
    return Image.open(io.BytesIO(shown)).convert("RGB").tobytes()


def a_picture() -> bytes:
    """A PNG as a learner might bring one: colours, and not square."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((120, 90)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()
