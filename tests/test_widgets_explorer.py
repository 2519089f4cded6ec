"""The transformation explorer: every control drives the picture, and the picture shows the package's own warp."""

import io
import itertools
from datetime import UTC, datetime

import hypothesis.strategies as st
import ipywidgets
import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from hypothesis import given, settings
from PIL import Image
from strategies import MATRICES, few, seeds, uniform

from stn_course.algebra import compose, from_parts, part_names, to_parts
from stn_course.drawing.panel import png
from stn_course.drawing.planes import PANEL, REACH_INPUT, REACH_OUTPUT
from stn_course.drawing.theta_text import MOST, read_theta, theta_in_short, write_theta
from stn_course.drawing.transformation import GAP, MARGIN, TITLE
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective, Range, ThinPlateSpline
from stn_course.widgets import TransformationExplorer
from stn_course.widgets.explorer import NONE_OF_THEM, OWN_FILE
from stn_course.widgets.sliders import number_slider, on_a_step

families = st.sampled_from(MATRICES)
fewer = settings(max_examples=8, deadline=None)  # a picture is drawn for each control that is set
FILE = png(Image.new("RGB", (30, 20), "#3366CC"))


@pytest.fixture(params=MATRICES, ids=repr)
def explorer(request):
    return TransformationExplorer(request.param)


@pytest.fixture(scope="module")
def projective():
    return TransformationExplorer(Projective())


def shown(explorer) -> bytes:
    return Image.open(io.BytesIO(bytes(explorer.picture.value))).convert("RGB").tobytes()


def is_in_step(explorer) -> bool:
    """Whether the picture, all sliders and the text say what θ is."""
    theta, parts = (torch.tensor([values], dtype=torch.float64) for values in (explorer.theta, explorer.parts))
    size = explorer.images[explorer.image.value].shape[1:]
    np.testing.assert_allclose(from_parts(parts, explorer.transform, size), theta, atol=2e-6, rtol=1e-6)
    for sliders, values in ((explorer.theta_sliders, explorer.theta), (explorer.part_sliders, explorer.parts)):
        for slider, value in zip(sliders, values):
            steps = (slider.value - slider.min) / slider.step
            assert abs(steps - round(steps)) < 1e-6, "the browser would round this, and send it back"
            assert abs(slider.value - min(max(value, slider.min), slider.max)) <= slider.step / 2 + 1e-6
    assert read_theta(explorer.theta_text.value, explorer.transform) == explorer.theta
    return shown(explorer) == explorer.compose(explorer.theta, explorer.image.value).tobytes()


def panel(picture: Image.Image, index: int) -> np.ndarray:
    left = MARGIN + index * (PANEL + GAP)
    return np.asarray(picture)[MARGIN + TITLE :, left:][:PANEL, :PANEL].astype(int)


def upload(explorer, name: str, content: bytes) -> None:
    """What the browser does, in ipywidgets 7 and 8."""
    if int(ipywidgets.__version__.split(".")[0]) < 8:
        value = {name: {"metadata": {"name": name}, "content": content}}
    else:
        value = (
            {
                "name": name,
                "type": "",
                "size": len(content),
                "last_modified": datetime.now(UTC),
                "content": content,
            },
        )
    explorer.upload.set_trait("value", value)


def redraws(explorer) -> list:
    """The states that are shown from now on."""
    seen, send = [], explorer._send
    explorer._send = lambda state, *ahead: seen.append(state) or send(state, *ahead)
    return seen


def some_theta(transform, seed, low=-2.0, high=2.0) -> list[float]:
    return (transform.identity() + uniform(seed, transform.n_params, low=low, high=high)).tolist()


# The picture


@pytest.mark.parametrize("transform", MATRICES, ids=repr)
@pytest.mark.parametrize("name", ["digit", "test card"])
def test_the_output_panel_shows_the_packages_own_warp(transform, name):
    explorer = TransformationExplorer(transform)
    image = explorer.images[name]
    for seed in range(3):
        theta = torch.tensor([some_theta(transform, seed, -0.4, 0.4)])
        output = warp(image[None], theta, transform)[0].clamp(0, 1)
        got = panel(explorer.compose(theta[0].tolist(), name), 1)
        height, width = output.shape[1:]
        y, x = ((2 * np.arange(n) + 1) / n - 1 for n in (height, width))
        rows, columns = (np.rint(148 + 126 * at - 0.5).astype(int) for at in (y, x))
        pixels = got[rows[:, None], columns]  # (H, W, 3), at the middle of each of the output's pixels
        x, y = np.meshgrid(x, y)  # (H, W) each
        to_a_line = np.minimum(*(np.abs(at * 4 - np.rint(at * 4)) / 4 * 126 for at in (x, y)))  # on the screen
        to_the_corner = np.maximum(1 - abs(x), 1 - abs(y)) * 126
        w = transform.matrix(theta)[0, 2].numpy() @ np.stack((x, y, np.ones_like(x)), axis=1)  # 0 on the horizon
        free = (to_a_line > 3) & (to_the_corner > 9) & (np.abs(w) > 0.1)
        assert free.mean() > 0.4
        expected = (output.permute(1, 2, 0) * 255).round().numpy()
        assert np.abs(pixels - expected)[free].max() <= 1


