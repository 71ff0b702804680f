"""Two training jobs of one thread at once, or two of two threads one after the other?

python benchmarks/threads.py --write docs/performance.md
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import stages
from sandbox import machine, publish, spread

NETWORKS = (("cnn", 8, 4000), ("resnet9", 16, 2000), ("speednet", 32, 1000))


def seconds(folder: Path, data: tuple[str, str], network: dict[str, object], threads: int) -> float:
    """Until two base models are trained, as many at once as two cores have room for."""
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


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="threads-"))
    lines = ["| two base models of | two jobs of one thread, s | two of two threads, s | ratio |"]
    lines.append("|---|---|---|---|")
    try:
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
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = "\n".join(lines) + f"\n\nMedian of n = {options.repeats}, in turn; {machine()}."
    print(table)
    if options.write:
        publish(options.write, "threads", table)


if __name__ == "__main__":
    main()
