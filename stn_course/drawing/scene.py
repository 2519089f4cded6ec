"""A scene: a picture that hangs on a state and on nothing else, and still figures made of such pictures.

The explorers of `widgets` put controls over a scene; a page without a kernel shows its figures.
"""

from collections.abc import Mapping, Sequence

from PIL import Image

from stn_course.drawing.panel import Still, below


class Scene:
    """A pure function from a state to a picture. A subclass writes `compose` and `in_words`, and sets `start`.

    Attributes:
        start: the first state: every argument that `compose` takes, by name.
    """

    start: dict

    def compose(self, **state) -> Image.Image:
        """The picture of a state. The same state gives the same picture."""
        raise NotImplementedError

    def in_words(self, states: Sequence[Mapping]) -> str:
        """What the pictures of some whole states show, for those who cannot see them."""
        raise NotImplementedError

    def figure(self, states: Sequence[Mapping], alt: str | None = None) -> Still:
        """A still strip for readers without a kernel: one picture below the other.

        Args:
            states: for each picture what differs from `start`.
            alt: what the strip shows, in words.
        """
        whole = [{**self.start, **state} for state in states]
        return Still(below([self.compose(**state) for state in whole]), alt or self.in_words(whole))
