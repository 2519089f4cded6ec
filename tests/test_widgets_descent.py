"""`widgets`: descent on θ goes where autograd says, and every preset does what its name says."""

import io
import math

import numpy as np
import pytest
import torch
from elsewhere import elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import few, seeds, uniform

from stn_course.algebra import from_parts
from stn_course.drawing.aims import Recognition, blurred
from stn_course.drawing.descent import FIRST, PRESETS, STEPS, RecognitionScene
from stn_course.drawing.descent_panels import SIDE, TITLE, input_panel, loss_panel, outline_of, pushes
from stn_course.drawing.trajectory import SHARP_AFTER, Trajectory
from stn_course.sampling import nearest_sample
from stn_course.spatial_transformer import warp
from stn_course.transforms import FAMILIES, Affine, Attention, Projective, ThinPlateSpline
from stn_course.widgets import ClassifierDescent, ThetaDescent
from stn_course.widgets.descent import RATES, YOUR_OWN

pytestmark = pytest.mark.usefixtures("one_thread")


def settings_of(descent):
    """What the controls say, but for the step."""
    return {name: value for name, value in descent.state().items() if name != "step"}


@pytest.fixture(scope="module")
def shared():
    """One explorer for the tests that leave its controls alone: the trajectories are remembered."""
    return ThetaDescent()


@pytest.fixture
def descent(shared):
    fresh = ThetaDescent()
    fresh.scene._trajectories = shared.scene._trajectories
    return fresh


def picture(descent) -> Image.Image:
    return Image.open(io.BytesIO(bytes(descent.picture.value))).convert("RGB")


def panels(image: Image.Image) -> list[np.ndarray]:
    """The drawing areas of input, output and loss, without titles and captions."""
    return [np.asarray(image)[8 + TITLE :, 8 + i * (SIDE + 20) :][:SIDE, :SIDE] for i in range(3)]


# --- the gradient, and the steps it makes


@few
@given(st.sampled_from(FAMILIES), seeds)
def test_loss_and_gradient_are_those_of_warp_and_autograd(transform, seed):
    image, template = uniform(seed, 9, 7), uniform(seed + 1, 6, 8)
    theta = transform.identity().double() + uniform(seed + 2, transform.n_params, low=-0.3, high=0.3)
    ours = Trajectory(image, template, theta, transform, rate=0.1)
    theta = theta.requires_grad_()
    loss = (warp(image[None, None], theta[None], transform, (6, 8))[0, 0] - template).square().mean()
    loss.backward()
    assert math.isclose(ours.loss(0), loss.item(), rel_tol=1e-6)
    np.testing.assert_allclose(ours.gradient(0), theta.grad, rtol=1e-5, atol=1e-6)


def test_a_step_goes_against_the_gradient_by_the_rate():
    image, template = uniform(0, 2, 9, 9)
    for rate in (0.1, 0.4):
        descent = Trajectory(image, template, Affine().identity() + 0.03, Affine(), rate)
        for step in (0, 1, 5):
            expected = descent.theta(step) - rate * descent.gradient(step)
            np.testing.assert_allclose(descent.theta(step + 1), expected, rtol=0, atol=1e-12)


def test_steps_may_be_asked_for_in_any_order():
    image, template = uniform(0, 2, 9, 9)
    one, other = (Trajectory(image, template, Affine().identity(), Affine(), 0.2) for _ in range(2))
    backwards = [one.theta(step) for step in (20, 7, 0)]
    forwards = [other.theta(step) for step in (0, 7, 20)]
    assert all(np.array_equal(a, b) for a, b in zip(backwards, reversed(forwards)))
    assert len(one.losses(7)) == 8 and one.losses(20)[-1] == one.loss(20)


@few
@given(st.sampled_from(FAMILIES), seeds)
def test_nearest_has_no_gradient_and_the_loss_of_nearest_sample(transform, seed):
    image, template = uniform(seed, 9, 7), uniform(seed + 1, 6, 8)
    theta = transform.identity().double() + uniform(seed + 2, transform.n_params, low=-0.3, high=0.3)
    descent = Trajectory(image, template, theta, transform, rate=5.0, sampler="nearest")
    output = warp(image[None, None], theta[None], transform, (6, 8), sampler=nearest_sample)[0, 0]
    assert math.isclose(descent.loss(0), (output - template).square().mean().item(), rel_tol=1e-6)
    assert np.array_equal(descent.theta(9), theta) and not descent.gradient(9).any()


