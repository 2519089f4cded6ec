"""Numbers that depend on no input, made by NumPy: kept for the next time, and recorded by no exporter."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def constant(make: Callable[..., np.ndarray], *arguments, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What `make` makes, as a tensor that is kept for the next time, so that nobody waits for a copy to a GPU."""
    # under `torch.compile`, `torch.export` and their like what is made may have a shape alone, and must not be kept
    if torch.compiler.is_compiling() or type(torch.empty(0)) is not Tensor:
        return _made(make, arguments, dtype, device)
    return _kept(make, arguments, dtype, device)


@torch.compiler.assume_constant_result
def _made(make: Callable[..., np.ndarray], arguments: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(make(*arguments)), dtype=dtype, device=device)


_kept = lru_cache(64)(torch.inference_mode(False)(_made))  # what is kept must serve in training, too
