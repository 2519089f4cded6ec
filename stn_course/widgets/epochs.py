"""Ten images being straightened, epoch by epoch: a slider over a training run."""

import ipywidgets
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.checks import Size
from stn_course.drawing.panel import Still, aspect, below, font, to_picture
from stn_course.palette import INK, SOURCE, TARGET
from stn_course.plots import target_border
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform
from stn_course.widgets.base import Explorer

TILE = 96
GAP = 10
LABEL = 20
MARGIN = 84


class EpochSlider(Explorer):
    """Watch images being straightened more and more as training went on.

    Above the inputs with the border where the network looked after an epoch, below what it saw, each with square
    pixels. Epoch 0 is the untrained network. The slider moves by mouse and by the arrow keys.

    Args:
        images: (N, C, H, W) with C 1 or 3, float in [0, 1]; ten is a good number.
        thetas: for each epoch from 1 on the θ of each image: (epochs, N, n_params).
        transform: the family θ belongs to.
        output_size: (H', W') of what the network saw; the size of the images if None.
        padding_mode: what it saw beyond the edge, as for `warp`.
        start: θ of the untrained network, (n_params,); the identity if None.

    Raises:
        ValueError: if thetas does not have one θ for each image in each epoch, or start another length than a θ.

    Example:
        >>> slider = EpochSlider(torch.rand(3, 1, 42, 42), Affine().identity().expand(5, 3, 6))
        >>> slider.epoch.value = 5
        >>> bytes(slider.picture.value[8:12])
        b'WEBP'
    """

    def __init__(
        self,
        images: Tensor,
        thetas: Tensor,
        transform: Transform = Affine(),
        output_size: Size | None = None,
        padding_mode: str = "zeros",
        start: Tensor | None = None,
    ):
        thetas = torch.as_tensor(thetas, dtype=torch.float32).detach().cpu()
        if thetas.ndim != 3 or thetas.shape[1:] != (len(images), transform.n_params):
            raise ValueError(
                f"expected thetas of shape (epochs, {len(images)}, {transform.n_params}), got {tuple(thetas.shape)}"
            )
        start = transform.identity() if start is None else torch.as_tensor(start, dtype=torch.float32).detach().cpu()
        if start.shape != (transform.n_params,):
            raise ValueError(f"expected start as one θ of shape ({transform.n_params},), got {tuple(start.shape)}")
        self.images, self.transform = images.detach().cpu(), transform
        self.output_size, self.padding_mode = output_size, padding_mode
        self.thetas = torch.cat((start.expand(1, len(images), -1), thetas))  # (1 + epochs, N, n_params)
        last = len(thetas)
        self.epoch = ipywidgets.IntSlider(
            0, 0, last, description="epoch", continuous_update=True, layout=ipywidgets.Layout(width="420px")
        )
        self.reset = ipywidgets.Button(description="reset", tooltip="back to the untrained network")
        self.controls = {"epoch": self.epoch, "reset": self.reset}
        width = MARGIN + len(images) * (TILE + GAP)
        self.picture = ipywidgets.Image(format="webp", layout=ipywidgets.Layout(width=f"{width}px", max_width="100%"))
        self._send({"epoch": 0})
        self.epoch.observe(self._redraw, names="value")
        self.reset.on_click(lambda _: setattr(self.epoch, "value", 0))
        self.widget = ipywidgets.VBox([ipywidgets.HBox([self.epoch, self.reset]), self.picture])

    def compose(self, epoch: int) -> Image.Image:
        """The picture after an epoch: inputs with the border above, what the network saw below."""
        if not 0 <= epoch < len(self.thetas):
            raise ValueError(f"expected epoch from 0 to {len(self.thetas) - 1}, got {epoch}")
        theta = self.thetas[epoch]
        seen = warp(self.images, theta, self.transform, self.output_size, self.padding_mode)
        looks = [_with_border(image, one, self.transform) for image, one in zip(self.images, theta)]
        sees = [_enlarged(image) for image in seen]
        height = sum(row[0].height + GAP for row in (looks, sees)) + LABEL
        picture = Image.new("RGB", (MARGIN + len(looks) * (TILE + GAP), height), "white")
        draw, top = ImageDraw.Draw(picture), 0
        for text, row, colour in (("looks", looks, SOURCE), ("sees", sees, TARGET)):
            width, height = row[0].size
            draw.text((4, top + height // 2 - 8), text, fill=INK, font=font(14))
            for i, tile in enumerate(row):
                left = MARGIN + i * (TILE + GAP) + (TILE - width) // 2
                picture.paste(tile, (left, top + 2))
                draw.rectangle((left - 1, top + 1, left + width, top + 2 + height), outline=colour)
            top += height + GAP
        draw.text((4, top), "untrained" if epoch == 0 else f"after epoch {epoch}", fill=INK, font=font(14))
        return picture

    def figure(self, epochs: list[int], alt: str | None = None) -> Still:
        """A still strip: the picture after each of these epochs, one below the other, for readers without a kernel."""
        return Still(
            below([self.compose(epoch) for epoch in epochs], GAP),
            alt or f"where the network looked and what it saw after epochs {', '.join(map(str, epochs))}",
        )

    def _redraw(self, change: dict) -> None:
        state = {"epoch": change["new"]}
        self._send(state, lambda: self._moved_once_more(state, change))


def _enlarged(image: Tensor) -> Image.Image:
    width, height = (TILE * aspect(image)).round().astype(int).clip(1).tolist()
    return to_picture(image).resize((width, height), Image.Resampling.NEAREST)


def _with_border(image: Tensor, theta: Tensor, transform: Transform) -> Image.Image:
    tile = _enlarged(image)
    border = (target_border(theta, transform) + 1) * torch.tensor(tile.size) / 2  # ±1 are the outer edges
    draw = ImageDraw.Draw(tile)
    draw.line([tuple(point) for point in border.tolist()], fill=SOURCE, width=2)
    x, y = border[0].tolist()
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=SOURCE)
    return tile
