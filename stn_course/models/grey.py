"""A convolution of grey images that a CPU trains faster: copied windows, and one product of matrices each way."""

import torch
from torch import Tensor, nn


class GreyConv2d(nn.Conv2d):
    """`nn.Conv2d` for images of one channel, faster to train on a CPU; the numbers are the same.

    A convolution is a product of two matrices: each row of the one is a window of the image, each column of the other
    is a kernel. With one input channel the windows are so short that copying them out and leaving the product to the
    matrix routine beats PyTorch's own convolution, most of all in the backward pass; and the product comes out
    channels-last, the layout in which the pooling that follows is ten times faster.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not len(x) or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return _GreyConvolution.apply(x, self.weight, self.bias)


IMAGES_AT_ONCE = 64
"""Whose windows are copied at a time: as quick as any other number, and a whole batch of them takes a gigabyte."""


class _GreyConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kernels = weight.flatten(1).t()  # (C_in·h·w, C)
        size = [side - kernel + 1 for side, kernel in zip(x.shape[2:], weight.shape[2:])]
        out = x.new_empty(len(x), *size, len(weight))
        for images, part in zip(x.split(IMAGES_AT_ONCE), out.split(IMAGES_AT_ONCE)):
            torch.addmm(bias, _windows(images, weight).t(), kernels, out=part.flatten(0, 2))
        ctx.save_for_backward(x, weight)
        return out.permute(0, 3, 1, 2)  # (B, C, H', W'), channels-last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        kernels = weight.flatten(1).t()
        grad = grad.permute(0, 2, 3, 1)  # (B, H', W', C)
        grad_weight, grad_x = torch.zeros_like(kernels), torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        for start in range(0, len(x), IMAGES_AT_ONCE):
            part = slice(start, start + IMAGES_AT_ONCE)
            incoming = grad[part].flatten(0, 2)  # (b·H'·W', C)
            grad_weight.addmm_(_windows(x[part], weight), incoming)
            if grad_x is not None:  # each window's share goes back to where its pixels came from
                shares = (kernels @ incoming.t()).view(*weight.shape[1:], *grad[part].shape[:3])
                height, width = grad.shape[1:3]
                for i in range(shares.shape[1]):
                    for j in range(shares.shape[2]):
                        grad_x[part, :, i : i + height, j : j + width] += shares[:, i, j].transpose(0, 1)
        return grad_x, grad_weight.t().view_as(weight), grad.sum((0, 1, 2))


def _windows(x: Tensor, weight: Tensor) -> Tensor:
    """Every window of the images that a kernel sees, as columns: (C_in·h·w, B·H'·W'), a copy."""
    height, width = weight.shape[2:]
    windows = x.unfold(2, height, 1).unfold(3, width, 1)  # (B, C_in, H', W', h, w), a view
    return windows.permute(1, 4, 5, 0, 2, 3).reshape(weight[0].numel(), -1)