def test_a_blur_is_a_gaussian_and_fades():
    spot = np.zeros((31, 31))
    spot[15, 15] = 1.0
    soft = blurred(spot, 2.0)
    distance = np.arange(31) - 15
    assert math.isclose(soft.sum(), 1, abs_tol=1e-9)
    assert math.isclose((soft.sum(0) * distance**2).sum(), 4, rel_tol=1e-2)  # variance σ²
    np.testing.assert_allclose(soft, soft.T)
    descent = Trajectory(uniform(0, 9, 9), uniform(1, 9, 9), Affine().identity(), Affine(), 0.1, blur=6.0)
    assert descent.blur(0) == 6 and descent.blur(SHARP_AFTER // 2) == 3
    assert descent.blur(SHARP_AFTER) == descent.blur(STEPS) == 0


def test_under_a_blur_descent_follows_the_blurred_pictures_and_the_loss_is_that_of_the_sharp_ones(shared):
    image, template = shared.image[0].double(), shared.template[0].double()
    theta = from_parts(torch.tensor([[10.0, 0.8, 0.8, 0, 0.1, 0]], dtype=torch.float64))[0]
    sharp, soft = (Trajectory(image, template, theta, Affine(), 0.1, blur=blur) for blur in (0.0, 4.0))
    assert soft.loss(0) == sharp.loss(0)
    image, template = (torch.from_numpy(blurred(pixels.numpy(), 4.0)) for pixels in (image, template))
    theta.requires_grad_()
    (warp(image[None, None], theta[None])[0, 0] - template).square().mean().backward()
    direction = soft.gradient(0) / np.linalg.norm(soft.gradient(0))
    np.testing.assert_allclose(direction, theta.grad / theta.grad.norm(), atol=1e-4)
    assert np.linalg.norm(soft.gradient(0)) > 3 * theta.grad.norm()  # and its slopes count as much as sharp ones


def test_the_start_is_the_one_the_parts_say(shared):
    start = {"rotation": 30.0, "scale": 0.8, "shift_x": 0.1, "shift_y": -0.2}
    expected = from_parts(torch.tensor([[30.0, 0.8, 0.8, 0, 0.1, -0.2]], dtype=torch.float64))[0]
    np.testing.assert_allclose(shared.trajectory(**start).theta(0), expected)
    attention = ThetaDescent(transform=Attention())
    assert attention.trajectory(scale=0.5, shift_x=0.25, shift_y=-0.5).theta(0).tolist() == [0.5, 0.25, -0.5]
    assert attention.rotation.disabled


# --- what the presets claim


def losses(shared, name: str) -> np.ndarray:
    return shared.trajectory(**PRESETS[name]).losses(STEPS)


def output(shared, name: str, step: int) -> torch.Tensor:
    theta = torch.from_numpy(shared.trajectory(**PRESETS[name]).theta(step)).float()
    return warp(shared.image[None], theta[None])[0]


def test_works(shared):
    loss = losses(shared, "works")
    assert (np.diff(loss) < 0).all() and loss[-1] < loss[0] / 50
    assert np.argmax(loss < loss[0] / 10) < 80
    assert (output(shared, "works", STEPS) - shared.template).abs().mean() < 0.02


def test_crawls(shared):
    loss = losses(shared, "crawls")
    assert (np.diff(loss) < 0).all() and loss[-1] > loss[0] / 2


def test_overshoots(shared):
    loss = losses(shared, "overshoots")
    assert (np.diff(loss) > 0).sum() > 30  # up and down,
    assert loss.min() > loss[0] / 10 and loss[-1] < 0.7 * loss[0]  # near, and never there


def test_runs_away_to_a_blank_picture(shared):
    loss = losses(shared, "runs away to a blank picture")
    assert loss[1] > loss[0]
    assert output(shared, "runs away to a blank picture", 20).abs().max() == 0
    assert math.isclose(loss[-1], shared.template.square().mean(), rel_tol=1e-5)
    assert not shared.trajectory(**PRESETS["runs away to a blank picture"]).gradient(20).any()  # and stays there


def test_nearest_does_not_move(shared):
    descent = shared.trajectory(**PRESETS["nearest: does not move"])
    assert np.array_equal(descent.theta(0), descent.theta(STEPS))
    assert descent.loss(0) > 0.05


def test_stuck_in_the_wrong_valley(shared):
    descent = shared.trajectory(**PRESETS["stuck in the wrong valley"])
    assert descent.loss(STEPS) > descent.loss(0) / 2
    assert np.linalg.norm(descent.gradient(STEPS)) < np.linalg.norm(descent.gradient(0)) / 5
    helped = shared.trajectory(**PRESETS["stuck in the wrong valley"] | {"blur": 5.0})
    assert helped.loss(STEPS) < helped.loss(0) / 50


def test_too_far_away_no_gradient_reaches_and_blurred_one_does(shared):
    sharp = shared.trajectory(**PRESETS["too far away: no gradient reaches"])
    assert not sharp.gradient(0).any() and np.array_equal(sharp.theta(0), sharp.theta(STEPS))
    soft = shared.trajectory(**PRESETS["the same, blurred"])
    assert np.array_equal(soft.theta(0), sharp.theta(0))
    assert soft.loss(STEPS) < soft.loss(0) / 50
    different = {name for name in FIRST if PRESETS["the same, blurred"][name] != PRESETS[TOO_FAR][name]}
    assert different == {"blur"}


TOO_FAR = "too far away: no gradient reaches"


# --- a classifier in the template's place


def reader(height=6, width=8, classes=4):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Dropout(0.5),
        torch.nn.Linear(3 * (height - 2) * (width - 2), classes),
    )  # fmt: skip


