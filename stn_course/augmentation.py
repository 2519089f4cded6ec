"""Alter training images at random, in whole batches on their own device: mirror, shift by whole pixels, cut out.

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


@dataclass(frozen=True)
class FlipShiftAndCut(FlipAndShift):
    """The same, and then put 0 into a square of each image, its centre anywhere: what is left has to do.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017
    (arXiv:1708.04552).

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).

    Args:
        flip, shift: as for `FlipAndShift`.
        side: of the square, in whole pixels.

    Example:
        >>> images = torch.ones(5, 3, 32, 32)
        >>> FlipShiftAndCut(shift=0)(images, torch.Generator().manual_seed(0)).mean() < 1
        tensor(True)
    """

    side: int = 8

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.side, bool) or not isinstance(self.side, int) or self.side < 0:
            raise ValueError(f"expected side as a whole number of at least 0, got {self.side!r}")

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Images:
        """Alter each image by numbers drawn on the generator's device, or without one on the images'."""
        images = super().__call__(images, generator)
        n, _, height, width = images.shape
        source = generator.device if generator is not None else images.device
        cut = []
        for size in (height, width):
            centre = torch.randint(size, (n, 1), generator=generator, device=source).to(images.device)
            place = torch.arange(size, device=images.device) - centre + self.side // 2  # 0 where the square begins
            cut.append((place >= 0) & (place < self.side))  # (B, size)
        return images.masked_fill((cut[0][:, :, None] & cut[1][:, None, :])[:, None], 0)
