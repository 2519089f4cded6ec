"""A training that moves on the page: `fit` or `run` tells it of every step, and now and then it draws."""

import time
from collections.abc import Callable

import ipywidgets
import torch
from torch import Tensor, nn

from stn_course.checks import Images
from stn_course.drawing.epochs import EpochScene
from stn_course.drawing.live import REACH, training_picture
from stn_course.drawing.panel import Still, webp
from stn_course.models import looks_of

SECONDS = 1.0  # at least, between two pictures
SHARE = 0.03  # of the time that is spent drawing, at most
POINTS = 8  # of the curve, at most, for the steps since the last picture


class LiveTraining:
    """Watch a network learn: its loss, and where it looks in some images, drawn while it trains.

    Show it, then hand it to `fit` or `run` as `watch`. It draws once a second at most, and so seldom that drawing takes
    three hundredths of the time at most. A picture replaces the one before in place, so nothing flickers.

    Args:
        images: (N, C, H, W) with C 1 or 3, float in [0, 1]; ten is a good number.
        prepare: what makes them what the network is given, such as `Normalise`; nothing if None.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 03, "One layer, before any CNN".

    Example:
        >>> from stn_course.training import fit
        >>> live = LiveTraining(torch.rand(3, 1, 8, 8))
        >>> model, batch = (
        ...     nn.Sequential(nn.Flatten(), nn.Linear(64, 2)),
        ...     (torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])),
        ... )
        >>> sgd = torch.optim.SGD(model.parameters(), 0.1)
        >>> _ = fit(model, [batch] * 5, epochs=3, optimizer=sgd, watch=live, progress=False)
        >>> live.figure().alt
        'a training of 3 epochs, after 3.0'
    """

    def __init__(self, images: Images, prepare: Callable[[Images], Images] | None = None):
        self._images, self._prepare = images.detach().cpu(), prepare
        self._losses: list[tuple[float, float]] = []
        self._waiting: list[tuple[float, Tensor]] = []
        self._now: tuple[nn.Module, float, int] | None = None
        self._drawn, self._took = time.monotonic(), 0.0
        self.picture = ipywidgets.Image(format="webp", layout=ipywidgets.Layout(max_width="100%"))
        self.words = ipywidgets.HTML("Here the training moves as soon as it runs.")
        self.widget = ipywidgets.VBox([self.picture, self.words])

    def __call__(self, model: nn.Module, done: float, epochs: int, loss: Tensor) -> None:
        """Take note of a step, and draw if it is time to; the model is left as it was, and so are random numbers."""
        if self._now is not None and done <= self._now[1]:  # another training, or another start of this one
            self._losses.clear()
        self._now = model, done, epochs
        self._waiting.append((done, loss))
        now = time.monotonic()
        if now - self._drawn >= max(SECONDS, self._took / SHARE) or done >= epochs:
            self.picture.value = webp(self._draw())
            self.words.value = ""
            self._drawn, self._took = time.monotonic(), time.monotonic() - now

    def figure(self, alt: str | None = None) -> Still:
        """Make a still picture of the last state, for readers without a kernel.

        Raises:
            RuntimeError: if no training has told it anything.
        """
        if self._now is None:
            raise RuntimeError("expected a training that was watched, got none: hand this to fit or run as watch")
        _, done, epochs = self._now
        return Still(self._draw(), alt or f"a training of {epochs} epochs, after {done:.1f}")

    def _draw(self):
        model, done, epochs = self._now
        if self._waiting:
            steps = [done for done, _ in self._waiting]
            means = torch.stack([loss for _, loss in self._waiting]).tolist()  # the one look that a GPU waits for
            size = -(-len(steps) // POINTS)
            for i in range(0, len(steps), size):
                part = means[i : i + size]
                self._losses.append((steps[i : i + size][-1], sum(part) / len(part)))
            self._waiting.clear()
        return training_picture(self._losses, epochs, self._scene(model))

    def _scene(self, model: nn.Module) -> EpochScene | None:
        """Where the network looks now; None if it has no transformer."""
        modes = [(module, module.training) for module in model.modules()]
        images = self._images.to(next(model.parameters()).device)
        try:
            with torch.no_grad():
                look = looks_of(model.eval(), images if self._prepare is None else self._prepare(images))[0]
        except ValueError:
            return None
        finally:
            for module, mode in modes:
                module.training = mode
        layer, size = look.layer, tuple(look.warped.shape[2:])
        theta = look.theta[None].float()
        return EpochScene(self._images, theta, layer.transform, size, layer.padding_mode, reach=REACH)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
