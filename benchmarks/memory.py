"""The peak memory of a training job, compared with the parts that can be counted.

python benchmarks/memory.py --write docs/performance.md

The counted parts are both splits of the data set at their size on disk, the network's parameters
with their gradients and the optimiser's state, and the tensors that a batch's forward pass keeps
for the backward pass (each storage once). The table also shows a bare process that only imported
the library.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import stages
import torch
from loops import PRECISION
from sandbox import machine, run

from skeletons.networks.build import build

BATCH = 500
# Network and width, side of the images in pixels, and their number.
CASES = (
    *(("cnn", 32, 32, 2_000), ("resnet9", 16, 32, 2_000), ("speednet", 64, 32, 2_000)),
    ("cnn", 8, 64, 50_000),
)
BARE = f"""
import skeletons.training.base, skeletons.training.walk
print({stages.PEAK})
"""


def bare() -> int:
    """Bytes of a process that only imported the library."""
    done = subprocess.run([sys.executable, "-c", BARE], check=True, capture_output=True, text=True)
    return int(done.stdout)


def kept(network: torch.nn.Module, side: int) -> int:
    """Bytes that a batch's forward pass keeps for the backward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    seen: dict[int, int] = {}
    held: list[torch.Tensor] = []  # so that no storage is freed and its address reused

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    images = torch.zeros(BATCH, 3, side, side, dtype=torch.uint8)
    images = images.contiguous(memory_format=torch.channels_last)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16"),
    ):
        network(images)
    return sum(seen.values())


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure the peak of each network and return the table."""
    lines = [
        "| network | images | counted, MB | bare process, MB | peak, MB | peak / sum of both |"
    ]
    lines.append("|---|---|---|---|---|---|")
    mb = 1e6
    empty = bare()
    for name, width, side, images in CASES:
        place = folder / f"{name}{side}"
        data = stages.shapes(place, images, side=side)
        network = build(name, width, 10, [0.5] * 3, [0.25] * 3, image_shape=(3, side, side))
        weights = sum(p.numel() for p in network.parameters())
        counted = Path(data[0]).stat().st_size + 3 * 4 * weights + kept(network, side)
        settings = {"epochs": 1, "batch_size": BATCH, "learning_rate": 0.001}
        peaks = [
            stages.finish(stages.base(place, data, {"name": name, "width": width}, 1, **settings))
            for _ in range(options.repeats)
        ]
        peak = statistics.median(peaks)
        lines.append(
            f"| `{name}`, width {width} | {images:,} of {side}×{side} | {counted / mb:,.0f} | "
            f"{empty / mb:,.0f} | {peak / mb:,.0f} | {peak / (counted + empty):.2f} × |"
        )
    return "\n".join(lines) + (
        f"\n\nA base model of one epoch in batches of {BATCH}, one thread, median of n = "
        f"{options.repeats}; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "memory", measure, repeats=2)
