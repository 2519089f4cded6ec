"""Gradient descent on one θ, with the gradient written out by hand, so that a step costs a fraction of a millisecond.

    L(θ)  =  what the output V costs (`aims`)              V = the image, sampled at (x, y) = T_θ(x_t, y_t)
    θ     ←  θ − rate · ∂L/∂θ

The gradient goes back the way the picture came: ∂L/∂V, which the aim gives, then ∂V/∂(x, y) (equations 6 and 7 of the
paper), then ∂(x, y)/∂θ, which the family gives (`Transform.with_pull_back`). The second one sees four pixels and no
further. A blur widens its reach; it fades from step to step, so that the last steps see the pictures as they are.
"""

import numpy as np
import torch
from torch import Tensor

from stn_course.drawing.aims import Aim, Likeness, blurred
from stn_course.transforms import Transform, regular_grid

SAMPLERS = ("bilinear", "nearest")
SHARP_AFTER = 60  # the step from which on no blur is left
LARGEST = 1e6  # no entry of θ may be larger: so far from the image there is nothing to see
ASIDE = 1e-9  # pixels: at the identity every sample sits on a kink; rounding shall not choose the side


class Trajectory:
    """The θ after each step of a descent, computed on demand and remembered.

    Args:
        images: (H, W), the input, with zeros around it; or (N, H, W), several that share one θ.
        aim: what descent aims at; a template (H', W') stands for `Likeness` to it.
        theta: (n_params,), where the descent starts; target → source.
        sampler: "bilinear", or "nearest", whose gradient is zero.
        blur: standard deviation, in pixels, of the Gaussian that blurs the images at step 0, and the aim with them;
            it shrinks linearly to nothing at step `SHARP_AFTER`. One rate serves all.

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
        images: Tensor,
        aim: Tensor | Aim,
        theta: Tensor,
        transform: Transform,
        rate: float,
        sampler: str = "bilinear",
        blur: float = 0.0,
    ):
        self._images = images.detach().cpu().double().numpy().reshape(-1, *images.shape[-2:])  # (N, H, W)
        self._aim = Likeness(aim) if isinstance(aim, Tensor) else aim
        theta = theta.detach().cpu().double()
        self._rate, self._sampler, self._blur = rate, sampler, blur
        grid = regular_grid(self._aim.size, dtype=torch.float64).flatten(0, 1)  # (P, 2), P = H'·W'
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
        """Return the loss after a step, without the blur."""
        return self._losses[self._until(step)]

    def losses(self, step: int) -> np.ndarray:
        """Return the losses from the start up to a step."""
        return np.array(self._losses[: self._until(step) + 1])

    def gradient(self, step: int) -> np.ndarray:
        """Return ∂L/∂θ after a step, (n_params,), for the blurred images: what the next step follows."""
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

    def outputs(self, step: int, images: np.ndarray) -> np.ndarray:
        """Return what the sampler gives of images (N, H, W) after a step: (N, H'·W'), row by row."""
        return self._look(self.theta(step), images)[0]

    def loss_and_gradient(self, theta: np.ndarray, sigma: float = 0.0) -> tuple[float, np.ndarray]:
        """Compute L and ∂L/∂θ at any θ, (n_params,), with images and aim blurred."""
        images, aim, weight = self._images, self._aim, 1.0
        if sigma:
            images = blurred(images, sigma)
            aim, weight = aim.blurred(sigma)
        outputs, to_x, to_y, pull_back = self._look(theta, images)
        loss, to_output = aim.cost(outputs)
        if self._sampler == "nearest":
            return weight * loss, np.zeros_like(theta)
        height, width = images.shape[1:]
        to_xy = [np.einsum("np,np->p", to_output, slopes) for slopes in (to_x * width / 2, to_y * height / 2)]
        return weight * loss, pull_back(weight * np.stack(to_xy, axis=1))

    def _look(self, theta: np.ndarray, images: np.ndarray) -> tuple:
        """Return V, ∂V/∂x and ∂V/∂y in pixels, (N, P) each, and what leads from ∂L/∂(x, y) to ∂L/∂θ."""
        xy, pull_back = self._looks(theta)  # (P, 2)
        size = np.array([images.shape[:0:-1]]).T  # ((W,), (H,))
        pixels = ((xy.T + 1) * size - 1) / 2 + ASIDE
        if self._sampler == "nearest":
            pixels = np.floor(pixels + 0.5)
        return *_sample(images, *pixels), pull_back


def _in_reach(theta: np.ndarray) -> bool:
    return bool((np.abs(theta) <= LARGEST).all())  # False for NaN


def _sample(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return V, ∂V/∂x and ∂V/∂y of images (N, H, W) at points in pixels (P,): the bilinear kernel, zeros outside."""
    n, height, width = images.shape
    padded = np.zeros((n, height + 4, width + 4))  # two rings, so that every neighbour of every point has its place
    padded[:, 2:-2, 2:-2] = images
    x, y = np.clip(x, -1.5, width + 0.5), np.clip(y, -1.5, height + 0.5)
    left, top = np.floor(x), np.floor(y)
    to_right, to_bottom = x - left, y - top
    corner = ((top + 2) * (width + 4) + left + 2).astype(np.intp)
    flat = padded.reshape(n, -1)
    upper, lower = flat[:, corner], flat[:, corner + width + 4]
    upper_slope, lower_slope = flat[:, corner + 1] - upper, flat[:, corner + width + 5] - lower
    upper, lower = upper + to_right * upper_slope, lower + to_right * lower_slope
    return upper + to_bottom * (lower - upper), upper_slope + to_bottom * (lower_slope - upper_slope), lower - upper
