"""The exercises of notebook 03: localisation network, grid generator and sampler, put together."""

import torch
from torch import nn

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.spatial_transformer import SpatialTransformer, theta_head, warp
from stn_course.transforms import Affine

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


@function_exercise(
    cases=lambda: [
        (
            torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(6)),
            SpatialTransformer(_Looks()),
            lambda x: torch.stack((x.square().mean((1, 2, 3)), x[:, 0, 1, 1]), dim=1),
        )
    ],
    hints=(
        "Nothing crashes, and the network even learns. What does the classifier look at?",
        "Follow the name `transformed` from where it is made to where it is used.",
    ),
    success="Yes. Now the classifier sees what the transformer did, and the transformer hears what that was worth.",
    observe=lambda result, images, transformer, classifier: {
        "the classifier's answer": result,
        "the gradient that reaches the transformer": _gradient(result, transformer.localisation),
    },
    gives="the classifier's answer, a tensor",
)
def classify(images, transformer, classifier):
    transformed = transformer(images)
    return classifier(transformed)


@classify.as_given
def _(images, transformer, classifier):
    transformer(images)
    return classifier(images)


@classify.mistake(
    "the answer is right, but the transformer does not hear of it, and cannot learn: no detach, no no_grad"
)
def _(images, transformer, classifier):
    return classifier(transformer(images).detach())


@classify.mistake("the images are transformed twice")
def _(images, transformer, classifier):
    return classifier(transformer(transformer(images)))


@classify.mistake("these are the transformed images: the classifier has not seen them yet")
def _(images, transformer, classifier):
    return transformer(images)


@classify.mistake("the classifier sees the images as they were beside the transformed ones; give it the latter alone")
def _(images, transformer, classifier):
    return classifier(images) + classifier(transformer(images))
