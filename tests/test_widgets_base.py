"""`widgets`: pictures are drawn ahead, so that the next press of a key finds its picture ready, and the right one."""

import asyncio
import io

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course.experiments import ten_digits
from stn_course.transforms import Affine, Attention, Projective
from stn_course.widgets import EpochSlider, InterpolationMicroscope, ThetaDescent, TransformationExplorer
from stn_course.widgets.base import AT_REST
from stn_course.widgets.sliders import on_a_step


def epochs() -> EpochSlider:
    ways = 0.1 * torch.randn(9, 10, 6, generator=torch.Generator().manual_seed(0))
    return EpochSlider(ten_digits(), Affine().identity() + ways)


MOVES = [  # an explorer, and a slider of it
    (epochs, "epoch"),
    (TransformationExplorer, "θ12"),
    (TransformationExplorer, "rotation"),
    (lambda: TransformationExplorer(Attention()), "s"),
    (lambda: TransformationExplorer(Projective()), "perspective x"),
    (InterpolationMicroscope, "x"),
    (InterpolationMicroscope, "zoom"),
    (ThetaDescent, "step"),
    (ThetaDescent, "shift_x"),
]
moves = pytest.mark.parametrize(("make", "name"), MOVES)


def press(slider, steps: int = 1) -> None:
    """An arrow key in the browser."""
    value = slider.value + steps * slider.step
    slider.value = value if isinstance(slider.value, int) else on_a_step(value, slider)


def composed(explorer) -> list:
    """The states that are composed from now on."""
    seen, compose = [], explorer.compose
    explorer.compose = lambda **state: seen.append(state) or compose(**state)
    return seen


def shown(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(explorer.picture.value))).convert("RGB"))


async def at_rest() -> None:
    await asyncio.sleep(2 * AT_REST)


@moves
def test_the_picture_of_the_next_press_is_ready_and_right(make, name):
    async def use():
        explorer = make()
        slider, seen = explorer.controls[name], composed(explorer)
        start = slider.value
        press(slider)
        assert len(seen) == 1
        for step in (2, 3):
            await at_rest()
            assert len(seen) == step  # drawn ahead
            press(slider)
            assert len(seen) == step  # and found
            assert np.array_equal(shown(explorer), np.asarray(type(explorer).compose(explorer, **seen[-1])))
        fresh = make()
        fresh.controls[name].value = slider.value
        assert slider.value != start and np.array_equal(shown(explorer), shown(fresh))

    asyncio.run(use())


@moves
def test_the_way_back_is_remembered(make, name):
    explorer = make()
    slider = explorer.controls[name]
    press(slider)
    first = bytes(explorer.picture.value)
    press(slider)
    seen = composed(explorer)
    press(slider, -1)
    assert not seen and bytes(explorer.picture.value) == first


def test_while_a_slider_is_dragged_nothing_is_drawn_ahead():
    async def use():
        explorer = epochs()
        seen = composed(explorer)
        for epoch in (1, 4, 5):
            explorer.epoch.value = epoch
            await asyncio.sleep(0)
        assert [state["epoch"] for state in seen] == [1, 4, 5]
        await at_rest()
        assert [state["epoch"] for state in seen] == [1, 4, 5, 6]

    asyncio.run(use())


def test_nothing_lies_beyond_the_ends_of_a_slider():
    async def use():
        explorer = epochs()
        explorer.epoch.value = 8
        seen = composed(explorer)
        press(explorer.epoch)
        await at_rest()
        assert [state["epoch"] for state in seen] == [9]

    asyncio.run(use())


def test_what_cannot_be_drawn_is_told_only_when_it_is_asked_for(caplog):
    async def use():
        explorer = epochs()
        compose = explorer.compose

        def fails(epoch):
            if epoch == 2:
                raise ValueError("no such picture")
            return compose(epoch)

        explorer.compose = fails
        press(explorer.epoch)
        await at_rest()
        with pytest.raises(ValueError, match="no such picture"):
            press(explorer.epoch)

    asyncio.run(use())
    assert not caplog.records


def test_without_an_event_loop_pictures_are_drawn_when_they_are_needed():
    explorer = epochs()
    seen = composed(explorer)
    press(explorer.epoch)
    press(explorer.epoch)
    assert [state["epoch"] for state in seen] == [1, 2]