@few
@given(st.sampled_from(FAMILIES), seeds)
def test_several_images_that_share_theta_have_the_gradient_of_their_mean_cross_entropy(transform, seed):
    images, labels, classifier = uniform(seed, 3, 9, 7), torch.tensor([2, 0, 3]), reader()
    theta = transform.identity().double() + uniform(seed + 2, transform.n_params, low=-0.3, high=0.3)
    ours = Trajectory(images, Recognition(classifier, labels, (6, 8)), theta, transform, rate=0.1)
    theta = theta.requires_grad_()
    outputs = warp(images[:, None], theta.expand(3, -1), transform, (6, 8))
    loss = torch.nn.functional.cross_entropy(classifier.eval()(outputs.float()), labels)
    loss.backward()
    assert math.isclose(ours.loss(0), loss.item(), rel_tol=1e-4)
    np.testing.assert_allclose(ours.gradient(0), theta.grad, rtol=2e-3, atol=1e-5)


def test_a_classifier_is_copied_and_left_as_it_is():
    classifier = reader().train()
    scene = RecognitionScene(uniform(0, 4, 1, 6, 8), classifier, torch.tensor([0, 1, 2, 3]))
    before = scene.compose(2, digits=4).tobytes()
    state = torch.random.get_rng_state()
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.zero_()
    scene._trajectories.clear()
    with torch.inference_mode():
        assert scene.compose(2, digits=4).tobytes() == before
    assert classifier.training and all(parameter.requires_grad for parameter in classifier.parameters())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_loss_falls_and_the_picture_says_what_the_classifier_reads():
    explorer = ClassifierDescent(uniform(1, 5, 1, 6, 8), reader(), torch.tensor([1, 1, 2, 1, 0]))
    explorer.digits.value = 5
    explorer.step.value = 40
    descent = explorer.trajectory(digits=5)
    assert descent.loss(40) < descent.loss(0)
    assert picture(explorer).tobytes() == explorer.compose(**explorer.state()).tobytes()
    shown = explorer.scene.aims[5].verdict(descent.outputs(40, explorer.scene.images.double().numpy()))
    output = warp(explorer.scene.images[:1, None], torch.from_numpy(descent.theta(40))[None].float())
    chances = reader().eval()(output).softmax(1)[0]
    assert shown == f"says {chances.argmax()}, {chances.max():.0%}"


