"""Training images altered at random, in whole batches on their own device: mirrored, and shifted by whole pixels.

Unlike a distortion an augmentation is no part of the task: test images are left alone.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.checks import describe


@dataclass(frozen=True)
class FlipAndShift:
    """Mirror every other image, left to right, and shift each within a border of zeros.

    Args:
        flip: whether images are mirrored, each with a chance of one half.
        shift: how far, in whole pixels, an image is moved at most, up or down and left or right.

    Raises:
        ValueError: if shift is not a whole number of at least 0.

    Example:
        >>> images = torch.rand(5, 3, 32, 32)
        >>> FlipAndShift()(images, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3, 32, 32])
    """

    flip: bool = True
    shift: int = 4

    def __post_init__(self):
        if isinstance(self.shift, bool) or not isinstance(self.shift, int) or self.shift < 0:
            raise ValueError(f"expected shift as a whole number of at least 0, got {self.shift!r}")

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, C, H, W) → the same shape, altered; drawn on the generator's device, else on that of the images."""
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise TypeError(f"expected images as a tensor (B, C, H, W), got {describe(images)}")
        n, _, height, width = images.shape
        source = generator.device if generator is not None else images.device
        drawn = torch.randint(0, 2 * self.shift + 1, (2, n, 1), generator=generator, device=source).to(images.device)
        rows = drawn[0] + torch.arange(height, device=images.device)  # (B, H), in the padded image
        columns = drawn[1] + torch.arange(width, device=images.device)
        if self.flip:
            mirrored = torch.rand(n, 1, generator=generator, device=source) < 0.5
            columns = torch.where(mirrored.to(images.device), columns.flip(1), columns)
        padded = F.pad(images, [self.shift] * 4).permute(0, 2, 3, 1)  # (B, H + 2·shift, W + 2·shift, C)
        each = torch.arange(n, device=images.device)[:, None, None]
        return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
