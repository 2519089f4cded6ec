"""Alter training images at random, in whole batches on their own device: mirror, and shift by whole pixels.

Unlike a distortion an augmentation is no part of the task: test images stay as they are.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stn_course.checks import Images, describe


@dataclass(frozen=True)
class FlipAndShift:
    """Mirror each image, left to right, with a chance of one half, and shift it within a border of zeros.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 06, "Train it".

    Args:
        flip: whether to mirror at all.
        shift: the longest shift, in whole pixels, up or down and left or right.

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

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Images:
        """Alter each image by numbers drawn on the generator's device, or without one on the images'."""
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
