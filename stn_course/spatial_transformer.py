"""The three components as one layer: localisation network → grid generator → sampler.

    θ = f_loc(U)        where to look, decided by a small network from the input itself
    T_θ(G)              the regular grid over the output, moved by θ onto the input
    V = sample(U, T_θ(G))

The layer drops into any network and learns from that network's own loss: the gradient flows back through the sampler
into the grid, through the grid into θ, and from there into the localisation network. Nobody tells it what θ should be.

Source: Jaderberg et al., 2015 (arXiv:1506.02025), section 3.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import Grid, Images, Size, Theta, describe
from stn_course.sampling import FAR, check_sampling, in_one_dtype
from stn_course.transforms import Affine, Transform, check_transform, without_autocast

Sampler = Callable[..., Images]


def grid_sample(images: Images, grid: Grid, padding_mode: str, align_corners: bool) -> Images:
    """Sample with PyTorch's own `F.grid_sample`: the fast twin of `sampling.bilinear_sample`.

    A NaN coordinate gives NaN in every padding mode. PyTorch alone gives a pixel in two of them, and their backward
    pass on a CPU goes to an address outside the image, which may end the process. So does infinity in reflection.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Step 3: the sampler, U and grid → V".
    """
    if padding_mode == "zeros":
        return F.grid_sample(images, grid, "bilinear", padding_mode, align_corners)
    lost = grid.isnan()
    grid = grid.clamp(-FAR, FAR).masked_fill(lost, 0)
    sampled = F.grid_sample(images, grid, "bilinear", padding_mode, align_corners)
    return sampled.masked_fill(lost.any(-1)[:, None], torch.nan)


def warp(
    images: Images,
    theta: Theta,
    transform: Transform = Affine(),
    output_size: Size | None = None,
    padding_mode: str = "zeros",
    align_corners: bool = False,
    sampler: Sampler = grid_sample,
) -> Images:
    """Warp images by θ, every channel alike: make the sampling grid, then sample.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "All of it as one layer".

    Args:
        theta: float32 or float64, one for each image.
        transform: the family of θ.
        output_size: (H', W') of the result; the images' own if None.
        padding_mode: "zeros", "border" or "reflection".
        sampler: `grid_sample` (PyTorch's, fast), or `bilinear_sample` or `nearest_sample` from `sampling`, which also
            know derivatives in forward mode (`torch.func.jvp`, `jacfwd`, `hessian`); PyTorch's raises there.

    Returns:
        (B, C, H', W') of the images' dtype. The grid has θ's dtype even under autocast, and the sampler computes in
        θ's dtype or the images', whichever is the more precise. A NaN in θ gives NaN; an infinite θ gives NaN or what
        lies outside the image.

    Example:
        >>> image = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> warp(image, torch.tensor([[-1.0, 0, 0, 0, 1, 0]]))  # x_s = −x_t: left and right change places
        tensor([[[[1., 0.],
                  [3., 2.]]]])
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
        kind = ValueError if isinstance(images, Tensor) and images.is_floating_point() else TypeError
        raise kind(f"expected images as a floating-point tensor of shape (B, C, H, W), got {describe(images)}")
    if isinstance(theta, Tensor) and theta.ndim == 2 and theta.shape[0] != images.shape[0]:
        raise ValueError(f"expected one θ for each image, got {describe(theta)} and {describe(images)}")
    if isinstance(theta, Tensor) and theta.device != images.device:
        raise ValueError(f"expected images and theta on one device, got {describe(images)} and {describe(theta)}")
    grid = transform.grid(theta, images.shape[2:] if output_size is None else output_size, align_corners)
    check_sampling(images, grid, padding_mode)
    pixels, grid = in_one_dtype(images, grid)
    with without_autocast(images.device):
        return sampler(pixels, grid, padding_mode=padding_mode, align_corners=align_corners).to(images.dtype)


class ThetaHead(nn.Linear):
    """A linear layer that gives θ in float32, even under autocast or after `.half()`, and begins with the identity.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "Step 1: the localisation network, U → θ".
    """

    def __init__(self, in_features: int, transform: Transform):
        super().__init__(in_features, check_transform(transform).n_params)
        nn.init.zeros_(self.weight)
        with torch.no_grad():
            self.bias.copy_(transform.identity())

    def forward(self, features: Tensor) -> Theta:
        dtype = torch.float64 if self.weight.dtype == torch.float64 else torch.float32
        with without_autocast(features.device):
            return F.linear(features.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


def theta_head(in_features: int, transform: Transform) -> nn.Linear:
    """Make the last layer of a localisation network: features (B, in_features) → θ (B, n_params).

    Its weights are zero and its bias is the identity, so a new transformer passes its input through unchanged. It
    learns all the same: the gradient of a weight is its *input* times the gradient of θ, and neither is zero.

    Built in: 03, "Step 1: the localisation network, U → θ".

    Example:
        >>> theta_head(20, Affine())(torch.randn(1, 20))
        tensor([[1., 0., 0., 0., 1., 0.]], grad_fn=<AddmmBackward0>)
    """
    return ThetaHead(in_features, transform)


class SpatialTransformer(nn.Module):
    """A layer that looks at its input and warps it by a θ of its own choice.

    Exported (`torch.export`, ONNX, `torch.jit.trace`), it takes any number of images, of the example's size.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 03, "All of it as one layer".

    Args:
        localisation: a module (B, C, H, W) → (B, n_params); let it end in `theta_head`.
        transform, output_size, padding_mode, align_corners, sampler: as for `warp`.

    Example:
        >>> localisation = nn.Sequential(nn.Flatten(), theta_head(3 * 8 * 8, Affine()))
        >>> SpatialTransformer(localisation, output_size=(4, 4))(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 4, 4])
    """

    def __init__(
        self,
        localisation: nn.Module,
        transform: Transform = Affine(),
        output_size: Size | None = None,
        padding_mode: str = "zeros",
        align_corners: bool = False,
        sampler: Sampler = grid_sample,
    ):
        super().__init__()
        self.localisation = localisation
        self.transform = check_transform(transform)
        self.output_size = output_size
        self.padding_mode = padding_mode
        self.align_corners = align_corners
        self.sampler = sampler

    def theta(self, x: Images) -> Theta:
        """Choose a θ for each image: (B, C, H, W) → (B, n_params)."""
        return self.localisation(x)

    def forward(self, x: Images) -> Images:
        """Warp the input by the layer's own θ: (B, C, H, W) → (B, C, H', W')."""
        return self.warp(x, self.theta(x))

    def warp(self, x: Images, theta: Theta) -> Images:
        """Warp by a θ that is already known, with this layer's settings."""
        return warp(x, theta, self.transform, self.output_size, self.padding_mode, self.align_corners, self.sampler)
