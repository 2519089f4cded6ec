"""A tensor that behaves as one on a GPU does, where there is none: nothing on the CPU may be mixed with it."""

from collections.abc import Iterable

from torch import Tensor


class Elsewhere(Tensor):
    """It refuses tensors of the CPU (but for scalars), and NumPy; `.cpu()` brings it to the CPU.

    Example:
        >>> import torch
        >>> there = elsewhere(torch.ones(2))
        >>> there + torch.ones(2)
        Traceback (most recent call last):
            ...
        RuntimeError: Expected all tensors to be on the same device
        >>> there.cpu() + torch.ones(2)
        tensor([2., 2.], grad_fn=<AddBackward0>)
    """

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if any(
            not isinstance(tensor, Elsewhere) and tensor.ndim for tensor in _tensors((args, (kwargs or {}).values()))
        ):
            raise RuntimeError("Expected all tensors to be on the same device")
        result = super().__torch_function__(func, types, args, kwargs or {})
        return result.as_subclass(Tensor) if func is Tensor.cpu else result


def elsewhere(tensor: Tensor) -> Tensor:
    """The same numbers, as if on a GPU, and requiring a gradient where they can."""
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point()).as_subclass(Elsewhere)


def _tensors(arguments: Iterable) -> Iterable[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, Iterable) and not isinstance(argument, str):
            yield from _tensors(argument)
