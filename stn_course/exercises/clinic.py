"""The exercises of notebook 11: tests of a transformer written by hand, their order, a diagnosis, and two cures."""

import torch
import torch.nn.functional as F
from torch import nn

from stn_course.clinic import examine
from stn_course.exercises.exercise import function_exercise
from stn_course.exercises.patients import FAULTS, SEEN, SQUARE, WIDE, Healthy, admit, pictures
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine

# The identity test


def _layer(*theta: float) -> nn.Module:
    localisation = nn.Sequential(nn.Flatten(), theta_head(16, Affine()))
    localisation[1].bias.data = torch.tensor(theta)
    return SpatialTransformer(localisation)


def _layers() -> list[tuple]:
    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images[1, 0, 0, 0] = 3.0  # a bright corner, which a layer that looks elsewhere loses
    thetas = ((1.0, 0, 0, 0, 1, 0), (1.0, 0, 0.5, 0, 1, 0), (0.0, 1, 0, 1, 0, 0))
    return [(_layer(*theta), images) for theta in thetas]


@function_exercise(
    cases=_layers,
    hints=(
        "At the identity the output is the input, pixel by pixel: layer(images) and images have one shape.",
        "Subtract, and take the largest absolute difference: .abs().max().",
    ),
    success="Yes. 0 for a layer that begins at the identity; one wrong pixel is enough to see that it does not.",
    gives="one number",
)
def identity_error(layer, images):
    return (layer(images) - images).abs().max()


@identity_error.mistake("a pixel that became darker counts, too: take the absolute value before the maximum")
def _(layer, images):
    return (layer(images) - images).max()


@identity_error.mistake("in a mean one wrong pixel vanishes among many right ones: take the maximum")
def _(layer, images):
    return (layer(images) - images).abs().mean()


@identity_error.mistake("in a sum of signed differences those above 0 and those below cancel out")
def _(layer, images):
    return (layer(images) - images).mean()


@identity_error.mistake("that compares θ with the identity; compare pictures, so that grid and sampler are tested, too")
def _(layer, images):
    return (layer.theta(images) - Affine().identity()).abs().max()


# A θ that is known


@function_exercise(
    cases=lambda: [(3, 0, (20, 28)), (0, 2, (20, 28)), (-4, 5, (42, 42))],
    hints=(
        "θ says where each pixel of the output *looks*. To see the picture moved to the right, look to the left.",
        "The picture is 2 wide in normalised coordinates, and W pixels: a pixel is 2 / W wide.",
        "[1, 0, −2 right / W, 0, 1, −2 down / H].",
    ),
    success="Yes: whole pixels, so that the output can be compared with the input's own, without any interpolation.",
    gives="θ11, θ12, θ13, θ21, θ22, θ23: six numbers",
)
def moved_by(right, down, size):
    H, W = size
    return torch.tensor([1, 0, -2 * right / W, 0, 1, -2 * down / H])


@moved_by.mistake("this moves the picture the other way: θ says where to look, so a look to the left moves it right")
def _(right, down, size):
    return moved_by.reference(-right, -down, size)


@moved_by.mistake("H and W have changed places: size is (H, W), and a shift to the right is a share of W")
def _(right, down, size):
    return moved_by.reference(right, down, size[::-1])


@moved_by.mistake("that is half of it: the picture is 2 wide, from −1 to 1")
def _(right, down, size):
    return moved_by.reference(right / 2, down / 2, size)


@moved_by.mistake("W − 1 belongs to align_corners=True; with False a pixel is 2 / W wide")
def _(right, down, size):
    return moved_by.reference(right, down, (size[0] - 1, size[1] - 1))


@moved_by.mistake("x and y have changed places: θ13 shifts along x, to the right, and θ23 along y, down")
def _(right, down, size):
    return moved_by.reference(right, down, size)[[0, 1, 5, 3, 4, 2]]


# The gradient at the head


def _models() -> list[tuple]:
    cases = []
    for letter in ("healthy", "C", "A"):
        model, _, (images, labels) = admit(letter)
        cases.append((model, images[:16], labels[:16]))
    return cases


@function_exercise(
    cases=_models,
    hints=(
        "zero_grad() first, then the loss, then .backward(): the gradients are in .grad of each parameter.",
        "The head is model.localisation[-1]; its bias is θ itself as long as its weights are 0.",
        "Where nothing came by, .grad is None: return 0 for that.",
    ),
    success="Yes. 0 means that the network can be trained for a week, and θ stays where it is.",
    gives="one number",
)
def pull_at_head(model, images, labels):
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    pull = model.localisation[-1].bias.grad
    return 0.0 if pull is None else pull.abs().max()


