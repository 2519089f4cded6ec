"""Sliders for θ and its parts, and how a number and a slider's steps are kept in step."""

import math

import ipywidgets

from stn_course.widgets.theta_text import DECIMALS


def number_slider(name: str) -> ipywidgets.FloatSlider:
    """A slider for an entry of θ or for a part of it."""
    reach, step, digits = 2.0, 0.01, ".2f"
    if name == "rotation":
        reach, step, digits = 180.0, 1.0, ".0f"
    elif name in ("θ31", "θ32", "perspective_x", "perspective_y"):
        reach = 1.5
    return ipywidgets.FloatSlider(
        0.0,
        min=-reach,
        max=reach,
        step=step,
        description=name if name in ("t_x", "t_y") else name.replace("_", " "),
        continuous_update=True,
        readout_format=digits,
        style={"description_width": "84px"},
        layout=ipywidgets.Layout(width="auto"),
    )


def on_a_step(value: float, slider: ipywidgets.FloatSlider) -> float:
    """The number nearest to a value that a slider can stand on, to the last bit as the browser computes it.

    Given any other, ipywidgets 8 rounds it in the browser and sends that back, as if the reader had moved the slider,
    and a late answer of that kind would undo what the reader has done in the meantime.
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
