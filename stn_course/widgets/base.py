"""What all explorers share: a widget that a notebook shows by itself, and controls that can be set unheard."""

from collections.abc import Iterator
from contextlib import contextmanager

import ipywidgets


class Explorer:
    """Controls and the picture that follows them.

    Attributes:
        widget: what a notebook shows.
        controls: the controls by name; the state is in them alone.
        picture: the `ipywidgets.Image` into which pictures are sent.
    """

    widget: ipywidgets.Widget
    controls: dict[str, ipywidgets.Widget]
    picture: ipywidgets.Image
    _by_hand = True

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
