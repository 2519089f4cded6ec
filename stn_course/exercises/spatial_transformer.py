"""The exercises of notebook 03: localisation network, grid generator and sampler, put together."""

import torch
import torch.nn.functional as F
from torch import nn

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import Affine


def _observe_head(layer, in_features):
    parameters = list(layer.parameters())
    features = torch.randn(3, in_features, generator=torch.Generator().manual_seed(0))
    theta = layer(features.to(parameters[0].dtype))

    def gradient(of: torch.Tensor) -> torch.Tensor:
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        if not (learning and of.requires_grad):
            return torch.zeros(1)
        found = torch.autograd.grad(of, learning, retain_graph=True, materialize_grads=True)
        return torch.cat([each.flatten() for each in found])

    first, second = ([gradient(number) for number in row] for row in theta[:2])
    return {
        "θ of three feature vectors": theta,
        "which of θ's numbers can learn (1 = yes)": [float(each.any()) for each in first],
        "which can learn to follow the features (1 = yes)": [float((a != b).any()) for a, b in zip(first, second)],
    }


@function_exercise(
    cases=lambda: [(20,), (5,)],
    hints=(
        "nn.Linear(in_features, 6), and then its weight and its bias are set by hand.",
        "If the features are not to matter at first, what must the weight be? And what must θ be then?",
        "nn.init.zeros_(layer.weight); layer.bias.data.copy_(…) with the identity's six numbers, row by row.",
    ),
    success="Yes: whatever the features say, the transformer starts by passing its input through.",
    observe=_observe_head,
    gives="a layer (B, in_features) → (B, 6), such as nn.Linear",
)
def localisation_head(in_features):
    layer = nn.Linear(in_features, 6)
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return layer


def _head(in_features, bias):
    layer = localisation_head.reference(in_features)
    layer.bias.data = torch.tensor(bias)
    return layer


@localisation_head.mistake("the weights are still random, so θ starts at random places: set them to 0")
def _(in_features):
    layer = nn.Linear(in_features, 6)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return layer


@localisation_head.mistake("this is a new linear layer as it comes: its weights and its bias are still random")
def _(in_features):
    return nn.Linear(in_features, 6)


@localisation_head.mistake("θ = 0 sends every output point to the picture's centre: the bias has to be the identity")
def _(in_features):
    return _head(in_features, [0.0] * 6)


@localisation_head.mistake("the identity, row by row, is 1 0 0 | 0 1 0: yours is (1, 0, 0, 1, 0, 0)")
def _(in_features):
    return _head(in_features, [1.0, 0, 0, 1, 0, 0])


@localisation_head.mistake("the bias is 1 everywhere; the identity is 1 0 0 | 0 1 0")
def _(in_features):
    return _head(in_features, [1.0] * 6)


@localisation_head.mistake("the layer starts at the identity and stays there: it must be allowed to learn, no detach")
def _(in_features):
    return localisation_head.reference(in_features).requires_grad_(False)


@localisation_head.mistake("the weights are frozen, so θ would be the same for every picture: they must learn, too")
def _(in_features):
    layer = localisation_head.reference(in_features)
    layer.weight.requires_grad_(False)
    return layer


@localisation_head.mistake("a ReLU behind the layer lets nothing through at 0 and below: four of θ's numbers are stuck")
def _(in_features):
    return nn.Sequential(localisation_head.reference(in_features), nn.ReLU())


@localisation_head.mistake("what limits θ to [-1, 1] stands at its limit where θ is 1, and lets no gradient through")
def _(in_features):
    return nn.Sequential(localisation_head.reference(in_features), nn.Hardtanh())


class _Looks(nn.Module):
    """A localisation network small enough to see through: θ from the mean of each image's halves."""

    def __init__(self):
        super().__init__()
        self.head = theta_head(2, Affine())
        with torch.no_grad():
            self.head.weight.copy_(torch.linspace(-0.5, 0.6, 12).view(6, 2))

    def forward(self, images):
        return self.head(images.flatten(2).unflatten(2, (2, -1)).mean((1, 3)))


def _gradient(result, localisation):
    """What reaches the localisation network when every number that came out pulls another way; 0 if nothing does."""
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
    head = localisation.head.weight
    found = torch.autograd.grad((result * weights).sum(), head, allow_unused=True)[0] if result.requires_grad else None
    return torch.zeros_like(head) if found is None else found