def test_the_controls_of_a_classifiers_descent_are_its_settings():
    explorer = ClassifierDescent(uniform(1, 5, 1, 6, 8), reader(), torch.tensor([1, 1, 2, 1, 0]))
    assert list(explorer.controls) == ["preset", "play", "reset", *explorer.scene.start]
    assert [*explorer.scene.presets] == ["one digit", "5 digits, one θ", "turned too far"]
    for name, preset in explorer.scene.presets.items():
        explorer.preset.value = name
        assert settings_of(explorer) == preset
    assert "blur" not in explorer.controls and "sampler" not in explorer.controls
    assert [*RecognitionScene(uniform(1, 1, 1, 6, 8), reader(), torch.tensor([1])).aims] == [1]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (uniform(1, 2, 6, 8), torch.tensor([1, 2]), r"images \(N, 1, H, W\), got a tensor of shape \(2, 6, 8\)"),
        (uniform(1, 2, 3, 6, 8), torch.tensor([1, 2]), r"images \(N, 1, H, W\)"),
        (uniform(1, 0, 1, 6, 8), torch.tensor([]).long(), r"images \(N, 1, H, W\)"),
        (uniform(1, 2, 1, 6, 8), torch.tensor([1]), "a label for each of 2 images"),
        (uniform(1, 2, 1, 6, 8), torch.tensor([1.0, 2.0]), "labels as whole numbers"),
        (uniform(1, 2, 1, 6, 8), torch.tensor([1, 4]), r"classes up to 4, got logits of shape \(2, 4\)"),
        (torch.full((1, 1, 6, 8), math.nan), torch.tensor([1]), "finite values"),
    ],
    ids=["three axes", "colours", "none", "too few", "floats", "no such class", "nan"],
)
def test_what_a_classifier_cannot_read_is_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ClassifierDescent(images, reader(), labels)


def test_settings_that_a_descent_lacks_are_refused(shared):
    scene = RecognitionScene(uniform(1, 5, 1, 6, 8), reader(), torch.tensor([1, 1, 2, 1, 0]))
    with pytest.raises(TypeError, match="expected settings out of rate, digits, rotation"):
        scene.compose(blur=3.0)
    with pytest.raises(ValueError, match="expected digits as one of 1, 5, got 3"):
        scene.compose(digits=3)
    with pytest.raises(TypeError, match="expected settings out of rate, blur"):
        shared.compose(digits=5)


# --- the picture


@pytest.mark.parametrize("state", [{"step": 30}, {"step": 0, "sampler": "nearest", "rotation": 35.0}], ids=str)
def test_the_output_panel_shows_what_warp_gives(shared, state):
    theta = torch.from_numpy(shared.trajectory(**{k: v for k, v in state.items() if k != "step"}).theta(state["step"]))
    sampler = {"sampler": nearest_sample} if state.get("sampler") == "nearest" else {}
    seen = warp(shared.image[None], theta[None].float(), **sampler)[0, 0]
    expected = (seen.clamp(0, 1) * 255).round().numpy().astype(int).repeat(7, 0).repeat(7, 1)
    shown = panels(shared.compose(**state))[1].astype(int)
    grey = (shown == shown[..., :1]).all(-1)  # neither outline nor border
    assert grey.mean() > 0.85
    assert np.array_equal(shown[..., 0][grey], expected[grey])


def test_the_input_panel_shows_the_image_under_the_frame(shared):
    shown = panels(shared.compose(0))[0][42:-42, 42:-42].astype(int)  # five pixels of the screen for one of the image
    expected = (shared.image[0] * 255).round().numpy().astype(int).repeat(5, 0).repeat(5, 1)
    grey = (shown == shown[..., :1]).all(-1)
    assert grey.mean() > 0.9
    assert np.array_equal(shown[..., 0][grey], expected[grey])


def test_under_the_loss_stands_the_blur_of_the_step_that_is_shown(shared, monkeypatch):
    said = []
    monkeypatch.setattr(
        "stn_course.drawing.descent.loss_panel", lambda *given: said.append(given[3]) or loss_panel(*given)
    )
    for step in (0, 30, SHARP_AFTER, STEPS):
        shared.compose(step, blur=11.0)
    assert said == [f"rate 0.1 · bilinear · {blur}" for blur in ("blur 11.0 px", "blur 5.5 px", "no blur", "no blur")]


def test_corners_are_pushed_where_the_next_step_takes_them(shared):
    descent = shared.trajectory()
    theta, gradient = descent.theta(10), descent.gradient(10)
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    before, after = (corners @ descent.theta(step).reshape(2, 3).T for step in (10, 11))
    np.testing.assert_allclose(pushes(theta, gradient, Affine()) * FIRST["rate"], after - before, atol=1e-6)