def vermillion(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels - (0xD5, 0x5E, 0x00)).max(-1) < 40


@pytest.mark.parametrize("transform", MATRICES, ids=repr)
def test_the_border_is_drawn_where_the_sampler_looks_but_where_a_number_stands(transform):
    blank = TransformationExplorer(transform, {"grey": torch.full((1, 28, 28), 0.5)})
    for seed in range(5):
        theta = some_theta(transform, seed, -0.25, 0.25)
        got = vermillion(panel(blank.compose(theta), 0))
        side = torch.linspace(-1, 1, 41, dtype=torch.float64)
        edge = torch.cat([torch.stack((side, torch.full_like(side, end), torch.ones_like(side)), 1) for end in (-1, 1)])
        edge = torch.cat((edge, edge[:, [1, 0, 2]]))
        looks = transform.from_homogeneous(edge @ transform.matrix(torch.tensor([theta], dtype=torch.float64))[0].mT)
        numbers = [place for value in (-1, 0, 0.5, 1) for place in ((value, 1.1), (-1.15, value))]
        to_a_number = (looks[:, None] - torch.tensor(numbers)).abs().amax(2).amin(1)
        looks = looks[to_a_number > 0.15]
        at = ((looks + REACH_INPUT) / (2 * REACH_INPUT) * PANEL).numpy()
        inside = at[(at > 2).all(1) & (at < PANEL - 3).all(1)]
        assert len(inside) > 20
        assert all(got[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].any() for x, y in inside)
        middle_of_nothing = got.mean()
        assert middle_of_nothing < 0.25


def test_no_line_of_the_frame_hides_a_number():
    explorer = TransformationExplorer(Affine(), {"grey": torch.full((1, 28, 28), 0.5)})
    clear, crossed = (
        panel(explorer.compose(theta), 0).max(-1) < 90 for theta in ([0.1, 0, 0, 0, 0.1, 0], [1, 0.5, 0, 0, 1, 0])
    )
    left, top = (int((-1 + REACH_INPUT) / (2 * REACH_INPUT) * PANEL),) * 2
    number = slice(top - 9, top + 9), slice(left - 24, left - 3)  # the −1 of y, over which the sheared frame runs
    assert clear[number].sum() > 10 and (crossed[number] == clear[number]).mean() > 0.98


def test_the_dot_marks_where_the_outputs_top_left_corner_is_looked_up():
    explorer = TransformationExplorer(images={"grey": torch.full((1, 28, 28), 0.5)})
    theta = [0.3, -0.9, 0.2, 0.8, 0.2, -0.1]  # a frame that lies on its side, smaller and moved
    pixels = vermillion(panel(explorer.compose(theta), 0))
    near = {}
    for x, y in itertools.product((-1, 1), (-1, 1)):
        looks = np.reshape(theta, (2, 3)) @ (x, y, 1)
        column, row = ((looks + REACH_INPUT) / (2 * REACH_INPUT) * PANEL).astype(int)
        near[x, y] = int(pixels[row - 7 : row + 8, column - 7 : column + 8].sum())
    first, *others = sorted(near, key=near.get, reverse=True)
    assert first == (-1, -1) and near[first] > 1.2 * near[others[0]] and near[others[-1]] > 30, near


def test_the_target_stands_still_in_space_and_the_source_corners_move():
    explorer = TransformationExplorer(images={"grey": torch.full((1, 28, 28), 0.5)})
    still, shifted = (panel(explorer.compose(explorer.presets[name]), 2) for name in ("identity", "shift"))
    upper = slice(0, int(PANEL * 0.3))
    blue = [np.abs(pixels - (0x00, 0x72, 0xB2)).max(-1) < 40 for pixels in (still, shifted)]
    assert blue[0].sum() > 300 and (blue[0] != blue[1])[upper].sum() < 0.1 * blue[0].sum()
    middle = [np.argwhere(vermillion(pixels)).mean(0) for pixels in (still, shifted)]
    assert middle[1][1] - middle[0][1] > 10  # to the right


