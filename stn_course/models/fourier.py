"""A convolution by way of frequencies, which a CPU trains faster where kernels are large; the numbers are the same.

    y[n, m] = Σ_ij w_ij x[n+i, m+j]      ⇔      Y[u, v] = X[u, v] · conj W[u, v]

Of a 7×7 kernel each output needs 49 products for each pair of channels, whereas each frequency needs one, of complex
numbers. The transforms there and back are themselves products with small constant matrices, cosines and sines.

Source: Mathieu, Henaff and LeCun, "Fast Training of Convolutional Networks through FFTs", 2013 (arXiv:1312.5851).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn


class FourierConv2d(nn.Conv2d):
    """`nn.Conv2d` without padding or stride, faster to train on a CPU in float32, up to the last digits the same.

    It is `nn.Conv2d` itself where no gradient is asked for (its batches are large, and so would the spectra be), on
    other devices, in lower precision, and under tools that record the computation
    (`torch.compile`, `torch.export`, `torch.jit.trace`, ONNX).

    Built in: 05, "Two networks of one size".
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        other = torch.compiler.is_compiling() or torch.jit.is_tracing() or not torch.is_grad_enabled()
        if x.device.type != "cpu" or other or x.dtype not in (torch.float32, torch.float64):
            return super().forward(x)
        if torch.is_autocast_enabled("cpu") or x.ndim != 4 or x.shape[1] != self.in_channels:
            return super().forward(x)
        (batch, _, height, width), (rows, columns) = x.shape, self.kernel_size
        if height < rows or width < columns or not batch:
            return super().forward(x)  # which says what does not fit
        size, out = (height, width), (height - rows + 1, width - columns + 1)
        re, im = _spectrum(x.permute(2, 3, 0, 1), size)  # (H · V, B, C)
        w_re, w_im = _spectrum(self.weight.permute(2, 3, 1, 0), size)  # (H · V, C, O)
        product = torch.stack(
            (
                torch.baddbmm(torch.bmm(re, w_re), im, w_im),
                torch.baddbmm(torch.bmm(im, w_re), re, w_im, alpha=-1),
            )
        )
        y = _from_spectrum(product, size, out)  # (H', W', B, O)
        return y.permute(2, 0, 1, 3).contiguous().permute(0, 3, 1, 2) + self.bias[:, None, None]  # channels last


def _spectrum(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Transform (h, w, M, N), zeros beyond, to the frequencies of a picture (H, W): (2, H · V, M, N), re and im.

    V = W // 2 + 1: the spectrum of real numbers is symmetric.
    """
    (height, width), (h, w) = size, x.shape[:2]
    across = _real_to_complex(width, w, x.dtype) @ x.reshape(h, w, -1)  # (h, 2 V, M · N)
    both = _complex_to_complex(height, h, x.dtype) @ across.reshape(2 * h, -1)  # (2 H, V · M · N)
    return both.reshape(2, height * (width // 2 + 1), *x.shape[2:])


def _from_spectrum(spectrum: Tensor, size: tuple[int, int], out: tuple[int, int]) -> Tensor:
    """Transform a spectrum (2, H · V, M, N) back to the first (H', W') pixels of its picture: (H', W', M, N)."""
    (height, width), (h, w) = size, out
    down = _complex_from_complex(height, h, spectrum.dtype) @ spectrum.reshape(2 * height, -1)  # (2 H', V · M · N)
    picture = _real_from_complex(width, w, spectrum.dtype) @ down.reshape(h, 2 * (width // 2 + 1), -1)
    return picture.reshape(h, w, *spectrum.shape[2:])


# The four matrices; a complex number is a pair of rows or columns, its real and its imaginary part. With
# e^(−i a) = cos a − i sin a, (r + i s) e^(−i a) = (r cos a + s sin a) + i (s cos a − r sin a).


def _angles(n: int, rows: int, columns: int) -> Tensor:
    return 2 * math.pi / n * torch.outer(*(torch.arange(k, dtype=torch.float64) for k in (rows, columns)))


@lru_cache(64)
@torch.inference_mode(False)  # what is kept must serve in training, too
def _real_to_complex(n: int, k: int, dtype: torch.dtype) -> Tensor:
    a = _angles(n, n // 2 + 1, k)
    return torch.cat((a.cos(), -a.sin())).to(dtype)  # (2 V, k)


@lru_cache(64)
@torch.inference_mode(False)
def _complex_to_complex(n: int, k: int, dtype: torch.dtype) -> Tensor:
    a = _angles(n, n, k)
    re, im = torch.stack((a.cos(), a.sin()), dim=2), torch.stack((-a.sin(), a.cos()), dim=2)
    return torch.stack((re, im)).reshape(2 * n, 2 * k).to(dtype)  # rows: part, frequency; columns: place, part


@lru_cache(64)
@torch.inference_mode(False)
def _complex_from_complex(n: int, k: int, dtype: torch.dtype) -> Tensor:
    a = _angles(n, k, n)
    re, im = torch.cat((a.cos(), -a.sin()), dim=1), torch.cat((a.sin(), a.cos()), dim=1)
    return (torch.stack((re, im), dim=1).reshape(2 * k, 2 * n) / n).to(dtype)  # rows: place, part; columns: part, …


@lru_cache(64)
@torch.inference_mode(False)
def _real_from_complex(n: int, k: int, dtype: torch.dtype) -> Tensor:
    a, half = _angles(n, k, n // 2 + 1), n // 2 + 1
    twice = torch.full((half,), 2.0, dtype=torch.float64)  # the other half of the spectrum
    twice[0] = 1
    if n % 2 == 0:
        twice[-1] = 1
    return (torch.cat((a.cos() * twice, -a.sin() * twice), dim=1) / n).to(dtype)  # (k, 2 V)
