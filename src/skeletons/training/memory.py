"""The C library's allocator, told what training does: the same large tensors, step after step.

By its defaults a large tensor's memory goes back to the system when it is freed, and every step
asks for it anew: each page is then mapped and cleared again. What that costs is in
`docs/performance.md`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# Of mallopt(3), in glibc's malloc.h: what is to be set, and to what.
KEEP = {
    -4: 0,  # M_MMAP_MAX: no tensor gets pages of its own, which would be unmapped with it
    -1: -1,  # M_TRIM_THRESHOLD: what is freed at the heap's end stays, however much it is
    -2: 64 << 20,  # M_TOP_PAD: bytes that the heap grows by at least
}


def keep_freed() -> bool:
    """Let this process keep the memory that it frees, for its next tensors.

    Returns:
        Whether it does: only glibc has these settings, and elsewhere nothing changes.
    """
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    done = [mallopt(name, value) for name, value in KEEP.items()]
    return all(done)
