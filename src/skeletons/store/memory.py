"""How much memory this process may use, and arrays that may be larger."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 26  # bytes of a large array that are handled at a time
CGROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """The memory of the machine in bytes, or the limit of the process's group if that is lower.

    A cluster or a container limits a group of processes (Linux control groups, version 2).
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


def array(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """A new array of bytes, whose content is arbitrary.

    One of more than a quarter of the memory lies in a file without a name in the working folder,
    which goes with the array: the system may move its pages out of memory.
    """
    size = int(np.prod(shape, dtype=np.int64))
    if size <= available() // 4 or not size:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(dir=".") as file:
        file.truncate(size)
        return np.memmap(file, np.uint8, "r+", 0, shape)


def chunks(values: npt.NDArray[np.uint8]) -> Iterator[slice]:
    """The parts of an array along its first axis, each of about `CHUNK` bytes."""
    each = max(1, CHUNK // max(1, values[:1].nbytes))
    for start in range(0, len(values), each):
        yield slice(start, start + each)


def _limits() -> list[int]:
    """The limits of the groups that this process is in, from the innermost to the outermost."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    inner = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    groups = [CGROUPS / inner, *(CGROUPS / inner).parents]
    found = [_limit(group / "memory.max") for group in groups if CGROUPS in (group, *group.parents)]
    return [limit for limit in found if limit is not None]


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group is visible, or its limit is "max"
        return None
