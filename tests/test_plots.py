"""`plots`: what is drawn lies where the sampler looks, and says in words what it shows."""

import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from several_looks import Again, OneAfterAnother, SideBySide

from stn_course import palette, plots
from stn_course.algebra import from_parts, target_border
from stn_course.data import Normalise, load_mnist
from stn_course.distortions import RTS
from stn_course.models import STCNN, STClassifier
from stn_course.sampling import to_pixels
from stn_course.spatial_transformer import SpatialTransformer, warp
from stn_course.transforms import FAMILIES, Affine, Projective

THETA = torch.tensor([0.6, -0.35, 0.1, 0.35, 0.6, -0.1])


@pytest.fixture(scope="module")
def digits():
    data = load_mnist("test", offline=True)[:5]
    return RTS()(data.images.float() / 255, torch.Generator().manual_seed(0)), data.labels


def drawn(axis):
    """The lines drawn on an axis, as (N, 2) tensors."""
    return [torch.tensor(line.get_xydata()) for line in axis.lines]


@pytest.mark.parametrize("transform", FAMILIES, ids=repr)
def test_the_border_of_the_identity_is_the_edge_of_the_image(transform):
    border = target_border(transform.identity(), transform)
    assert torch.equal(border.abs().amax(1), torch.ones(len(border)))
    assert torch.equal(border[0], torch.tensor([-1.0, -1.0])) and torch.equal(border[0], border[-1])
    assert torch.equal(border[32], torch.tensor([1.0, -1.0]))  # it goes to the right first: y points down


def test_the_border_lies_half_a_pixel_outside_the_outermost_samples():
    theta, size = THETA, (10, 14)
    corner = to_pixels(target_border(theta)[0], size)
    grid = to_pixels(Affine().grid(theta[None], size), size)[0]
    step_right, step_down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    torch.testing.assert_close(corner, grid[0, 0] - step_right / 2 - step_down / 2, atol=1e-4, rtol=0)


def test_a_projective_border_is_the_transform_of_the_corners():
    theta = Projective().identity() + torch.tensor([0, 0, 0, 0, 0, 0, 0.5, 0])
    border = target_border(theta, Projective(), points=2)
    torch.testing.assert_close(border[:2], torch.tensor([[-2.0, -2.0], [1 / 1.5, -1 / 1.5]]))


def test_images_are_drawn_unsmoothed_with_the_first_pixel_at_the_top_left(digits):
    figure = plots.image_grid(digits[0], [str(int(label)) for label in digits[1]], columns=3)
    assert len(figure.axes) == 6
    shown = figure.axes[0].images[0]
    assert shown.get_extent() == [-1, 1, 1, -1]
    assert shown.origin == "upper" and shown.get_interpolation() == "nearest"
    torch.testing.assert_close(torch.tensor(shown.get_array().data), digits[0][0, 0])
    assert [axis.get_title() for axis in figure.axes[:5]] == [str(int(label)) for label in digits[1]]


def test_colour_images_and_bytes_are_drawn():
    figure = plots.image_grid(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8))
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 3)
    assert figure.axes[0].images[0].get_array().max() == 1


def test_learned_transformations_draws_the_border_the_network_uses(digits):
    images, labels = digits
    model = STCNN().eval()
    model.spatial_transformer.localisation[-1].bias.data.copy_(THETA)
    figure = plots.learned_transformations(model, images, labels)
    second_row = figure.axes[len(images)]
    torch.testing.assert_close(drawn(second_row)[0].float(), target_border(THETA))
    third_row = figure.axes[2 * len(images)].images[0].get_array().data
    seen = warp(images, THETA.expand(len(images), 6))[0, 0].clamp(0, 1)
    torch.testing.assert_close(torch.tensor(third_row), seen, atol=1e-5, rtol=0)
    assert "it says" in figure.alt


LOOKS, SEES, SAYS = "where it\nlooks", "what it\nsees", "what it\nsays"


