"""The usual way, as the published runs did it: what the course's training path is measured against.

Images are prepared one at a time as PIL images in the workers of a DataLoader; the step runs in float32, reads the loss
every time, and uses PyTorch's layers, and its memory layout, as they are.
"""

import random

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.transforms import Compose, InterpolationMode, Normalize, RandomAffine, ToTensor

from stn_course.data import ImageData
from stn_course.experiments import EXPERIMENTS
from stn_course.models import FourierConv2d, GreyConv2d


class OneAtATime(torch.utils.data.Dataset):
    """PIL images and their labels, each image prepared when it is asked for."""

    def __init__(self, data: ImageData, prepare):
        self.images, self.labels = data.images.permute(0, 2, 3, 1).numpy(), data.labels.tolist()
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.prepare(Image.fromarray(self.images[index].squeeze())), self.labels[index]


def at_random_on_a_canvas(image: Image.Image) -> Image.Image:
    canvas = Image.new("L", (42, 42))
    canvas.paste(image, (random.randint(0, 14), random.randint(0, 14)))
    return canvas


def preparation(name: str):
    """What is done to one PIL image: distorted, if the experiment asks for it, made a tensor, normalised."""
    experiment = EXPERIMENTS[name]
    steps = [ToTensor()]
    if experiment.distortion:
        turned = RandomAffine(45, scale=(0.7, 1.2), interpolation=InterpolationMode.BILINEAR)
        steps = [turned, at_random_on_a_canvas, *steps]
    if experiment.normalise:
        steps.append(Normalize(experiment.normalise.mean, experiment.normalise.std))
    return Compose(steps)


def loader(name: str, data: ImageData, workers: int) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        OneAtATime(data, preparation(name)),
        EXPERIMENTS[name].recipes["published"].batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def network(name: str) -> nn.Module:
    """The experiment's network with PyTorch's own convolutions throughout."""
    model = EXPERIMENTS[name].model()
    for module in model.modules():
        if isinstance(module, FourierConv2d | GreyConv2d):
            module.__class__ = nn.Conv2d
    return model


def train(name: str, model: nn.Module, batches, device: torch.device) -> None:
    """One epoch of the published loop."""
    optimizer = torch.optim.SGD(model.parameters(), EXPERIMENTS[name].recipes["published"].learning_rate)
    model.train()
    total = 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(F.log_softmax(model(images), 1), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
