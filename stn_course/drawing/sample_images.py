"""Images to look at: a real digit, a test card, and a file of the learner's own.

All are (C, H, W), float32 in [0, 1], C 1 or 3: what `warp` takes, once a batch axis stands in front.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from stn_course.data import load_mnist
from stn_course.drawing.panel import font

SIDE = 96
MOST_BYTES = 20 * 2**20
MOST_PIXELS = 50_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")  # those that Pillow reads by itself, without other programs


def digit(label: int = 2) -> Tensor:
    """Load a real handwritten digit that comes with the package: (1, 28, 28), 0 is background and 1 is ink.

    Built in: 00, "How it does that, in one picture".

    Example:
        >>> digit(7).shape
        torch.Size([1, 28, 28])
    """
    if label not in range(10):
        raise ValueError(f"expected label as one of 0, 1, …, 9, got {label!r}")
    return _first_of_each()[int(label)].clone()


@cache
def _first_of_each() -> Tensor:
    data = load_mnist("test", offline=True)
    return torch.stack([data.images[data.labels == label][0] for label in range(10)]).float() / 255


def test_card() -> Tensor:
    """Draw a picture that shows which way is up, what is mirrored and where each corner went: (3, 84, 84).

    Every corner has a colour and a number of its own, reading 1 2 / 3 4; the letter in the middle has no symmetry; the
    checks are squares and the ring is round as long as nothing is stretched or sheared.

    Built in: 01, "Optional A · Does 30° always turn by 30°?".

    Example:
        >>> test_card().shape
        torch.Size([3, 84, 84])
    """
    side, check, block = 84, 7, 21
    card = Image.new("RGB", (side, side), "#FFFFFF")
    draw = ImageDraw.Draw(card)
    for row in range(side // check):
        for column in range(row % 2, side // check, 2):
            x, y = column * check, row * check
            draw.rectangle((x, y, x + check - 1, y + check - 1), fill="#D9DCE0")
    draw.ellipse((13, 13, side - 14, side - 14), fill="#FFFFFF", outline="#222222", width=2)
    draw.text((side / 2, side / 2), "R", "#222222", font(46), "mm")
    corners = {(0, 0): "#8CCBF0", (1, 0): "#F0E442", (0, 1): "#C06C9C", (1, 1): "#E69F00"}
    for number, ((right, low), colour) in enumerate(corners.items(), start=1):
        x, y = right * (side - block), low * (side - block)
        draw.rectangle((x, y, x + block - 1, y + block - 1), fill=colour)
        draw.text((x + block / 2, y + block / 2), str(number), "#222222", font(17), "mm")
    return _to_tensor(card)


test_card.__test__ = False  # pytest would take it for a test, by its name


def uploaded_file(value: Mapping | Sequence) -> tuple[str, bytes]:
    """Return name and bytes of the first file of a `FileUpload`: a dict in ipywidgets 7, a tuple of dicts in 8.

    Example:
        >>> uploaded_file({"a.png": {"content": b"..."}}) == uploaded_file(({"name": "a.png", "content": b"..."},))
        True
    """
    if isinstance(value, Mapping):
        name, file = next(iter(value.items()))
    else:
        file = value[0]
        name = file["name"]
    return name, bytes(file["content"])


def read_image(data: bytes, name: str = "the file") -> Tensor:
    """Read an image file's bytes as a small square image: upright, cropped about the centre, (3, 96, 96).

    What is transparent becomes white; of an animation the first picture is taken. `name` is for messages.

    Raises:
        ValueError: if the file is larger than 20 MB, has more than 50 megapixels, or is no whole image; nothing is
            decoded before its size is known.

    Example:
        >>> from stn_course.drawing.panel import png
        >>> read_image(png(Image.new("L", (30, 20)))).shape
        torch.Size([3, 96, 96])
    """
    data = bytes(data)
    if len(data) > MOST_BYTES:
        raise ValueError(f"expected an image file of at most 20 MB, got {len(data) / 2**20:.1f} MB in {name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own about large and odd files; ours follow
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError(pixels)
            return _to_tensor(ImageOps.fit(_on_paper(ImageOps.exif_transpose(image)), (SIDE, SIDE)))
    except Image.DecompressionBombError as error:
        raise ValueError(f"expected an image of at most 50 megapixels, got more in {name}") from error
    except Exception as error:  # a decoder that meets nonsense raises whatever it likes
        raise ValueError(
            f"expected an image (PNG, JPEG, GIF, WebP, BMP or TIFF), could not read {name} as one"
        ) from error


def _on_paper(image: Image.Image) -> Image.Image:
    """Convert to RGB, with white behind whatever is transparent."""
    if (
        image.mode[0] in "IF"
    ):  # whole numbers of 16 bits, or numbers from 0 to 1; where they go on, the largest is white
        values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0)
        levels = 255 * values / max(values.max(), 1 if image.mode == "F" else 65535)
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