def test_control_points_are_pushed_against_their_own_gradient():
    spline, gradient = ThinPlateSpline(3), uniform(1, 18).numpy()
    theta = spline.identity().double().numpy() + 0.1
    np.testing.assert_allclose(pushes(theta, gradient, spline).ravel(), -gradient, atol=1e-9)
    grey = torch.full((1, 42, 42), 0.5)
    still, moved = (
        np.asarray(input_panel(grey, theta, theta, way, spline)).astype(int) for way in (0 * gradient, gradient)
    )
    changed = (still != moved).any(2)[TITLE : TITLE + SIDE]
    for x, y in ((theta.reshape(-1, 2) / 1.4 + 1) * SIDE / 2).round().astype(int)[[0, 1, 3, 4]]:
        assert changed[y - 12 : y + 12, x - 12 : x + 12].any()


def test_the_readout_breaks_a_long_theta_into_lines():
    few, many = ThetaDescent(), ThetaDescent(transform=ThinPlateSpline())
    assert few.readout.value.count("\n") == 1 and many.readout.value.count("\n") == 4
    assert few.readout.layout.height == "52px" and many.readout.layout.height == "112px"


def test_no_arrow_is_drawn_where_there_is_no_gradient(shared):
    def green(image):
        r, g, b = np.moveaxis(panels(image)[0].astype(int), -1, 0)
        return ((g > r + 60) & (g > b + 20)).sum()

    assert green(shared.compose(0)) > 200
    assert green(shared.compose(0, sampler="nearest")) == 0


def test_an_outline_follows_the_edges_of_the_pixels():
    template = torch.zeros(5, 5)
    template[1:4, 1:4] = 1
    template[2, 2] = 0
    outer, inner = sorted(outline_of(template), key=len, reverse=True)
    assert np.array_equal(outer[0], outer[-1]) and np.array_equal(inner[0], inner[-1])
    assert np.allclose(np.abs(outer).max(0), 0.6) and np.allclose(np.abs(inner).max(0), 0.2)
    assert outline_of(torch.zeros(3, 4)) == []


def test_the_outline_of_noise_goes_around_every_bright_pixel_once():
    bright = uniform(0, 150, 200) > 0.5
    outlines = outline_of(bright.float())
    ends = torch.nn.functional.pad(bright.float(), (1, 1, 1, 1))
    sides = ends.diff(dim=0).abs().sum() + ends.diff(dim=1).abs().sum()
    assert sum(len(line) - 1 for line in outlines) == sides
    assert all(np.array_equal(line[0], line[-1]) for line in outlines)
    area = sum((line[:-1, 0] * line[1:, 1] - line[1:, 0] * line[:-1, 1]).sum() / 2 for line in outlines)
    assert area == pytest.approx(4 * bright.double().mean().item())


@pytest.mark.parametrize("size", [(40, 80), (80, 40)], ids=str)
def test_oblong_pictures_keep_their_proportions_and_the_first_frame_its_right_angles(size):
    image = torch.full((1, *size), 0.5)
    descent = ThetaDescent(image, image)
    assert descent.scene.trajectory(rotation=30.0).theta(0) == pytest.approx(
        from_parts(torch.tensor([[30.0, 1, 1, 0, 0, 0]], dtype=torch.float64), size=size)[0].numpy()
    )
    shown, output, _ = (pixels.astype(int) for pixels in panels(descent.compose(0, rotation=30.0, scale=0.5)))
    grey = (np.abs(shown - 128) < 2).all(-1)
    rows, columns = np.nonzero(grey)
    high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert (high, wide) == pytest.approx([SIDE / 1.4 * side / 80 for side in size], abs=2)
    blue = np.nonzero(np.abs(output - (0x00, 0x72, 0xB2)).max(-1) < 40)
    assert [np.ptp(at) + 1 for at in blue] == pytest.approx([SIDE * side / 80 for side in size], abs=2)
    rows, columns = np.nonzero(np.abs(shown - (0xD5, 0x5E, 0x00)).max(-1) < 40)
    turn = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]])
    reach = turn @ (0.5 * wide, 0.5 * high)  # a turned box, half as large, from side to side
    assert np.ptp(columns) == pytest.approx(reach[0], abs=6) and np.ptp(rows) == pytest.approx(reach[1], abs=6)


