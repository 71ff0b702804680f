"""The cost of checkpoints after 4, 8, 16 and 32 epochs: in a chain, or each from the base.

python benchmarks/chain.py --write docs/performance.md

Each checkpoint is a process, as in the workflow, so both ways start four processes. With few
images, these starts are a large part of the time. Both ways run at the same time, on one core each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stages
from sandbox import machine, run, spread

EPOCHS = (4, 8, 16, 32)
WIDTH, IMAGES = 8, 10_000


def in_a_chain(folder: Path, data: tuple[str, str], base: Path) -> float:
    """Seconds to make each checkpoint from the one before it."""
    begun = time.perf_counter()
    parent, after = base, 0
    for epochs in EPOCHS:
        place = folder / f"chain{epochs}"
        stages.finish(stages.regularized(place, data, base, parent, after, epochs))
        parent, after = place, epochs
    return stages.seconds_since(begun)


def each_from_the_base(folder: Path, data: tuple[str, str], base: Path) -> float:
    """Seconds to make each checkpoint from the base."""
    begun = time.perf_counter()
    for epochs in EPOCHS:
        place = folder / f"alone{epochs}"
        stages.finish(stages.regularized(place, data, base, base, 0, epochs))
    return stages.seconds_since(begun)


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both ways and return the table."""
    ways = {"in a chain": in_a_chain, "each from the base": each_from_the_base}
    seen: dict[str, list[float]] = {name: [] for name in ways}
    data = stages.shapes(folder, IMAGES)
    network = {"name": "cnn", "width": WIDTH}
    stages.finish(stages.base(folder / "base", data, network, 1, epochs=1))
    for _ in range(options.repeats):
        with ThreadPoolExecutor(len(ways)) as pool:
            begun = {
                name: pool.submit(way, folder, data, folder / "base") for name, way in ways.items()
            }
        for name, running in begun.items():
            seen[name].append(running.result())
    last = f"{{}}{EPOCHS[-1]}/weights.safetensors"
    same = len({(folder / last.format(way)).read_bytes() for way in ("chain", "alone")}) == 1
    epochs = {"in a chain": EPOCHS[-1], "each from the base": sum(EPOCHS)}
    lines = ["| checkpoints of epochs 4, 8, 16, 32 | epochs trained | s, mean | range |"]
    lines.append("|---|---|---|---|")
    for way, values in seen.items():
        mean = statistics.mean(values)
        lines.append(f"| {way} | {epochs[way]} | {mean:.1f} | {spread(values)} |")
    chain, alone = (statistics.mean(values) for values in seen.values())
    lines.append(f"| ratio | {EPOCHS[-1] / sum(EPOCHS):.3f} | {chain / alone:.2f} | |")
    weights = "the same, byte for byte" if same else "NOT the same"
    return "\n".join(lines) + (
        f"\n\n`cnn`, width {WIDTH}, {IMAGES:,} drawn images in batches of 25, one thread each, "
        f"n = {options.repeats}, both at the same time; the weights after {EPOCHS[-1]} epochs are "
        f"{weights}; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "chain", measure, repeats=1)