@fewer
@given(families, seeds, st.sampled_from([1e-6, 0.1, 1.0, 10.0, 1e3, 1e6]), st.sampled_from(["digit", "test card"]))
def test_the_size_of_the_picture_never_changes_and_nothing_breaks(transform, seed, size, name):
    explorer = EXPLORERS[transform]
    theta = (uniform(seed, transform.n_params, low=-size, high=size)).tolist()
    assert explorer.compose(theta, name).size == (936, 362)


EXPLORERS = {transform: TransformationExplorer(transform) for transform in MATRICES}


@fewer
@given(families, seeds)
def test_the_same_state_gives_the_same_bytes_whatever_was_shown_before(transform, seed):
    theta = some_theta(transform, seed)
    first = png(EXPLORERS[transform].compose(theta, "digit"))
    EXPLORERS[transform].compose(some_theta(transform, seed + 1), "test card")
    assert png(EXPLORERS[transform].compose(theta, "digit")) == first
    assert png(TransformationExplorer(transform).compose(theta, "digit")) == first


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 40), (3, 40, 5), (3, 33, 32), (1, 90, 300)], ids=str)
def test_images_of_any_size_keep_their_proportions(shape):
    explorer = TransformationExplorer(Projective(), {"mine": torch.full(shape, 0.9)})
    for name, theta in explorer.presets.items():
        picture = explorer.compose(theta)
        assert picture.size == (936, 362)
        if name == "zoom in":
            channels, height, width = shape
            image = (panel(picture, 0) == 230).all(-1)  # 0.9, and no line over it
            rows, columns = image.any(1).sum(), image.any(0).sum()
            assert rows == pytest.approx(182 * height / max(height, width), abs=3)
            assert columns == pytest.approx(182 * width / max(height, width), abs=3)


# Pictures that are not square

WIDE, TALL = torch.full((1, 40, 80), 0.9), torch.full((1, 80, 40), 0.9)


@pytest.mark.parametrize("transform", [Affine(), Projective()], ids=repr)
def test_parts_and_presets_are_those_of_the_image_that_is_shown(transform):
    explorer = TransformationExplorer(transform, {"square": WIDE[..., :40], "wide": WIDE, "tall": TALL})
    rotation = explorer.part_sliders[0]
    for name, ratio in (("square", 1.0), ("wide", 0.5), ("tall", 2.0)):
        explorer.image.value = name
        cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
        turned = [cos, -sin * ratio, 0, sin / ratio, cos, 0, 0, 0][: transform.n_params]
        explorer.reset.click()
        explorer.image.value = name
        rotation.value = 30
        np.testing.assert_allclose(explorer.theta, turned, atol=1e-6)
        assert is_in_step(explorer)
        explorer.preset.value = "identity"
        explorer.preset.value = "rotate 30°"
        np.testing.assert_allclose(explorer.theta, turned, atol=1e-6)
        assert explorer.parts[0] == pytest.approx(30, abs=1e-4) and rotation.value == 30
        still = explorer.figure(["rotate 30°"], name)
        assert write_theta(explorer.theta) in still.alt


def test_theta_stays_and_its_parts_follow_when_the_next_image_has_another_aspect_ratio():
    explorer = TransformationExplorer(images={"square": WIDE[..., :40], "same": WIDE[..., :40], "wide": WIDE})
    explorer.part_sliders[0].value = 30
    theta, parts = explorer.theta, explorer.parts
    explorer.image.value = "same"
    assert explorer.parts == parts
    explorer.image.value = "wide"
    assert explorer.theta == theta and explorer.preset.value == NONE_OF_THEM
    expected = to_parts(torch.tensor([theta], dtype=torch.float64), size=(40, 80))[0]
    np.testing.assert_allclose(explorer.parts, expected)
    assert abs(explorer.parts[3]) > 0.3  # the θ of a turn in a square picture shears a wide one
    upload(explorer, "sea.png", FILE)
    np.testing.assert_allclose(explorer.parts, parts, atol=1e-4)  # files become square
    explorer.image.value = "square"
    assert explorer.preset.value == "rotate 30°"


