"""Some images being straightened, epoch by epoch: a slider over a training run."""

from collections.abc import Sequence

import ipywidgets
from torch import Tensor

from stn_course.checks import Images, Size
from stn_course.drawing.epochs import EpochScene
from stn_course.transforms import Affine, Transform
from stn_course.widgets.base import Explorer


class EpochSlider(Explorer):
    """Watch images being straightened more and more as training went on.

    Above the inputs with the border where the network looked after an epoch, below what it saw, each with square
    pixels. Epoch 0 is the untrained network. The slider moves by mouse and by the arrow keys.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 05, "Watch it learn".

    Args:
        images: (N, C, H, W) with C 1 or 3, float in [0, 1]; ten is a good number.
        thetas: for each epoch from 1 on the θ of each image, (epochs, N, n_params); of several looks, a list of these.
        transform: the family θ belongs to; a list, if the looks are of several families.
        output_size: (H', W') of what the network saw; the size of the images if None.
        padding_mode: what it saw beyond the edge, as for `warp`.
        start: θ of the untrained network, (n_params,), or a list; the identity if None.
        chained: whether each look is given what the one before saw; else all look at the images.

    Raises:
        ValueError: if thetas does not have one θ for each image in each epoch, start another length than a θ, or the
            looks are not as many, or have not as many epochs, everywhere.

    Example:
        >>> import torch
        >>> slider = EpochSlider(torch.rand(3, 1, 42, 42), Affine().identity().expand(5, 3, 6))
        >>> slider.epoch.value = 5
        >>> bytes(slider.picture.value[8:12])
        b'WEBP'
    """

    scene: EpochScene

    def __init__(
        self,
        images: Images,
        thetas: Tensor | Sequence[Tensor],
        transform: Transform | Sequence[Transform] = Affine(),
        output_size: Size | None = None,
        padding_mode: str = "zeros",
        start: Tensor | Sequence[Tensor] | None = None,
        chained: bool = False,
    ):
        scene = EpochScene(images, thetas, transform, output_size, padding_mode, start, chained)
        super().__init__(scene, scene.width)
        self.epoch = ipywidgets.IntSlider(
            0,
            0,
            scene.epochs,
            description="epoch",
            continuous_update=True,
            layout=ipywidgets.Layout(width="420px"),
        )
        self.reset.tooltip = "back to the untrained network"
        self.controls = {"epoch": self.epoch, "reset": self.reset}
        self.widget = ipywidgets.VBox([ipywidgets.HBox([self.epoch, self.reset]), self.picture, self.message])
        self._begin({"epoch": self.epoch})
