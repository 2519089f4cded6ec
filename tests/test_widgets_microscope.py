"""The interpolation microscope: its numbers against `F.grid_sample`, finite differences and loops, its picture against
the samplers."""

import io
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from PIL import Image, ImageColor
from strategies import paddings, seeds, uniform

from stn_course.drawing.microscope import LOWER, MARGIN, RIGHT, SIZE, STROKE, TITLE
from stn_course.drawing.microscope_plates import CELLS, GAP_SIDE, LENS, NEIGHBOURS, PATCH
from stn_course.drawing.sampling_point import RING, padded, read_point
from stn_course.palette import GRADIENT, SOURCE, TARGET
from stn_course.sampling import to_normalised
from stn_course.widgets import InterpolationMicroscope

pytestmark = pytest.mark.usefixtures("one_thread")

few = settings(max_examples=25, deadline=None)
very_few = settings(max_examples=8, deadline=None)  # what draws
sides = st.integers(2, 7)
kernels = st.sampled_from(["bilinear", "nearest"])
parts = st.sampled_from([-1.5, -1.2, -0.95, -0.35, 0.0, 0.15, 0.3, 0.45, 0.55, 0.8])  # no ties but the first


@pytest.fixture(scope="module")
def shared():
    """For `compose` and `read` alone, which change nothing."""
    return InterpolationMicroscope()


@pytest.fixture
def microscope():
    return InterpolationMicroscope()


def sample(image, x, y, mode="bilinear", padding="zeros", align_corners=False) -> float:
    """One point by PyTorch's own sampler."""
    points = to_normalised(torch.tensor([[[[x, y]]]], dtype=torch.float64), image.shape[1:], align_corners)
    return F.grid_sample(image[None].double(), points, mode, padding, align_corners).item()


def shown(microscope) -> Image.Image:
    return Image.open(io.BytesIO(bytes(microscope.picture.value))).convert("RGB")


def at_pixel(column: float, row: float, cells: int = 10) -> tuple[int, int]:
    """Where the centre of an image's pixel lies on the picture; the image is a square of `cells` − 4."""
    left, top = MARGIN + GAP_SIDE, MARGIN + TITLE + GAP_SIDE
    return tuple(round(start + (c + RING + 0.5) * CELLS / cells) for start, c in ((left, column), (top, row)))


def colour(name: str) -> tuple[int, int, int]:
    return ImageColor.getrgb(name)


# the numbers


@few
@given(seeds, sides, sides, kernels, paddings, st.booleans())
def test_the_value_is_pytorchs(seed, height, width, kernel, padding, align_corners):
    image = uniform(seed, 1, height, width)
    for u, v in uniform(seed + 1, 8, 2).tolist():
        x, y = round(u * (width + 1.9) - 1.45, 3) + 1e-4, round(v * (height + 1.9) - 1.45, 3) + 1e-4  # no ties
        reading = read_point(image, x, y, kernel, padding, align_corners)
        assert reading.value == pytest.approx(sample(image, x, y, kernel, padding, align_corners), abs=1e-5)
        total = sum(neighbour.weight * neighbour.value for neighbour in reading.neighbours)
        assert reading.value == pytest.approx(total, abs=1e-5)
        assert sum(neighbour.weight for neighbour in reading.neighbours) == pytest.approx(1, abs=1e-5)


@few
@given(seeds, sides, sides, st.integers(-1, 6), parts, st.integers(-1, 6), parts)
def test_the_weights_are_the_kernel_of_equation_5(seed, height, width, m, part_x, n, part_y):
    x, y = min(m, width - 1) + part_x, min(n, height - 1) + part_y
    x, y = max(-1.5, x), max(-1.5, y)
    image = uniform(seed, 1, height, width)
    weights = {}
    for row in range(-3, height + 3):
        for column in range(-3, width + 3):
            weight = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
            if weight > 1e-6:
                inside = 0 <= column < width and 0 <= row < height
                weights[column, row] = (weight, image[0, row, column].item() if inside else 0.0)
    neighbours = {(n.column, n.row): (n.weight, n.value) for n in read_point(image, x, y).neighbours if n.weight}
    assert neighbours.keys() == weights.keys()
    for place in weights:
        assert neighbours[place] == pytest.approx(weights[place], abs=1e-5)


