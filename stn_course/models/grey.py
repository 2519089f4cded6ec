"""A convolution of grey images that a CPU trains faster; the numbers are the same.

    Σ_ij w_ij x[n+i, m+j]  =  Σ_j Σ_i w_ij x_j[n+i, m]        x_j = x moved j columns to the left

A convolution of one channel with kernels of k columns is a convolution of k channels with kernels of one column.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GreyConv2d(nn.Conv2d):
    """`nn.Conv2d` for images of one channel, faster to train on a CPU.

    PyTorch's gradient of the images is made for many channels and wastes most of its time on one. So this layer gives
    PyTorch's convolution the images k times, as k channels, each moved one column further. The channels lie last in
    memory, which suits the pooling that follows.

    It is `nn.Conv2d` itself on other devices, and under tools that record the computation (`torch.compile`,
    `torch.export`, `torch.jit.trace`, ONNX).

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.kernel_size
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] < rows or x.shape[3] < columns:
            return super().forward(x)  # which says what does not fit
        width = x.shape[3] - columns + 1
        moved = torch.cat([x[..., j : j + width] for j in range(columns)], dim=1)  # (B, columns, H, W')
        moved = moved.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels-last, also inside vmap
        weight = self.weight.mT.flatten(1).unflatten(1, (columns, -1, 1))  # (C, columns, rows, 1)
        return F.conv2d(moved, weight, self.bias)
