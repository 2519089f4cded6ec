"""What all explorers share: a scene, controls that are its state, one way to redraw and reset, pictures drawn ahead."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from html import escape

import ipywidgets
from IPython import get_ipython
from PIL import Image

from stn_course.drawing.panel import Still, webp
from stn_course.drawing.scene import Scene
from stn_course.widgets.sliders import on_a_step

KEPT = 64  # pictures, some 50 kB each
AFTERWARDS = 0.04  # seconds: by then the page has shown the picture
AT_REST = 0.09  # seconds after which the next picture is drawn ahead
NOT_DRAWN = "<b>Not drawn:</b> "


class Explorer:
    """Controls over a scene, and the picture that follows them.

    A reader waits for the picture, so the explorer sends it alone, and the words beside it follow a moment later.
    Whoever presses a key on a slider mostly presses it again; drawing takes longer than sending. So when the controls
    have come to rest, the explorer draws the picture of the next step ahead, and the key press finds it ready.

    `width` is the picture's, in pixels of the screen; its own if None.
    """

    widget: ipywidgets.Widget  # what a notebook shows
    controls: dict[str, ipywidgets.Widget]  # all of them, by name
    settings: dict[str, ipywidgets.Widget]  # those whose values are the state, by their names in `compose`
    _by_hand = True
    _following: asyncio.TimerHandle | None = None
    _drawing_ahead: asyncio.TimerHandle | None = None

    def __init__(self, scene: Scene, width: int | None = None):
        self.scene = scene
        layout = {"max_width": "100%"} | ({"align_self": "flex-start"} if width is None else {"width": f"{width}px"})
        self.picture = ipywidgets.Image(format="webp", layout=ipywidgets.Layout(**layout))
        self.message = ipywidgets.HTML(layout=ipywidgets.Layout(height="28px"))
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the first picture")
        self.reset.on_click(lambda _: self._start_again())

    def compose(self, *arguments, **state) -> Image.Image:
        """Draw the picture of a state; see the scene's `compose`."""
        return self.scene.compose(*arguments, **state)

    def figure(self, *arguments, **options) -> Still:
        """Make a still strip for readers without a kernel; see the scene's `figure`."""
        return self.scene.figure(*arguments, **options)

    def state(self) -> dict:
        """Return the state as it is now: what `compose` takes."""
        return {name: control.value for name, control in self.settings.items()}

    def set(self, **state) -> None:
        """Set several controls, by name, and redraw once."""
        try:
            with self._unheard():
                for name, value in state.items():
                    self.settings[name].value = value
        finally:
            self._redraw()

    def _begin(self, settings: dict[str, ipywidgets.Widget]) -> None:
        """Let the picture follow these controls, and draw it for the first time."""
        self.settings = settings
        for control in settings.values():
            control.observe(self._redraw, names="value")
        self._redraw()

    def _redraw(self, change: dict | None = None) -> None:
        """Read the state and draw, the one way to a new picture; if that fails, keep the picture and say why."""
        if not self._by_hand:
            return
        state = self.state()
        try:
            self._send(state, lambda: self._moved_once_more(state, change))
        except ValueError as error:
            self.message.value = NOT_DRAWN + escape(str(error))
        else:
            if self.message.value.startswith(NOT_DRAWN):
                self.message.value = ""

    def _start_again(self) -> None:
        self.set(**self.scene.start)

    @cached_property
    def _encoded(self):
        """Turn a state into the bytes of its picture, and remember the last ones."""
        return lru_cache(KEPT)(lambda **state: webp(self.scene.compose(**state)))

    def _send(self, state: dict, ahead: Callable[[], dict | None] = lambda: None) -> None:
        """Show the picture of a state, then `_follow`, and draw ahead what may come next.

        A state is what `compose` takes, always in the same order.
        """
        self.picture.value = self._encoded(**state)
        if self._drawing_ahead is not None:
            self._drawing_ahead.cancel()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # outside a kernel there is no event loop, and nobody presses keys
            self._follow()
            return
        self._drawing_ahead = loop.call_later(AT_REST, self._draw_ahead, ahead)
        if not moved_in_the_page():  # but by a cell, whose next line may read what follows
            self._follow()
        elif self._following is None:  # or else it comes in good time already, however fast a slider is dragged
            self._following = loop.call_later(AFTERWARDS, self._follow_now)

    def _follow(self) -> None:
        """Bring everything else, other controls and words, in step with the state as it is now."""

    def _follow_now(self) -> None:
        self._following = None
        self._follow()

    def _moved_once_more(self, state: dict, change: dict | None) -> dict | None:
        """Return the state after another such change of one control; None if unknown."""
        if change is None or (further := one_further(change)) is None:
            return None
        name = next(name for name in state if self.settings[name] is change["owner"])
        return state | {name: further}

    def _draw_ahead(self, ahead: Callable[[], dict | None]) -> None:
        with suppress(ValueError):  # the error shows when this picture is requested
            if (state := ahead()) is not None:
                self._encoded(**state)

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """Set controls in this block without a redraw: their observers see that `_by_hand` is false, and do nothing."""
        before, self._by_hand = self._by_hand, False
        try:
            yield
        finally:
            self._by_hand = before

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


def moved_in_the_page() -> bool:
    """Say whether a control in the page caused what runs now, and not the code of a cell."""
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and kernel.get_parent().get("header", {}).get("msg_type") == "comm_msg"


def one_further(change: dict) -> float | None:
    """Say where a slider will stand after another such move; None for other controls, and past a slider's end."""
    slider, old, new = change["owner"], change["old"], change["new"]
    if not isinstance(slider, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        return None
    further = new + (new - old)
    if not slider.min <= further <= slider.max:
        return None
    return further if isinstance(slider, ipywidgets.IntSlider) else on_a_step(further, slider)