@pull_at_head.mistake("this is the bias itself, that is θ; its gradient is in .grad")
def _(model, images, labels):
    return model.localisation[-1].bias.abs().max()


@pull_at_head.mistake("that is the classifier's last layer; the head is the last layer of model.localisation")
def _(model, images, labels):
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    return model.classifier[-1].bias.grad.abs().max()


@pull_at_head.mistake("this leaves out the sign before it looks for the largest: take the absolute value first")
def _(model, images, labels):
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    pull = model.localisation[-1].bias.grad
    return 0.0 if pull is None else pull.max()


# Their order


SIX = ("identity", "known θ", "gradient at the head", "rates", "reach", "overfit one batch")


def _in_order(order: list[str], names: tuple[str, ...]) -> dict[str, float]:
    order = list(order)
    if sorted(order) != sorted(SIX):
        raise ValueError(f"expected each of {', '.join(SIX)} once")
    place = {name: order.index(name) for name in SIX}
    before = [("identity", "known θ"), ("known θ", "gradient at the head"), ("gradient at the head", "rates")]
    before += [("gradient at the head", "reach"), ("rates", "overfit one batch"), ("reach", "overfit one batch")]
    return {f"{a}, then {b} (1 = yes)": float(place[a] < place[b]) for a, b in before}


@function_exercise(
    cases=lambda: [(tuple(sorted(SIX)),)],
    observe=_in_order,
    hints=(
        "Cheap ones first, and none whose result cannot be read before another one has passed.",
        "A known θ is put through grid and sampler; a gradient goes back through them. What has to be right first?",
        "Learning a batch by heart needs all the others: it says *that* something is wrong, and not what.",
    ),
    success="Yes: from the forward pass to the backward pass to the steps, and the dearest last.",
    gives="a list of the six names",
)
def order_of_tests(names):
    return ["identity", "known θ", "gradient at the head", "rates", "reach", "overfit one batch"]


@order_of_tests.mistake(
    "learning a batch by heart takes the longest and says the least: if it fails, any of the other five may be why"
)
def _(names):
    return ["overfit one batch", "identity", "known θ", "gradient at the head", "rates", "reach"]


@order_of_tests.mistake("a rate cannot be judged before a gradient arrives at all: first the gradient at the head")
def _(names):
    return ["identity", "known θ", "rates", "gradient at the head", "reach", "overfit one batch"]


@order_of_tests.mistake("a gradient through a grid that is wrong may arrive, and pull the wrong way: the known θ first")
def _(names):
    return ["identity", "gradient at the head", "known θ", "rates", "reach", "overfit one batch"]


@order_of_tests.mistake("the identity is the simplest θ that is known: if that one fails, the others need no look")
def _(names):
    return ["known θ", "identity", "gradient at the head", "rates", "reach", "overfit one batch"]


# A diagnosis


def _numbered(said: str, letter: str) -> dict[str, float]:
    if said not in FAULTS:
        raise ValueError(f"expected one of: {'; '.join(FAULTS)}")
    return {f"patient {letter}, in the list of FAULTS": float(FAULTS.index(said))}


@function_exercise(
    cases=lambda: [("D",), ("G",), ("K",)],
    observe=_numbered,
    hints=(
        "All three end at the same loss. Look at the first steps: where is the frame, and is there a pull?",
        "The frame of one lies inside the picture, and sees nothing; two look outside. Which of these two began there?",
        "Area 0.09 and nothing outside; outside from the first step on; a pull in the first step, and then none.",
    ),
    success="Yes: the same loss, and three different things to mend.",
    gives="one of the names in patients.FAULTS",
)
def diagnosis(letter):
    return {"D": "θ has run away", "G": "localisation rate too high", "K": "reach too short"}[letter]


@diagnosis.mistake("D and G have changed places: D is outside from the first step on, G begins at the identity")
def _(letter):
    return {"D": "localisation rate too high", "G": "θ has run away", "K": "reach too short"}[letter]


@diagnosis.mistake("not all three look outside: K's frame lies inside the picture, where there is nothing")
def _(letter):
    return {"D": "θ has run away", "G": "localisation rate too high", "K": "θ has run away"}[letter]


@diagnosis.mistake("not all three have run away: look at the first steps, too")
def _(letter):
    return "θ has run away"


@diagnosis.mistake("K's frame is small, but upright and in the middle: chance did not choose it")
def _(letter):
    return {"D": "θ has run away", "G": "localisation rate too high", "K": "no identity"}[letter]


# Cures, which the check trains

