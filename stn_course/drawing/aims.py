"""What descent on θ aims at: an output like a template, or one that a classifier reads as its label.

An aim says what an output costs, and how the cost changes with each of its values: ∂L/∂V, the first factor of

    ∂L/∂θ  =  ∂L/∂V · ∂V/∂(x, y) · ∂(x, y)/∂θ

The other two do not depend on it. So a classifier takes a template's place without another line of descent.
"""

import copy
from typing import Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import describe


class Aim(Protocol):
    """What an output costs. Outputs are (N, H'·W'), row by row, N those of one θ."""

    size: tuple[int, int]  # (H', W') of an output
    blank: float  # what an output costs in which there is nothing
    most: float  # about the highest cost that is worth drawing

    def cost(self, outputs: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute L, the mean over the outputs, and ∂L/∂V, (N, H'·W')."""

    def blurred(self, sigma: float) -> tuple[Self, float]:
        """Make the aim for outputs that are blurred by `sigma` pixels, and say by what its cost counts more."""

    def verdict(self, outputs: np.ndarray) -> str:
        """Say in a few words what is made of the first output."""


class Likeness:
    """The output shall be like a template: L is the mean squared difference.

    Args:
        template: (H', W').
    """

    most = 1.0

    def __init__(self, template: Tensor):
        self._template = template.detach().cpu().double().numpy()
        self.size = self._template.shape
        self.blank = float(np.square(self._template).mean())

    def cost(self, outputs: np.ndarray) -> tuple[float, np.ndarray]:
        error = outputs - self._template.ravel()
        return float(np.vdot(error, error)) / error.size, 2 / error.size * error

    def blurred(self, sigma: float) -> tuple["Likeness", float]:
        """A blur flattens slopes; the factor makes those of the template count as much as before."""
        soft = Likeness(torch.from_numpy(blurred(self._template, sigma)))
        return soft, _steepness(self._template) / max(_steepness(soft._template), 1e-12)

    def verdict(self, outputs: np.ndarray) -> str:
        return ""


class Recognition:
    """A classifier shall read the outputs as their labels: L is the mean cross-entropy.

    Args:
        classifier: (N, 1, H', W') → logits (N, classes). It is copied, so that what happens to it later changes no
            picture, and used as in evaluation.
        labels: (N,), whole numbers.
        size: (H', W'), what the classifier reads.

    Raises:
        ValueError: if labels are not (N,), or the classifier does not give (N, classes) with a class for each.

    Example:
        >>> aim = Recognition(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.tensor([2]), (4, 4))
        >>> loss, slopes = aim.cost(np.zeros((1, 16)))
        >>> slopes.shape
        (1, 16)
    """

    most = 10.0

    def __init__(self, classifier: nn.Module, labels: Tensor, size: tuple[int, int]):
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point() or not len(labels):
            raise ValueError(f"expected labels as whole numbers (N,), got {describe(labels)}")
        self._classifier = copy.deepcopy(classifier).cpu().eval().requires_grad_(False)
        self._labels, self.size = labels.detach().cpu().long(), tuple(size)
        logits = self._logits(np.zeros((len(labels), size[0] * size[1])))
        if logits.ndim != 2 or len(logits) != len(labels) or not 0 <= labels.min() <= labels.max() < logits.shape[1]:
            raise ValueError(
                f"expected a classifier with logits ({len(labels)}, classes) for classes up to {int(labels.max())}, "
                f"got logits of shape {tuple(logits.shape)}"
            )
        self.blank = self.cost(np.zeros((len(labels), size[0] * size[1])))[0]

    def cost(self, outputs: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.inference_mode(False), torch.enable_grad():
            pictures = self._pictures(outputs).requires_grad_()
            loss = F.cross_entropy(self._classifier(pictures).double(), self._labels)
            (slopes,) = torch.autograd.grad(loss, pictures)
        return loss.item(), slopes.flatten(1).double().numpy()

    def blurred(self, sigma: float) -> tuple["Recognition", float]:
        return self, 1.0

    def verdict(self, outputs: np.ndarray) -> str:
        says = self._logits(outputs[:1]).softmax(1)[0].max(0)
        return f"says {int(says.indices)}, {float(says.values):.0%}"

    def _pictures(self, outputs: np.ndarray) -> Tensor:
        return torch.from_numpy(outputs).float().view(len(outputs), 1, *self.size)

    def _logits(self, outputs: np.ndarray) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return self._classifier(self._pictures(outputs))


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Blur images (..., H, W) by a Gaussian of `sigma` pixels, with zeros around them."""
    height, width = pixels.shape[-2:]
    return _gaussian(height, sigma) @ pixels @ _gaussian(width, sigma)


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """Make the matrix that blurs a column of n pixels."""
    row = np.exp(-0.5 * (np.arange(-n, n + 1) / sigma) ** 2)
    return (row / row.sum())[n + np.subtract.outer(np.arange(n), np.arange(n))]


def _steepness(pixels: np.ndarray) -> float:
    return float((np.diff(pixels, axis=0) ** 2).sum() + (np.diff(pixels, axis=1) ** 2).sum())
