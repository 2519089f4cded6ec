"""Some images being straightened, epoch by epoch: where a network looked in them, and what it saw."""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course.algebra import target_border
from stn_course.checks import Images, Size, Theta
from stn_course.drawing.panel import Still, aspect, font, to_picture
from stn_course.drawing.scene import Scene
from stn_course.palette import INK, PAPER, SOURCE, TARGET
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform

TILE, GAP, LABEL, MARGIN = 96, 10, 20, 84


class EpochScene(Scene):
    """The pictures of a training run; see `widgets.EpochSlider`, which has the same arguments.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 05, "Watch it learn".
    """

    def __init__(
        self,
        images: Images,
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
        first = transform.identity() if start is None else torch.as_tensor(start, dtype=torch.float32).detach().cpu()
        if first.shape != (transform.n_params,):
            raise ValueError(f"expected start as one θ of shape ({transform.n_params},), got {tuple(first.shape)}")
        self.images, self.transform = images.detach().cpu(), transform
        self.output_size, self.padding_mode = output_size, padding_mode
        self.thetas = torch.cat((first.expand(1, len(images), -1), thetas))  # (1 + epochs, N, n_params)
        self.start = {"epoch": 0}

    @property
    def width(self) -> int:
        """Of a picture, in pixels."""
        return MARGIN + len(self.images) * (TILE + GAP)

    def compose(self, epoch: int) -> Image.Image:
        """The picture after an epoch: inputs with the border above, what the network saw below."""
        if not 0 <= epoch < len(self.thetas):
            raise ValueError(f"expected epoch from 0 to {len(self.thetas) - 1}, got {epoch}")
        theta = self.thetas[epoch]
        seen = warp(self.images, theta, self.transform, self.output_size, self.padding_mode)
        looks = [_with_border(image, one, self.transform) for image, one in zip(self.images, theta)]
        sees = [_enlarged(image) for image in seen]
        height = sum(row[0].height + GAP for row in (looks, sees)) + LABEL
        picture = Image.new("RGB", (self.width, height), PAPER)
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

    def in_words(self, states: Sequence[Mapping]) -> str:
        epochs = ", ".join(str(state["epoch"]) for state in states)
        return f"where the network looked and what it saw after epochs {epochs}"

    def figure(self, epochs: Sequence[int], alt: str | None = None) -> Still:
        """A still strip: the picture after each of these epochs, one below the other, for readers without a kernel."""
        return super().figure([{"epoch": epoch} for epoch in epochs], alt)


def _enlarged(image: Tensor) -> Image.Image:
    width, height = (TILE * aspect(image)).round().astype(int).clip(1).tolist()
    return to_picture(image).resize((width, height), Image.Resampling.NEAREST)


def _with_border(image: Tensor, theta: Theta, transform: Transform) -> Image.Image:
    tile = _enlarged(image)
    border = (target_border(theta, transform) + 1) * torch.tensor(tile.size) / 2  # ±1 are the outer edges
    draw = ImageDraw.Draw(tile)
    draw.line([tuple(point) for point in border.tolist()], fill=SOURCE, width=2)
    x, y = border[0].tolist()
    draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=SOURCE)
    return tile