def test_the_last_parts_that_were_set_hold_for_their_image_alone():
    explorer = TransformationExplorer(images={"square": WIDE[..., :40], "wide": WIDE})
    explorer.part_sliders[1].value = 0.0  # scale x: the shear is kept although θ does not tell it
    explorer.part_sliders[3].value = 0.5
    explorer.image.value = "wide"
    explorer.image.value = "square"
    assert explorer.parts == tuple(to_parts(torch.tensor([explorer.theta], dtype=torch.float64))[0].tolist())


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
def test_a_turned_frame_has_right_angles_on_the_screen(image):
    blank = TransformationExplorer(images={"blank": torch.zeros_like(image)})
    small = from_parts(torch.tensor([[30.0, 0.6, 0.6, 0, 0, 0]]), size=image.shape[1:])
    rows, columns = np.nonzero(vermillion(panel(blank.compose(small[0]), 0)))
    height, width = (0.6 * 182 * side / 80 for side in image.shape[1:])
    turn = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]])
    reach = turn @ (width, height)
    assert np.ptp(columns) == pytest.approx(reach[0], abs=9)  # a dot on the corner reaches six pixels farther
    assert np.ptp(rows) == pytest.approx(reach[1], abs=9)


def test_images_and_thetas_of_any_device_that_require_gradients_are_taken():
    mine = uniform(0, 1, 9, 9, dtype=torch.float32)
    here, there = (
        TransformationExplorer(images={"mine": mine}),
        TransformationExplorer(images={"mine": elsewhere(mine)}),
    )
    theta = torch.tensor([0.6, -0.35, 0.1, 0.35, 0.6, -0.1])
    assert there.compose(elsewhere(theta)).tobytes() == here.compose(theta).tobytes()
    assert there.figure([elsewhere(theta)]).alt == here.figure([theta]).alt


def test_what_is_not_finite_is_drawn_as_nothing():
    for transform in MATRICES:
        picture = EXPLORERS[transform].compose([float("nan")] * transform.n_params)
        assert not vermillion(panel(picture, 0)).any()


# The horizon


@pytest.mark.parametrize(
    "theta",
    [
        [1.0, 0, 0, 0, 1, 0, 1, 0],
        [1.0, 0, 0, 0, 1, 0, 0, -1],
        [1.0, 0, 0, 0, 1, 0, 4, 0],
        [0.0] * 8,
        [1.0, 0, 0, 0, 1, 0, 1, 1],
        [1.0, 0, 0, 0, 1, 0, -1e6, 1e6],
    ],
    ids=str,
)
def test_a_denominator_of_zero_is_drawn_without_fuss(projective, theta):
    picture = projective.compose(theta)
    assert picture.size == (936, 362)
    ink = (panel(picture, 1) < 60).all(-1)
    assert ink.any()


def test_the_horizon_is_marked_in_the_output_only_where_it_is_in_view(projective):
    bright = TransformationExplorer(Projective(), {"white": torch.ones(1, 28, 28)})
    inside, outside = (panel(bright.compose([1, 0, 0, 0, 1, 0, 0, p]), 1) for p in (-1.5, -0.5))
    row = round(148 + 126 / 1.5)

    def bright(pixels):
        return [(pixels[y, 30:265] > 150).all(1).mean() for y in range(row - 2, row + 3)]

    assert any(0.25 < share < 0.75 for share in bright(inside))  # a dashed line
    assert not any(0.25 < share < 0.75 for share in bright(outside))


# The controls


def test_every_control_is_named_and_described_in_full(explorer):
    n = explorer.transform.n_params
    assert len(explorer.theta_sliders) == len(explorer.part_sliders) == n
    assert [*explorer.controls][-1] == "theta_text" and len(explorer.controls) == 2 * n + 7
    for slider in explorer.theta_sliders + explorer.part_sliders:
        assert slider.description and slider.continuous_update and slider.readout
        assert slider.min < slider.value < slider.max and slider.step > 0


def test_every_slider_drives_the_picture_and_all_read_outs(explorer):
    for slider in explorer.theta_sliders + explorer.part_sliders:
        before, seen = shown(explorer), redraws(explorer)
        slider.value = round(slider.value + 20 * slider.step, 6)
        assert shown(explorer) != before and len(seen) == 1 and is_in_step(explorer)


def test_a_theta_slider_sets_its_own_entry(explorer):
    for i, slider in enumerate(explorer.theta_sliders):
        slider.value = 0.35
        assert explorer.theta[i] == 0.35


@fewer
@given(families, seeds)
def test_the_parts_follow_theta(transform, seed):
    explorer = EXPLORERS[transform]
    explorer.theta_text.value = write_theta([round(v, 6) for v in some_theta(transform, seed, -0.4, 0.4)])
    expected = to_parts(torch.tensor([explorer.theta], dtype=torch.float64), transform)[0]
    np.testing.assert_allclose(explorer.parts, expected)
    assert is_in_step(explorer)


