"""A training step can use the memory that the step before freed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# How many pages the system maps for the same tensors of 36 MB, freed and created again. By default,
# the C library returns tensors of 32 MB and more.
FAULTS = """
import resource, sys, torch
from skeletons.training.memory import keep_freed
kept = sys.argv[1] == "keep" and keep_freed()
def steps(count):
    for _ in range(count):
        torch.ones(9 << 20), torch.ones(9 << 20)
steps(20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps(20)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True
    )
    kept, count = done.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no settings")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    given_back, kept = faults("by default"), faults("keep")
    assert given_back[1] > 20 * 17_000  # of 4 KB: 20 steps of 72 MB, each mapped again
    assert kept[0] == "True"
    assert kept[1] < given_back[1] / 10  # only where the heap grows once more
