"""What all explorers share: being shown in a notebook, controls that can be set unheard, pictures drawn ahead."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache

import ipywidgets
from IPython import get_ipython
from PIL import Image

from stn_course.drawing.panel import webp
from stn_course.widgets.sliders import on_a_step

KEPT = 64  # pictures, some 50 kB each
AFTERWARDS = 0.04  # seconds: by then the page shows the picture, and can do with other things to do
AT_REST = 0.09  # seconds after which the next picture is drawn ahead


class Explorer:
    """Controls and the picture that follows them.

    What a reader waits for is the picture, so it is sent alone, and what is written beside it follows when it is there.
    Who presses a key on a slider mostly presses it again. So when the controls have come to rest, the picture of the
    next step is drawn ahead, and the key press finds it ready; it takes longer to draw a picture than to send it.

    Attributes:
        widget: what a notebook shows.
        controls: the controls by name; the state is in them alone.
        picture: the `ipywidgets.Image` into which pictures are sent.
    """

    widget: ipywidgets.Widget
    controls: dict[str, ipywidgets.Widget]
    picture: ipywidgets.Image
    compose: Callable[..., Image.Image]
    _by_hand = True
    _following: asyncio.TimerHandle | None = None
    _drawing_ahead: asyncio.TimerHandle | None = None

    @cached_property
    def _encoded(self):
        """State → the bytes of its picture; the last ones are remembered."""
        return lru_cache(KEPT)(lambda **state: webp(self.compose(**state)))

    def _send(self, state: dict, ahead: Callable[[], dict | None] = lambda: None) -> None:
        """Show the picture of a state, and let the rest follow it: `_follow`, and drawing what may come next.

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
        """Bring everything else in step with the state, as it is when this is called: other controls, and words."""

    def _follow_now(self) -> None:
        self._following = None
        self._follow()

    def _moved_once_more(self, state: dict, change: dict | None) -> dict | None:
        """The state after another such change, where a state is the values of controls by name; None if unknown."""
        if change is None or (further := one_further(change)) is None:
            return None
        name = next(name for name in state if self.controls[name] is change["owner"])
        return state | {name: further}

    def _draw_ahead(self, ahead: Callable[[], dict | None]) -> None:
        with suppress(ValueError):  # it is told when it is asked for
            if (state := ahead()) is not None:
                self._encoded(**state)

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """Controls set in this block were not moved by hand: whoever observes them asks `_by_hand` and lets it pass."""
        before, self._by_hand = self._by_hand, False
        try:
            yield
        finally:
            self._by_hand = before

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)


def moved_in_the_page() -> bool:
    """Whether what is going on was caused by a control in the page, and not by the code of a cell."""
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and kernel.get_parent().get("header", {}).get("msg_type") == "comm_msg"


def one_further(change: dict) -> float | None:
    """Where a slider will stand if it is moved once more as it was moved just now; None for what is no slider."""
    slider, old, new = change["owner"], change["old"], change["new"]
    if not isinstance(slider, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        return None
    further = new + (new - old)
    if not slider.min <= further <= slider.max:
        return None
    return further if isinstance(slider, ipywidgets.IntSlider) else on_a_step(further, slider)
