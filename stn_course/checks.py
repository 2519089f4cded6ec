"""Say what was expected and what came: the words of error messages, and what the axes of tensors are called.

Signatures of the course name these shapes, and a docstring sums them up in a paragraph that begins `Convention:`.

    Size     (H, W)           rows, columns, in pixels; whole numbers of at least 1
    Images   (B, C, H, W)     floating-point, pixel (0, 0) at the top left
    Theta    (B, n_params)    float32 or float64, one row an image; (n_params,) for one alone, where the text says so
    Points   (..., 2)         last axis (x, y): x to the right, y downwards; a family maps (B, ..., 2)
    Grid     (B, H, W, 2)     points, one for each pixel of the target

θ takes a point of the target (the output) to the point of the source (the input) where the sampler looks. Points are
normalised: an image spans [-1, 1] in x and in y, whatever its size. With `align_corners=False`, the default, ±1 are the
outer edges of the border pixels; with True they are the centres of these pixels. Pixels and degrees are always named.

To Python the aliases below are plain tensors, and a check at run time says what does not fit: every function raises a
TypeError or a ValueError that shows what came. `Raises` in a docstring lists only what else can fail.
"""

from torch import Tensor

Size = tuple[int, int]
Images = Tensor
Theta = Tensor
Points = Tensor
Grid = Tensor


def check_size(size: Size) -> Size:
    """Return (H, W) as two whole numbers of at least 1, or raise a ValueError that shows what came.

    Example:
        >>> check_size((28, 28.0))
        (28, 28)
    """
    try:
        height, width = size
        if int(height) == height >= 1 and int(width) == width >= 1:
            return int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"expected size as (H, W), two whole numbers of at least 1, got {size!r}")


def lookup(what: str, name: str, known: dict):
    """Return the entry of a name; for an unknown name, raise a ValueError that lists the known ones.

    Example:
        >>> lookup("colour", "pink", {"red": 1, "green": 2})
        Traceback (most recent call last):
        ValueError: expected colour as one of red, green, got 'pink'
    """
    if name not in known:
        raise ValueError(f"expected {what} as one of {', '.join(known)}, got {name!r}")
    return known[name]


def describe(value: object) -> str:
    """Say what came, in words, for error messages: shape, dtype and device of a tensor, else the type.

    Example:
        >>> import torch
        >>> describe(torch.zeros(2, 3))
        'a tensor of shape (2, 3), float32, on cpu'
    """
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a tensor of shape {tuple(value.shape)}, {dtype}, on {value.device}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def check_image(what: str, image: Tensor, channels: tuple[int, ...] = (1,)) -> Tensor:
    """Return one image, on the CPU and without a gradient, or raise an error that shows what came.

    `what` names the image in the message, and `channels` lists the allowed values of C.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).

    Example:
        >>> check_image("image", [1, 2])
        Traceback (most recent call last):
        TypeError: expected image as a floating-point tensor of shape (1, H, W), got a list
    """
    shape = "(1, H, W)" if channels == (1,) else f"(C, H, W) with C {' or '.join(map(str, channels))}"
    if not isinstance(image, Tensor) or not image.is_floating_point():
        raise TypeError(f"expected {what} as a floating-point tensor of shape {shape}, got {describe(image)}")
    if image.ndim != 3 or image.shape[0] not in channels or 0 in image.shape:
        raise ValueError(f"expected {what} of shape {shape}, got {describe(image)}")
    return image.detach().cpu()