@few
@given(seeds, sides, sides, st.booleans())
def test_padding_is_numpys(seed, height, width, align_corners):
    image = uniform(seed, 1, height, width)
    mirrored = "reflect" if align_corners else "symmetric"
    for padding, mode in (("zeros", "constant"), ("border", "edge"), ("reflection", mirrored)):
        assert np.array_equal(padded(image, padding, align_corners), np.pad(image[0].numpy(), RING, mode))


@few
@given(seeds, sides, sides, paddings, st.booleans())
def test_slopes_are_finite_differences_of_pytorchs_sampler(seed, height, width, padding, align_corners):
    image = uniform(seed, 1, height, width)
    step = 1e-4
    for u, v in uniform(seed + 1, 4, 2).tolist():
        x, y = round(u * (width + 1.9) - 1.45, 3), round(v * (height + 1.9) - 1.45, 3)
        x, y = (c + 0.011 if abs(c - round(c)) < 0.005 else c for c in (x, y))  # off the kinks
        reading = read_point(image, x, y, "bilinear", padding, align_corners)
        settings = ("bilinear", padding, align_corners)
        by_x = sample(image, x + step, y, *settings) - sample(image, x - step, y, *settings)
        by_y = sample(image, x, y + step, *settings) - sample(image, x, y - step, *settings)
        assert reading.slopes_x == pytest.approx([by_x / (2 * step)] * 2, abs=1e-4)
        assert reading.slopes_y == pytest.approx([by_y / (2 * step)] * 2, abs=1e-4)


@few
@given(seeds, sides, sides, paddings, st.booleans())
def test_on_a_kink_the_slopes_are_the_one_sided_differences(seed, height, width, padding, align_corners):
    image = uniform(seed, 1, height, width)
    step = 1e-3
    settings = ("bilinear", padding, align_corners)
    for x in (-1, 0, width - 1, width):
        for y in (-1, 0, height - 1):
            reading = read_point(image, x, y, *settings)
            here = sample(image, x, y, *settings)
            for slopes, dx, dy in ((reading.slopes_x, step, 0), (reading.slopes_y, 0, step)):
                before = (here - sample(image, x - dx, y - dy, *settings)) / step
                after = (sample(image, x + dx, y + dy, *settings) - here) / step
                assert slopes == pytest.approx((before, after), abs=1e-4)


def test_nearest_has_no_slope_and_one_neighbour():
    reading = read_point(STROKE, 1.3, 2.6, "nearest")
    assert reading.slopes_x == reading.slopes_y == (0, 0)
    ((column, row, weight, value, corner),) = reading.neighbours
    assert (column, row, weight, corner) == (1, 3, 1.0, (0, 1)) and value == pytest.approx(0.7)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_a_tie_goes_to_the_larger_index_and_the_value_shown_is_that_pixels(padding, align_corners):
    image = uniform(0, 1, 6, 5)
    for x in np.arange(-1.5, 5.6):
        for y in np.arange(-1.5, 6.6):
            reading = read_point(image, x, y, "nearest", padding, align_corners)
            (neighbour,) = reading.neighbours
            assert (neighbour.column, neighbour.row) == (x + 0.5, y + 0.5)
            assert reading.value == pytest.approx(neighbour.value, abs=1e-6)


def test_a_sliders_rounding_changes_nothing():
    assert read_point(STROKE, 2.0000000000000004, 0.1 + 0.2) == read_point(STROKE, 2.0, 0.3)


