"""Two training jobs at the same time with one thread each, or one after the other with two?

python benchmarks/threads.py --write docs/performance.md
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import stages
from sandbox import machine, run, spread

NETWORKS = (("cnn", 8, 4000), ("resnet9", 16, 2000), ("speednet", 32, 1000))


def seconds(folder: Path, data: tuple[str, str], network: dict[str, object], threads: int) -> float:
    """The seconds to train two base models, as many at once as fit on two cores."""
    begun = time.perf_counter()
    jobs = []
    for seed in (1, 2):
        place = folder / f"threads{threads}-{seed}"
        jobs.append(
            stages.base(place, data, network, seed, epochs=2, batch_size=100, threads=threads)
        )
        if threads == 2:
            stages.finish(jobs.pop())
    for job in jobs:
        stages.finish(job)
    return stages.seconds_since(begun)


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both ways for each network and return the table."""
    lines = ["| two base models of | one thread each, both at once, s "]
    lines[-1] += "| two threads each, one after the other, s | ratio |"
    lines.append("|---|---|---|---|")
    for name, width, images in NETWORKS:
        data = stages.shapes(folder, images)
        network: dict[str, object] = {"name": name, "width": width}
        seen: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(options.repeats):
            for threads, values in seen.items():
                values.append(seconds(folder, data, network, threads))
        one, two = (statistics.median(values) for values in seen.values())
        lines.append(
            f"| `{name}`, width {width}, {2 * images:,} images | {one:.1f} ({spread(seen[1])}) "
            f"| {two:.1f} ({spread(seen[2])}) | {two / one:.2f} |"
        )
    return "\n".join(lines) + f"\n\nMedian of n = {options.repeats}, interleaved; {machine()}."


if __name__ == "__main__":
    run(__doc__, "threads", measure, repeats=2)
