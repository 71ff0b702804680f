"""What measuring the loss costs a walk within its room.

python benchmarks/measuring.py --write docs/performance.md

Each walk runs in a process of its own with one thread, as in the workflow. Its looks (measuring the
loss, and keeping the point) are timed inside the walk, so their share does not depend on the speed
of the machine. The measurement on the test set after each epoch is not part of it: every walk has
it, also without a room. The table has the walks with a look at the end of each epoch alone, which
is the most that measuring can cost, and those with several.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from sandbox import in_a_process, machine, run

from skeletons.data import shapes
from skeletons.networks.build import build, prepare
from skeletons.training import job, ridge
from skeletons.training.images import Images
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.penalties import Weights
from skeletons.training.positions import RidgeWalk
from skeletons.training.settings import RegularizeSettings
from skeletons.training.walk import walk_on

WALKS = (
    ("cnn", 8, 5_000, 25),
    ("cnn", 8, 5_000, 100),
    ("cnn", 32, 5_000, 100),
    ("resnet9", 16, 5_000, 100),
    ("resnet9", 16, 5_000, 500),
    ("speednet", 32, 5_000, 100),
    ("resnet20", 16, 5_000, 100),
    ("resnet9", 16, 20_000, 250),
)
PLAIN = {"flip": False, "shift": 0, "cutout": 0}
TEST = 100  # images, so that their measurement takes no time


def walk(name: str, width: int, count: int, batch: int, epochs: int) -> dict[str, float]:
    """Seconds of a walk, of its looks, and their number."""
    place = job.start(0, 1, "cpu")
    pixels, labels = (torch.from_numpy(part) for part in shapes.draw(count, 1))
    train = Images(pixels.to(place), labels.to(place))
    test = Images(train.pixels[:TEST], train.labels[:TEST])
    made = build(name, width, 10, (0.5,) * 3, (0.25,) * 3, seed=1)
    prepare(made, train.pixels)
    how = RegularizeSettings("adam", "subgradient", 1e-4, 0.9, batch, 0, PLAIN, 100.0)
    descent, base = walk_optimizer(made, how), copy.deepcopy(made)
    origin = {key: p.detach().clone() for key, p in base.named_parameters()}
    spent: list[float] = []
    ridge.Room.look = timed(ridge.Room.look, spent)  # type: ignore[method-assign]
    room = ridge.Ridge(
        made,
        base,
        descent,
        train,
        shrinkage=1e-4,
        room=100.0,
        batch_size=batch,
        precision="auto",
        penalty=Weights(made),
    )
    record = RidgeWalk(made, origin, train)

    def go_on(first: int, last: int) -> float:
        begun = time.perf_counter()
        numbers = range(first, last)
        walk_on(
            made, descent, origin, train, test, 1, 1e-4, numbers, how, "auto", record, None, room
        )
        return time.perf_counter() - begun

    go_on(1, 2)  # the first epoch maps memory
    spent.clear()
    whole = go_on(2, 2 + epochs)
    return {"whole": whole, "looks": sum(spent), "count": len(spent)}


def timed(function: Any, spent: list[float]) -> Any:
    """A function whose seconds are noted."""

    def call(*arguments: Any) -> Any:
        begun = time.perf_counter()
        found = function(*arguments)
        spent.append(time.perf_counter() - begun)
        return found

    return call


def measure(options: argparse.Namespace, _: Path) -> str:
    """Measure all walks and return the table."""
    lines = [
        "| walk | images | batch | looks per epoch | s per epoch | share of looks, median | range |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    epochs = 3
    for name, width, count, batch in WALKS:
        found = [
            in_a_process(walk, name, width, count, batch, epochs) for _ in range(options.repeats)
        ]
        shares = [each["looks"] / each["whole"] for each in found]
        whole = statistics.median(each["whole"] for each in found) / epochs
        lines.append(
            f"| `{name}`, width {width} | {count:,} | {batch} | {found[0]['count'] / epochs:g} | "
            f"{whole:.1f} | {statistics.median(shares):.1%} | "
            f"{min(shares):.1%} to {max(shares):.1%} |"
        )
    return "\n".join(lines) + (
        f"\n\nThe loss of {ridge.MEASURED:,} training images, {epochs} epochs, one thread, "
        f"n = {options.repeats}; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "measuring", measure, repeats=3)
