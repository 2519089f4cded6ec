"""Clutter, the paper's TC: a digit on its canvas, and round it small pieces of other digits that mean nothing.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4: 16 pieces of 6×6 pixels on 60×60. The paper does not
say how a piece and a digit share a pixel.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from stn_course.checks import Images, Theta
from stn_course.distortions.distortion import Distortion, Pose

NUMBERS = 5  # that say what a piece is and where it lies: whose, its row and column there, row and column on the canvas


class Clutter(Distortion):
    """Another distortion, and over it pieces cut out of the other images of the batch, each at a place of its own.

    The corner of each piece is uniform over all whole pixels of the image, and so is its place on the canvas. Where ink
    meets ink the brighter stays, so that a piece covers nothing. Digits have wide margins: of 6×6 pieces of MNIST
    three in ten are empty.

    θ is that of the other distortion, followed by five numbers a piece: whose it is, as a share of the way round the
    batch from 0 to 1; the row and the column of its corner in that image; the row and the column on the canvas. An
    image that is alone in its batch is cut up itself. So what `apply` makes of an image hangs on its batch; the fixed
    draw of a test split cuts each thousand out of itself.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 09, "A digit among pieces of others: what is a look worth?".

    Args:
        under: the distortion that the pieces lie over; its canvas is theirs.
        pieces: how many.
        side: of a piece, which is a square, in pixels.

    Raises:
        ValueError: if a piece is larger than the image, or the canvas is too small for so many side by side.

    Example:
        >>> from stn_course.distortions import RTS
        >>> clutter = Clutter(RTS(canvas=60, degrees=0, scale=(1, 1)))
        >>> clutter.sample(5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 86])
        >>> clutter(torch.rand(5, 1, 28, 28)).shape
        torch.Size([5, 1, 60, 60])
    """

    label = "clutter"

    def __init__(self, under: Distortion, pieces: int = 16, side: int = 6):
        super().__init__(under.canvas, under.image, under.scale)
        for name, value, least in (("pieces", pieces, 0), ("side", side, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"expected {name} as a whole number of at least {least}, got {value!r}")
        (height, width), (high, wide) = self.image, self.canvas
        if side > min(height, width):
            raise ValueError(f"expected pieces no larger than the image's {height}×{width} pixels, got {side}×{side}")
        if pieces > (high // side) * (wide // side):
            raise ValueError(
                f"expected a canvas with room for {pieces} pieces of {side}×{side} pixels side by side, got "
                f"{high}×{wide}"
            )
        self.under, self.pieces, self.side, self.transform = under, pieces, side, under.transform

    def weaker(self, strength: float) -> "Clutter":
        """Make the same with a share of the pieces, over a weaker distortion: 1 is all of it, 0 nothing.

        Example:
            >>> from stn_course.distortions import RTS
            >>> Clutter(RTS(canvas=60), pieces=16).weaker(0.5).pieces
            8
        """
        return type(self)(self.under.weaker(strength), round(self.pieces * strength), self.side)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype=torch.float32) -> Theta:
        """Draw n random θ, (n, n_params + 5 · pieces), on the generator's device."""
        theta = self.under.sample(n, generator, dtype)
        whose = torch.rand(n, self.pieces, 1, generator=generator, device=theta.device, dtype=dtype)
        ends = [length - self.side + 1 for length in (*self.image, *self.canvas)]
        places = [
            torch.randint(end, (n, self.pieces, 1), generator=generator, device=theta.device).to(dtype) for end in ends
        ]
        return torch.cat((theta, torch.cat((whose, *places), dim=2).flatten(1)), dim=1)

    def pose(self, theta: Theta) -> Pose | None:
        """Find the pose of the digits, whatever lies round them: that of the distortion below."""
        n = self.transform.n_params
        return self.under.pose(theta[:, :n])

    def apply(self, images: Images, theta: Theta) -> Images:
        """Put images on their canvas by known θ: (B, C, H, W), (B, n_params + 5 · pieces) → (B, C, H', W')."""
        n = self.transform.n_params
        if theta.ndim != 2 or theta.shape[1] != n + NUMBERS * self.pieces:
            raise ValueError(
                f"expected theta of shape (B, {n + NUMBERS * self.pieces}), {n} numbers and {NUMBERS} for each of "
                f"{self.pieces} pieces, got {tuple(theta.shape)}"
            )
        canvas = self.under.apply(images, theta[:, :n])  # (B, C, H', W')
        numbers = theta[:, n:].unflatten(1, (self.pieces, NUMBERS))  # (B, pieces, 5)
        return self._lay(canvas, images, *self._whole(numbers, len(images)))

    def _whole(self, numbers: Tensor, batch: int) -> Iterator[Tensor]:
        """Turn the five numbers of each piece into whole ones (B, pieces): which image, and two rows and columns."""
        others = max(batch - 1, 1)
        steps = 1 + (numbers[..., 0] * others).long().clamp(max=others - 1)  # how far round the batch
        yield (torch.arange(batch, device=numbers.device)[:, None] + steps) % max(batch, 1)
        for place in numbers[..., 1:].unbind(-1):
            yield place.long()

    def _lay(self, canvas: Images, images: Images, whose: Tensor, *corners: Tensor) -> Images:
        """Lay the pieces over the canvas, all at once."""
        step = torch.arange(self.side, device=images.device)
        row, column, down, right = (corner[..., None] + step for corner in corners)  # (B, pieces, side)
        cut = images.movedim(1, 3)[whose[..., None, None], row[..., None], column[..., None, :]]  # (B, pieces, …, C)
        at = down[..., None] * self.canvas[1] + right[..., None, :]  # (B, pieces, side, side)
        flat = at.flatten(1)[:, None].expand(-1, canvas.shape[1], -1)  # (B, C, pieces · side²)
        laid = canvas.flatten(2).scatter_reduce(2, flat, cut.flatten(1, 3).mT.to(canvas.dtype), "amax")
        return laid.unflatten(2, self.canvas)
