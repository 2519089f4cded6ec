"""The exercises of notebook 06: colour, cut-outs, and what a transformer is worth."""

import torch
import torch.nn.functional as F

from stn_course.exercises.exercise import NumberExercise, function_exercise
from stn_course.spatial_transformer import warp

thetas = NumberExercise(
    answer=48,
    why="Yes: six for each photograph, and its three channels are moved alike.",
    mistakes={
        144: "Six for each channel would move red, green and blue apart. An image has one θ.",
        6: "That is one θ for the whole batch; each image has its own.",
        18: "A photograph has one θ, not three, and there are eight photographs.",
    },
    hints=("How many photographs are there, and how many numbers has an affine θ?",),
)


def _bright_and_dark() -> list[tuple]:
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(5))  # n and n − 1 differ by little
    return [(images * torch.tensor([0.1, 0.5, 0.8, 1.0]).view(4, 1, 1, 1) * torch.tensor([1, 0.7, 0.4]).view(3, 1, 1),)]


@function_exercise(
    cases=_bright_and_dark,
    hints=(
        "Three means: over all images, all rows and all columns, but not over the channels.",
        "images.mean((0, 2, 3)), and the same for the standard deviation.",
    ),
    success="Yes: three means and three standard deviations.",
    observe=lambda result, images: dict(zip(("mean", "standard deviation"), result, strict=True)),
    gives="mean and standard deviation, three numbers each",
)
def channel_statistics(images):
    channels = images.transpose(0, 1).flatten(1)  # (C, B·H·W)
    return channels.mean(1), channels.std(1)


@channel_statistics.mistake("this is one mean for everything; expected one for each channel")
def _(images):
    return images.mean().expand(3), images.std().expand(3)


@channel_statistics.mistake("the mean of the images' own deviations misses that some images are brighter than others")
def _(images):
    return images.mean((0, 2, 3)), images.std((2, 3)).mean(0)


@channel_statistics.mistake("mean and standard deviation have changed places")
def _(images):
    return channel_statistics.reference(images)[::-1]


@channel_statistics.mistake("this is the variance; its square root is the standard deviation")
def _(images):
    return images.mean((0, 2, 3)), images.var((0, 2, 3))


@function_exercise(
    cases=lambda: [
        (
            torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(6)),
            torch.tensor([[0.6, -0.2, 0.1, 0.2, 0.6, -0.1], [0.7, 0.0, -0.3, 0.0, 0.7, 0.2]]),
        )
    ],
    hints=(
        "The grid decides how many points there are. Whose size has it now?",
        "warp takes an output_size.",
    ),
    success="Yes: sampled once, at as many points as the classifier wants.",
)
def cut_out(images, theta):
    return warp(images, theta, output_size=(32, 32))


@cut_out.as_given
def _(images, theta):
    return warp(images, theta)


@cut_out.mistake("this cuts the middle out of a warped canvas; θ is to spread its points over what it found")
def _(images, theta):
    return warp(images, theta)[:, :, 8:40, 8:40]


@cut_out.mistake("this samples twice, and blurs twice: the grid itself can be 32 × 32")
def _(images, theta):
    return F.interpolate(warp(images, theta), size=(32, 32), mode="bilinear", align_corners=False)


@cut_out.mistake("the photograph was made smaller before it was looked at: what the sampler needs is gone by then")
def _(images, theta):
    return warp(F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False), theta)


@function_exercise(
    cases=lambda: [(0.9, 0.8), (0.993, 0.984), (0.6, 0.7)],
    hints=(
        "Count in mistakes: how many of 100 images does each get wrong?",
        "At 80 % it is 20 of 100, at 90 % it is 10. Which share of the 20 is gone?",
    ),
    success="Yes. From 80 to 90 % half of the mistakes are gone, and from 98.4 to 99.3 % more than half.",
)
def mistakes_saved(accuracy, baseline):
    return 1 - (1 - accuracy) / (1 - baseline)


@mistakes_saved.mistake("that is the difference in points; expected the share of the baseline's mistakes that are gone")
def _(accuracy, baseline):
    return accuracy - baseline


@mistakes_saved.mistake("this compares what is right; expected a share of what was *wrong*")
def _(accuracy, baseline):
    return accuracy / baseline - 1


@mistakes_saved.mistake("that is the share of mistakes that are left; expected the share that is gone")
def _(accuracy, baseline):
    return (1 - accuracy) / (1 - baseline)


@mistakes_saved.mistake("the two have changed places: the baseline's mistakes are the whole")
def _(accuracy, baseline):
    return 1 - (1 - baseline) / (1 - accuracy)
