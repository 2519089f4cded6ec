"""Make sliders of one kind, and keep a number and a slider's steps together."""

import math

import ipywidgets

from stn_course.drawing.theta_text import DECIMALS
from stn_course.transforms import Range


def number_slider(
    name: str, range: Range = Range(), value: float = 0.0, label: str = "84px", width: str = "auto"
) -> ipywidgets.FloatSlider:
    """Make a slider with a name for the numbers of a range; it shows as many decimals as its steps have, two at most.

    Example:
        >>> number_slider("rotation", Range(-180, 180, 1)).readout_format
        '.0f'
    """
    decimals = min(2, max(0, math.ceil(-math.log10(range.step))))
    return ipywidgets.FloatSlider(
        value,
        min=range.low,
        max=range.high,
        step=range.step,
        description=name,
        continuous_update=True,
        readout_format=f".{decimals}f",
        style={"description_width": label},
        layout=ipywidgets.Layout(width=width),
    )


def whole_slider(name: str, low: int, high: int, value: int, label: str, width: str) -> ipywidgets.IntSlider:
    """Make a slider with a name for whole numbers."""
    return ipywidgets.IntSlider(
        value,
        low,
        high,
        description=name,
        continuous_update=True,
        style={"description_width": label},
        layout=ipywidgets.Layout(width=width),
    )


def on_a_step(value: float, slider: ipywidgets.FloatSlider) -> float:
    """Return the number nearest to a value that a slider can stand on, to the last bit as the browser computes it.

    ipywidgets 8 rounds any other in the browser and sends it back as if the reader had moved the slider; a late answer
    of that kind would undo what the reader has done in the meantime.
    """
    span = slider.max - slider.min
    step = slider.step * 100 / span  # the browser reckons in per cent of the track
    place = math.floor((value - slider.min) * 100 / span / step + 0.5) * step
    return min(max(place * span / 100 + slider.min, slider.min), slider.max)


def take_over(slider: ipywidgets.FloatSlider, numbers: list[float], index: int) -> bool:
    """Take over the number of a slider that was moved; one that still stands on its step was only rounded."""
    if math.isfinite(slider.value) and on_a_step(numbers[index], slider) == on_a_step(slider.value, slider):
        return False
    numbers[index] = round(slider.value, DECIMALS)
    return True
