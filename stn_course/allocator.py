"""Reuse freed memory: the C library keeps what a training step has freed for the next one.

A training step frees its large arrays and asks for the same ones again a moment later. On Linux the C library returns
each of them to the system and gets new pages, which the kernel has to clear one by one: on the course's networks that
costs as much time as the arithmetic. `reuse_freed_memory` asks the C library to hold on to them.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def reuse_freed_memory() -> bool:
    """Tell the allocator of Linux's C library (glibc) to reuse freed memory. On other systems, do nothing.

    Calling it again changes nothing. Results are the same to the last bit; only the time differs.

    Returns:
        Whether the allocator was told.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return all((mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1), mallopt(M_TOP_PAD, 2**27)))