@fewer
@given(families, seeds)
def test_theta_follows_the_parts(transform, seed):
    explorer = EXPLORERS[transform]
    explorer.reset.click()
    values = uniform(seed, transform.n_params, low=-1.4, high=1.4).round(decimals=2).tolist()
    values = [round(value * 100) if name == "rotation" else value for name, value in zip(part_names(transform), values)]
    for slider, value in zip(explorer.part_sliders, values):
        slider.value = value
    assert [round(slider.value, 6) for slider in explorer.part_sliders] == values  # none of them jumped
    expected = from_parts(torch.tensor([values], dtype=torch.float64), transform)[0]
    np.testing.assert_allclose(explorer.theta, expected, atol=1e-6)
    assert is_in_step(explorer)


def test_scale_dragged_through_zero_and_back_forgets_nothing():
    explorer = TransformationExplorer()
    explorer.theta_text.value = "0.9, 0.2, 0.1, 0.3, 0.8, -0.2"
    before, theta = explorer.parts, explorer.theta
    scale = explorer.part_sliders[1]
    for value in (0.5, 0.0, -0.5, -1.0, 0.0, 0.95):
        scale.value = value
        assert is_in_step(explorer)
    assert explorer.parts == (before[0], 0.95, *before[2:])
    np.testing.assert_allclose(explorer.theta, theta, atol=3e-3)  # the first column had a length of 0.9487


def test_another_image_or_the_other_sliders_move_no_slider():
    explorer = TransformationExplorer()
    explorer.part_sliders[1].value = -0.5
    before = [slider.value for slider in explorer.part_sliders]
    explorer.image.value = "test card"
    explorer.mode.value = "parts"
    assert [slider.value for slider in explorer.part_sliders] == before


def test_theta_beyond_the_sliders_stays_what_it_is():
    explorer = TransformationExplorer()
    explorer.theta_text.value = "7, 0, 0.25, 0, 1, 0"
    assert explorer.theta_sliders[0].value == explorer.theta_sliders[0].max and is_in_step(explorer)
    explorer.theta_sliders[5].value = 0.5
    assert explorer.theta == (7, 0, 0.25, 0, 1, 0.5)
    shift_y = explorer.part_sliders[part_names().index("shift_y")]
    shift_y.value = -0.5
    assert explorer.theta == (7, 0, 0.25, 0, 1, -0.5)


def test_a_number_that_the_browser_rounds_and_sends_back_changes_nothing():
    explorer = TransformationExplorer()
    explorer.preset.value = "rotate 30°"
    before = [slider.value for slider in explorer.theta_sliders + explorer.part_sliders]
    seen = redraws(explorer)
    for slider in explorer.theta_sliders + explorer.part_sliders:
        slider.value += 1e-15
        slider.value -= 0.4 * slider.step
    assert explorer.theta == explorer.presets["rotate 30°"] and not seen
    explorer.image.value = "test card"
    assert [slider.value for slider in explorer.theta_sliders + explorer.part_sliders] == before


def test_a_slider_that_is_no_number_is_told_in_words_and_the_picture_kept(explorer):
    before = shown(explorer)
    for slider in explorer.theta_sliders + explorer.part_sliders:
        slider.value = float("nan")
        assert "expected numbers between −1,000,000 and 1,000,000, got " in explorer.message.value
        assert shown(explorer) == before
        explorer.reset.click()
        assert is_in_step(explorer)


def test_sliders_stand_where_the_browser_puts_them():
    """By the arithmetic of noUiSlider 15, on which the sliders of ipywidgets 8 are built."""
    wide, narrow = number_slider("θ11"), number_slider("θ31", Range(-1.5, 1.5))
    for slider, asked, expected in (
        (wide, 0.866025, 0.8700000000000001),
        (wide, -0.312474, -0.31000000000000005),
        (wide, 5.0, 2.0),
        (wide, 1.0, 1.0),
        (narrow, 0.0, 0.0),
        (number_slider("rotation", Range(-180, 180, 1)), 29.7, 30.0),
    ):
        assert on_a_step(asked, slider) == expected == on_a_step(expected, slider)


def test_the_sliders_of_one_kind_are_shown_at_a_time(explorer):
    def visible():
        return [rows.layout.display != "none" for rows in (explorer._theta_rows, explorer._part_rows)]

    before = shown(explorer)
    assert visible() == [True, False]
    explorer.mode.value = "parts"
    assert visible() == [False, True] and shown(explorer) == before
    explorer.mode.value = "θ"
    assert visible() == [True, False]


def test_every_preset_is_shown_and_named(explorer):
    pictures = set()
    for name in explorer.presets:
        explorer.preset.value = name
        assert explorer.theta == explorer.presets[name] and explorer.preset.value == name and is_in_step(explorer)
        pictures.add(shown(explorer))
    assert len(pictures) == len(explorer.presets) >= 7


