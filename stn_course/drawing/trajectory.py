"""Gradient descent on one θ, with the gradient written out by hand, so that a step costs a fraction of a millisecond.

    L(θ)  =  mean over the pixels of (V − template)²       V = the image, sampled at (x, y) = T_θ(x_t, y_t)
    θ     ←  θ − rate · ∂L/∂θ

The gradient goes back the way the picture came: ∂L/∂V, then ∂V/∂(x, y) (equations 6 and 7 of the paper), then
∂(x, y)/∂θ, which the family gives (`Transform.with_pull_back`). The second one sees four pixels and no further. A blur
of both pictures widens its reach; it fades from step to step, so that the last steps see the pictures as they are.
"""

import numpy as np
import torch
from torch import Tensor

from stn_course.transforms import Transform, regular_grid

SAMPLERS = ("bilinear", "nearest")
SHARP_AFTER = 60  # the step from which on no blur is left
LARGEST = 1e6  # no entry of θ may be larger: so far from the image there is nothing to see
ASIDE = 1e-9  # pixels: at the identity every sample sits on a kink; rounding shall not choose the side


class Trajectory:
    """The θ after each step of a descent, computed on demand and remembered.

    Args:
        image: (H, W), the input, with zeros around it.
        template: (H', W'), the output that descent aims at.
        theta: (n_params,), where the descent starts; target → source.
        sampler: "bilinear", or "nearest", whose gradient is zero.
        blur: standard deviation, in pixels, of the Gaussian that blurs both pictures at step 0; it shrinks evenly to
            nothing at step `SHARP_AFTER`. Blur flattens slopes, so the blurred loss counts more: by the factor that
            makes the template's slopes count as much as before. One rate serves all.

    Example:
        >>> from stn_course.transforms import Affine
        >>> image, template = torch.zeros(2, 8, 8)
        >>> image[2:6, 2:4] = template[2:6, 3:5] = 1  # the same bar, a pixel farther to the right
        >>> descent = Trajectory(image, template, Affine().identity(), Affine(), rate=0.05)
        >>> descent.loss(0), descent.loss(60)
        (0.125, 0.000)
    """

    def __init__(
        self,
        image: Tensor,
        template: Tensor,
        theta: Tensor,
        transform: Transform,
        rate: float,
        sampler: str = "bilinear",
        blur: float = 0.0,
    ):
        self._image, self._template = (pixels.detach().cpu().double().numpy() for pixels in (image, template))
        theta = theta.detach().cpu().double()
        self._rate, self._sampler, self._blur = rate, sampler, blur
        grid = regular_grid(template.shape, dtype=torch.float64).flatten(0, 1)  # (N, 2), N = H'·W'
        self._looks = transform.with_pull_back(grid.numpy())
        if not _in_reach(theta.numpy()):
            raise ValueError(f"expected a start with finite numbers up to {LARGEST:g}, got {theta.tolist()}")
        if not 0 <= blur < np.inf:
            raise ValueError(f"expected blur as 0 pixels or more, got {blur}")
        self._thetas = [theta.numpy()]
        self._losses: list[float] = []
        self._gradients: list[np.ndarray] = []
        self.ended: int | None = None  # the last step, if the next θ would not be finite or lie beyond `LARGEST`

    def theta(self, step: int) -> np.ndarray:
        """Return θ after a step, (n_params,); 0 is the start."""
        return self._thetas[self._until(step)]

    def loss(self, step: int) -> float:
        """Return the mean squared difference after a step, without the blur."""
        return self._losses[self._until(step)]

    def losses(self, step: int) -> np.ndarray:
        """Return the losses from the start up to a step."""
        return np.array(self._losses[: self._until(step) + 1])

    def gradient(self, step: int) -> np.ndarray:
        """Return ∂L/∂θ after a step, (n_params,), for the blurred pictures: what the next step follows."""
        return self._gradients[self._until(step)]

    def blur(self, step: int) -> float:
        """Return the standard deviation of the blur at a step, in pixels."""
        return self._blur * max(0.0, 1 - step / SHARP_AFTER)

    def _until(self, step: int) -> int:
        """Go on until a step is known, and return it, or the last one there is."""
        if step < 0:
            raise ValueError(f"expected step as 0 or more, got {step}")
        while len(self._gradients) <= step and self.ended is None:
            self._advance()
        return step if self.ended is None else min(step, self.ended)

    def _advance(self) -> None:
        step, theta = len(self._gradients), self._thetas[-1]
        loss, gradient = self.loss_and_gradient(theta)
        if sigma := self.blur(step):
            gradient = self.loss_and_gradient(theta, sigma)[1]
        self._losses.append(loss)
        self._gradients.append(gradient)
        with np.errstate(over="ignore", invalid="ignore"):
            following = theta - self._rate * gradient
        if _in_reach(following):
            self._thetas.append(following)
        else:
            self.ended = step

    def loss_and_gradient(self, theta: np.ndarray, sigma: float = 0.0) -> tuple[float, np.ndarray]:
        """Compute L and ∂L/∂θ at any θ, (n_params,), with both pictures blurred."""
        image, template, weight = self._image, self._template, 1.0
        if sigma:
            image, template = blurred(image, sigma), blurred(template, sigma)
            weight = _steepness(self._template) / max(_steepness(template), 1e-12)
        xy, pull_back = self._looks(theta)  # (N, 2)
        size = np.array([image.shape[::-1]]).T  # ((W,), (H,))
        pixels = ((xy.T + 1) * size - 1) / 2 + ASIDE
        if self._sampler == "nearest":
            pixels = np.floor(pixels + 0.5)
        values, *slopes = _sample(image, *pixels)
        error = values - template.ravel()
        loss = weight * float(error @ error) / error.size
        if self._sampler == "nearest":
            return loss, np.zeros_like(theta)
        to_xy = weight / error.size * error * slopes * size  # ∂L/∂(x, y): 2 · error / N · slope · size / 2
        return loss, pull_back(to_xy.T)


