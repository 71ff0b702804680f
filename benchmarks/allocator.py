"""How much faster training is when it keeps freed memory instead of returning it to the system.

python benchmarks/allocator.py --write docs/performance.md

Each measurement is one pass over images in a separate process with one thread, like a training job:
with the allocator as `skeletons.training.memory` configures it, and with glibc's defaults.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path

import torch
from loops import OWN, warm
from sandbox import in_a_process, machine, run, spread

from skeletons.training.memory import keep_freed

NETWORKS = (("cnn", 8, 50, 4000), ("cnn", 32, 100, 2000), ("resnet9", 16, 500, 2000))


def passed(kept: bool, name: str, width: int, batch: int, count: int) -> tuple[float, int]:
    """Images per second of one pass, and the number of pages that the system mapped during it."""
    torch.set_num_threads(1)
    if kept and not keep_freed():
        raise SystemExit("The allocator of this C library does not have these settings.")
    run_pass = warm(OWN, name, width, batch, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    begun = time.perf_counter()
    run_pass()
    seconds = time.perf_counter() - begun
    return count / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both ways for each network and return the table."""
    lines = ["| network, batch size | memory kept: images/s | memory returned: images/s | ratio "]
    lines[-1] += "| pages mapped, kept / returned |"
    lines.append("|---|---|---|---|---|")
    for name, width, batch, count in NETWORKS:
        seen: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
        for _ in range(options.repeats):  # interleaved, so that other load affects both
            for kept, values in seen.items():
                values.append(in_a_process(passed, kept, name, width, batch, count))
        rates = {kept: [rate for rate, _ in values] for kept, values in seen.items()}
        kept, back = (statistics.median(rates[key]) for key in (True, False))
        pages = (statistics.median(pages for _, pages in seen[key]) for key in (True, False))
        lines.append(
            f"| `{name}`, width {width}, {batch} | {kept:,.0f} ({spread(rates[True])}) "
            f"| {back:,.0f} ({spread(rates[False])}) | {kept / back:.2f} "
            f"| {' / '.join(f'{number:,.0f}' for number in pages)} |"
        )
    return "\n".join(lines) + f"\n\nMedian of n = {options.repeats}, interleaved; {machine()}."


if __name__ == "__main__":
    run(__doc__, "allocator", measure, repeats=3)
