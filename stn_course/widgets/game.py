"""Be the localisation network: the explorer, with a score."""

from collections.abc import Mapping

import ipywidgets
import torch
from torch import Tensor

from stn_course.drawing.theta_text import checked_theta
from stn_course.recovery import overlap
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, MatrixTransform
from stn_course.widgets.explorer import TransformationExplorer

RIGHT = "text-align: right; padding-left: 2em"
ROW = f'<tr><td>{{}}</td><td style="{RIGHT}">{{:.4f}}</td><td style="{RIGHT}">{{:.0%}}</td></tr>'


class LocalisationGame(TransformationExplorer):
    """Find the θ of each picture yourself, and see how near you are to the one that is known.

    Two figures are shown beside those of the known θ: the loss, which is the mean squared difference between what you
    see and what there is to see; and the overlap of your frame with the known one. The best of each is kept, for each
    picture. A network is told the loss alone.

    Args:
        images: name → image (1, H, W), float in [0, 1].
        thetas: name → the known θ (n_params,), target → source.
        templates: name → what there is to see (1, H', W').

    Raises:
        ValueError: if the three do not name the same pictures.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Be the localisation network".

    Example:
        >>> five, theta = torch.rand(1, 1, 8, 8), torch.tensor([0.5, 0, 0, 0, 0.5, 0])
        >>> game = LocalisationGame({"a 5": five[0]}, {"a 5": theta}, {"a 5": warp(five, theta[None])[0]})
        >>> game.set(theta)
        >>> game.score()
        (0.0, 1.0)
    """

    def __init__(
        self,
        images: Mapping[str, Tensor],
        thetas: Mapping[str, Tensor],
        templates: Mapping[str, Tensor],
        transform: MatrixTransform = Affine(),
    ):
        for what, given in (("thetas", thetas), ("templates", templates)):
            if given.keys() != images.keys():
                raise ValueError(f"expected {what} for {', '.join(images)}, got them for {', '.join(given)}")
        self.thetas = {name: checked_theta(theta, transform) for name, theta in thetas.items()}
        self.templates = templates
        self.best: dict[str, tuple[float, float]] = {}  # the lowest loss and the largest overlap of each picture
        self.points = ipywidgets.HTML()
        super().__init__(transform, images)
        self.widget.children = (*self.widget.children, self.points)

    def score(self, theta: Tensor | tuple | None = None) -> tuple[float, float]:
        """Compute loss and overlap of a θ in the picture that is shown; of yours if None."""
        name = self.image.value
        mine, known = (
            torch.as_tensor(each, dtype=torch.float64)[None]
            for each in (self.theta if theta is None else theta, self.thetas[name])
        )
        template = self.templates[name]
        seen = warp(self.images[name][None], mine.float(), self.transform, template.shape[1:])[0]
        return (seen - template).square().mean().item(), overlap(mine, known, self.transform).item()

    def _follow(self) -> None:
        super()._follow()
        name = self.image.value
        if name not in self.thetas:  # a picture of the reader's own
            self.points.value = "Nobody knows the θ of a picture of your own: there is no score."
            return
        mine = self.score()
        best = self.best.get(name, mine)
        self.best[name] = min(best[0], mine[0]), max(best[1], mine[1])
        rows = {"you": mine, "your best so far": self.best[name], "the known θ": self.score(self.thetas[name])}
        head = f'<tr><th></th><th>loss</th><th style="{RIGHT}">overlap</th></tr>'
        lines = (ROW.format(who, loss, share) for who, (loss, share) in rows.items())
        self.points.value = f"<table>{head}{''.join(lines)}</table>"
