"""Numbers as the course prints them: rounded, and never −0.

What a float32 computation gives may differ in its last bits from machine to machine, and zero may come out as a tiny
negative number. So a number is printed with few decimals, and what rounds to zero has no sign.
"""

from collections.abc import Iterable

from torch import Tensor


def short(numbers: float | Tensor | Iterable, digits: int = 3) -> float | list[float]:
    """Round a number, or each number of a tensor or list, to so many decimals; −0 becomes 0.

    Args:
        numbers: a number or a tensor of one (no axes) → a float; a tensor of any shape, or a list → one flat list.
        digits: decimals to keep.

    Example:
        >>> short(-0.0004), short([0.5, -0.00001, 2])
        (0.0, [0.5, 0.0, 2.0])
    """
    values = numbers.detach().flatten().tolist() if isinstance(numbers, Tensor) else numbers
    if isinstance(values, Iterable):
        rounded = [round(float(value), digits) + 0.0 for value in values]  # + 0.0 turns −0 into 0
        return rounded[0] if isinstance(numbers, Tensor) and numbers.ndim == 0 else rounded
    return round(float(values), digits) + 0.0