@function_exercise(
    cases=lambda: [(torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(5)), _Looks())],
    hints=(
        "Three lines, one for each component: θ from the images, a grid from θ, images from the grid.",
        "The grid has the size of the images: images.shape[2:].",
        "Affine().grid(theta, size) and F.grid_sample(images, grid, align_corners=False).",
    ),
    success="Yes: three lines, and the gradient finds its way back through all of them.",
    observe=lambda result, images, localisation: {
        "the transformed images": result,
        "the gradient that reaches the localisation network": _gradient(result, localisation),
    },
    gives="the transformed images, a tensor (B, C, H, W)",
)
def transform_input(images, localisation):
    theta = localisation(images)  # (B, 6)
    grid = Affine().grid(theta, images.shape[2:])  # (B, H, W, 2)
    return nn.functional.grid_sample(images, grid, align_corners=False)


@transform_input.mistake("the images come back as they were: sample them at the grid")
def _(images, localisation):
    return images


@transform_input.mistake(
    "the pictures are right, but no gradient reaches the localisation network: no detach, no .data"
)
def _(images, localisation):
    return transform_input.reference(images, lambda x: localisation(x).detach())


@transform_input.mistake("the grid is made with align_corners=True and sampled with False")
def _(images, localisation):
    grid = Affine().grid(localisation(images), images.shape[2:], align_corners=True)
    return nn.functional.grid_sample(images, grid, align_corners=False)


@transform_input.mistake("grid and sampler agree, but on align_corners=True; ±1 are outer edges here: False for both")
def _(images, localisation):
    return warp(images, localisation(images), align_corners=True)


@transform_input.mistake("height and width have changed places: images.shape[2:] is (H, W)")
def _(images, localisation):
    return warp(images, localisation(images), output_size=images.shape[:1:-1])


@transform_input.mistake("F.grid_sample interpolates between pixels unless it is told mode='nearest': take that away")
def _(images, localisation):
    grid = Affine().grid(localisation(images), images.shape[2:])
    return nn.functional.grid_sample(images, grid, mode="nearest", align_corners=False)


@transform_input.mistake("outside the images is 0 here, the default; yours repeats the border")
def _(images, localisation):
    return warp(images, localisation(images), padding_mode="border")


