"""The peak memory of a training job, compared with the parts that can be counted.

python benchmarks/memory.py --write docs/performance.md

The counted parts are both splits of the data set at their size on disk, the network's parameters
with their gradients and the optimiser's state, and the tensors that a batch's forward pass keeps
for the backward pass (each storage once). The table also shows a bare process that only imported
the library.

The last row is a data set that is larger than the memory which the library may use: it is mapped,
and the system may drop its pages. So its own memory is shown, without mapped files, and beside it
the limit of 1 GB beyond the activations.
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
# A data set that is mapped: network and width, side and number of images, and the memory in bytes
# that the library may use.
MAPPED = ("cnn", 8, 32, 400_000, 1 << 30)
ROOM = 1e9  # bytes that a job may use beyond the activations
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


def counted(name: str, width: int, side: int) -> tuple[int, int]:
    """Bytes of the parameters with gradients and optimiser state, and of the activations."""
    network = build(name, width, 10, [0.5] * 3, [0.25] * 3, image_shape=(3, side, side))
    return 3 * 4 * sum(p.numel() for p in network.parameters()), kept(network, side)


def peaks(
    place: Path, name: str, width: int, data: tuple[str, str], repeats: int, memory: int | None
) -> list[stages.Peak]:
    """The peak memory of a training job, for each repetition."""
    settings = {"epochs": 1, "batch_size": BATCH, "learning_rate": 0.001, "memory": memory}
    network = {"name": name, "width": width}
    return [stages.finish(stages.base(place, data, network, 1, **settings)) for _ in range(repeats)]


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
        known = Path(data[0]).stat().st_size + sum(counted(name, width, side))
        found = peaks(place, name, width, data, options.repeats, None)
        peak = statistics.median(one.resident for one in found)
        lines.append(
            f"| `{name}`, width {width} | {images:,} of {side}×{side} | {known / mb:,.0f} | "
            f"{empty / mb:,.0f} | {peak / mb:,.0f} | {peak / (known + empty):.2f} × |"
        )
    return "\n".join(lines) + (
        f"\n\n{mapped(options, folder / 'mapped')}\n\nA base model of one epoch in batches of "
        f"{BATCH}, one thread, median of n = {options.repeats}; {machine()}."
    )


def mapped(options: argparse.Namespace, place: Path) -> str:
    """The table of a data set that is larger than the memory that the library may use."""
    name, width, side, _, memory = MAPPED
    data = stages.shapes(place, options.mapped, side=side)
    size = Path(data[0]).stat().st_size
    if size <= memory // 2:
        sys.exit(f"{options.mapped:,} images are not mapped: {size:,} bytes of {memory:,}.")
    weights, activations = counted(name, width, side)
    found = peaks(place, name, width, data, options.repeats, memory)
    own = statistics.median(one.own for one in found)
    resident = statistics.median(one.resident for one in found)
    mb = 1e6
    return "\n".join(
        [
            "| mapped data set, larger than the allowed memory | MB |",
            "|---|---:|",
            f"| `{name}`, width {width}; {options.mapped:,} images of {side}×{side} on disk | "
            f"{size / mb:,.0f} |",
            f"| memory that the library may use | {memory / mb:,.0f} |",
            f"| activations and weights, counted | {(activations + weights) / mb:,.0f} |",
            f"| peak of the job's own memory | {own / mb:,.0f} |",
            f"| limit: counted + 1 GB | {(activations + weights + ROOM) / mb:,.0f} |",
            f"| with mapped pages that the system may drop | {resident / mb:,.0f} |",
        ]
    )


if __name__ == "__main__":
    run(__doc__, "memory", measure, repeats=2, mapped=MAPPED[3])