def test_normalised_coordinates_by_hand():
    image = uniform(0, 1, 4, 6)
    assert read_point(image, 1.3, 1.5).normalised == pytest.approx((-0.4, 0))  # (2 · 1.3 + 1) / 6 − 1
    assert read_point(image, 1.3, 1.5, align_corners=True).normalised == pytest.approx((-0.48, 0))  # 2 · 1.3 / 5 − 1


def test_an_unknown_kernel_or_padding_is_refused(shared):
    for function in (shared.compose, shared.scene.read):
        with pytest.raises(ValueError, match="kernel as one of bilinear, nearest, got 'cubic'"):
            function(1.0, 1.0, kernel="cubic")
        with pytest.raises(ValueError, match="padding_mode as one of zeros, border, reflection, got 'wrap'"):
            function(1.0, 1.0, padding="wrap")


# the picture


@very_few
@given(seeds, sides, sides, paddings, st.booleans(), st.integers(2, 16))
def test_the_patches_are_the_samplers_finer(seed, height, width, padding, align_corners, zoom):
    image = uniform(seed, 1, height, width)
    x, y = 0.313, height - 1.271
    patches = InterpolationMicroscope(image).scene.patches(x, y, padding, align_corners, zoom)
    for kernel, patch in patches.items():
        assert patch.shape == (1, 3 * zoom, 3 * zoom)
        for i, j in ((0, 0), (0, 3 * zoom - 1), (zoom, 2 * zoom), (3 * zoom - 1, 1)):
            at = (x - 1.5 + (j + 0.5) / zoom, y - 1.5 + (i + 0.5) / zoom)
            expected = sample(image, *at, kernel, padding, align_corners)
            assert patch[0, i, j].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("zoom", [2, 8, 16])
@pytest.mark.parametrize("padding", ["zeros", "reflection"])
def test_the_patches_shown_are_those(shared, zoom, padding):
    picture = np.asarray(shared.compose(2.3, 0.65, "nearest", padding, False, zoom))
    for i, patch in enumerate(shared.scene.patches(2.3, 0.65, padding, False, zoom).values()):
        left, top = RIGHT + i * (PATCH + 12), MARGIN + TITLE
        pixels = picture[top : top + PATCH, left : left + PATCH]
        n, levels = 3 * zoom, (patch[0].float() * 255).round().to(torch.uint8).numpy()
        centres = ((np.arange(n) + 0.5) * PATCH / n).astype(int)
        seen = pixels[np.ix_(centres, centres)]
        rows, columns = np.indices((n, n)) + 0.5
        covered = np.hypot(rows - n / 2, columns - n / 2) * PATCH / n < 8  # by the point
        covered |= (centres[:, None] < 4) | (centres >= PATCH - 4) | (centres < 4) | (centres[:, None] >= PATCH - 4)
        assert (seen == levels[..., None]).all(-1)[~covered].all()


def test_the_chosen_kernels_patch_has_the_thicker_frame(shared):
    for kernel, frames in (("nearest", (True, False)), ("bilinear", (False, True))):
        picture = shared.compose(2.3, 1.6, kernel)
        for i, thick in enumerate(frames):
            left, top = RIGHT + i * (PATCH + 12), MARGIN + TITLE
            assert picture.getpixel((left, top + 50)) == colour(TARGET)
            assert (picture.getpixel((left + 2, top + 50)) == colour(TARGET)) == thick


def test_the_map_shows_the_pixels_and_what_the_padding_supplies(shared):
    for padding, align_corners in (("zeros", False), ("border", False), ("reflection", False), ("reflection", True)):
        picture = shared.compose(6.5, 6.5, "nearest", padding, align_corners)
        values = padded(shared.scene.image, padding, align_corners)
        for row, column in ((-2, 1), (-1, 0), (0, -2), (0, 4), (3, 1), (1, 3), (2, 7), (4, 6), (7, 2)):
            grey = round(255 * values[row + RING, column + RING].item())
            x, y = at_pixel(column, row)
            assert picture.getpixel((x - 11, y - 11)) == (grey,) * 3, (padding, align_corners, row, column)