class _Reads(nn.Module):
    """A classifier small enough to see through, and smooth: three answers from the four quarters of a picture."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-2, 3, 12).view(3, 4))
            self.layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))

    def forward(self, images):
        return self.layer(F.adaptive_avg_pool2d(images, 2).square().flatten(1))


def _reader() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Flatten(), nn.Linear(30, 4), nn.Tanh(), nn.Linear(4, 3))


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(6)),
            torch.tensor([[0.83, -0.31, 0.117, 0.29, 0.71, -0.213], [1.13, 0.21, 0.107, -0.11, 0.91, 0.103]]),
            _reader(),
            torch.tensor([2, 0]),
        )
    ],
    hints=(
        "θ has to ask for a gradient before it is used: theta.detach().requires_grad_().",
        "Three steps: the warped images, what the classifier says to them, the cross entropy with the labels.",
        "torch.autograd.grad(loss, theta) gives a tuple with the gradient in it.",
    ),
    success="Yes. That is all that a localisation network ever hears from the classifier.",
)
def pull_on_theta(images, theta, classifier, labels):
    theta = theta.detach().requires_grad_()
    loss = F.cross_entropy(classifier(warp(images, theta)), labels)
    return torch.autograd.grad(loss, theta)[0]


@pull_on_theta.mistake("the sign is turned round: asked for is the gradient itself, along which the loss *grows*")
def _(images, theta, classifier, labels):
    return -pull_on_theta.reference(images, theta, classifier, labels)


@pull_on_theta.mistake("cross entropy is the mean over the images; this is their sum")
def _(images, theta, classifier, labels):
    return pull_on_theta.reference(images, theta, classifier, labels) * len(images)


@pull_on_theta.mistake("F.cross_entropy takes the logits as they are: it has its own softmax, and here are two")
def _(images, theta, classifier, labels):
    return pull_on_theta.reference(images, theta, nn.Sequential(classifier, nn.Softmax(dim=1)), labels)


@pull_on_theta.mistake("the labels say what the images show; you took the classifier's own answer for it")
def _(images, theta, classifier, labels):
    return pull_on_theta.reference(images, theta, classifier, classifier(warp(images, theta)).argmax(1))


@pull_on_theta.mistake("through the nearest pixel no gradient reaches θ: let `warp` sample as it does by itself")
def _(images, theta, classifier, labels):
    return torch.zeros_like(theta)


def _observe_module(module, cnn, localisation):
    parameters = list(module.parameters())
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(7)).to(parameters[0].dtype)
    answer = module(images)
    if answer.requires_grad:  # one step of training, however the module keeps its parts
        (answer * torch.linspace(-1, 1, answer.numel(), dtype=answer.dtype).view(answer.shape)).sum().backward()
        torch.optim.SGD(learning, lr=0.05).step()
    return {
        "the answer to two pictures": answer,
        "how many parameters the module owns": sum(parameter.numel() for parameter in parameters),
        "how many of them learn": sum(parameter.numel() for parameter in learning),
        "the answer after one step of training": module(images),
    }


@function_exercise(
    cases=lambda: [(_Reads(), _Looks())],
    hints=(
        "A transformer takes pictures and gives pictures. What puts two modules one after the other?",
        "SpatialTransformer(localisation) is the layer; its output is what the CNN gets.",
        "nn.Sequential(…, …), or a class that keeps both as attributes and calls one after the other in forward.",
    ),
    success="Yes: the CNN sees what the transformer made, and one optimiser trains both.",
    observe=_observe_module,
    gives="a module, images (B, C, H, W) → what the CNN answers",
)
def put_before(cnn, localisation):
    return nn.Sequential(SpatialTransformer(localisation), cnn)


class _Both(nn.Module):
    """The CNN and its transformer, put together in a way that a mistake says."""

    def __init__(self, cnn, localisation, together):
        super().__init__()
        self.cnn, self.transformer, self.together = cnn, SpatialTransformer(localisation), together

    def forward(self, images):
        return self.together(images, self.transformer, self.cnn)


@put_before.mistake("the CNN gets the original picture: what the transformer returned is not used")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: cnn(images))


@put_before.mistake("this is the CNN alone: put a SpatialTransformer before it")
def _(cnn, localisation):
    return cnn


@put_before.mistake(
    "the answer is right, but the module does not own its transformer, so no optimiser gets the parameters of the "
    "localisation network: keep it as an attribute of the module, not in a list, a function or a global name"
)
def _(cnn, localisation):
    outside = [SpatialTransformer(localisation)]
    return _Both(cnn, nn.Identity(), lambda images, transformer, cnn: cnn(outside[0](images)))


@put_before.mistake(
    "the answer is right, but the module does not own the CNN, so no optimiser gets its parameters: keep it as an "
    "attribute of the module"
)
def _(cnn, localisation):
    outside = [cnn]
    return _Both(nn.Identity(), localisation, lambda images, transformer, cnn: outside[0](transformer(images)))


@put_before.mistake("the answer is right, but no gradient reaches the transformer: no detach, no no_grad, no .data")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: cnn(transformer(images).detach()))


@put_before.mistake("the answer is right, but nothing in it learns: no detach, no no_grad")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: cnn(transformer(images)).detach())


@put_before.mistake("the transformer is frozen: its parameters have to learn, too")
def _(cnn, localisation):
    return nn.Sequential(SpatialTransformer(localisation).requires_grad_(False), cnn)


@put_before.mistake("the CNN is frozen: its parameters have to learn, too")
def _(cnn, localisation):
    return nn.Sequential(SpatialTransformer(localisation), cnn.requires_grad_(False))


@put_before.mistake("these are the transformed pictures: the CNN has not seen them yet")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: transformer(images))


@put_before.mistake("the pictures are transformed twice")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: cnn(transformer(transformer(images))))


@put_before.mistake("the CNN answers to the original as well, and both are added: give it the transformed one alone")
def _(cnn, localisation):
    return _Both(cnn, localisation, lambda images, transformer, cnn: cnn(images) + cnn(transformer(images)))


head_size = NumberExercise(
    answer=264,
    why="Yes: 8 · 32 weights and 8 biases. The biases are where the identity lives.",
    mistakes={
        256: "These are the weights. A linear layer has biases too, and here they matter most.",
        198: "That is an affine head, 6 · 33. A projective θ has more numbers.",
        297: "9 · 33: the matrix has nine entries, but the last one is always 1 and is not learned.",
        288: "9 · 32: the matrix's last entry is not learned, and the biases are missing.",
    },
    hints=("A projective θ has 8 numbers.", "nn.Linear(n, m) has n · m weights and m biases."),
)


def _transposing(images, theta, order="yx", after=lambda grid: grid):
    batch, _, height, width = images.shape
    ys = (2 * torch.arange(height) + 1) / height - 1
    xs = (2 * torch.arange(width) + 1) / width - 1
    axes = dict(zip("yx", torch.meshgrid(ys, xs, indexing="ij")))
    target = torch.stack((*(axes[name] for name in order), torch.ones_like(axes["x"])), dim=-1)
    grid = target @ theta.view(batch, 1, 2, 3).mT
    return F.grid_sample(images, after(grid), align_corners=False)


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(8)),
            torch.tensor([[0.9, 0.2, 0.1, -0.3, 0.8, -0.2], [1.0, 0, 0, 0, 1, 0]]),
        )
    ],
    hints=(
        "Give it the identity in your head: where does the output pixel in the first row and the second column look?",
        "θ multiplies (x, y, 1), in this order: its first column belongs to x.",
        "What does `target` hold in its last axis?",
    ),
    success="Yes: x comes first in points and grids, although rows come first in shapes.",
    gives="the transformed images, a tensor (B, C, H, W)",
)
def mirrored(images, theta):
    B, _, H, W = images.shape
    ys = (2 * torch.arange(H) + 1) / H - 1  # centres of the rows
    xs = (2 * torch.arange(W) + 1) / W - 1  # centres of the columns
    y, x = torch.meshgrid(ys, xs, indexing="ij")  # (H, W) each
    target = torch.stack((x, y, torch.ones_like(x)), dim=-1)  # (H, W, 3)
    grid = target @ theta.view(B, 1, 2, 3).mT  # (B, H, W, 2)
    return nn.functional.grid_sample(images, grid, align_corners=False)


@mirrored.as_given
def _(images, theta):
    return _transposing(images, theta)


@mirrored.mistake("the identity is right now, but other θ are not: the points were swapped before θ, not after it")
def _(images, theta):
    return _transposing(images, theta, after=lambda grid: grid.flip(-1))


@mirrored.mistake("points before θ and grid after it are both swapped now: only one of the two was wrong")
def _(images, theta):
    return _transposing(images, theta, order="xy", after=lambda grid: grid.flip(-1))


@mirrored.mistake(
    "the output is (W, H) now: what swaps rows and columns once more hides the slip, in square pictures only"
)
def _(images, theta):
    return _transposing(images, theta).mT


class _Contrasts(_Looks):
    """It sees whether a picture is small and blurred or large and sharp."""

    def forward(self, images):
        return super().forward(4 * images.square())


@function_exercise(
    cases=lambda: [(torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(9)), _Contrasts(), (3, 5))],
    hints=(
        "Two pictures: a small one to decide on, and the original to take the crop from.",
        "θ is in normalised coordinates: it means the same place in the small picture and in the large one.",
        "F.avg_pool2d(images, 4) is the small one; warp(…, …, output_size=size) takes the crop.",
    ),
    success="Yes: θ knows no pixels, so a cheap look from afar may steer a sharp crop.",
    observe=lambda result, images, localisation, size: {
        "the crops": result,
        "the gradient that reaches the localisation network": _gradient(result, localisation),
    },
    gives="the crops, a tensor (B, C, *size)",
)
def sharp_crop(images, localisation, size):
    theta = localisation(F.avg_pool2d(images, 4))  # (B, 6)
    return warp(images, theta, output_size=size)


@sharp_crop.mistake("the crops are taken from the small pictures, so they are blurred: take them from the originals")
def _(images, localisation, size):
    small = F.avg_pool2d(images, 4)
    return warp(small, localisation(small), output_size=size)


@sharp_crop.mistake("the localisation network looks at the originals: let it see the small pictures")
def _(images, localisation, size):
    return warp(images, localisation(images), output_size=size)


@sharp_crop.mistake("θ needs no factor 4: it is in normalised coordinates, the same in both pictures")
def _(images, localisation, size):
    return warp(images, 4 * localisation(F.avg_pool2d(images, 4)), output_size=size)


@sharp_crop.mistake("θ's shift needs no factor 4: it is in normalised coordinates, the same in both pictures")
def _(images, localisation, size):
    theta = localisation(F.avg_pool2d(images, 4))
    return warp(images, theta * torch.tensor([1.0, 1, 4, 1, 1, 4]), output_size=size)


@sharp_crop.mistake("the crops have the size of the originals: ask for `size`")
def _(images, localisation, size):
    return warp(images, localisation(F.avg_pool2d(images, 4)))


@sharp_crop.mistake("height and width have changed places: size is (H, W)")
def _(images, localisation, size):
    return warp(images, localisation(F.avg_pool2d(images, 4)), output_size=size[::-1])


@sharp_crop.mistake("the small pictures are every fourth pixel; the mean of 4×4 pixels was asked for: F.avg_pool2d")
def _(images, localisation, size):
    return warp(images, localisation(images[..., ::4, ::4]), output_size=size)


@sharp_crop.mistake("the crops are right, but no gradient reaches the localisation network: no detach, no no_grad")
def _(images, localisation, size):
    return warp(images, localisation(F.avg_pool2d(images, 4)).detach(), output_size=size)