@pytest.mark.parametrize(
    ("kind", "rows", "borders"),
    [
        (SideBySide, ["input", LOOKS, SEES, SEES, SAYS], [0, 2, 0, 0, 0]),
        (OneAfterAnother, ["input", LOOKS, SEES, LOOKS, SEES, SAYS], [0, 1, 0, 1, 0, 0]),
        (Again, ["input", LOOKS, SEES, LOOKS, SEES, SAYS], [0, 1, 0, 1, 0, 0]),
    ],
)
def test_learned_transformations_draws_every_look(kind, rows, borders):
    torch.manual_seed(0)
    model, images = kind().eval(), torch.rand(3, 1, 8, 8)
    for parameter in model.localisation_parameters():
        parameter.data.add_(0.05)
    figure = plots.learned_transformations(model, images, torch.arange(3))
    assert [axis.texts[0].get_text() for axis in figure.axes[::3]][:-1] == rows[:-1]
    assert [len(axis.lines) // 2 for axis in figure.axes[::3]] == borders  # a border is a line and a dot
    first, *others = model.looks(images)
    drawn_at = figure.axes[3].lines[0].get_xydata()
    torch.testing.assert_close(torch.tensor(drawn_at).float(), target_border(first.theta[0]))
    if kind is Again:
        shown = torch.tensor(figure.axes[12].images[0].get_array().data)
        torch.testing.assert_close(shown, others[0].warped[0, 0].clamp(0, 1), atol=1e-6, rtol=0)


def test_learned_transformations_normalises_for_the_network_and_undoes_it_for_the_reader(digits):
    images, labels = digits
    normalise = Normalise(mean=(0.1307,), std=(0.3081,))
    model = STCNN().eval()
    model.spatial_transformer.localisation[-1].bias.data.copy_(THETA)
    names = [f"class {label}" for label in range(10)]
    figure = plots.learned_transformations(model, images, labels, normalise, names)
    n = len(images)
    torch.testing.assert_close(torch.tensor(figure.axes[0].images[0].get_array().data), images[0, 0])
    seen = normalise.undo(warp(normalise(images), THETA.expand(n, 6)))[0, 0].clamp(0, 1)
    torch.testing.assert_close(torch.tensor(figure.axes[2 * n].images[0].get_array().data), seen, atol=1e-5, rtol=0)
    with torch.inference_mode():
        said = model(normalise(images)).argmax(1).tolist()
    answers = ", ".join(names[label] for label in said)
    assert figure.alt.endswith(f"it says {answers}; right is {', '.join(names[label] for label in labels.tolist())}")
    for column, label in enumerate(said):
        texts = " ".join(text.get_text() for text in figure.axes[3 * n + column].texts)
        assert names[label] in texts and names[int(labels[column])] in texts


def test_warping_draws_the_sampling_grid_on_the_left_and_the_regular_grid_on_the_right(digits):
    image = digits[0][0]
    figure = plots.warping(image, THETA, warp(image[None], THETA[None])[0])
    left, right = (torch.tensor(axis.collections[0].get_offsets().data) for axis in figure.axes)
    torch.testing.assert_close(left.float(), Affine().grid(THETA[None], (8, 8))[0].flatten(0, 1))
    torch.testing.assert_close(right.float(), Affine().grid(Affine().identity()[None], (8, 8))[0].flatten(0, 1))


# Pictures that are not square


def test_images_of_different_sizes_stand_in_rows_as_high_as_the_highest():
    one, two = torch.rand(1, 28, 28), torch.rand(3, 80, 40)
    figure = plots.image_grid([one, two], size=2.0)
    assert tuple(figure.get_size_inches()) == (4.0, 4.0)
    assert [axis.images[0].get_array().shape[:2] for axis in figure.axes] == [(28, 28), (80, 40)]


OBLONG = [(40, 80), (80, 40), (60, 60)]


def on_screen(axis, points):
    """Points of an axis in dots of the screen, once the figure is laid out."""
    axis.figure.draw_without_rendering()
    return axis.transData.transform(np.asarray(points))


def has_square_pixels(axis, size):
    left_top, right_bottom = on_screen(axis, [(-1, -1), (1, 1)])
    wide, high = np.abs(right_bottom - left_top)
    return high / wide == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("size", OBLONG, ids=str)
def test_a_turned_frame_has_right_angles_on_the_screen(size):
    image = torch.rand(1, *size)
    theta = from_parts(torch.tensor([[30.0, 0.6, 0.6, 0, 0.1, 0]]), size=size)
    figure = plots.warping(image, theta[0], warp(image[None], theta)[0])
    for axis, degrees in zip(figure.axes, (30, 0)):
        assert has_square_pixels(axis, size)
        border = on_screen(axis, axis.lines[0].get_xydata())
        right, down = border[32] - border[0], border[64] - border[32]  # y of the screen points up
        assert np.degrees(np.arctan2(-right[1], right[0])) == pytest.approx(degrees, abs=0.5)
        assert right @ down == pytest.approx(0, abs=0.01 * np.hypot(*right) * np.hypot(*down))
        assert np.hypot(*down) / np.hypot(*right) == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize("size", OBLONG, ids=str)
def test_images_in_rows_keep_their_proportions_and_fill_their_place(size):
    figure = plots.image_grid(torch.rand(4, 1, *size), columns=2, size=1.5)
    assert all(has_square_pixels(axis, size) for axis in figure.axes)
    wide, high = figure.get_size_inches()
    assert high / wide == pytest.approx(size[0] / size[1])
    left_top, right_bottom = on_screen(figure.axes[0], [(-1, -1), (1, 1)])
    assert abs(right_bottom - left_top)[0] > 0.8 * 1.5 * figure.dpi


@pytest.mark.parametrize("size", OBLONG, ids=str)
def test_the_rows_of_learned_transformations_keep_their_proportions(size):
    model = one_look(from_parts(torch.tensor([[30.0, 0.6, 0.6, 0, 0.1, 0]]), size=size)[0], (30, 20))
    figure = plots.learned_transformations(model, torch.rand(3, 1, *size), torch.arange(3))
    assert all(has_square_pixels(axis, size) for axis in figure.axes[:6])
    assert all(has_square_pixels(axis, (30, 20)) for axis in figure.axes[6:9])
    border = on_screen(figure.axes[3], figure.axes[3].lines[0].get_xydata())
    right, down = border[32] - border[0], border[64] - border[32]
    assert np.degrees(np.arctan2(-right[1], right[0])) == pytest.approx(30, abs=0.5)
    assert right @ down == pytest.approx(0, abs=0.01 * np.hypot(*right) * np.hypot(*down))


def one_look(theta, output_size) -> STClassifier:
    """A network that always looks at the same place."""
    layer = SpatialTransformer(Always(theta), output_size=output_size)
    return STClassifier(layer, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10)))