def test_the_point_and_its_neighbours_lie_where_they_are(shared):
    picture = shared.compose(1.3, 3.6, "bilinear")
    assert picture.getpixel(at_pixel(1.3, 3.6)) == colour(SOURCE)
    for (right, low), name in NEIGHBOURS.items():
        x, y = at_pixel(1 + right, 3 + low)
        assert picture.getpixel((x + (17 if right else -18), y + (5 if low else -6))) == colour(name)


def test_nearest_outlines_the_one_pixel_that_counts(shared):
    picture = shared.compose(1.3, 3.6, "nearest")
    x, y = at_pixel(1, 4)
    assert picture.getpixel((x - 18, y - 5)) == colour(NEIGHBOURS[0, 1])
    assert not colours(picture.crop((0, 0, RIGHT, SIZE[1]))) & {colour(NEIGHBOURS[k]) for k in ((0, 0), (1, 0), (1, 1))}


def test_each_area_of_the_lens_has_the_colour_of_the_neighbour_opposite(shared):
    picture = shared.compose(1.3, 3.6, "bilinear")
    left, top, unit = RIGHT, LOWER + TITLE, LENS / 1.6
    for (right, low), name in NEIGHBOURS.items():
        x, y = (0.12 if right else 0.9), (0.3 if low else 0.9)  # the point is at (0.3, 0.6)
        assert picture.getpixel((round(left + (0.3 + x) * unit), round(top + (0.3 + y) * unit))) == colour(name)


@pytest.mark.parametrize("image", ["right", "left", "down", "up"])
def test_the_arrow_points_to_where_it_gets_brighter(image):
    ramp = torch.linspace(0, 1, 6).expand(1, 6, 6)
    pictures = {"right": ramp, "left": ramp.flip(2), "down": ramp.mT, "up": ramp.mT.flip(1)}
    direction = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
    picture = InterpolationMicroscope(pictures[image]).compose(2.45, 2.55)
    for name, (dx, dy) in direction.items():
        x, y = at_pixel(2.45 + 0.4 * dx, 2.55 + 0.4 * dy)  # the slope is 0.2, the arrow 0.6 long
        assert (picture.getpixel((x, y)) == colour(GRADIENT)) == (name == image)


def test_nearest_has_no_arrow(shared):
    for kernel, arrow in (("bilinear", True), ("nearest", False)):
        picture = shared.compose(1.3, 1.6, kernel).crop((0, 0, RIGHT, SIZE[1]))
        assert (colour(GRADIENT) in colours(picture)) == arrow


def test_align_corners_moves_the_scale_of_normalised_coordinates(shared):
    for align_corners, at in ((False, -0.5), (True, 0.0)):
        x, _ = at_pixel(at, 0)
        y = MARGIN + TITLE + GAP_SIDE + CELLS + 1
        picture = shared.compose(3.3, 3.3, align_corners=align_corners)
        ticks = [x for x in range(MARGIN + GAP_SIDE, RIGHT - 60) if sum(picture.getpixel((x, y))) < 300]
        assert abs(ticks[0] - x) <= 1


def colours(picture: Image.Image) -> set[tuple[int, int, int]]:
    return {pixel for _, pixel in picture.getcolors(1 << 20)}


@very_few
@given(seeds, sides, sides, kernels, paddings, st.booleans(), st.integers(2, 16))
def test_the_size_of_the_picture_never_changes(seed, height, width, kernel, padding, align_corners, zoom):
    x, y = (round(u * (n + 2) - 1.5, 2) for u, n in zip(uniform(seed, 2).tolist(), (width, height)))
    microscope = InterpolationMicroscope(uniform(seed, 1, height, width))
    assert microscope.compose(x, y, kernel, padding, align_corners, zoom).size == SIZE
    assert max(SIZE) <= 940


