"""Look small, crop large: find the place in a small view of a picture, and sample it from the picture itself.

    z = f_loc(view)            the view: 64 pixels, enough to see where something is
    θ = D⁻¹ M(z)               D = diag(W / L, H / L, 1), L = max(H, W): from the square around the picture into it
    V = sample(U, T_θ(G))      from the picture U at its full size: enough to see what it is

The view costs the same however large the picture is, and so does the crop. The picture may have any shape: the view
holds the whole of it in the middle of a square: a frame that is square there is square in pixels, and turns are true.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import Images, Size, Theta, describe
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Affine, Transform


def small_view(images: Images, side: int = 64) -> Images:
    """Resize pictures of any one shape into the middle of a square: (B, C, H, W) → (B, C, side, side), zeros around.

    Each pixel of the view is a weighted mean over all that it covers (the weights fall off in a triangle), so that
    nothing small is stepped over. Where the zeros have an odd number of rows or columns, one side gets one more: the
    picture is then off the middle, by half a pixel of its own.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 10, "Does the whole picture need to be seen?".

    Example:
        >>> small_view(torch.ones(1, 3, 120, 160), 64)[0, 0, ::16, 32]  # 48 of the 64 rows are the picture's
        tensor([0., 1., 1., 1.])
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
        raise ValueError(f"expected images as a floating-point tensor of shape (B, C, H, W), got {describe(images)}")
    height, width = map(int, images.shape[2:])  # numbers, also while `torch.jit.trace` records
    longest = max(height, width)
    left, top = (longest - width) // 2, (longest - height) // 2
    square = F.pad(images, (left, longest - width - left, top, longest - height - top))
    return F.interpolate(square, (side, side), mode="bilinear", antialias=True)


class LookSmall(SpatialTransformer):
    """A spatial transformer that finds its θ in a small view, and samples the picture itself: look small, crop large.

    All pictures of a batch have one shape, and every batch may have another. Exported, it takes pictures of the
    example's shape, any number of them.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Does the whole picture need to be seen?".

    Args:
        localisation: a module (B, C, view, view) → (B, family.n_params); let it end in `theta_head`.
        family: of what the localisation network gives, affine or less: `Attention()`, or a `Bounded` one. Its frame
            lies in the square around the picture. θ, and the layer's transform, are `Affine()`: in the picture.
        output_size: (H', W') of the crop.
        view: the side of the view, in pixels.

    Example:
        >>> from stn_course.spatial_transformer import theta_head
        >>> from stn_course.transforms import Attention
        >>> layer = LookSmall(nn.Sequential(nn.Flatten(), theta_head(3 * 64 * 64, Attention())), Attention(), (32, 32))
        >>> layer(torch.rand(2, 3, 120, 160)).shape
        torch.Size([2, 3, 32, 32])
        >>> layer.theta(torch.rand(1, 3, 120, 160))  # the square around it is higher than the picture
        tensor([[1.0000, 0.0000, 0.0000, 0.0000, 1.3333, 0.0000]], grad_fn=<ViewBackward0>)
    """

    def __init__(self, localisation: nn.Module, family: Transform, output_size: Size, view: int = 64):
        super().__init__(localisation, Affine(), output_size)
        if "parallels" not in family.keeps:
            raise ValueError(f"expected a family that keeps parallels, such as Attention(), got {family}")
        self.family = family
        self.view = view

    def theta(self, x: Images) -> Theta:
        """Choose a θ for each picture, an affine one in the picture's own coordinates: (B, C, H, W) → (B, 6)."""
        return in_picture(self.family.matrix(self.localisation(small_view(x, self.view))), x.shape[2:])


def in_picture(matrix: Tensor, size: Size) -> Theta:
    """Take frames from the square around a picture into the picture: matrices (B, 3, 3) → affine θ (B, 6).

    `size` is (H, W) of the picture, which lies in the middle of the square.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 10, "Does the whole picture need to be seen?".

    Example:
        >>> in_picture(torch.eye(3)[None], (100, 200))  # twice as high as the picture
        tensor([[1., 0., 0., 0., 2., 0.]])
    """
    height, width = map(int, size)
    longest = max(height, width)
    rows = torch.stack((matrix[:, 0] * (longest / width), matrix[:, 1] * (longest / height)), dim=1)  # (B, 2, 3)
    return rows.flatten(1)
