"""θ as text: read from whatever a learner pastes, written so that it is read back the same."""

import re
from collections.abc import Sequence

from torch import Tensor

from stn_course.transforms import Transform

DECIMALS = 6
MOST = 1e6


def read_theta(text: str, transform: Transform) -> tuple[float, ...]:
    """Read θ from text: numbers with commas or spaces between them; brackets and what PyTorch prints do not matter.

    Example:
        >>> from stn_course.transforms import Attention
        >>> read_theta("tensor([[0.5, 0, −0.25]], device='cuda:0', grad_fn=<AddmmBackward0>)", Attention())
        (0.5, 0.0, -0.25)
    """
    printed = r"\b(device|dtype|grad_fn|requires_grad)=[^,)]*|Parameter containing:|tensor|[\[\](){},;]"
    words = re.sub(printed, " ", text.replace("−", "-")).split()
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            raise ValueError(f"expected θ as {transform.n_params} numbers, got {word[:40]!r} among them") from None
    return checked_theta(numbers, transform)


def write_theta(theta: Sequence[float]) -> str:
    """Write θ so that `read_theta` reads back the same numbers.

    Example:
        >>> write_theta((0.5, 0.0, -0.25))
        '0.5, 0, -0.25'
    """
    return ", ".join(repr(value).removesuffix(".0") for value in theta)


def theta_in_short(theta: Sequence[float], transform: Transform) -> str:
    """Write θ for a caption: all of it, or of more than eight numbers the first four that differ from the identity's.

    Example:
        >>> from stn_course.transforms import Attention
        >>> theta_in_short((0.5, 0.0, -0.25), Attention())
        'θ = 0.5, 0, -0.25'
    """
    if transform.n_params <= 8:
        return f"θ = {write_theta(theta)}"
    neutral = checked_theta(transform.identity(), transform)
    moved = [f"{name} = {value:g}" for name, value, here in zip(transform.names, theta, neutral) if value != here]
    return f"θ of the identity{', but ' if moved else ''}{', '.join(moved[:4])}{', …' if len(moved) > 4 else ''}"


def checked_theta(theta: Sequence[float] | Tensor, transform: Transform) -> tuple[float, ...]:
    """Round θ to six decimals, or raise a ValueError."""
    numbers = [float(value) for value in (theta.tolist() if isinstance(theta, Tensor) else theta)]
    if len(numbers) != transform.n_params:
        names = ", ".join(transform.names)
        raise ValueError(f"expected θ as {transform.n_params} numbers ({names}), got {len(numbers)}")
    for name, number in zip(transform.names, numbers):
        if not abs(number) <= MOST:
            raise ValueError(f"expected numbers between −1,000,000 and 1,000,000, got {name} = {number}")
    return tuple(round(number, DECIMALS) + 0.0 for number in numbers)  # no −0 to be read aloud
