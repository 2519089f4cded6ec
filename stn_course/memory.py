"""The memory that training needs: kept when it was freed, and made do with when it is short.

A training step frees its large arrays and asks for the same ones again a moment later. On Linux the C library returns
each of them to the system and gets new pages, which the kernel has to clear one by one: on the course's networks that
costs as much time as the arithmetic. `keep_freed_memory` asks the C library to hold on to them.
"""

import ctypes
import sys
from collections.abc import Callable

import torch
from tqdm import tqdm

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse freed memory; whether it was told. Elsewhere nothing is done, and need be.

    Calling it again changes nothing. Results are the same to the last bit; only the time differs.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1), mallopt(M_TOP_PAD, 2**27)))


class FittingParts:
    """Calls some work on a batch, in as many parts as a GPU's memory makes necessary; how many is remembered.

    Example:
        >>> fitting = FittingParts()
        >>> fitting(lambda parts, images: [len(part) for part in images.chunk(parts)], torch.zeros(8, 1, 2, 2))
        [8]
    """

    def __init__(self):
        self.parts = 1

    def __call__(self, work: Callable, images: torch.Tensor, *arguments):
        """Return work(parts, images, *arguments); whenever it runs out of memory, do it again in twice as many parts.

        Raises:
            torch.OutOfMemoryError: if there is no room for a single image.
        """
        while True:
            try:
                return work(self.parts, images, *arguments)
            except torch.OutOfMemoryError as error:
                if self.parts >= len(images):
                    error.add_note("Not even a single image fits. Does another notebook hold the GPU's memory?")
                    raise
            self.parts *= 2  # here, because what the error still refers to is not freed before it is gone
            torch.cuda.empty_cache()
            tqdm.write(
                f"{len(images)} images at once do not fit into the GPU's memory: "
                f"going on in parts of {-(-len(images) // self.parts)}."
            )
