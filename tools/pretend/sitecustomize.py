"""Python reads this when it starts, if this folder is in PYTHONPATH: float32 arithmetic as another machine rounds it.

Machines agree on single additions and multiplications, and differ where many are put together: in products of
matrices, in sums, in convolutions, in what is interpolated, in sines and logarithms. STN_COURSE_ARITHMETIC says how
such results come out here:

    exact       computed in float64, and rounded once
    last-bit    the same, but half of the results that had to be rounded are rounded the other way

Which half hangs on the result alone, so that the same computation gives the same numbers again.
"""

import importlib.abc
import importlib.util
import os
import sys

ARITHMETIC = os.environ.get("STN_COURSE_ARITHMETIC")

INEXACT = frozenset(
    """
    addbmm addmm addmv baddbmm bmm dot einsum inner linear matmul mm mv tensordot vdot
    conv2d convolution convolution_backward
    cumsum logsumexp mean norm prod std std_mean sum var var_mean linalg_vector_norm corrcoef cdist
    _log_softmax _log_softmax_backward_data _softmax _softmax_backward_data log_softmax softmax
    cross_entropy_loss nll_loss_forward mse_loss
    avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d _adaptive_avg_pool2d_backward
    batch_norm native_batch_norm native_batch_norm_backward
    grid_sampler grid_sampler_2d grid_sampler_2d_backward affine_grid_generator
    upsample_bilinear2d upsample_bilinear2d_backward
    linalg_det _linalg_det linalg_inv linalg_inv_ex linalg_solve _linalg_solve_ex inverse det
    acos addcdiv addcmul asin atan atan2 cos deg2rad exp hypot lerp log log10 log2 pow rad2deg
    reciprocal rsqrt sigmoid sigmoid_backward sin tan tanh tanh_backward
    """.split()  # noqa: SIM905
)


def _arrange(torch) -> None:
    """Let every such operation, in this thread and from now on, go through float64."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

    plain = (torch.Tensor, torch.nn.Parameter)

    def wide(value: object) -> object:
        return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    def rounded(exact: torch.Tensor) -> torch.Tensor:
        near = exact.float()
        if ARITHMETIC == "exact" or not near.numel():
            return near
        off = exact - near
        towards = torch.where(off > 0, float("inf"), float("-inf")).to(near.dtype)
        other = torch.nextafter(near, towards)
        inexact = off.abs() > exact.abs() * 2**-40  # float64 has last bits of its own
        bits = near.contiguous().view(torch.int32).long().view(near.shape)
        chosen = (bits * 0x9E3779B97F4A7C1 >> 33 & 1).bool()
        return torch.where(chosen & inexact & other.isfinite() & near.isfinite(), other, near)

    class AsElsewhere(TorchDispatchMode):
        @classmethod
        def is_infra_mode(cls) -> bool:  # no part of a program that is exported or compiled
            return True

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if function._schema.name.removeprefix("aten::") not in INEXACT or {"out", "dtype"} & {*kwargs}:
                return function(*args, **kwargs)
            flat, form = tree_flatten((args, kwargs))
            tensors = [each for each in flat if isinstance(each, torch.Tensor)]
            ordinary = all(type(each) in plain and each.device.type == "cpu" for each in tensors)
            if not ordinary or {each.dtype for each in tensors if each.is_floating_point()} != {torch.float32}:
                return function(*args, **kwargs)
            usual = function(*args, **kwargs)  # whose layout in memory is kept
            args, kwargs = tree_unflatten([wide(each) for each in flat], form)
            for ours, exact in zip(tree_leaves(usual), tree_leaves(function(*args, **kwargs))):
                if isinstance(ours, torch.Tensor) and ours.dtype == torch.float32:
                    ours.copy_(rounded(exact))
            return usual

    AsElsewhere().__enter__()


class _AfterTorch(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torch as it is found without us, and arranges its arithmetic as soon as it is loaded."""

    looking = False

    def find_spec(self, name, path=None, target=None):
        if name != "torch" or self.looking:
            return None
        self.looking = True
        try:
            spec = importlib.util.find_spec(name)  # as it is found without us
        finally:
            self.looking = False
        if spec is not None:  # it may be asked for without being imported, and more than once
            self.usual, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.usual.create_module(spec)

    def exec_module(self, module):
        sys.meta_path.remove(self)
        module.__spec__.loader = self.usual
        self.usual.exec_module(module)
        _arrange(module)


if ARITHMETIC:
    if ARITHMETIC not in ("exact", "last-bit"):
        raise SystemExit(f"expected STN_COURSE_ARITHMETIC as exact or last-bit, got {ARITHMETIC!r}")
    sys.meta_path.insert(0, _AfterTorch())