def test_pictures_of_any_device_that_require_gradients_are_taken():
    there = ThetaDescent(elsewhere(SMALL.image), elsewhere(SMALL.template))
    assert there.compose(3).tobytes() == SMALL.compose(3).tobytes()
    one = Trajectory(SMALL.image[0], SMALL.template[0], Affine().identity(), Affine(), 0.1)
    other = Trajectory(
        elsewhere(SMALL.image[0]), elsewhere(SMALL.template[0]), elsewhere(Affine().identity()), Affine(), 0.1
    )
    assert np.array_equal(one.theta(5), other.theta(5))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 12),
    st.sampled_from(RATES),
    st.sampled_from(["bilinear", "nearest"]),
    st.sampled_from([0.0, 0.5, 12.0]),
    st.floats(-180, 180),
    st.floats(0.3, 2),
    st.floats(-1.5, 1.5),
)
def test_the_size_of_the_picture_never_changes(step, rate, sampler, blur, rotation, scale, shift):
    state = {"rate": rate, "sampler": sampler, "blur": blur, "rotation": rotation, "scale": scale, "shift_x": shift}
    one, other = SMALL.compose(step, **state), ThetaDescent(SMALL.image, SMALL.template).compose(step, **state)
    assert one.size == (938, 368)
    assert one.tobytes() == other.tobytes()  # whatever was asked for before


SMALL = ThetaDescent(uniform(0, 1, 8, 9), uniform(1, 1, 7, 8))


@pytest.mark.parametrize("transform", [Attention(), Projective()], ids=repr)
def test_other_families_descend_too(transform):
    descent = ThetaDescent(transform=transform)
    descent.step.value = 30
    assert picture(descent).tobytes() == descent.compose(30).tobytes()
    assert descent.scene.trajectory().loss(30) < descent.scene.trajectory().loss(0)


# --- the controls


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", 40), ("play", 17), ("rate", 0.5), ("blur", 3.0), ("sampler", "nearest"),
        ("rotation", 20.0), ("scale", 0.7), ("shift_x", 0.3), ("shift_y", -0.3), ("preset", "overshoots"),
    ],
)  # fmt: skip
def test_every_control_drives_the_picture(descent, name, value):
    descent.step.value = 5
    before = picture(descent)
    descent.controls[name].value = value
    assert picture(descent).tobytes() == descent.compose(**descent.state()).tobytes()
    assert picture(descent).tobytes() != before.tobytes()
    if name in FIRST:
        assert settings_of(descent) == FIRST | {name: value}


def test_the_keys_of_the_controls_are_their_names(descent):
    assert list(descent.controls) == ["preset", "play", "reset", "step", *FIRST]
    assert all(getattr(descent, name) is control for name, control in descent.controls.items())


def test_play_and_step_go_together(descent):
    descent.play.value = 12
    assert descent.step.value == 12
    descent.step.value = 30
    assert descent.play.value == 30
    assert (descent.play.min, descent.play.max) == (descent.step.min, descent.step.max) == (0, STEPS)


def test_reset_returns_to_the_first_state_and_stops_playing(descent):
    first, readout = picture(descent), descent.readout.value
    assert descent.step.value == 0 and settings_of(descent) == FIRST and descent.preset.value == "works"
    playing = "playing" if descent.play.has_trait("playing") else "_playing"
    setattr(descent.play, playing, True)
    for name, value in (PRESETS["the same, blurred"] | {"sampler": "nearest", "rotation": 45.0, "step": 33}).items():
        descent.controls[name].value = value
    assert picture(descent).tobytes() != first.tobytes()
    descent.reset.click()
    assert picture(descent).tobytes() == first.tobytes() and descent.readout.value == readout
    assert descent.step.value == 0 and settings_of(descent) == FIRST and descent.preset.value == "works"
    assert getattr(descent.play, playing) is False


def test_a_preset_sets_the_controls_leaves_the_step_and_redraws_once(descent):
    descent.step.value = 8
    drawn = []
    descent.picture.observe(lambda change: drawn.append(change["new"]), names="value")
    for name, preset in PRESETS.items():
        descent.preset.value = name
        assert settings_of(descent) == preset and descent.step.value == 8 and descent.preset.value == name
        assert picture(descent).tobytes() == descent.compose(8, **preset).tobytes()
    assert len(drawn) <= len(PRESETS)
    drawn.clear()
    descent.reset.click()
    assert len(drawn) == 1


def test_the_preset_says_what_the_controls_say(descent):
    descent.rate.value = 0.2
    assert descent.preset.value == "overshoots"
    descent.scale.value = 0.7
    assert descent.preset.value == YOUR_OWN
    descent.preset.value = "overshoots"
    assert descent.scale.value == 1


