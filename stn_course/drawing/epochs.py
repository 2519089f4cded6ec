"""Some images being straightened, epoch by epoch: where a network looked in them, and what it saw."""

from collections.abc import Mapping, Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from stn_course import algebra
from stn_course.checks import Images, Size, Theta
from stn_course.drawing.panel import Still, aspect, font, to_picture
from stn_course.drawing.scene import Scene
from stn_course.palette import BASELINE, INK, PAPER, SOURCE, TARGET
from stn_course.spatial_transformer import warp
from stn_course.transforms import Affine, Transform, check_transform

TILE, GAP, LABEL, MARGIN = 96, 10, 20, 84
FARTHEST = 1.6  # frames that reach beyond are cut off: the pictures would become too small


class EpochScene(Scene):
    """The pictures of a training run; see `widgets.EpochSlider`, which has the same arguments but `reach`.

    `reach` is how far the drawn plane goes, where an image ends at 1; as far as the frames need, if None.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 05, "Watch it learn".
    """

    def __init__(
        self,
        images: Images,
        thetas: Tensor | Sequence[Tensor],
        transform: Transform | Sequence[Transform] = Affine(),
        output_size: Size | None = None,
        padding_mode: str = "zeros",
        start: Tensor | Sequence[Tensor] | None = None,
        chained: bool = False,
        reach: float | None = None,
    ):
        if not (isinstance(thetas, list | tuple) and thetas and torch.as_tensor(thetas[0]).ndim == 3):  # a single look
            thetas, transform, start = [thetas], [transform], [start]
        transforms = transform if isinstance(transform, list | tuple) else [transform] * len(thetas)
        starts = start if isinstance(start, list | tuple) else [start] * len(thetas)
        if not len(thetas) == len(transforms) == len(starts):
            raise ValueError(
                f"expected thetas, transform and start for as many looks, got {len(thetas)}, {len(transforms)} and "
                f"{len(starts)}"
            )
        self.images, self.chained = images.detach().cpu(), chained
        self.transforms = [check_transform(each) for each in transforms]
        self.output_size, self.padding_mode = output_size, padding_mode
        self.looks = [_with_start(*look, len(images)) for look in zip(thetas, transforms, starts)]
        if len(set(map(len, self.looks))) > 1:
            raise ValueError(f"expected as many epochs for each look, got {[len(look) - 1 for look in self.looks]}")
        farthest = max(algebra.reach(thetas.flatten(0, 1), kind) for thetas, kind in zip(self.looks, self.transforms))
        self.reach = min(farthest, FARTHEST) if reach is None else reach
        self.start = {"epoch": 0}

    @property
    def width(self) -> int:
        """Of a picture, in pixels."""
        return MARGIN + len(self.images) * (TILE + GAP)

    @property
    def epochs(self) -> int:
        """How many epochs there are, the untrained network aside."""
        return len(self.looks[0]) - 1

    def compose(self, epoch: int) -> Image.Image:
        """The picture after an epoch: inputs with the border above, what the network saw below."""
        if not 0 <= epoch <= self.epochs:
            raise ValueError(f"expected epoch from 0 to {self.epochs}, got {epoch}")
        return self.strip(epoch, "untrained" if epoch == 0 else f"after epoch {epoch}")

    def strip(self, epoch: int, caption: str) -> Image.Image:
        """Draw the picture after an epoch with other words under it."""
        rows = self._rows(epoch)
        height = sum(tiles[0].height + GAP for _, tiles, _ in rows) + LABEL
        picture = Image.new("RGB", (self.width, height), PAPER)
        draw, top = ImageDraw.Draw(picture), 0
        for text, tiles, colour in rows:
            width, height = tiles[0].size
            draw.text((4, top + height // 2 - 8), text, fill=INK, font=font(14))
            for i, tile in enumerate(tiles):
                left = MARGIN + i * (TILE + GAP) + (TILE - width) // 2
                picture.paste(tile, (left, top + 2))
                draw.rectangle((left - 1, top + 1, left + width, top + 2 + height), outline=colour)
            top += height + GAP
        draw.text((4, top), caption, fill=INK, font=font(14))
        return picture

    def _rows(self, epoch: int) -> list[tuple[str, list[Image.Image], str]]:
        """Label, tiles and colour of each row: the images with borders, then what each look saw."""
        thetas = [look[epoch] for look in self.looks]
        sources, given = [self.images], self.images
        for theta, transform in zip(thetas, self.transforms):
            seen = warp(given, theta, transform, self.output_size, self.padding_mode)
            sources.append(seen)
            given = seen if self.chained else self.images
        rows = []
        for i, source in enumerate(sources):
            here = [i] if self.chained else range(len(thetas)) if i == 0 else []  # which looks look at this row
            looks = [(thetas[look], self.transforms[look]) for look in here if look < len(thetas)]
            tiles = [
                _bordered(image, [(one[n], kind) for one, kind in looks], self.reach) if looks else _enlarged(image)
                for n, image in enumerate(source)
            ]
            number = f" {i}" if len(thetas) > 1 else ""
            rows.append((f"sees{number}", tiles, TARGET) if i else ("looks", tiles, BASELINE))
        return rows

    def in_words(self, states: Sequence[Mapping]) -> str:
        epochs = ", ".join(str(state["epoch"]) for state in states)
        return f"where the network looked and what it saw after epochs {epochs}"

    def figure(self, epochs: Sequence[int], alt: str | None = None) -> Still:
        """A still strip: the picture after each of these epochs, one below the other, for readers without a kernel."""
        return super().figure([{"epoch": epoch} for epoch in epochs], alt)


def _enlarged(image: Tensor, reach: float = 1.0) -> Image.Image:
    """Draw an image on a tile that shows the plane from -reach to reach."""
    whole = (TILE * aspect(image)).round().astype(int).clip(1)
    size = (whole / reach).round().astype(int).clip(1)
    tile = Image.new("RGB", tuple(whole.tolist()), PAPER)
    place = tuple(((whole - size) // 2).tolist())
    tile.paste(to_picture(image).resize(tuple(size.tolist()), Image.Resampling.NEAREST), place)
    return tile


def _bordered(image: Tensor, looks: Sequence[tuple[Theta, Transform]], reach: float) -> Image.Image:
    tile = _enlarged(image, reach)
    draw = ImageDraw.Draw(tile)
    for theta, transform in looks:
        border = (algebra.target_border(theta, transform) / reach + 1) * torch.tensor(tile.size) / 2
        draw.line([tuple(point) for point in border.tolist()], fill=SOURCE, width=2)
        x, y = border[0].tolist()
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=SOURCE)
    return tile


def _with_start(thetas: Tensor, transform: Transform, start: Tensor | None, images: int) -> Tensor:
    """The θ of one look, that of the untrained network in front: (1 + epochs, N, n_params)."""
    thetas = torch.as_tensor(thetas, dtype=torch.float32).detach().cpu()
    if thetas.ndim != 3 or thetas.shape[1:] != (images, transform.n_params):
        raise ValueError(
            f"expected thetas of shape (epochs, {images}, {transform.n_params}), got {tuple(thetas.shape)}"
        )
    first = transform.identity() if start is None else torch.as_tensor(start, dtype=torch.float32).detach().cpu()
    if first.shape != (transform.n_params,):
        raise ValueError(f"expected start as one θ of shape ({transform.n_params},), got {tuple(first.shape)}")
    return torch.cat((first.expand(1, images, -1), thetas))
