"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """The memory of the machine in bytes, or the limit of the process's group if that is lower.

    A cluster or a container limits a group of processes (Linux control groups, version 2).
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


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
