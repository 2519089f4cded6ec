"""The exercises of notebook 04: a transformer in front of a network, and what normalising does to it."""

import torch
from torch import nn

from stn_course.data import Normalise
from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.spatial_transformer import warp


@function_exercise(
    cases=lambda: [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10)),),
        (nn.Linear(7, 2),),
    ],
    hints=("model.parameters() gives tensors.", "A tensor of shape (10, 16) holds 160 numbers: .numel()."),
    success="Yes. Compare networks by this number before you compare what they can do.",
)
def count_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@count_parameters.mistake("this counts the tensors; expected the numbers in them, .numel()")
def _(model):
    return len(list(model.parameters()))


@count_parameters.mistake("the biases are parameters too")
def _(model):
    return sum(p.numel() for p in model.parameters() if p.ndim > 1)


@count_parameters.mistake("the state also holds buffers, such as a running mean, and they are not learned by descent")
def _(model):
    return sum(values.numel() for values in model.state_dict().values())


@count_parameters.mistake("only the last layer was counted")
def _(model):
    return sum(p.numel() for p in list(model.parameters())[-2:])


@function_exercise(
    cases=lambda: [
        (torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(1)), (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)),
        (torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(2)), (0.13,), (0.31,)),
    ],
    hints=(
        "Normalising took the mean away and then divided. What is the last thing it did? Undo that first.",
        "One mean and one std for each channel: as tensors of shape (1, C, 1, 1) they meet the right axis.",
    ),
    success="Yes. The numbers are pictures again.",
)
def undo_normalise(images, mean, std):
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))  # (1, C, 1, 1)
    return images * std + mean


@undo_normalise.mistake("that normalises once more: (x − mean) / std is what was done, not what undoes it")
def _(images, mean, std):
    return Normalise(mean, std)(images)


@undo_normalise.mistake("the wrong one first: normalising divided *last*, so multiply first and add the mean after")
def _(images, mean, std):
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    return (images + mean) * std


@undo_normalise.mistake("mean and std have changed places")
def _(images, mean, std):
    return undo_normalise.reference(images, std, mean)


@undo_normalise.mistake("the std is missing: the mean is back, but the contrast is not")
def _(images, mean, std):
    return undo_normalise.reference(images, mean, [1.0] * len(std))


@undo_normalise.mistake("the mean is missing: the contrast is back, but the brightness is not")
def _(images, mean, std):
    return undo_normalise.reference(images, [0.0] * len(mean), std)


@undo_normalise.mistake("the three numbers met the *columns* of the picture: give them the shape (1, C, 1, 1)")
def _(images, mean, std):
    return images * torch.tensor(std) + torch.tensor(mean)


features = NumberExercise(
    answer=160,
    why="Yes: 32 → 26 → 13 → 9 → 4, and 10 channels of 4 × 4.",
    mistakes={
        90: "That is for 28×28 pixels, as in section 1; here it begins with 32.",
        250: "Half of 9 is 4.5, and a pooling layer leaves the odd row out: 4, not 5.",
        810: "That is before the second pooling: 10 · 9 · 9.",
        16: "4 × 4 is right, and there are 10 channels of it.",
        640: "A convolution of size k takes k − 1 pixels off, here: there is no padding.",
    },
    hints=(
        "A convolution of size k turns n pixels into n − k + 1; pooling by 2 into n // 2.",
        "32 − 7 + 1 = 26, and half of it is 13. Then 13 − 5 + 1 = 9, and half of it is …",
    ),
)


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(3)),
            torch.tensor([[1.6, 0.2, 0.0, -0.2, 1.5, 0.0], [0.9, 0.0, 0.5, 0.0, 0.9, -0.3]]),
            0.1307,
            0.3081,
        )
    ],
    hints=(
        "The sampler fills in zeros. In which units is zero black?",
        "Change the order: black is 0 before the images are normalised.",
    ),
    success="Yes. Outside is black, because the sampler's zeros were black when it filled them in.",
)
def black_outside(images, theta, mean, std):
    return (warp(images, theta) - mean) / std


@black_outside.as_given
def _(images, theta, mean, std):
    return warp((images - mean) / std, theta)


@black_outside.mistake("the border is repeated outwards: black only where the border is black")
def _(images, theta, mean, std):
    return warp((images - mean) / std, theta, padding_mode="border")


@black_outside.mistake("outside is black now, but what comes out is no longer normalised")
def _(images, theta, mean, std):
    return warp(images, theta)


@black_outside.mistake("normalised twice, before the warp and after it")
def _(images, theta, mean, std):
    return (warp((images - mean) / std, theta) - mean) / std
