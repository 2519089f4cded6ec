"""When a GPU's memory is full: say what to do, and split a batch that does not fit."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn
from tqdm import tqdm

# How libraries that take memory without PyTorch say that there was none: as an ordinary RuntimeError.
NO_MEMORY = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
ADVICE = (
    "The GPU's memory is full. Shut down other notebooks that hold some of it, or restart this kernel; then call the "
    'same again. Else take a smaller batch, or the CPU (device="cpu").'
)


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a GPU's memory is full, whichever library asked for it."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )


@contextlib.contextmanager
def advice_when_out_of_memory() -> Iterator[None]:
    """Add advice to an error that says that a GPU's memory is full, unless it has a note already.

    Example:
        >>> try:
        ...     with advice_when_out_of_memory():
        ...         raise torch.OutOfMemoryError("CUDA out of memory.")
        ... except torch.OutOfMemoryError as error:
        ...     print(error.__notes__[0])
        The GPU's memory is full. ...
    """
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error) and not getattr(error, "__notes__", None):
            error.add_note(ADVICE)
        raise


class SplitOnOutOfMemory:
    """Work on a batch in as many chunks as a GPU's memory makes necessary, and remember how many.

    A batch stays whole where chunks would change the result: in training with batch normalisation, whose statistics are
    those of the whole batch.

    Example:
        >>> fitting = SplitOnOutOfMemory(nn.Identity())
        >>> fitting(lambda chunks, images: [len(some) for some in images.chunk(chunks)], torch.zeros(8, 1, 2, 2))
        [8]
    """

    def __init__(self, model: nn.Module):
        self.model, self.chunks = model, 1

    def __call__(self, work: Callable, images: torch.Tensor, *arguments):
        """Return work(chunks, images, *arguments); when that runs out of memory, try again with twice as many chunks.

        It raises the error, with a note, if there is no room for a single image, or for a batch that has to stay whole.
        """
        while True:
            try:
                return work(self.chunks, images, *arguments)
            except RuntimeError as error:
                if not out_of_memory(error) or (images.is_cuda and torch.cuda.is_current_stream_capturing()):
                    raise  # a recording cannot be begun again in its middle
                if self.chunks >= len(images):
                    error.add_note(f"Not even a single image fits. {ADVICE}")
                    raise
                if any(
                    isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
                    for module in self.model.modules()
                ):
                    error.add_note(
                        f"{len(images)} images at once do not fit, and are not taken in parts: batch normalisation "
                        f"would see other batches, which is another training. {ADVICE}"
                    )
                    raise
            self.chunks *= 2  # out here: as long as the error lives, it keeps the memory it refers to
            torch.cuda.empty_cache()
            tqdm.write(
                f"{len(images)} images at once do not fit into the GPU's memory: "
                f"going on in parts of {-(-len(images) // self.chunks)}."
            )
