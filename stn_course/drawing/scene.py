"""A scene: a picture that depends on a state and on nothing else, and still figures made of such pictures.

The explorers of `widgets` put controls over a scene; a page without a kernel shows its figures.
"""

from collections.abc import Mapping, Sequence

from PIL import Image

from stn_course.drawing.panel import Still, below


class Scene:
    """A pure function from a state to a picture. A subclass writes `compose` and `in_words`, and sets `start`."""

    start: dict  # the first state: every argument that `compose` takes, by name

    def compose(self, **state) -> Image.Image:
        """Draw the picture of a state: the same state, the same picture."""
        raise NotImplementedError

    def in_words(self, states: Sequence[Mapping]) -> str:
        """Say what the pictures of some whole states show, for those who cannot see them."""
        raise NotImplementedError

    def figure(self, states: Sequence[Mapping], alt: str | None = None) -> Still:
        """Make a still strip for readers without a kernel: one picture below the other.

        Each of the states says what differs from `start`; `alt` replaces `in_words`.
        """
        whole = [{**self.start, **state} for state in states]
        return Still(below([self.compose(**state) for state in whole]), alt or self.in_words(whole))
