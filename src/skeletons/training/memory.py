"""Settings of the C library's allocator for training, where each step needs the same memory.

By default the allocator returns a large tensor's memory to the system when the tensor is freed, and
each step requests it again, so each page is mapped and cleared again. `docs/performance.md` has the
cost.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# Parameters of mallopt(3) by their number in glibc's malloc.h, with the values to set.
KEEP = {
    -4: 0,  # M_MMAP_MAX: no separate mapping for a tensor, which would be unmapped with it
    -1: -1,  # M_TRIM_THRESHOLD: never return freed memory at the end of the heap
    -2: 64 << 20,  # M_TOP_PAD: the least number of bytes that the heap grows by
}


def keep_freed() -> bool:
    """Let this process keep the memory that it frees for its next tensors.

    Returns:
        Whether the settings were applied; only glibc has them, and nothing changes without it.
    """
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    done = [mallopt(name, value) for name, value in KEEP.items()]
    return all(done)