def test_the_preset_says_whether_it_still_holds(explorer):
    explorer.preset.value = list(explorer.presets)[1]
    explorer.theta_sliders[0].value = 0.55
    assert explorer.preset.value == NONE_OF_THEM
    explorer.preset.value = "identity"
    explorer.preset.value = NONE_OF_THEM  # says nothing: θ stays, and so does its name
    assert explorer.preset.value == "identity"


def test_presets_do_what_they_are_called():
    card = EXPLORERS[Affine()].images["test card"][None]

    def sees(transform, name, image=card):
        return warp(image, torch.tensor([EXPLORERS[transform].presets[name]]), transform)

    torch.testing.assert_close(sees(Affine(), "mirror"), card.flip(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(sees(Attention(), "upside down"), card.flip(2, 3), atol=1e-4, rtol=0)
    white = torch.ones(1, 1, 90, 90)
    assert sees(Affine(), "zoom out", white).mean() == pytest.approx(1 / 1.5**2, abs=0.02)
    assert sees(Affine(), "zoom in", white).mean() == 1
    top_left = sees(Attention(), "top left quarter")
    assert (top_left[0, :, 8, 8] - card[0, :, 4, 4]).abs().max() < 0.02
    tilted = sees(Projective(), "tilt back", white)[0, 0]
    assert tilted[20].sum() < tilted[60].sum()  # narrower at the top, which leans back


def test_inverting_twice_changes_nothing_much():
    for transform in MATRICES:
        explorer = EXPLORERS[transform]
        for seed in range(2):
            explorer.theta_text.value = write_theta([round(v, 3) for v in some_theta(transform, seed, -0.2, 0.2)])
            before = explorer.theta
            explorer.invert.click()
            product = compose(torch.tensor([before]), torch.tensor([explorer.theta]), transform)
            torch.testing.assert_close(product[0], transform.identity(), atol=1e-5, rtol=0)
            assert is_in_step(explorer)
            explorer.invert.click()
            np.testing.assert_allclose(explorer.theta, before, atol=1e-5)


def test_what_cannot_be_inverted_is_refused_with_words():
    explorer = TransformationExplorer()
    explorer.preset.value = "flatten to a line"
    before = shown(explorer)
    explorer.invert.click()
    assert "cannot be inverted: it flattens" in explorer.message.value
    assert shown(explorer) == before and explorer.preset.value == "flatten to a line"
    explorer.preset.value = "shift"
    assert "inverted" not in explorer.message.value


def test_an_inverse_that_no_theta_says_is_refused_with_words():
    explorer = TransformationExplorer(Projective())
    explorer.theta_text.value = "1, 0, 0, 0, 0, 1, 0, 1"
    explorer.invert.click()
    assert "would be 0, and in θ it is always 1" in explorer.message.value and is_in_step(explorer)


def test_reset_gives_the_first_state_and_the_first_picture_byte_for_byte(explorer):
    first = bytes(explorer.picture.value)
    state = {name: control.value for name, control in explorer.controls.items() if hasattr(control, "value")}
    for slider in explorer.theta_sliders + explorer.part_sliders:
        slider.value = slider.min
    explorer.image.value = "test card"
    explorer.mode.value = "parts"
    explorer.theta_text.value = "nonsense"
    seen = redraws(explorer)
    explorer.reset.click()
    assert len(seen) == 1 and bytes(explorer.picture.value) == first
    assert {name: control.value for name, control in explorer.controls.items() if hasattr(control, "value")} == state
    assert "nonsense" not in explorer.message.value


def test_changing_many_controls_at_once_draws_once(explorer):
    seen = redraws(explorer)
    explorer.preset.value = list(explorer.presets)[2]
    assert len(seen) == 1
    explorer.theta_text.value = write_theta([0.3] * explorer.transform.n_params)
    assert len(seen) == 2
    explorer.image.value = "test card"
    assert len(seen) == 3


# Text


@few
@given(families, seeds, st.sampled_from([0.01, 1.0, 1000.0, MOST]))
def test_the_text_gives_theta_back(transform, seed, size):
    theta = tuple(uniform(seed, transform.n_params, low=-size, high=size).round(decimals=6).tolist())
    assert read_theta(write_theta(theta), transform) == theta


@pytest.mark.parametrize(
    "text",
    [
        "0.5, 0, -0.25",
        "0.5 0 -0.25",
        "[0.5, 0.0, −0.25]",
        "tensor([[ 0.5000,  0.0000, -0.2500]])",
        " 5e-1;0;-.25 ",
        "tensor([[ 0.5000,  0.0000, -0.2500]], grad_fn=<AddmmBackward0>)",
        "tensor([ 0.5000,  0.0000, -0.2500], device='cuda:0', dtype=torch.float64, grad_fn=<SelectBackward0>)",
        "Parameter containing:\ntensor([ 5.0000e-01,  0.0000e+00, -2.5000e-01], requires_grad=True)",
    ],
)
def test_theta_may_be_written_in_several_ways(text):
    assert read_theta(text, Attention()) == (0.5, 0, -0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1, 2, 3", "expected θ as 6 numbers (θ11, θ12, θ13, θ21, θ22, θ23), got 3"),
        ("1, 0, 0, 0, 1, 0, 0", "got 7"),
        ("", "got 0"),
        ("one, 0, 0, 0, 1, 0", "got &#x27;one&#x27; among them"),
        ("<b>bold</b>", "&lt;b&gt;bold"),
        ("nan, 0, 0, 0, 1, 0", "θ11 = nan"),
        ("1, 0, inf, 0, 1, 0", "θ13 = inf"),
        ("1, 0, 0, 0, 1e7, 0", "expected numbers between −1,000,000 and 1,000,000, got θ22 = 10000000.0"),
        ("1" * 5000 + "x, 0", "1111"),
    ],
    ids=lambda text: text[:20],
)
def test_text_that_is_no_theta_is_refused_with_words_and_the_picture_kept(text, message):
    explorer = TransformationExplorer()
    explorer.preset.value = "shear"
    before, theta = shown(explorer), explorer.theta
    explorer.theta_text.value = text
    assert message in explorer.message.value and len(explorer.message.value) < 400
    assert shown(explorer) == before and explorer.theta == theta
    explorer.theta_sliders[2].value = 0.5
    assert (
        is_in_step(explorer) and explorer.theta == (1, 0.5, 0.5, 0, 1, 0) and "expected" not in explorer.message.value
    )


def test_the_matrix_is_read_out_live_and_never_changes_its_size(explorer):
    sizes = set()
    for value in ("1", "-0.123456", "1e6", "-1e6", "1e-6"):
        explorer.theta_text.value = ", ".join([value] * explorer.transform.n_params)
        text = explorer.matrix.value
        sizes.add(tuple(len(line) for line in text.splitlines()))
        number = float(value)
        assert (f"{number:.3f}" if abs(number) < 1000 else f"{number:.1e}").replace("-", "−") in text
    assert len(sizes) == 1


# A file of one's own


def test_a_file_of_ones_own_is_shown(explorer):
    before = shown(explorer)
    upload(explorer, "sea.png", FILE)
    assert explorer.image.value == OWN_FILE and OWN_FILE in explorer.image.options
    assert shown(explorer) != before and is_in_step(explorer)
    assert explorer.images[OWN_FILE].shape == (3, 96, 96)
    first = shown(explorer)
    upload(explorer, "sun.png", png(Image.new("RGB", (30, 30), "#FFCC00")))
    assert shown(explorer) != first and is_in_step(explorer)
    explorer.reset.click()
    assert shown(explorer) == before


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b"dear diary"), ("<i>.png", FILE[:60]), ("empty", b"")])
def test_a_file_that_is_no_image_is_refused_with_words_and_the_picture_kept(name, content):
    explorer = TransformationExplorer()
    before = bytes(explorer.picture.value)
    upload(explorer, name, content)
    assert "could not read" in explorer.message.value and "<i>" not in explorer.message.value
    assert bytes(explorer.picture.value) == before and OWN_FILE not in explorer.image.options
    upload(explorer, "sea.png", FILE)
    assert explorer.image.value == OWN_FILE and "could not" not in explorer.message.value


