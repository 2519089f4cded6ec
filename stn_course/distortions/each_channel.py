"""A distortion for each channel: several images one over the other, each under a θ of its own."""

import torch

from stn_course.checks import Images, Theta
from stn_course.distortions.distortion import Distortion
from stn_course.transforms import Transform


class EachChannel(Distortion):
    """Each channel of an image under a draw of its own of another distortion.

    θ is that of the first channel, followed by that of the second, and so on.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 09, "Two digits, one sum: do two looks divide the work?".

    Args:
        each: the distortion of each channel.
        channels: how many there are.

    Example:
        >>> from stn_course.distortions import RTS
        >>> apart = EachChannel(RTS(), channels=2)
        >>> apart.sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 12])
        >>> apart(torch.rand(5, 2, 28, 28)).shape
        torch.Size([5, 2, 42, 42])
    """

    def __init__(self, each: Distortion, channels: int):
        super().__init__(each.canvas, each.image, each.scale)
        if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
            raise ValueError(f"expected channels as a whole number of at least 1, got {channels!r}")
        self.each, self.channels, self.label = each, channels, f"{each.label}, each channel apart"

    @property
    def transform(self) -> Transform:
        """The family of each channel's θ."""
        return self.each.transform

    def weaker(self, strength: float) -> "EachChannel":
        """Make the same distortion with a share of what it does to each channel: 1 is all of it, 0 nothing."""
        return type(self)(self.each.weaker(strength), self.channels)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, channels · n_params), on the generator's device."""
        return self.each.sample(n * self.channels, generator, dtype).unflatten(0, (n, self.channels)).flatten(1)

    def apply(self, images: Images, theta: Theta) -> Images:
        """Put images on their canvas by known θ: (B, C, H, W), (B, C · n_params) → (B, C, H', W')."""
        self.check(images)
        apart = self.each.apply(images.flatten(0, 1)[:, None], theta.unflatten(1, (self.channels, -1)).flatten(0, 1))
        return apart[:, 0].unflatten(0, images.shape[:2])

    def check(self, images: Images) -> None:
        super().check(images)
        if images.shape[1] != self.channels:
            raise ValueError(f"expected images of {self.channels} channels, got {tuple(images.shape)}")
