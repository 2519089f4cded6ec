"""A convolution of grey images that a CPU trains faster; the numbers are the same."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGES_AT_ONCE = 64
"""Whose input gradient is made at a time: as quick as any other number, and a whole batch of them takes much memory."""


class GreyConv2d(nn.Conv2d):
    """`nn.Conv2d` for images of one channel, faster to train on a CPU.

    With one channel two memory layouts look alike, and PyTorch takes the wrong one: its convolution is as quick in the
    other, channels-last, and the pooling that follows is quicker. And the gradient with respect to the images is a
    product of two matrices, which PyTorch's own routine, made for many channels, takes about four times as long for.
    Under autocast it computes in the lower precision, and adds the images' gradient up in float32.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.shape[1:2] != (1,) or not len(x):
            return super().forward(x)
        inputs = x, self.weight, self.bias
        if torch.is_autocast_enabled("cpu") and x.dtype != torch.float64:  # it knows PyTorch's own convolution alone
            inputs = (each.to(torch.get_autocast_dtype("cpu")) for each in inputs)
        return _GreyConvolution.apply(*inputs)


class _GreyConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = _channels_last(x)
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias)  # (B, C, H', W'), channels-last too

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_weight = nn.grad.conv2d_weight(x, weight.shape, grad)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))
            for there, incoming in zip(grad_x.split(IMAGES_AT_ONCE), grad.split(IMAGES_AT_ONCE)):
                _send_back(incoming, weight, there)
            grad_x = grad_x.to(x.dtype)
        return grad_x, grad_weight, grad.sum((0, 2, 3))


def _send_back(grad: Tensor, weight: Tensor, grad_x: Tensor) -> None:
    """Add each output pixel's gradient to the input pixels of its window, by its share: the kernel's entry."""
    batch, channels, height, width = grad.shape
    incoming = grad.permute(0, 2, 3, 1).reshape(-1, channels)  # (B·H'·W', C)
    shares = (weight.flatten(1).t() @ incoming.t()).view(*weight.shape[2:], batch, height, width)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):  # (B, H', W')
            grad_x[:, 0, i : i + height, j : j + width] += share


def _channels_last(x: Tensor) -> Tensor:
    """Images (B, 1, H, W) with the strides by which PyTorch knows the layout: a view, where they lie one by one."""
    batch, _, height, width = x.shape
    return x.reshape(batch, height, width, 1).permute(0, 3, 1, 2)