class Always(torch.nn.Module):
    def __init__(self, theta):
        super().__init__()
        self.theta = theta

    def forward(self, x):
        return self.theta.expand(len(x), -1)


def test_tensors_of_any_device_that_require_gradients_are_drawn_alike(digits):
    images, theta, projective = digits[0], THETA, Projective().identity() + 0.1
    output = warp(images[:1], theta[None])[0]
    pose = RTS().pose(RTS().sample(20, torch.Generator().manual_seed(0)))
    far = pose._replace(**{name: elsewhere(values) for name, values in pose._asdict().items()})
    for here, there in (
        (plots.image_grid(images), plots.image_grid(elsewhere(images))),
        (
            plots.warping(images[0], theta, output),
            plots.warping(elsewhere(images[0]), elsewhere(theta), elsewhere(output)),
        ),
        (plots.recovered_poses(pose, pose), plots.recovered_poses(far, pose)),
    ):
        assert here.png() == there.png()
    for transform, one in ((Affine(), theta), (Projective(), projective)):
        assert torch.equal(target_border(elsewhere(one), transform), target_border(one, transform))


def test_learning_curves_are_grey_for_a_baseline_and_logarithmic_for_a_loss():
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    figure = plots.learning_curves({"CNN": rows, "ST-CNN": rows[:1]})
    baseline, ours = figure.axes[0].lines
    assert baseline.get_color() == palette.BASELINE and ours.get_color() == palette.TARGET
    assert list(baseline.get_ydata()) == [0.5, 0.25]
    assert figure.axes[0].get_yscale() == "log"
    assert figure.alt == "loss by epoch: CNN ends at 0.25, ST-CNN ends at 0.5"


@pytest.mark.parametrize("losses", [(2.3, 0.003), (0.9, 0.4), (0.7, 0.6)])
def test_the_axis_of_losses_has_plain_numbers(losses):
    figure = plots.learning_curves({"CNN": [{"epoch": i, "loss": loss} for i, loss in enumerate(losses, 1)]})
    figure.png()
    axis = figure.axes[0].yaxis
    low, high = axis.get_view_interval()
    shown = [label.get_text() for label in axis.get_majorticklabels() if low <= label.get_position()[1] <= high]
    assert 2 <= len(shown) <= 10
    assert all(float(text) > 0 for text in shown)  # no powers of ten
    assert not any(label.get_text() for label in axis.get_minorticklabels())


