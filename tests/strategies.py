"""Random shapes, layouts, grids and θ that the tests of transforms, samplers and layers share."""

import hypothesis.strategies as st
import torch
from hypothesis import settings
from torch import Tensor

from stn_course.sampling import to_normalised
from stn_course.transforms import FAMILIES

MATRICES = [family for family in FAMILIES if family.invertible]

few = settings(max_examples=30, deadline=None)

sizes = st.tuples(st.integers(1, 64), st.integers(1, 48))
batches = st.sampled_from([0, 1, 2, 5])
channels = st.integers(1, 3)
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**31)
layouts = st.sampled_from(["contiguous", "strided", "transposed", "expanded", "channels_last"])
paddings = st.sampled_from(["zeros", "border", "reflection"])

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def uniform(seed: int, *shape: int, low=0.0, high=1.0, dtype=torch.float64) -> Tensor:
    """Random numbers in [low, high), the same for the same seed."""
    return low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """The values of a 4-D tensor in another memory layout ("expanded": those of its first entry, for each)."""
    if layout == "strided":
        return torch.stack((tensor, tensor + 1), dim=-1)[..., 0]
    if layout == "transposed":
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "expanded":
        return tensor[:1].expand_as(tensor)
    if layout == "channels_last":
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.contiguous()


def off_lattice_grid(seed: int, batch: int, out: tuple[int, int], size: tuple[int, int], align_corners: bool) -> Tensor:
    """A grid over the image and as far again on each side, a tenth of a pixel or more from any pixel's centre or edge.

    On those lines the samplers have kinks and ties, where two right ones may differ.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    shape = (batch, *out)
    x = torch.randint(-width, 2 * width, shape, generator=generator)
    y = torch.randint(-height, 2 * height, shape, generator=generator)
    part = 0.1 + 0.3 * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    half = 0.5 * torch.randint(0, 2, (*shape, 2), generator=generator)
    return to_normalised(torch.stack((x, y), dim=-1) + part + half, size, align_corners)
