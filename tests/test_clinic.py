"""The clinic: each fault is the first finding, in its patient and in three others; healthy models have none."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stn_course.clinic import TESTS, examine, follow, in_training
from stn_course.clinic.case import Case
from stn_course.data import Batches, Normalise, load_mnist
from stn_course.distortions import RTS
from stn_course.exercises import patients
from stn_course.exercises.patients import FAULTS, LONG, PATIENTS, SEEN, WIDE, Healthy, admit, pictures
from stn_course.experiments import load_pretrained
from stn_course.models import (
    STFCN,
    AdditionSTFCN,
    CropSTCNN,
    STClassifier,
    TutorialSTN,
    TwiceSTCNN,
)
from stn_course.sampling import nearest_sample
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import Affine, Attention, ThinPlateSpline


def batch(kind="square", count=32):
    images, labels = pictures(kind)
    return images[:count], labels[:count]


@pytest.fixture
def hasty(monkeypatch):
    """The last test, which takes longest, is cut short: for where one before it finds something."""
    monkeypatch.setattr(in_training, "OVERFIT_STEPS", 5)


def found_in(model, data, optimizer=None):
    first = examine(model, data, optimizer).first
    return first and first.fault


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("letter", PATIENTS)
def test_the_fault_of_each_patient_is_found_first(letter):
    model, optimizer, (images, labels) = admit(letter)
    assert found_in(model, (images[:32], labels[:32]), optimizer) == PATIENTS[letter].fault


def test_every_fault_has_a_patient():
    assert sorted(patient.fault for patient in PATIENTS.values()) == sorted(FAULTS)


def test_a_patient_without_its_fault_is_healthy():
    model, optimizer, (images, labels) = admit("healthy")
    found = examine(model, (images[:32], labels[:32]), optimizer)
    assert found.findings == [] and found.fine.keys() == TESTS.keys()


# Three others of each fault, written in other ways


def layer(localisation=None, pixels=(20, 20), classifier=None, **settings):
    """A transformer of the course, then a classifier."""
    family = settings.get("transform", Affine())
    localisation = localisation or nn.Sequential(nn.Flatten(), theta_head(pixels[0] * pixels[1], family))
    out = settings.get("output_size") or pixels
    classifier = classifier or nn.Sequential(nn.Flatten(), nn.Linear(out[0] * out[1], 10))
    return STClassifier(SpatialTransformer(localisation, **settings), classifier)


def with_theta(model, *theta):
    model.spatial_transformer.localisation[-1].bias.data = torch.tensor(theta)
    return model


def by_hand(theta, x, order, ends=None):
    """A grid made by hand: rows and columns from -1 to 1 times `ends`, in an order, times the matrix."""
    height, width = x.shape[2:]
    rows = torch.linspace(-1, 1, height) * (1 - 1 / height if ends is None else ends)
    columns = torch.linspace(-1, 1, width) * (1 - 1 / width if ends is None else ends)
    y, x_ = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack({"xy": (x_, y), "yx": (y, x_)}[order], -1)
    points = torch.cat((points, torch.ones(height, width, 1)), -1)
    return torch.einsum("hwk,bik->bhwi", points, theta)


class SmallWeights(Healthy):
    def begin(self, head):
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)


class IdentityInTheWrongOrder(Healthy):
    start = (1.0, 0, 0, 1, 0, 0)


class ThrownAway(STClassifier):
    def forward(self, x):
        self.spatial_transformer(x)
        return self.classifier(x)


class OnlyInEvaluation(STClassifier):
    def forward(self, x):
        return self.classifier(x if self.training else self.spatial_transformer(x))


class TimesNothing(STClassifier):
    def forward(self, x):
        return self.classifier(x + 0 * self.spatial_transformer(x))


class RowsAndColumns(Healthy):
    def grid(self, theta, x):
        return by_hand(theta, x, "yx")


class RowsOfTheta(Healthy):
    def grid(self, theta, x):
        return super().grid(theta.flip(1), x)


class OwnFamily(Affine):
    def map(self, theta, points):
        return super().map(theta, points).flip(-1)

    def grid(self, theta, size, align_corners=False):
        return super().grid(theta, size, align_corners).flip(-1)


class SampledByCentres(Healthy):
    def sample(self, x, grid):
        return F.grid_sample(x, grid, align_corners=True)


class FromEndToEnd(Healthy):
    def grid(self, theta, x):
        return by_hand(theta, x, "xy", ends=1)


def by_centres(images, grid, padding_mode, align_corners):
    return F.grid_sample(images, grid, "bilinear", padding_mode, align_corners=not align_corners)


class ToPixels(Healthy):
    def sample(self, x, grid):
        return super().sample(x, ((grid + 1) * 10 - 0.5).round().add(0.5) / 10 - 1)


def by_index(images, grid, padding_mode, align_corners):
    height, width = images.shape[2:]
    column = ((grid[..., 0] + 1) * width / 2).long().clamp(0, width - 1)
    row = ((grid[..., 1] + 1) * height / 2).long().clamp(0, height - 1)
    return torch.stack([image[:, r, c] for image, r, c in zip(images, row, column)])


class InACorner(Healthy):
    start = (0.3, 0, -0.7, 0, 0.3, -0.7)


class TiedToTheMiddle(Healthy):
    def grid(self, theta, x):
        shift = 0.05 * theta[..., 2].tanh()
        return super().grid(torch.cat((0.25 * torch.eye(2).expand(len(x), 2, 2), shift[..., None]), -1), x)


class LengthsSwapped(Healthy):
    def grid(self, theta, x):
        return by_hand(theta, x.mT, "xy").reshape(len(x), *x.shape[2:], 2)


class TurnedBack(Healthy):
    def sample(self, x, grid):
        return super().sample(x, grid).mT

    def grid(self, theta, x):
        return F.affine_grid(theta, (*x.shape[:2], x.shape[3], x.shape[2]), align_corners=False)


class Normed(Healthy):
    def make_classifier(self, pixels):
        return nn.Sequential(nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 10))

    def fed(self, images, epochs=100):
        for _ in range(epochs):
            self(images)
        return self


class ThetaInHalf(Healthy):
    def grid(self, theta, x):
        return super().grid(theta.bfloat16(), x.bfloat16()).float()


class GridInHalf(Healthy):
    def grid(self, theta, x):
        return super().grid(theta, x).half().float()


class Autocast(Healthy):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


def convolutions():
    plain = [nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32), nn.ReLU()]
    return nn.Sequential(*plain, nn.Linear(32, 6))


def parts_of(network):
    return SpatialTransformer(nn.Sequential(nn.Flatten(), theta_head(400, Affine()))), network


def classifier():
    return nn.Sequential(nn.Flatten(), nn.Linear(400, 10))


def stepping(model, make):
    return model, batch(), make(model.parameters())


def colours():
    images, labels = batch()
    numbers = Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return numbers(images.expand(-1, 3, -1, -1)), labels


def lost_in_training():
    model, optimizer, data = admit("G")
    follow(model, optimizer, data, steps=8)
    return model, batch()


OTHERS = {
    "no identity": [
        lambda: (SmallWeights(), batch()),
        lambda: (IdentityInTheWrongOrder(), batch()),
        lambda: (layer(convolutions()), batch()),
    ],
    "original image": [
        lambda: (ThrownAway(*parts_of(classifier())), batch()),
        lambda: (OnlyInEvaluation(*parts_of(classifier())), batch()),
        lambda: (TimesNothing(*parts_of(classifier())), batch()),
    ],
    "x and y swapped": [
        lambda: (RowsAndColumns(), batch()),
        lambda: (RowsOfTheta(), batch()),
        lambda: (layer(transform=OwnFamily()), batch()),
    ],
    "align_corners mismatched": [
        lambda: (SampledByCentres(), batch()),
        lambda: (FromEndToEnd(), batch()),
        lambda: (layer(sampler=by_centres), batch()),
    ],
    "localisation rate too high": [
        lambda: stepping(Healthy(), lambda parameters: torch.optim.Adam(parameters, lr=0.3)),
        lambda: stepping(Healthy(), lambda parameters: torch.optim.SGD(parameters, lr=30, momentum=0.9)),
        lambda: stepping(layer(), lambda parameters: torch.optim.AdamW(parameters, lr=0.1)),
    ],
    "θ has run away": [
        lambda: (with_theta(layer(), 1.0, 0, -3, 0, 1, 0), batch()),
        lambda: (with_theta(layer(transform=Attention()), 40.0, 0, 0), batch()),
        lost_in_training,
    ],
    "nearest sampler": [
        lambda: (layer(sampler=nearest_sample), batch()),
        lambda: (ToPixels(), batch()),
        lambda: (layer(sampler=by_index), batch()),
    ],
    "reach too short": [
        lambda: (InACorner(WIDE, SEEN), batch("wide")),
        lambda: (with_theta(layer(transform=Attention(), pixels=WIDE), 0.25, 0, 0), batch("wide")),
        lambda: (TiedToTheMiddle(WIDE, SEEN), batch("wide")),
    ],
    "zeros that are not black": [
        lambda: (Healthy(), (1 - batch()[0], batch()[1])),
        lambda: (layer(nn.Sequential(nn.Flatten(), theta_head(1200, Affine())), classifier=coloured()), colours()),
        lambda: (TutorialSTN(), (Normalise((0.1307,), (0.3081,))(upright(16)[0]), upright(16)[1])),
    ],
    "H and W swapped": [
        lambda: (layer(pixels=LONG, output_size=LONG[::-1]), batch("long")),
        lambda: (LengthsSwapped(LONG), batch("long")),
        lambda: (TurnedBack(LONG), batch("long")),
    ],
    "batch norm in evaluation": [
        lambda: (Normed().eval(), batch()),
        lambda: (Normed().fed(255 * batch()[0]).eval(), batch()),
        lambda: (Normed().fed(torch.zeros(8, 1, 20, 20)), batch()),
    ],
    "half precision in the grid": [
        lambda: (ThetaInHalf(), batch()),
        lambda: (GridInHalf(), batch()),
        lambda: (Autocast(), batch()),
    ],
}


def coloured():
    return nn.Sequential(nn.Flatten(), nn.Linear(1200, 10))


def upright(count):
    digits = load_mnist("test", offline=True)[:count]
    return digits.images.float() / 255, digits.labels


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("fault", "make"), [(fault, make) for fault, others in OTHERS.items() for make in others])
def test_the_fault_is_found_first_in_others_who_have_it(fault, make):
    torch.manual_seed(0)
    assert OTHERS.keys() == set(FAULTS)
    assert found_in(*make()) == fault


# Healthy models of the course


def crooked(count=4, size=42):
    images, labels = next(iter(Batches(load_mnist("test", offline=True), count)))
    return RTS((size, size))(images, torch.Generator().manual_seed(0)), labels


def sums():
    images, labels = crooked(8)
    return images.unflatten(0, (4, 2)).squeeze(2), labels.unflatten(0, (4, 2)).sum(1)


def photographs():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(4)


MODELS = {
    "ST-CNN, trained": (lambda: load_pretrained("rts-mnist/st-cnn"), crooked),
    "ST-FCN": (STFCN, crooked),
    "ST-FCN, spline": (lambda: STFCN(ThinPlateSpline()), crooked),
    "two looks": (TwiceSTCNN, crooked),
    "addition": (lambda: AdditionSTFCN(transformers=2), sums),
    "LeNet, trained": (lambda: load_pretrained("cifar10/lenet-st"), photographs),
    "batch normalisation, new": (Normed, batch),
    "crop": (CropSTCNN, lambda: crooked(size=60)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_healthy_model_of_the_course_has_no_finding(name):
    torch.manual_seed(0)
    make, data = MODELS[name]
    model = make()
    found = examine(model, data(), torch.optim.Adam(model.parameters(), lr=1e-4))
    assert found.findings == [] and found.untested == {}, str(found)


# What is odd


def test_what_has_no_transformer_is_told_and_tested_as_far_as_it_can_be():
    found = examine(classifier(), batch())
    assert [finding.fault for finding in found.findings] == ["no transformer"]
    assert {"runs", "modes", "overfit one batch"} == found.fine.keys()
    assert set(found.untested.values()) == {"there is no transformer"}


def test_of_several_transformers_the_faulty_one_is_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (parts_of(None)[0] for _ in range(2))
            self.second.sampler = nearest_sample
            self.classifier = classifier()

        def forward(self, x):
            return self.classifier(self.second(self.first(x)))

    first = examine(Two(), batch()[0]).first
    assert first.fault == "nearest sampler" and "transformer 2" in first.seen


def test_a_model_whose_weights_have_no_values_is_not_run():
    found = examine(Healthy().to("meta"), batch())
    assert found.findings == [] and "the device meta" in found.untested["runs"]


def test_images_of_another_shape_are_told_with_the_error():
    found = examine(Healthy(), batch("long"))
    assert found.first.fault == "it does not run" and "RuntimeError" in found.first.seen
    assert set(found.untested.values()) == {"the model has to run first"}
    assert " 2–14                    ○ not made: the model has to run first\nMend first" in str(found)


def test_weights_that_are_no_numbers_come_first():
    model = Healthy()
    model.classifier[1].bias.data[0] = math.nan
    assert "classifier.1.bias" in examine(model, batch()[0]).first.seen


def test_images_that_are_no_numbers_are_told():
    images, labels = batch()
    assert found_in(Healthy(), (images * math.nan, labels)) == "output that is no number"


def test_a_batch_of_one_is_examined_as_far_as_it_can_be():
    assert examine(Healthy(), batch(count=1)).findings == []
    untested = examine(Normed().fed(batch()[0]).eval(), batch(count=1)).untested
    assert "batch of one" in untested["modes"] and "batch of one" in untested["overfit one batch"]


def test_without_labels_or_optimiser_it_says_what_it_needs():
    found = examine(Healthy(), batch()[0])
    assert "optimizer=" in found.untested["rates"] and "(images, labels)" in found.untested["overfit one batch"]
    assert str(found).endswith("Nothing was found by 12 of 14 tests; 2 were not made (○).")


def test_labels_of_other_images_cannot_be_learned_through_a_softmax():
    class Softmax(Healthy):
        def forward(self, x):
            return super().forward(x).softmax(1) * 0.01

    assert found_in(Softmax(), batch()) == "it cannot overfit one batch"


def test_a_head_that_is_cut_off_is_found():
    class Detached(Healthy):
        def grid(self, theta, x):
            return super().grid(theta.detach(), x)

    assert found_in(Detached(), batch()[0]) == "no gradient reaches the head"
    frozen = Healthy()
    frozen.localisation.requires_grad_(False)
    assert found_in(frozen, batch()[0]) == "no gradient reaches the head"


@pytest.mark.usefixtures("hasty")
def test_an_optimiser_that_does_not_train_theta_is_found():
    model = Healthy()
    for optimizer in (torch.optim.Adam(model.classifier.parameters()), patients.optimiser(model, rate=0)):
        assert found_in(model, batch(), optimizer) == "θ is not trained"


@pytest.mark.usefixtures("hasty")
def test_what_follows_from_a_frame_outside_is_not_told_as_a_fault_of_its_own():
    model, optimizer, (images, labels) = admit("D")
    found = examine(model, (images[:32], labels[:32]), optimizer)
    assert [finding.fault for finding in found.findings] == ["θ has run away", "it cannot overfit one batch"]
    assert "outside" in found.untested["reach"]


def test_a_mirrored_frame_is_told_once_and_not_as_a_blank_one():
    assert "θ has run away" not in [finding.fault for finding in examine(admit("F")[0], batch()[0]).findings]
    first = examine(with_theta(layer(), -1.0, 0, 0, 0, 1, 0), batch()[0]).first
    assert "mirrored" in first.seen and "one colour" not in first.means


class FourNumbers(Healthy):
    """A size and a place: a grid made by hand of θ that is not six numbers."""

    def begin(self, head):
        nn.init.zeros_(head.weight)
        head.bias.data[:] = torch.tensor((1.0, 0, 0, 0, 1, 0))
        self.localisation[-1] = nn.Linear(32, 4)
        nn.init.zeros_(self.localisation[-1].weight)
        self.localisation[-1].bias.data = torch.tensor((0.9, 0.9, 0.0, 0.0))

    def forward(self, x):
        theta = self.localisation(x)
        return self.classifier(self.sample(x, self.grid(theta, x)))

    def grid(self, theta, x):
        size, shift = theta.split(2, dim=1)
        return by_hand(torch.cat((torch.diag_embed(size), shift[..., None]), -1), x, "xy")


def test_a_theta_that_is_not_six_numbers_switches_off_one_test_alone():
    class Detached(FourNumbers):
        def grid(self, theta, x):
            return super().grid(theta.detach(), x)

    class Nearest(FourNumbers):
        def sample(self, x, grid):
            return F.grid_sample(x, grid, mode="nearest", align_corners=False)

    class Half(FourNumbers):
        def grid(self, theta, x):
            return super().grid(theta, x).half().float()

    model = FourNumbers()
    found = examine(model, batch(), patients.optimiser(model))
    assert found.findings == [] and found.untested.keys() == {"known θ"}
    faults = [found_in(each(), batch()[0]) for each in (Detached, Nearest, Half)]
    assert faults == ["no gradient reaches the head", "nearest sampler", "half precision in the grid"]
    model.localisation[-1].bias.data[2:] = 5  # looks outside, with a gradient of 0 at that place alone
    assert found_in(model, batch()[0]) == "θ has run away"


def test_a_theta_that_is_bounded_before_a_grid_made_by_hand_is_no_fault():
    class Bounded(Healthy):
        start = (1.5, 0, 0, 0, 1.5, 0)

        def grid(self, theta, x):
            return by_hand(theta.tanh(), x, "xy")

    found = examine(Bounded(), batch())
    assert found.findings == [] and "tanh" in found.untested["known θ"]


def test_of_a_start_that_is_not_the_identity_it_is_said():
    class FromZero(Healthy):
        start = (0.5, 0, 0.5, 0, 0.5, 0.5)

    assert examine(Healthy(), batch()[0]).fine["identity"].endswith("0.0]: the identity")
    assert "not the identity" in examine(FromZero(), batch()[0]).fine["identity"]


class InAdvance(Healthy):
    """Two grids are made before either is sampled by; `use` says how."""

    def __init__(self, use):
        super().__init__()
        self.use = use

    def forward(self, x):
        self.thetas = [self.localisation(x).view(-1, 2, 3) + 0.1 * number for number in range(2)]
        return self.classifier(self.use(x, *(self.grid(theta, x) for theta in self.thetas)))


@pytest.mark.parametrize(
    ("use", "order"),
    [
        (lambda x, first, second: warped_by(warped_by(x, second), first), [1, 0]),
        (lambda x, first, second: warped_by(warped_by(x, first.clone()), second.clone()), [0, 1]),
        (lambda x, first, second: warped_by(warped_by(x, first), first) + warped_by(x, second.clone()), [0, 0, 1]),
    ],
)
def test_each_grid_is_of_its_own_theta(use, order):
    case = Case(InAdvance(use), *batch(count=2), None, F.cross_entropy, True)
    assert [[theta is each.theta for theta in case.model.thetas].index(True) for each in case.plain.samplings] == order


def warped_by(x, grid):
    return F.grid_sample(x, grid, align_corners=False)


def test_one_transformer_of_two_that_is_not_used_is_found():
    def use(x, first, second):
        seen = warped_by(x, first)
        warped_by(x, second)
        return seen

    assert found_in(InAdvance(use), batch()[0]) == "transformer 2 is not used"


def test_a_wrong_gradient_is_found():
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx, grid):
            return grid.clone()

        @staticmethod
        def backward(ctx, slope):
            return -slope

    def sampler(images, grid, padding_mode, align_corners):
        return F.grid_sample(images, Backwards.apply(grid), align_corners=align_corners)

    assert found_in(layer(sampler=sampler), batch()[0]) == "a wrong gradient"


def test_another_reading_of_theta_is_found():
    class Inverse(Healthy):
        def grid(self, theta, x):
            linear = torch.linalg.inv(theta[..., :2])
            return by_hand(torch.cat((linear, -linear @ theta[..., 2:]), -1), x, "xy")

    assert found_in(Inverse(), batch()[0]) == "θ does something else"


def test_a_grid_by_hand_from_changes_of_the_identity_is_no_fault():
    class Changes(Healthy):
        start = (0.0,) * 6

        def grid(self, theta, x):
            return by_hand(theta + torch.eye(2, 3), x, "xy")

    assert examine(Changes(), batch()).findings == []


def test_a_border_that_goes_on_is_no_fault():
    images, labels = batch("normalised")
    assert examine(layer(padding_mode="border"), (images, labels)).findings == []


def state(model, optimizer):
    slopes = [torch.zeros(0) if each.grad is None else each.grad for each in model.parameters()]
    kept = [part["momentum_buffer"] for part in optimizer.state.values()]
    tensors = [*model.state_dict().values(), *slopes, *kept, torch.get_rng_state()]
    attributes = [sorted(vars(module)) for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    modes = [module.training for module in model.modules()]
    return copy.deepcopy(tensors), (attributes, hooks, modes, optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("training", [True, False])
def test_an_examination_leaves_everything_as_it_was(training):
    model = layer(classifier=nn.Sequential(nn.Dropout(), nn.Flatten(), nn.BatchNorm1d(400), nn.Linear(400, 10)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    optimizer.step()
    model.train(training)
    model.classifier[0].eval()
    tensors, rest = state(model, optimizer)
    with torch.no_grad():
        examine(model, batch(), optimizer)
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(state(model, optimizer)[0], tensors, rtol=0, atol=0)
    assert state(model, optimizer)[1] == rest


def test_what_cannot_be_copied_is_not_touched():
    model = Healthy()
    model.kept = (each for each in "abc")
    found = examine(model, batch())
    assert found.findings == [] and "cannot be copied" in found.untested["runs"]


def test_a_model_that_keeps_theta_is_examined():
    class Keeps(Healthy):
        def grid(self, theta, x):
            self.theta = theta
            return super().grid(theta, x)

    model = Keeps()
    model(batch()[0])
    kept = model.theta
    found = examine(model, batch(count=8), patients.optimiser(model))
    assert found.findings == [] and found.untested == {}
    assert model.theta is kept and kept.requires_grad


@pytest.mark.parametrize("bad", [3, (1, 2), torch.zeros(2, 20, 20), torch.zeros(1, 1, 2, 2).long(), batch()[0][:0]])
def test_what_is_no_batch_is_told(bad):
    with pytest.raises((TypeError, ValueError), match="expected"):
        examine(Healthy(), bad)


def test_of_numpy_and_of_loaders_it_says_what_to_do():
    images, labels = batch()
    with pytest.raises(TypeError, match=r"a tuple of ndarray, Tensor; convert with torch\.from_numpy"):
        examine(Healthy(), (images.numpy(), labels))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels))
    with pytest.raises(TypeError, match=r"take one batch: next\(iter\(loader\)\)"):
        examine(Healthy(), loader)


def test_labels_that_the_loss_does_not_take_are_told():
    images, labels = batch()
    model = Healthy()
    found = examine(model, (images, labels[:, None]), patients.optimiser(model))
    assert [finding.fault for finding in found.findings] == ["the loss does not take these labels"]
    assert "(32, 10), float32" in found.first.seen and "(32, 1), int64" in found.first.seen
    assert "does not take" in found.untested["rates"]


def test_what_is_no_model_is_told():
    with pytest.raises(TypeError, match="expected model"):
        examine(warp, batch())


def test_the_list_is_printed_in_order_with_what_to_mend_first():
    model, optimizer, (images, labels) = admit("F")
    text = str(examine(model, (images[:32], labels[:32])))
    places = [text.index(f"{number:>2} {test}") for number, test in enumerate(TESTS, start=1)]
    assert places == sorted(places)
    assert "3 identity              ✗ X AND Y SWAPPED" in text and text.endswith("Mend first: x and y swapped.")
    assert "○ it needs the optimiser" in text


def test_a_chart_has_a_value_a_step_and_leaves_the_random_numbers_alone():
    model, optimizer, data = admit("healthy")
    before = torch.get_rng_state()
    chart = follow(model, optimizer, data, steps=20)
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(each) for each in (chart.loss, chart.area, chart.outside, chart.pull)] == [20] * 4
    assert chart.loss[-1] < chart.loss[0] and chart.area[0] == pytest.approx(1) and min(chart.pull) > 0
    assert chart.warped.shape == data[0].shape and chart.right > 0.2
    with pytest.raises(ValueError, match="samples nothing"):
        follow(classifier(), optimizer, data, steps=1)


def test_patients_are_the_same_on_every_call():
    first, again = (admit("I")[0].state_dict() for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    with pytest.raises(ValueError, match="expected patient"):
        patients.admit("M")


def test_a_known_theta_shows_swapped_axes_by_itself():
    model, _, batch = patients.admit("F")
    found = {finding.test: finding for finding in examine(model, batch).findings}
    assert found["known θ"].fault == "x and y swapped" and "moves the transformer along y" in found["known θ"].seen