def test_recovered_poses_reports_the_slope_and_the_correlation_it_shows():
    theta = RTS().sample(200, torch.Generator().manual_seed(0))
    pose = RTS().pose(theta)
    figure = plots.recovered_poses(pose, pose._replace(degrees=pose.degrees / 4, scale=pose.scale.flip(0)))
    assert figure.axes[0].get_title() == "angle: slope 0.25, correlation 1.00"
    assert abs(float(figure.axes[1].get_title().split()[-1])) < 0.3
    fitted, all_of_it = (line.get_xydata() for line in figure.axes[0].lines)
    assert [round(float((y[1] - x[1]) / (y[0] - x[0])), 6) for x, y in (fitted, all_of_it)] == [0.25, 1.0]


def test_recovered_sizes_are_fitted_by_their_logarithms():
    pose = RTS().pose(RTS().sample(50, torch.Generator().manual_seed(0)))
    figure = plots.recovered_poses(pose, pose._replace(scale=3 * pose.scale.sqrt()))
    assert figure.axes[1].get_title() == "size: slope 0.50, correlation 1.00"
    x, y = figure.axes[1].lines[0].get_xydata().T
    assert y == pytest.approx(3 * x**0.5, rel=1e-4)


def test_a_figure_shows_itself_as_a_picture_with_words(digits):
    data, metadata = plots.image_grid(digits[0], alt="five digits")._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "five digits" == metadata["image/png"]["alt"]


def test_the_readers_own_matplotlib_settings_stay_as_they_are(digits):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.image_grid(digits[0]).png()
    assert dict(matplotlib.rcParams) == before


# Panels, and what is drawn on them


def test_panels_stand_in_rows_with_their_titles_in_the_course_s_style():
    figure, axes = plots.panels("three panels", ["a", "b", "c"], size=(2, 1.5), columns=2, sharey=True)
    assert tuple(figure.get_size_inches()) == (4, 3) and figure.alt == "three panels"
    assert [axis.get_title() for axis in axes] == ["a", "b", "c"]
    assert axes[0].title.get_fontsize() == plots.STYLE["axes.titlesize"]
    assert not figure.axes[3].axison


def test_a_border_beyond_the_image_does_not_move_the_image():
    images, far = torch.rand(2, 1, 8, 8), torch.tensor([2.0, 0, 1, 0, 2, 0])
    figure = plots.image_grid(images, thetas=[far, None])
    assert [axis.get_xlim() for axis in figure.axes] == [(-1, 1)] * 2
    torch.testing.assert_close(drawn(figure.axes[0])[0].float(), target_border(far))
    assert not figure.axes[1].lines


@pytest.mark.parametrize("wrong", [{"titles": ["one"]}, {"thetas": [None] * 3}], ids=str)
def test_there_is_a_title_and_a_theta_for_every_image_or_an_error(wrong):
    with pytest.raises(ValueError, match=f"expected one of the {next(iter(wrong))} an image, 2, got"):
        plots.image_grid(torch.rand(2, 1, 8, 8), **wrong)


def test_pixels_stand_at_whole_numbers_with_their_values_and_weights():
    _, [axis] = plots.panels("two rows of three pixels")
    image = torch.tensor([[[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]]])
    plots.show_pixels(axis, image, weights=torch.tensor([[0, 0.25, 0], [0, 0.75, 0]]))
    assert axis.images[0].get_extent() == [-0.5, 2.5, 1.5, -0.5]
    assert [line.get_xydata().tolist()[0] for line in axis.lines] == [[m, n] for n in range(2) for m in range(3)]
    assert sorted(text.get_text() for text in axis.texts if text.get_weight() != "bold") == sorted(
        f"{value:.1f}" for value in image.flatten().tolist()
    )
    assert {text.get_text(): text.get_position()[0] for text in axis.texts if text.get_weight() == "bold"} == {
        "0.25": 1,
        "0.75": 1,
    }
    thin, thick = axis.patches
    assert thin.get_linewidth() < thick.get_linewidth() and thin.get_edgecolor() == thick.get_edgecolor()


def test_an_enlarged_image_keeps_the_pixel_coordinates_of_the_small_one():
    _, [axis] = plots.panels("an enlarged image")
    plots.show_pixels(axis, torch.rand(1, 96, 96), size=(6, 4))
    assert axis.images[0].get_extent() == [-0.5, 3.5, 5.5, -0.5]
    assert not axis.lines and not axis.texts