def test_the_same_state_gives_the_same_picture_whatever_came_before(shared):
    first = shared.compose(1.3, 1.6).tobytes()
    shared.compose(-1.5, 6.5, "nearest")
    shared.compose(4.0, 2.0, "bilinear")
    assert shared.compose(1.3, 1.6).tobytes() == first == InterpolationMicroscope().compose(1.3, 1.6).tobytes()


# the controls


CHANGES = {"x": 3.45, "y": -0.5, "zoom": 3, "kernel": "nearest", "padding": "reflection", "align_corners": True}


@pytest.mark.parametrize("name", CHANGES)
def test_every_control_drives_the_picture_and_reset_goes_back(microscope, name):
    first = bytes(microscope.picture.value), microscope.readout.value
    assert shown(microscope).tobytes() == microscope.compose(**microscope.state()).tobytes()
    microscope.controls[name].value = CHANGES[name]
    assert bytes(microscope.picture.value) != first[0]
    assert microscope.state() == {**microscope.scene.start, name: CHANGES[name]}
    assert (
        shown(microscope).tobytes() == microscope.compose(**{**microscope.scene.start, name: CHANGES[name]}).tobytes()
    )
    microscope.reset.click()
    assert (bytes(microscope.picture.value), microscope.readout.value) == first
    assert microscope.state() == microscope.scene.start


def test_controls_names_every_control(microscope):
    assert set(microscope.controls) == {*CHANGES, "reset"}
    assert all(microscope.controls[name] is getattr(microscope, name) for name in microscope.controls)


def test_several_controls_at_once_are_one_picture(microscope):
    pictures = []
    microscope.picture.observe(lambda change: pictures.append(change["new"]), names="value")
    microscope.set(**CHANGES)
    assert len(pictures) == 1 and microscope.state() == CHANGES
    microscope.reset.click()
    assert len(pictures) == 2


def test_the_sliders_reach_the_outermost_pixel_of_padding():
    microscope = InterpolationMicroscope(uniform(0, 1, 3, 5))
    assert (microscope.x.min, microscope.x.max, microscope.x.step) == (-1.5, 5.5, 0.05)
    assert (microscope.y.min, microscope.y.max, microscope.y.step) == (-1.5, 3.5, 0.05)
    for x in (-1.5, 5.5):
        for y in (-1.5, 3.5):
            microscope.set(x=x, y=y)
            assert microscope.message.value == ""


def test_the_read_out_says_what_is_seen(microscope):
    text = microscope.readout.value
    for words in (
        "in pixels (1.30, 1.60)",
        "normalised (−0.400, −0.300)",
        "the outer edges of the image",
        "(1, 1): 0.2800 × 0.2 = 0.0560",
        "(1, 2): 0.4200 × 0.4 = 0.1680",
        "V = 0.4280",
        "∂V/∂x = 0.36 per pixel",
        "∂V/∂y = 0.23 per pixel",
        "∂V/∂x = 1.08 per unit",
    ):
        assert words in text
    microscope.align_corners.value = True
    assert "normalised (−0.480, −0.360)" in microscope.readout.value
    assert "one unit is 2.5 × 2.5 pixels" in microscope.readout.value
    assert "the centres of the border pixels" in microscope.readout.value
    assert "∂V/∂x = 0.90 per unit" in microscope.readout.value


def test_the_read_out_gives_both_slopes_on_a_kink(microscope):
    microscope.set(x=1.0, y=2.6)
    assert "∂V/∂x 0.32 left, 0.34 right per pixel" in microscope.readout.value
    assert "A kink in x:" in microscope.readout.value
    microscope.y.value = 3.0
    assert "A kink in x and y:" in microscope.readout.value


def test_the_read_out_says_that_nearest_has_no_gradient_and_where_it_jumps(microscope):
    microscope.kernel.value = "nearest"
    assert "No gradient" in microscope.readout.value and "∂V/∂x = 0.00 per pixel" in microscope.readout.value
    microscope.x.value = 1.5
    assert "x half-way between two pixels: V jumps here" in microscope.readout.value


