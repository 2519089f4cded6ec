"""A patient's chart: what a short training looks like from outside."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import Images
from stn_course.clinic.case import Case


@dataclass
class Chart:
    """One number a step: the loss, the area of the mean frame, the share of the output outside, the pull on the head.

    `images` and `warped` are some pictures and what the transformer made of them in the end, `affine` its frames there,
    (B, 2, 3); `right` is the share of the images that the model then names right.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 11, "Does the loss say what is wrong?".
    """

    loss: list[float] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    pull: list[float] = field(default_factory=list)
    images: Images | None = None
    warped: Images | None = None
    affine: Tensor | None = None
    right: float = 0.0


def follow(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor],
    steps: int = 60,
    batch_size: int = 32,
    training: bool = True,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Chart:
    """Train a model for some steps, in this mode, on (images, labels), and keep its chart. The model is trained by it.

    Built in: 11, "Does the loss say what is wrong?".

    Raises:
        ValueError: if the model samples nothing.
    """
    with torch.random.fork_rng([]):
        images, labels = data
        chart, order = Chart(), torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        for step in range(steps):
            some = order.roll(-step * batch_size)[:batch_size]
            case = Case(model, images[some], labels[some], optimizer, loss, training)
            optimizer.zero_grad()
            seen = case.look(training=training, seed=step)
            if not seen.samplings:
                raise ValueError("expected a model with a spatial transformer, got one that samples nothing")
            sampling = seen.samplings[0]
            now, at = loss(seen.output, labels[some]), sampling.grid
            if at.requires_grad:
                at.retain_grad()
            if now.requires_grad:
                now.backward()
                optimizer.step()
            linear = sampling.affine.mean(0)[:, :2]
            chart.loss.append(now.item())
            chart.area.append(torch.linalg.det(linear).item())
            chart.outside.append(sampling.outside.mean().item())
            chart.pull.append(0.0 if at.grad is None else at.grad.flatten(1).sum(1).norm().item())
        with torch.no_grad():
            whole = Case(copy.deepcopy(model), images, labels, None, loss, False).look()
        last = whole.samplings[0]
        chart.images, chart.warped, chart.affine = last.images.detach(), last.warped.detach(), last.affine
        chart.right = (whole.output.argmax(1) == labels).double().mean().item()
    return chart
