"""Say what was expected and what came: the words of error messages, and what the axes of tensors are called.

Every function of the course that takes a picture, a θ or a grid takes it in these shapes:

    Size     (H, W)           rows, columns; whole numbers of at least 1
    Images   (B, C, H, W)     pixel (0, 0) at the top left
    Theta    (B, n_params)    target → source, one row an image
    Points   (B, ..., 2)      last axis (x, y): x to the right, y downwards, [-1, 1] across the picture
    Grid     (B, H, W, 2)     points, one for each pixel of the target

The aliases below say so in signatures. They are plain tensors to Python: a check at run time says what does not fit.
"""

from torch import Tensor

Size = tuple[int, int]
Images = Tensor
Theta = Tensor
Points = Tensor
Grid = Tensor


def check_size(size: Size) -> Size:
    """(H, W) as two whole numbers of at least 1, or a ValueError that shows what came.

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
    """The entry of a name; a ValueError that lists the known names for any other.

    Example:
        >>> lookup("colour", "pink", {"red": 1, "green": 2})
        Traceback (most recent call last):
        ValueError: expected colour as one of red, green, got 'pink'
    """
    if name not in known:
        raise ValueError(f"expected {what} as one of {', '.join(known)}, got {name!r}")
    return known[name]


def describe(value: object) -> str:
    """What came, in words, for error messages: shape, dtype and device of a tensor, else the type.

    Example:
        >>> import torch
        >>> describe(torch.zeros(2, 3))
        'a tensor of shape (2, 3), float32, on cpu'
        >>> describe([1, 2])
        'a list'
    """
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a tensor of shape {tuple(value.shape)}, {dtype}, on {value.device}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def check_image(what: str, image: Tensor, channels: tuple[int, ...] = (1,)) -> Tensor:
    """One image, on the CPU and without a gradient, or an error that shows what came.

    Args:
        what: what the image is called, for the message.
        image: (C, H, W), floating-point.
        channels: what C may be.

    Raises:
        TypeError, ValueError: if it is something else.

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
