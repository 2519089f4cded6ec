"""Co-localisation: pictures of one unknown thing, and a transformer that is to find it in each, told by nobody.

What the pictures of a set have in common is what their crops should agree on, in the eyes of a network f that knows
digits; so the crop of picture n should be more like that of m than like any other crop of n:

    ‖f(crop of n) − f(crop of m)‖  <  ‖f(crop of n) − f(crop of n, elsewhere)‖

Source: Jaderberg et al., 2015 (arXiv:1506.02025), appendix A.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stn_course.checks import Images, Theta
from stn_course.models.mnist import TutorialCNN
from stn_course.models.soft_argmax import soft_argmax
from stn_course.models.st_network import Look, STNetwork, look
from stn_course.spatial_transformer import SpatialTransformer
from stn_course.transforms import Attention

SETS, CANVAS, CROP = 10, 84, 28
WIDE = 0.6  # of the canvas: from its middle, a crop so wide holds some of the digit, wherever that lies


class DigitFeatures(nn.Module):
    """What a `TutorialCNN` makes of digits before its last layer: (B, 1, 56, 56) → (B, 50), of length 1.

    It halves what it sees first: a wide crop of 28×28 pixels would skip pixels of the canvas, and its gradient, too.

    Its numbers are buffers, no parameters: no training changes them. Its dropout is off at all times. It takes ink from
    0 to 1, and normalises it as the task of that network does.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 09, "Nobody says what it is: can it still be found?".
    """

    def __init__(self, mean: float = 0.1307, std: float = 0.3081):
        super().__init__()
        self.layers, self.mean, self.std = TutorialCNN().layers, mean, std
        for module in self.layers:
            for name, parameter in [*module.named_parameters()]:
                delattr(module, name)
                module.register_buffer(name, parameter.detach())
        self.eval()

    def train(self, mode: bool = True) -> "DigitFeatures":
        return super().train(False)

    def forward(self, x: Images) -> Tensor:
        x = (F.avg_pool2d(x, 2) - self.mean) / self.std
        return F.normalize(self.layers[:-2](x).float(), dim=1)


class Search(nn.Module):
    """A localisation network that scores every place of a picture: (B, 1, 84, 84) → θ (B, 3) of attention.

    Two convolutions see the picture at a third of its size, and (t_x, t_y) is the `soft_argmax` of their scores. So the
    middle of a crop never leaves the picture; and what the score learns about a digit at one place, it knows at all.

    s is given, not learnt: 0.6, so that the look is wider than a digit, which is a third as wide as the picture. In
    trials it ran away when it was learnt together with the place.

    It begins in the middle: all places score alike.

    Convention: θ is (B, n_params), target → source; points and grids are (..., 2), normalised (x, y), y down; ±1 are
    the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 09, "Nobody says what it is: can it still be found?".
    """

    def __init__(self, channels: int = 10):
        super().__init__()
        self.score = nn.Sequential(
            nn.AvgPool2d(3),  # (B, 1, 28, 28)
            nn.Conv2d(1, channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(channels, 1, 1, bias=False),  # (B, 1, 28, 28)
        )
        nn.init.zeros_(self.score[-1].weight)

    def forward(self, x: Images) -> Theta:
        _, centre = soft_argmax(self.score(x).float())
        return torch.cat((torch.full_like(centre[:, :1], WIDE), centre), dim=1)


class CoLocaliser(STNetwork):
    """Ten localisers, each for a set of pictures of its own: (B, 10, 84, 84), a set a channel → (B, 10, 103).

    Each is attention behind a `Search`; nothing is shared, as if there were ten networks. Of each picture come θ (3
    numbers), the features of its crop (50), and those of a crop as large as a digit at a random place of the same
    picture (50). In evaluation mode that place is the same each time. 27,800 parameters.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    Built in: 09, "Nobody says what it is: can it still be found?".
    """

    def __init__(self):
        super().__init__()
        self.transformers = nn.ModuleList(
            SpatialTransformer(Search(), Attention(), output_size=(2 * CROP, 2 * CROP)) for _ in range(SETS)
        )
        self.features = DigitFeatures()

    def looks(self, x: Images) -> list[Look]:
        return [look(layer, x[:, [i]]) for i, layer in enumerate(self.transformers)]

    def forward(self, x: Images) -> Tensor:
        looks = self.looks(x)
        thetas = torch.stack([one.theta for one in looks], dim=1)  # (B, 10, 3)
        elsewhere = self.elsewhere(thetas.detach())
        others = [one.layer.warp(one.images, theta) for one, theta in zip(looks, elsewhere.unbind(1), strict=True)]
        crops = torch.cat([*(one.warped for one in looks), *others])  # (20 · B, 1, 56, 56)
        seen, random = self.features(crops).unflatten(0, (2, SETS, len(x))).transpose(1, 2)  # (B, 10, 50) each
        return torch.cat((thetas, seen, random), dim=2)

    def elsewhere(self, theta: Theta) -> Theta:
        """Choose for each look, (..., 3), another crop of its picture: as large as a digit, anywhere."""
        generator = None if self.training else torch.Generator().manual_seed(0)
        place = torch.rand(*theta.shape[:-1], 2, generator=generator, device=theta.device if self.training else "cpu")
        size = CROP / CANVAS
        return torch.cat((torch.full_like(theta[..., :1], size), (2 * place.to(theta) - 1) * (1 - size)), dim=-1)
