"""Images and labels in memory, and batches of them made where they live."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import torch
from torch import Tensor

from stn_course.cuda_graph import Recorded, check_graph

DIGITS = tuple("0123456789")

Join = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (images, labels) → (images, labels); see `Batches`


@dataclass(frozen=True)
class ImageData:
    """Images and labels in memory.

    `images` is uint8; `labels` is (N, ...), int64 or floating-point: (N,) int64 for one class an image. `source` says
    in words what they are and where they come from, `complete` whether this is the whole published data set, and
    `classes` what each label stands for.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    """

    images: Tensor
    labels: Tensor
    source: str
    complete: bool = True
    classes: tuple[str, ...] = DIGITS

    def __post_init__(self):
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"expected uint8 images of shape (N, C, H, W), got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 and not self.labels.is_floating_point():
            raise ValueError(f"expected int64 or floating-point labels, got {self.labels.dtype}")
        if self.labels.shape[:1] != self.images.shape[:1]:
            raise ValueError(f"expected a label for each of {len(self.images)} images, got {tuple(self.labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "ImageData":
        labels = self.labels[index]
        if len(labels) == len(self):
            return replace(self, images=self.images[index], labels=labels)
        source = f"{len(labels):,} images of {self.source}"
        return replace(self, images=self.images[index], labels=labels, source=source, complete=False)

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of images and labels: the same data, the same digest."""
        whole = hashlib.sha256(self.images.cpu().numpy().tobytes())
        whole.update(self.labels.cpu().numpy().tobytes())
        return whole.hexdigest()[:16]


@dataclass(frozen=True)
class Normalise:
    """Subtract the mean of each channel and divide by its standard deviation.

    `mean` and `std` have one number a channel, of the training images in [0, 1]; any sequences become tuples.

    Convention: images are (B, C, H, W), one image is (C, H, W), pixel (0, 0) at the top left; sizes are (H, W).
    Built in: 04, "Zero is not black".

    Example:
        >>> Normalise(mean=(0.5,), std=(0.25,))(torch.tensor([[[[0.25, 1.0]]]]))
        tensor([[[[-1.,  2.]]]])
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self):
        try:
            mean, std = (tuple(float(number) for number in numbers) for numbers in (self.mean, self.std))
            fine = len(mean) == len(std) and all(map(math.isfinite, mean + std)) and all(number > 0 for number in std)
        except (TypeError, ValueError):  # no sequence, or not of numbers
            fine = False
        if not fine:
            raise ValueError(f"expected a mean and a positive std for each channel, got {self.mean} and {self.std}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Normalise images in [0, 1]. Nothing is random: the generator is left alone."""
        mean, std = self._constants(images)
        return (images - mean) / std

    def undo(self, images: Tensor) -> Tensor:
        """Bring normalised images back to [0, 1], to be looked at."""
        mean, std = self._constants(images)
        return images * std + mean

    def _constants(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise ValueError(f"expected images as (B, {len(self.mean)}, H, W), got {tuple(images.shape)}")
        return _columns(self.mean, self.std, images.dtype, images.device)


@lru_cache(16)  # they are made once a device: a copy in each batch would make a GPU wait
def _columns(mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor((mean, std), dtype=dtype, device=device)[:, :, None, None]  # (2, C, 1, 1)


class Batches:
    """Make whole batches for `fit` to iterate over: images (B, C, H, W), float32 in [0, 1], and their labels (B, ...).

    Built in: 04, "Train them together".

    Args:
        batch_size: images in a batch; the last one may be smaller.
        prepare: (images, generator) → images, applied to each batch; `RTS()` for one. None leaves them alone.
        shuffle: whether each pass has a new order.
        generator: the source of all randomness; one on another device than `device` will do, but makes a GPU wait.
        device: keeps the images and makes the batches.
        join: (images, labels) → (images, labels), applied to each batch before `prepare`: puts together what belongs
            together, such as pairs of digits and their sums. None leaves them alone.
        graph: whether making a batch is recorded as a CUDA graph, and replayed by the GPU: see `cuda_graph`. A batch is
            then overwritten by the next one.

    Example:
        >>> from stn_course.data import load_mnist
        >>> images, labels = next(iter(Batches(load_mnist("test", offline=True), 64)))
        >>> images.shape, images.dtype
        (torch.Size([64, 1, 28, 28]), torch.float32)
    """

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        prepare: Callable[[Tensor, torch.Generator | None], Tensor] | None = None,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        join: Join | None = None,
        graph: bool = False,
    ):
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"expected batch_size as a whole number of at least 1, got {batch_size!r}")
        check_graph(graph, device)
        self.images, self.labels = data.images.to(device), data.labels.to(device)
        self.batch_size, self.shuffle, self.generator = batch_size, shuffle, generator
        make = partial(_make, self.images, self.labels, join, prepare, generator)
        self._make = Recorded(make, "The making of a batch", generator) if graph else make

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n, device = len(self.labels), self.labels.device
        if self.shuffle:
            source = self.generator.device if self.generator is not None else device
            order = torch.randperm(n, generator=self.generator, device=source).to(device)
        else:
            order = torch.arange(n, device=device)
        for chosen in order.split(self.batch_size) if n else ():
            yield self._make(chosen)


def _make(images: Tensor, labels: Tensor, join, prepare, generator, chosen: Tensor) -> tuple[Tensor, Tensor]:
    some, theirs = images[chosen].float() / 255, labels[chosen]
    if join is not None:
        some, theirs = join(some, theirs)
    return some if prepare is None else prepare(some, generator), theirs
