"""`widgets`: the picture comes first and the rest follows; the next one is drawn ahead, and is the right one."""

import asyncio
import io

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course.experiments import ten_digits
from stn_course.transforms import Affine, Attention, Projective
from stn_course.widgets import EpochSlider, InterpolationMicroscope, ThetaDescent, TransformationExplorer, base
from stn_course.widgets.base import AFTERWARDS, AT_REST, moved_in_the_page
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
    seen, compose = [], explorer.scene.compose
    explorer.scene.compose = lambda **state: seen.append(state) or compose(**state)
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
            assert np.array_equal(shown(explorer), np.asarray(type(explorer.scene).compose(explorer.scene, **seen[-1])))
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
        compose = explorer.scene.compose

        def fails(epoch):
            if epoch == 2:
                raise ValueError("no such picture")
            return compose(epoch)

        explorer.scene.compose = fails
        press(explorer.epoch)
        await at_rest()
        assert explorer.message.value == ""
        press(explorer.epoch)
        assert explorer.message.value == "<b>Not drawn:</b> no such picture"
        press(explorer.epoch)
        assert explorer.message.value == ""

    asyncio.run(use())
    assert not caplog.records


@pytest.mark.parametrize("make", dict.fromkeys(make for make, _ in MOVES))
def test_a_picture_says_what_kind_of_file_it_is(make):
    picture = make().picture
    assert Image.open(io.BytesIO(bytes(picture.value))).format.lower() == picture.format == "webp"


def test_without_an_event_loop_pictures_are_drawn_when_they_are_needed():
    explorer = epochs()
    seen = composed(explorer)
    press(explorer.epoch)
    press(explorer.epoch)
    assert [state["epoch"] for state in seen] == [1, 2]


# The picture first, the rest afterwards


class Kernel:
    """A kernel that works on a message of a type."""

    kernel = property(lambda self: self)

    def __init__(self, message: dict):
        self.message = message

    def get_parent(self) -> dict:
        return self.message


@pytest.mark.parametrize(
    ("message", "by_page"),
    [({"header": {"msg_type": "comm_msg"}}, True), ({"header": {"msg_type": "execute_request"}}, False), ({}, False)],
)
def test_a_control_is_moved_by_a_message_of_the_page_or_by_a_cell(monkeypatch, message, by_page):
    monkeypatch.setattr(base, "get_ipython", lambda: Kernel(message))
    assert moved_in_the_page() is by_page


@pytest.mark.parametrize("shell", [None, object()], ids=["Python", "IPython"])
def test_without_a_kernel_nothing_is_moved_in_a_page(monkeypatch, shell):
    monkeypatch.setattr(base, "get_ipython", lambda: shell)
    assert not moved_in_the_page()


def beside(explorer) -> list:
    """What stands beside the picture."""
    names = ("theta_text", "matrix", "preset", "readout")
    return [getattr(explorer, name).value for name in names if hasattr(explorer, name)]


IN_WORDS = [move for move in MOVES if move[1] not in ("epoch", "zoom")]  # those stand in the picture alone
follows = pytest.mark.parametrize(("make", "name"), IN_WORDS)


@follows
def test_what_is_written_beside_a_picture_follows_it(monkeypatch, make, name):
    monkeypatch.setattr(base, "moved_in_the_page", lambda: True)

    async def use():
        explorer = make()
        await at_rest()
        slider, picture, words = explorer.controls[name], bytes(explorer.picture.value), beside(explorer)
        press(slider)
        assert bytes(explorer.picture.value) != picture and beside(explorer) == words
        await asyncio.sleep(2 * AFTERWARDS)
        fresh = make()
        fresh.controls[name].value = slider.value
        await at_rest()
        assert beside(explorer) == beside(fresh) != words

    asyncio.run(use())


@follows
def test_a_cell_reads_what_follows_in_its_next_line(make, name):
    async def use():
        explorer = make()
        words = beside(explorer)
        press(explorer.controls[name])
        assert beside(explorer) != words

    asyncio.run(use())


def test_the_rest_follows_while_a_slider_is_dragged_but_not_at_every_step(monkeypatch):
    monkeypatch.setattr(base, "moved_in_the_page", lambda: True)

    async def use():
        explorer = TransformationExplorer()
        await at_rest()
        seen, follow = [], explorer._follow
        explorer._follow = lambda: seen.append(explorer.theta) or follow()
        slider, loop = explorer.controls["θ11"], asyncio.get_running_loop()
        press(slider, -1)
        assert not seen
        until = loop.time() + 10
        while not seen and loop.time() < until:  # with never a rest
            press(slider, -1 if slider.value > 0 else 1)
            await asyncio.sleep(0)
        await at_rest()
        assert seen == [explorer.theta] and float(explorer.theta_text.value.split(",")[0]) == explorer.theta[0]

    asyncio.run(use())


def test_a_part_that_is_moved_before_the_rest_has_followed_starts_from_the_latest_theta(monkeypatch):
    monkeypatch.setattr(base, "moved_in_the_page", lambda: True)

    async def use(wait: float):
        explorer = TransformationExplorer()
        await at_rest()
        explorer.controls["θ13"].value = 0.5
        await asyncio.sleep(wait)
        explorer.controls["rotation"].value = 30.0
        await at_rest()
        return explorer.theta_text.value, explorer.controls["shift x"].value

    assert asyncio.run(use(0)) == asyncio.run(use(2 * AFTERWARDS))
