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


class _GreyConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        height, width = weight.shape[2:]
        windows = x.unfold(2, height, 1).unfold(3, width, 1)  # (B, 1, H', W', h, w), a view
        columns = windows.permute(1, 4, 5, 0, 2, 3).reshape(weight[0].numel(), -1)  # (h·w, B·H'·W'), a copy
        out = torch.addmm(bias, columns.t(), weight.flatten(1).t())  # (B·H'·W', C)
        ctx.save_for_backward(columns, weight)
        ctx.shape = x.shape
        return out.view(len(x), *windows.shape[2:4], -1).permute(0, 3, 1, 2)  # (B, C, H', W'), channels-last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        columns, weight = ctx.saved_tensors
        batch, channels, height, width = grad.shape
        grad = grad.permute(0, 2, 3, 1).reshape(-1, channels)  # (B·H'·W', C)
        grad_weight = (columns @ grad).t().view_as(weight)
        grad_x = None
        if ctx.needs_input_grad[0]:  # each window's share goes back to where its pixels came from
            shares = (weight.flatten(1).t() @ grad.t()).view(*weight.shape[1:], batch, height, width)
            grad_x = grad.new_zeros(ctx.shape)
            for i in range(shares.shape[1]):
                for j in range(shares.shape[2]):
                    grad_x[:, :, i : i + height, j : j + width] += shares[:, i, j].transpose(0, 1)
        return grad_x, grad_weight, grad.sum(0)
