"""The cost of starting a training job, with the library's optimisers and with torch's own.

python benchmarks/start.py --write docs/performance.md

A process imports the library, prepares for training, and makes one optimiser step for one weight.
So only the start is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from grid import measured
from sandbox import machine, run, spread

OWN = """
import torch
from skeletons.training import base, job
job.start(0, 1, "cpu")
from skeletons.training.internals import PlainSGD as SGD
"""
TORCHS = """
import torch
from skeletons.training import base
torch.use_deterministic_algorithms(True)
from torch.optim import SGD
"""
STEP = """
weight = torch.ones(1, requires_grad=True)
optimizer = SGD([weight], lr=0.1)
weight.sum().backward()
optimizer.step()
"""
WAYS = {"this library": OWN, "torch's own optimiser and determinism setting": TORCHS}


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both ways and return the table."""
    seen: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):  # interleaved, so that other load affects both
        for way, code in WAYS.items():
            command = [sys.executable, "-c", code + STEP]
            seen[way].append(measured(command, folder, dict(os.environ)).processor)
    lines = ["| start of a training job | CPU s, median | range |", "|---|---|---|"]
    for way, values in seen.items():
        lines.append(f"| {way} | {statistics.median(values):.2f} | {spread(values)} |")
    return "\n".join(lines) + f"\n\nn = {options.repeats}, interleaved; {machine()}."


if __name__ == "__main__":
    run(__doc__, "start", measure, repeats=5)
