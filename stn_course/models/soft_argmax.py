"""Turn scores of places into one place, with a gradient: the mean of all places, each weighted by a softmax.

Source: Finn and others, "Deep Spatial Autoencoders for Visuomotor Learning", 2016 (arXiv:1509.06113).
"""

from torch import Tensor

from stn_course.transforms import regular_grid


def soft_argmax(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh the places of a picture by their scores: (B, 1, h, w) → weights (B, h · w), mean places (B, 2), (x, y).

    The weights of a picture add up to 1, so that the mean place never leaves it.
    """
    places = regular_grid(scores.shape[2:], dtype=scores.dtype, device=scores.device).flatten(0, 1)  # (h · w, 2)
    weights = scores.flatten(1).softmax(1)
    return weights, weights @ places