def test_points_are_dots_where_they_lie_and_arrows_start_there():
    _, [axis] = plots.panels("dots with arrows")
    points, arrows = torch.rand(2, 3, 2, requires_grad=True), torch.rand(2, 3, 2)
    plots.draw_points(axis, points, arrows, colour=palette.TARGET)
    dots, quiver = axis.collections
    for offsets in (dots.get_offsets(), quiver.get_offsets()):
        torch.testing.assert_close(torch.tensor(np.asarray(offsets)).float(), points.detach().flatten(0, 1))
    torch.testing.assert_close(torch.tensor(np.stack((quiver.U, quiver.V), 1)).float(), arrows.flatten(0, 1))


def test_curves_of_one_colour_differ_in_their_lines_also_when_drawn_one_after_the_other():
    _, [axis] = plots.panels("three curves")
    plots.draw_curves(axis, [0, 1], {"a": [0, 1], "b": [1, 0], "c": [1, 1]}, {"b": palette.BASELINE})
    plots.draw_curves(axis, [0, 1], {"d": [2, 2]}, dots={"given": ([0], [0])}, xlabel="x", ylim=(0, 3))
    assert [(line.get_color(), line.get_linestyle()) for line in axis.lines] == [
        (palette.TARGET, "-"),
        (palette.BASELINE, "-"),
        (palette.TARGET, "--"),
        (palette.TARGET, ":"),
        (palette.INK, "None"),
    ]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b", "c", "d", "given"]
    assert (axis.get_xlabel(), axis.get_ylim()) == ("x", (0, 3))


def test_moved_frames_draw_the_frame_where_the_matrix_takes_it():
    shift = torch.tensor([[1.0, 0, 0.5], [0, 1, 0.25], [0, 0, 1]])
    axis = plots.moved_frames({"shift": shift}, "a shifted frame", reach=2).axes[0]
    start, end = (line for line in axis.lines if line.get_marker() == "o")
    assert (start.get_color(), start.get_xydata().tolist()) == (palette.TARGET, [[-1, -1]])
    assert (end.get_color(), end.get_xydata().tolist()) == (palette.SOURCE, [[-0.5, -0.75]])
    corners = torch.cat([points[[0, -1]] for points in drawn(axis) if len(points) == 65]).unique(dim=0).tolist()
    assert [-0.5, -0.75] in corners and [1.5, 1.25] in corners and [-1, -1] in corners
    assert axis.get_ylim() == (2, -2)


def test_moved_frames_break_off_where_the_third_coordinate_is_not_positive():
    tilted = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 2, 1]])
    ends = plots.moved_frames({"a horizon inside": tilted}, "a torn frame").axes[0].lines[-1].get_xydata()
    assert np.isnan(ends).all()  # the top left corner lies beyond the horizon


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda axis: plots.show_pixels(axis, torch.rand(3, 4, 4)), r"one grey image \(1, H, W\), got .*\(3, 4, 4\)"),
        (lambda axis: plots.draw_points(axis, torch.rand(4, 2), torch.rand(3, 2)), r"points \(4, 2\), got .*\(3, 2\)"),
        (lambda axis: plots.draw_curves(axis, [0, 1], {"a": [0]}), "expected 2 values, one for each x, got 1 for 'a'"),
        (
            lambda axis: plots.draw_curves(axis, [0], {"a": [0]}, legend="below"),
            "legend as one of inside, above, right",
        ),
        (lambda axis: plots.moved_frames({"a": torch.eye(2)}, "two rows"), r"a matrix \(3, 3\), got .*\(2, 2\)"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, message):
    _, [axis] = plots.panels("nothing")
    with pytest.raises(ValueError, match=message):
        draw(axis)


@pytest.mark.parametrize(("zoom", "reach"), [(0.5, 1.05), (1.5, 1.55), (9.0, 2.05)])
def test_a_frame_that_reaches_beyond_the_picture_is_drawn_whole_within_reason(digits, zoom, reach):
    images, labels = digits
    model = STCNN().eval()
    model.spatial_transformer.localisation[-1].bias.data.copy_(zoom * Affine().identity())
    where_it_looks = plots.learned_transformations(model, images, labels).axes[len(images)]
    assert where_it_looks.get_xlim() == pytest.approx((-reach, reach))
    assert where_it_looks.get_ylim() == pytest.approx((reach, -reach))