def test_the_read_out_always_has_as_many_lines(microscope):
    lines = set()
    for x in (-1.5, 1.0, 1.3):
        for kernel in ("bilinear", "nearest"):
            microscope.set(x=x, kernel=kernel)
            lines.add((microscope.readout.value.count("<br>"), microscope.readout.value.count("<div")))
    assert len(lines) == 1


def test_a_value_with_two_decimals_is_written_with_two():
    image = torch.full((1, 3, 3), 0.25)
    assert "× 0.25 =" in InterpolationMicroscope(image).readout.value
    assert "× 0.2 =" in InterpolationMicroscope(torch.full((1, 3, 3), 0.2)).readout.value


def test_a_point_that_is_no_number_leaves_the_last_picture_and_says_so(microscope):
    microscope.x.value = 2.0
    good = bytes(microscope.picture.value), microscope.readout.value
    microscope.x.value = math.nan
    assert (bytes(microscope.picture.value), microscope.readout.value) == good
    assert "expected x from -1.5 to 6.5 pixels, got nan" in microscope.message.value
    microscope.reset.click()
    assert microscope.message.value == "" and microscope.x.value == microscope.scene.start["x"]


def test_a_point_too_far_out_is_refused(shared):
    for point in ((-1.6, 0.0), (0.0, 6.6)):
        with pytest.raises(ValueError, match=r"expected [xy] from -1.5 to 6.5 pixels, got"):
            shared.compose(*point)


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (torch.rand(6, 6), ValueError, r"\(1, H, W\), got a tensor of shape \(6, 6\)"),
        (torch.rand(3, 6, 6), ValueError, r"got a tensor of shape \(3, 6, 6\)"),
        (torch.rand(1, 1, 6), ValueError, r"with H and W from 2 to 10, got a tensor of shape \(1, 1, 6\)"),
        (torch.rand(1, 28, 28), ValueError, r"got a tensor of shape \(1, 28, 28\)"),
        (torch.full((1, 6, 6), 255.0), ValueError, r"grey values in \[0, 1\], got 255 to 255"),
        (torch.full((1, 6, 6), math.nan), ValueError, r"grey values in \[0, 1\], got nan to nan"),
        (
            torch.zeros(1, 6, 6, dtype=torch.uint8),
            TypeError,
            r"floating-point tensor of shape \(1, H, W\), got a tensor .*uint8",
        ),
        ([[0.0]], TypeError, "got a list"),
    ],
    ids=["no channel", "colour", "one row", "large", "range", "nan", "integers", "list"],
)
def test_other_images_are_refused(image, kind, message):
    with pytest.raises(kind, match=message):
        InterpolationMicroscope(image)


def test_the_image_given_is_not_changed_and_may_need_a_gradient():
    image = uniform(0, 1, 4, 4).float().requires_grad_()
    before = image.detach().clone()
    microscope = InterpolationMicroscope(image)
    microscope.x.value = 2.0
    assert torch.equal(image.detach(), before) and image.grad is None


def test_the_still_strip_holds_the_same_pictures(shared):
    still = shared.figure([{}, {"x": 4.2, "kernel": "nearest"}])
    first, second = shared.compose(**shared.scene.start), shared.compose(4.2, shared.scene.start["y"], "nearest")
    assert still.image.crop((0, 0, *first.size)).tobytes() == first.tobytes()
    assert still.image.crop((0, still.image.height - second.height, *still.image.size)).tobytes() == second.tobytes()
    assert "(4.2, 1.6), nearest, zeros" in still.alt
    assert shared.figure([{}], alt="one").alt == "one"


def test_it_shows_itself_in_a_notebook(microscope, monkeypatch):
    displayed = []
    monkeypatch.setattr("IPython.display.display", displayed.append)
    microscope._ipython_display_()
    assert displayed == [microscope.widget]