# Images given, and stills


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (
            torch.zeros(28, 28),
            ValueError,
            r"'mine' of shape \(C, H, W\) with C 1 or 3, got a tensor of shape \(28, 28\)",
        ),
        (torch.zeros(2, 28, 28), ValueError, r"got a tensor of shape \(2, 28, 28\)"),
        (torch.zeros(1, 0, 28), ValueError, r"got a tensor of shape \(1, 0, 28\)"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), TypeError, "floating-point tensor .*got a tensor .*uint8"),
        (np.zeros((1, 28, 28)), TypeError, "got a ndarray|got an ndarray"),
    ],
    ids=["two axes", "two channels", "no pixels", "bytes", "numpy"],
)
def test_images_of_another_shape_are_refused(image, kind, message):
    with pytest.raises(kind, match=message):
        TransformationExplorer(images={"mine": image})


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="at least one image"):
        TransformationExplorer(images={})


def test_an_image_that_is_changed_afterwards_leaves_the_explorer_alone():
    mine = torch.rand(1, 9, 9)
    explorer = TransformationExplorer(images={"mine": mine})
    before = shown(explorer)
    mine.zero_()
    explorer.preset.value = "shift"
    explorer.reset.click()
    assert shown(explorer) == before


def test_the_still_strip_holds_the_same_pictures_and_says_what_they_are(explorer):
    theta = [0.5] * explorer.transform.n_params
    name = list(explorer.presets)[1]
    still = explorer.figure([name, theta], image="test card")
    for i, state in enumerate((explorer.presets[name], theta)):
        picture = explorer.compose(state, "test card")
        top = i * (picture.height + 26) + 26
        assert still.image.crop((0, top, picture.width, top + picture.height)).tobytes() == picture.tobytes()
    assert f"{name}:  θ = 0.5, 0" in still.alt and f"θ = {write_theta(theta)}" in still.alt
    assert explorer.figure(["identity"], alt="a digit").alt == "a digit"