CANNOT = "it cannot overfit one batch"


def _trained(model: nn.Module, size: tuple[int, int]) -> dict[str, float]:
    """Examine the patient, which trains it on one batch: what is wrong, and whether it learns."""
    if not isinstance(model, Healthy):
        raise TypeError("expected a class that is derived from patients.Healthy")
    images, labels = pictures("square")
    found = examine(model, (images[:16], labels[:16]))
    faults = {finding.fault for finding in found.findings} - {CANNOT}
    asked = ("original image", "align_corners mismatched", "nearest sampler", "no gradient reaches the head")
    told = {f"the clinic finds: {fault} (1 = yes)": float(fault in faults) for fault in asked}
    told["the clinic finds anything else (1 = yes)"] = float(bool(faults - {*asked}))
    return told | {"it learns a batch by heart (1 = yes)": float("overfit one batch" in found.fine)}


@function_exercise(
    cases=lambda: [(SQUARE,)],
    observe=_trained,
    hints=(
        "There are three faults. `print(examine(Patient(), (images, labels)))` says which to mend first.",
        "Mend the first, and examine again: the next shows only then.",
        'align_corners=False in both, mode="bilinear", and the classifier on what was sampled.',
    ),
    success="Yes. It was trained on one batch, and learns it by heart; the clinic finds nothing any more.",
    gives="a class derived from patients.Healthy, which takes a size, (H, W)",
)
def cured(size):
    class Cured(Healthy):
        def forward(self, x):
            theta = self.localisation(x).view(-1, 2, 3)
            grid = F.affine_grid(theta, x.shape, align_corners=False)
            return self.classifier(F.grid_sample(x, grid, align_corners=False))

    return Cured(size)


def _sick(corners: bool, mode: str, original: bool, detach: bool = False) -> nn.Module:
    class Sick(Healthy):
        def forward(self, x):
            theta = self.localisation(x).view(-1, 2, 3)
            grid = F.affine_grid(theta.detach() if detach else theta, x.shape, align_corners=corners)
            warped = F.grid_sample(x, grid, mode=mode, align_corners=False)
            return self.classifier(x if original else warped)

    return Sick()


@cured.as_given
def _(size):
    return _sick(True, "nearest", True)


@cured.mistake("the classifier still gets x, the original picture, and not what was sampled")
def _(size):
    return _sick(False, "bilinear", True)


@cured.mistake("what is nearest has no gradient: mode='nearest' is still there")
def _(size):
    return _sick(False, "nearest", False)


@cured.mistake("grid and sampler still differ in align_corners")
def _(size):
    return _sick(True, "bilinear", False)


@cured.mistake("with .detach() no gradient comes back to θ")
def _(size):
    return _sick(False, "bilinear", False, detach=True)


def _started(theta, size: tuple[int, int]) -> dict[str, float]:
    theta = torch.as_tensor(theta, dtype=torch.float32).flatten()
    if theta.shape != (6,):
        raise ValueError("expected six numbers")
    torch.manual_seed(1)
    model = Healthy(size, SEEN)
    model.localisation[-1].bias.data = theta.clone()
    images, labels = pictures("wide")
    found = examine(model, (images[:32], labels[:32]))
    faults = {finding.fault for finding in found.findings} - {CANNOT}
    return {
        "the clinic finds: reach too short (1 = yes)": float("reach too short" in faults),
        "the clinic finds: no identity (1 = yes)": float("no identity" in faults),
        "the clinic finds: θ has run away (1 = yes)": float("θ has run away" in faults),
        "it learns a batch by heart (1 = yes)": float("overfit one batch" in found.fine),
    }


@function_exercise(
    cases=lambda: [(WIDE,)],
    observe=_started,
    hints=(
        "What has to be in the first frame, so that every digit pulls on θ?",
        "The digits lie in the four corners. The frame must hold all of them at first; it may shrink later.",
    ),
    success="Yes. It was trained on one batch: every digit is in the frame, and it learns them by heart.",
    gives="θ11, θ12, θ13, θ21, θ22, θ23: six numbers",
)
def first_frame(size):
    return [1, 0, 0, 0, 1, 0]


@first_frame.mistake("that frame holds the middle of the picture, and the digits lie in its corners: hold all of it")
def _(size):
    return [0.3, 0, 0, 0, 0.3, 0]


@first_frame.mistake("a frame of no size looks at one point")
def _(size):
    return [0, 0, 0, 0, 0, 0]


@first_frame.mistake("such a frame lies outside the picture, most of it")
def _(size):
    return [3, 0, 2, 0, 3, 2]
