"""The networks the course trains. Every network with a transformer is `.spatial_transformer`, then `.classifier`.

All of them give logits; the log-softmax of the originals is part of the loss (`F.cross_entropy`).

Sources: the ST-CNN follows Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.4, in the layer sizes of a public
reimplementation on distorted MNIST; a test holds the parameter counts.
"""

import torch
from torch import Tensor, nn

from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Transform


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


class CNN(nn.Module):
    """The baseline for 42×42 distorted digits: (B, 1, 42, 42) → (B, 10). 112,052 parameters with 36 channels.

    Example:
        >>> sum(p.numel() for p in CNN().parameters())
        112052
    """

    def __init__(self, channels: int = 36):
        super().__init__()
        self.layers = nn.Sequential(
            GreyConv2d(1, channels, 9),  # (B, channels, 34, 34)
            nn.MaxPool2d(2),  # (B, channels, 17, 17)
            nn.ReLU(),
            nn.Conv2d(channels, channels, 7),  # (B, channels, 11, 11)
            nn.MaxPool2d(2),  # (B, channels, 5, 5)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(channels * 5 * 5, 50),
            nn.ReLU(),
            nn.Linear(50, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class STCNN(nn.Module):
    """The same network, slimmer, behind a spatial transformer: (B, 1, 42, 42) → (B, 10). 110,478 parameters (affine).

    The localisation network works on the input at half size: where a digit lies can be seen from afar.

    Example:
        >>> sum(p.numel() for p in STCNN().parameters())
        110478
    """

    def __init__(self, transform: Transform = Affine()):
        super().__init__()
        localisation = nn.Sequential(
            nn.Upsample(scale_factor=0.5, mode="bilinear", align_corners=False),  # (B, 1, 21, 21)
            GreyConv2d(1, 20, 5),  # (B, 20, 17, 17)
            nn.MaxPool2d(2),  # (B, 20, 8, 8)
            nn.ReLU(),
            nn.Conv2d(20, 20, 5),  # (B, 20, 4, 4)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * 4 * 4, 20),
            nn.ReLU(),
            theta_head(20, transform),
        )
        self.spatial_transformer = SpatialTransformer(localisation, transform)
        self.classifier = CNN(channels=32)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.spatial_transformer(x))