def test_a_still_of_a_theta_of_another_length_is_refused():
    with pytest.raises(ValueError, match="expected θ as 6 numbers .*got 2"):
        EXPLORERS[Affine()].figure([[1, 2]])


def test_a_theta_that_is_refused_leaves_the_picture_and_its_image_alone():
    explorer = TransformationExplorer(Affine())
    before = bytes(explorer.picture.value)
    with pytest.raises(ValueError, match="expected θ as 6 numbers"):
        explorer.set(theta=[1.0], image="test card")
    assert explorer.image.value == "digit" and bytes(explorer.picture.value) == before


# A family with control points


@pytest.fixture
def spline():
    return TransformationExplorer(ThinPlateSpline(3))


def sliders_in_sight(explorer) -> list[str]:
    return [slider.description for slider in explorer.theta_sliders if slider.layout.display != "none"]


def test_the_sliders_of_one_control_point_are_in_sight(spline):
    assert [label for label, _ in spline.point.options] == ["11", "12", "13", "21", "22", "23", "31", "32", "33"]
    assert sliders_in_sight(spline) == ["x11", "y11"]
    before = shown(spline)
    spline.point.value = 5
    assert sliders_in_sight(spline) == ["x23", "y23"]
    assert shown(spline) == spline.compose(**spline.state()).tobytes() != before
    spline.theta_sliders[10].value = 0.5
    assert spline.theta[10:12] == (0.5, 0.0) and spline.theta[12:] == spline.presets["identity"][12:]
    spline.set(point=8)
    assert sliders_in_sight(spline) == ["x33", "y33"] and spline.theta[10] == 0.5
    spline.reset.click()
    assert shown(spline) == before and sliders_in_sight(spline) == ["x11", "y11"]
    assert sliders_in_sight(TransformationExplorer(Attention())) == ["s", "t_x", "t_y"]


def test_only_what_can_be_used_is_among_the_controls(spline):
    assert {"point", "x11", "y33"} <= {*spline.controls} and not {"mode", "invert"} & {*spline.controls}
    affine = TransformationExplorer(Affine())
    assert {"mode", "invert"} <= {*affine.controls} and "point" not in affine.controls | affine.state()


def test_control_points_are_marked_where_they_look_and_the_chosen_one_has_a_ring(spline):
    spline = TransformationExplorer(spline.transform, {"black": torch.zeros(1, 28, 28)})
    theta = spline.presets["page"]
    picture, chosen = spline.compose(theta), spline.compose(theta, point=4)
    for index, reach, points in ((0, REACH_INPUT, theta), (1, REACH_OUTPUT, spline.presets["identity"])):
        at = (np.reshape(points, (-1, 2)) / reach + 1) * PANEL / 2
        got = panel(picture, index)
        for x, y in at[[1, 3, 4, 5, 7]]:  # not the corners, which are marked anyway
            ring = [got[round(y + 4 * np.sin(a)), round(x + 4 * np.cos(a))] for a in np.arange(0, 6, 0.3)]
            assert np.max(ring, axis=1).mean() > 120, "no rim around a dot"
        changed = np.argwhere((panel(chosen, index) != got).any(2))
        x, y = at[4]
        assert len(changed) > 20 and np.abs(changed - (y, x)).max() <= 11


def test_a_caption_has_room_for_theta(spline):
    scene = spline.scene
    assert scene.figure(["identity"]).alt.endswith("identity:  θ of the identity")
    words = theta_in_short([-1, -0.5, *scene.presets()["identity"][2:]], spline.transform)
    assert words == "θ of the identity, but y11 = -0.5"
    assert theta_in_short([0.5] * 18, spline.transform).endswith("x12 = 0.5, y12 = 0.5, …")
