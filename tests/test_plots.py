"""`plots`: what is drawn lies where the sampler looks, and says in words what it shows."""

import pytest
import torch

from stn_course import plots
from stn_course.data import Normalise, load_mnist
from stn_course.distortions import RTS
from stn_course.models import STCNN
from stn_course.sampling import to_pixels
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Attention, Projective

THETA = torch.tensor([0.6, -0.35, 0.1, 0.35, 0.6, -0.1])


@pytest.fixture(scope="module")
def digits():
    data = load_mnist("test", offline=True)[:5]
    return RTS()(data.images.float() / 255, torch.Generator().manual_seed(0)), data.labels


def drawn(axis):
    """The lines drawn on an axis, as (N, 2) tensors."""
    return [torch.tensor(line.get_xydata()) for line in axis.lines]


@pytest.mark.parametrize("transform", [Affine(), Attention(), Projective()])
def test_the_border_of_the_identity_is_the_edge_of_the_image(transform):
    border = plots.target_border(transform.identity(), transform)
    assert torch.equal(border.abs().amax(1), torch.ones(len(border)))
    assert torch.equal(border[0], torch.tensor([-1.0, -1.0])) and torch.equal(border[0], border[-1])
    assert torch.equal(border[32], torch.tensor([1.0, -1.0]))  # it goes to the right first: y points down


def test_the_border_lies_half_a_pixel_outside_the_outermost_samples():
    theta, size = THETA, (10, 14)
    corner = to_pixels(plots.target_border(theta)[0], size)
    grid = to_pixels(Affine().grid(theta[None], size), size)[0]
    step_right, step_down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    torch.testing.assert_close(corner, grid[0, 0] - step_right / 2 - step_down / 2, atol=1e-4, rtol=0)


def test_a_projective_border_is_the_transform_of_the_corners():
    theta = Projective().identity() + torch.tensor([0, 0, 0, 0, 0, 0, 0.5, 0])
    border = plots.target_border(theta, Projective(), points=2)
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
    torch.testing.assert_close(drawn(second_row)[0].float(), plots.target_border(THETA))
    third_row = figure.axes[2 * len(images)].images[0].get_array().data
    seen = warp(images, THETA.expand(len(images), 6))[0, 0].clamp(0, 1)
    torch.testing.assert_close(torch.tensor(third_row), seen, atol=1e-5, rtol=0)
    assert "it says" in figure.alt


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


def test_learning_curves_are_grey_for_a_baseline_and_logarithmic_for_a_loss():
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    figure = plots.learning_curves({"CNN": rows, "ST-CNN": rows[:1]})
    baseline, ours = figure.axes[0].lines
    assert baseline.get_color() == plots.BASELINE and ours.get_color() == plots.TARGET
    assert list(baseline.get_ydata()) == [0.5, 0.25]
    assert figure.axes[0].get_yscale() == "log"
    assert figure.alt == "loss by epoch: CNN ends at 0.25, ST-CNN ends at 0.5"


def test_recovered_poses_reports_the_correlation_it_shows():
    theta = RTS().sample(200, torch.Generator().manual_seed(0))
    pose = RTS().pose(theta)
    figure = plots.recovered_poses(pose, pose._replace(scale=pose.scale.flip(0)))
    assert figure.axes[0].get_title() == "angle: correlation 1.00"
    assert abs(float(figure.axes[1].get_title().split()[-1])) < 0.3


def test_a_figure_shows_itself_as_a_picture_with_words(digits):
    data, metadata = plots.image_grid(digits[0], alt="five digits")._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "five digits" == metadata["image/png"]["alt"]


def test_the_readers_own_matplotlib_settings_stay_as_they_are(digits):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.image_grid(digits[0]).png()
    assert dict(matplotlib.rcParams) == before