def test_the_readout_tells_the_numbers(descent):
    descent.step.value = 3
    trajectory = descent.scene.trajectory()
    text = descent.readout.value
    assert "step   3" in text and f"loss {trajectory.loss(3):.4f}" in text
    assert f"|gradient| {np.linalg.norm(trajectory.gradient(3)):.4f}" in text
    assert all(f"{value:.3f}".replace("-", "−") in text for value in trajectory.theta(3))
    descent.blur.value = 6.0
    assert "blur 5.7 px" in descent.readout.value


def test_out_of_all_bounds_the_run_ends_with_words_and_the_last_good_picture(descent):
    descent.rate.options = [("0.1", 0.1), ("huge", 1e308)]
    descent.rate.value = 1e308
    assert descent.message.value == ""
    descent.step.value = 30
    ended = descent.scene.trajectory(rate=1e308).ended
    assert ended is not None and f"After step {ended} θ runs out of all bounds" in descent.message.value
    assert picture(descent).tobytes() == descent.compose(ended, rate=1e308).tobytes()
    descent.rate.value = 0.1
    assert descent.message.value == ""


def test_the_still_strip_holds_the_same_pictures(shared):
    still = shared.figure([{"step": 0}, PRESETS["overshoots"] | {"step": 9}])
    first = shared.compose(0)
    assert still.image.crop((0, 0, *first.size)).tobytes() == first.tobytes()
    assert "after step 9 at rate 0.2 the loss is" in still.alt
    assert shared.figure([{}], alt="words").alt == "words"


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        (torch.zeros(42, 42), ValueError, r"image of shape \(1, H, W\), got a tensor of shape \(42, 42\)"),
        (torch.zeros(3, 42, 42), ValueError, r"got a tensor of shape \(3, 42, 42\)"),
        (torch.zeros(1, 0, 42), ValueError, r"got a tensor of shape \(1, 0, 42\)"),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), TypeError, "floating-point tensor.*uint8"),
        (torch.full((1, 4, 4), float("nan")), ValueError, "finite values, got NaN"),
        ("four.png", TypeError, "got a str"),
    ],
    ids=["no channel", "three channels", "empty", "integers", "nan", "a name"],
)
def test_what_is_no_image_is_refused(image, kind, message):
    with pytest.raises(kind, match=message):
        ThetaDescent(image, torch.zeros(1, 4, 4))
    with pytest.raises(kind, match=message.replace("image", "template")):
        ThetaDescent(torch.zeros(1, 4, 4), image)


@pytest.mark.parametrize("start", [{"scale": float("nan")}, {"shift_x": float("inf")}, {"scale": 1e300}], ids=str)
def test_a_start_beyond_all_bounds_is_refused(shared, start):
    with pytest.raises(ValueError, match=r"finite numbers up to 1e\+06, got \["):
        shared.compose(**start)


@pytest.mark.parametrize("blur", [float("nan"), float("inf"), -1.0])
def test_a_blur_that_is_none_is_refused(shared, blur):
    with pytest.raises(ValueError, match="expected blur as 0 pixels or more, got"):
        shared.compose(blur=blur)


def test_a_step_before_the_start_is_refused(shared):
    with pytest.raises(ValueError, match="expected step as 0 or more, got -1"):
        shared.compose(-1)


@pytest.mark.parametrize("name", ["blur", "rotation", "scale", "shift_x", "shift_y"])
def test_a_slider_that_is_no_number_is_told_in_words_and_the_picture_kept(descent, name):
    before = picture(descent)
    descent.controls[name].value = float("nan")
    assert "Not drawn:" in descent.message.value and "nan" in descent.message.value
    assert picture(descent).tobytes() == before.tobytes()
    descent.reset.click()
    assert descent.message.value == "" and settings_of(descent) == FIRST


def test_an_image_without_a_template_and_an_unknown_sampler_are_refused(shared):
    with pytest.raises(ValueError, match="an image and a template, or neither"):
        ThetaDescent(image=torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="one of bilinear, nearest, got 'cubic'"):
        shared.compose(sampler="cubic")


def test_only_so_many_trajectories_are_remembered():
    descent = ThetaDescent(SMALL.image, SMALL.template)
    for rate in np.linspace(0.1, 0.2, 100):
        descent.scene.trajectory(rate=float(rate))
    assert len(descent.scene._trajectories) <= 64
