"""Every network with spatial transformers says where it looks, and owns its groups of parameters."""

from typing import NamedTuple

from torch import Tensor, nn

from stn_course.checks import Images, Theta
from stn_course.spatial_transformer import SpatialTransformer


class Look(NamedTuple):
    """One layer at work: its input, its θ and its output.

    Convention: images are (B, C, H, W); θ is (B, n_params), target → source; points and grids are (..., 2), normalised
    (x, y), y down; ±1 are the border pixels' outer edges, or with align_corners=True their centres.
    """

    layer: SpatialTransformer
    theta: Theta  # (B, n_params)
    images: Images  # (B, C, H, W)
    warped: Images  # (B, C, H', W')


def look(layer: SpatialTransformer, images: Images) -> Look:
    """Look at images, or at features, through a layer: `look(layer, x).warped` is `layer(x)`.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """
    theta = layer.theta(images)
    return Look(layer, theta, images, layer.warp(images, theta))


def looks_of(model: nn.Module, x: Images) -> list[Look]:
    """List where any network looks: an `STNetwork` says so; of another one, watch its transformers while it runs.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).

    Raises:
        ValueError: if the network has no spatial transformer, or uses none.
    """
    if isinstance(model, STNetwork):
        return model.looks(x)
    looks = []

    def watch(layer: SpatialTransformer, given: tuple, warped: Images) -> None:
        looks.append(Look(layer, layer.theta(given[0]), given[0], warped))

    layers = [module for module in model.modules() if isinstance(module, SpatialTransformer)]
    hooks = [layer.register_forward_hook(watch) for layer in layers]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not looks:
        raise ValueError(f"expected a network with a spatial transformer, got a {type(model).__name__} that uses none")
    return looks


class STNetwork(nn.Module):
    """A network that looks through spatial transformers, however they are arranged: a subclass says how in `looks`.

        side by side          [look(layer, x) for layer in self.layers]
        one after another     first = look(self.first, x);  [first, look(self.second, first.warped)]

    One transformer, then a classifier, is an `STClassifier`.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 03, "Optional B · Two objects: do two transformers look at different things?".
    """

    def looks(self, x: Images) -> list[Look]:
        """Say where the network looks: one `Look` a transformer, in the order they are used."""
        raise NotImplementedError(f"expected {type(self).__name__} to say where it looks, got no method looks")

    def localisation_parameters(self) -> list[nn.Parameter]:
        """List the parameters of all localisation networks, each once, in the order of `parameters()`."""
        layers = [module for module in self.modules() if isinstance(module, SpatialTransformer)]
        theirs = {id(parameter) for layer in layers for parameter in layer.localisation.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) in theirs]

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Split the parameters into all others and `localisation_parameters`, which may have a rate of their own."""
        localisation = self.localisation_parameters()
        theirs = set(map(id, localisation))
        return [parameter for parameter in self.parameters() if id(parameter) not in theirs], localisation


class STClassifier(STNetwork):
    """A spatial transformer, then a classifier that knows nothing of it: (B, C, H, W) → (B, classes).

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 04, "Any network, and a transformer in front".
    """

    def __init__(self, spatial_transformer: SpatialTransformer, classifier: nn.Module):
        super().__init__()
        self.spatial_transformer = spatial_transformer
        self.classifier = classifier

    def looks(self, x: Images) -> list[Look]:
        return [look(self.spatial_transformer, x)]

    def forward(self, x: Images) -> Tensor:
        return self.classifier(self.spatial_transformer(x))
