"""Small networks for 8×8 images that look more than once: side by side, at features, and again at what they saw."""

import torch
from torch import nn

from stn_course.models import STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer, theta_head
from stn_course.transforms import Affine, Attention


def small_layer(size, transform=Affine(), output_size=(6, 6)):
    localisation = nn.Sequential(nn.Flatten(), theta_head(size, transform))
    nn.init.normal_(localisation[-1].weight, std=0.05)
    return SpatialTransformer(localisation, transform, output_size)


class SideBySide(STNetwork):
    """Two looks at the same image, told apart by the classifier."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(2 * 36, 10))
        self.layers = nn.ModuleList([small_layer(64), small_layer(64, Attention())])

    def looks(self, x):
        return [look(layer, x) for layer in self.layers]

    def forward(self, x):
        return self.classifier(torch.cat([one.warped for one in self.looks(x)], dim=1))


class OneAfterAnother(STNetwork):
    """A look at the image, and one at the features of what was seen."""

    def __init__(self):
        super().__init__()
        self.first, self.features, self.second = small_layer(64), nn.Conv2d(1, 4, 3), small_layer(64)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 10))

    def looks(self, x):
        first = look(self.first, x)
        return [first, look(self.second, self.features(first.warped))]

    def forward(self, x):
        return self.classifier(self.looks(x)[-1].warped)


class Again(STNetwork):
    """A look at the image, and one at what the first saw."""

    def __init__(self):
        super().__init__()
        self.first, self.second = small_layer(64), small_layer(36, Attention())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(36, 10))

    def looks(self, x):
        first = look(self.first, x)
        return [first, look(self.second, first.warped)]

    def forward(self, x):
        return self.classifier(self.looks(x)[-1].warped)