def _in_reach(theta: np.ndarray) -> bool:
    return bool((np.abs(theta) <= LARGEST).all())  # False for NaN


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image (H, W) by a Gaussian of `sigma` pixels, with zeros around it."""
    height, width = pixels.shape
    return _gaussian(height, sigma) @ pixels @ _gaussian(width, sigma)


def _gaussian(n: int, sigma: float) -> np.ndarray:
    """Make the matrix that blurs a column of n pixels."""
    row = np.exp(-0.5 * (np.arange(-n, n + 1) / sigma) ** 2)
    return (row / row.sum())[n + np.subtract.outer(np.arange(n), np.arange(n))]


def _steepness(pixels: np.ndarray) -> float:
    return float((np.diff(pixels, axis=0) ** 2).sum() + (np.diff(pixels, axis=1) ** 2).sum())


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return V, ∂V/∂x and ∂V/∂y at points in pixels, (N,) each: the bilinear kernel, zeros outside."""
    height, width = image.shape
    padded = np.zeros((height + 4, width + 4))  # two rings, so that every neighbour of every point has its place
    padded[2:-2, 2:-2] = image
    x, y = np.clip(x, -1.5, width + 0.5), np.clip(y, -1.5, height + 0.5)
    left, top = np.floor(x), np.floor(y)
    to_right, to_bottom = x - left, y - top
    corner = ((top + 2) * (width + 4) + left + 2).astype(np.intp)
    flat = padded.ravel()
    upper, lower = flat[corner], flat[corner + width + 4]
    upper_slope, lower_slope = flat[corner + 1] - upper, flat[corner + width + 5] - lower
    upper, lower = upper + to_right * upper_slope, lower + to_right * lower_slope
    return upper + to_bottom * (lower - upper), upper_slope + to_bottom * (lower_slope - upper_slope), lower - upper
