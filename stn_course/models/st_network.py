"""What every network with a spatial transformer is: the transformer, then a classifier that knows nothing of it."""

from torch import Tensor, nn

from stn_course.spatial_transformer import SpatialTransformer


class STNetwork(nn.Module):
    """A classifier that sees an image as a spatial transformer hands it over: (B, C, H, W) → (B, classes).

    Example:
        >>> from stn_course.models import TutorialSTN
        >>> [name for name, _ in TutorialSTN().named_children()]
        ['spatial_transformer', 'classifier']
    """

    def __init__(self, spatial_transformer: SpatialTransformer, classifier: nn.Module):
        super().__init__()
        self.spatial_transformer = spatial_transformer
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.spatial_transformer(x))
