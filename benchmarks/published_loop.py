"""The usual way, as the published runs did it: what the course's training path is measured against.

Images are turned, scaled and placed one at a time as PIL images in the workers of a DataLoader; the step runs in
float32, reads the loss every time, and uses PyTorch's layers as they are.
"""

import random

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torchvision.transforms import InterpolationMode, RandomAffine
from torchvision.transforms.functional import pil_to_tensor

from stn_course.data import ImageData
from stn_course.models import STCNN, GreyConv2d


class DistortedDigits(torch.utils.data.Dataset):
    """One digit at a time: PIL image → RandomAffine → a random place on a 42×42 canvas → tensor."""

    def __init__(self, data: ImageData):
        self.images, self.labels = data.images[:, 0].numpy(), data.labels.tolist()
        self.distort = RandomAffine(45, scale=(0.7, 1.2), interpolation=InterpolationMode.BILINEAR)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        canvas = Image.new("L", (42, 42))
        canvas.paste(self.distort(Image.fromarray(self.images[index])), (random.randint(0, 14), random.randint(0, 14)))
        return pil_to_tensor(canvas).float() / 255, self.labels[index]


def loader(data: ImageData, workers: int) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(
        DistortedDigits(data), 256, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


def network() -> nn.Module:
    """The course's ST-CNN with PyTorch's own convolutions throughout."""
    model = STCNN()
    for module in model.modules():
        if isinstance(module, GreyConv2d):
            module.__class__ = nn.Conv2d
    return model


def train(model: nn.Module, batches, device: torch.device) -> None:
    """One epoch of the published loop."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model.train()
    total = 0.0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(F.log_softmax(model(images), 1), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
