"""Does the fast loop cost accuracy? The same networks, trained by it and by a DataLoader in fp32.

python benchmarks/accuracy.py --write docs/performance.md
python benchmarks/accuracy.py --images data/cifar10-jpeg --train 10000

Seeds, epochs, batch size, learning rate and augmentation are the same. The order and the
augmentation of the images differ, because each loop draws them in its own way.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from loops import LOOPS, OWN
from sandbox import machine, run, spread

from skeletons.config.datasets import SECTIONS
from skeletons.data.build import build
from skeletons.training.images import Images
from skeletons.training.optimizers import scheduled_rate

LOOPS_COMPARED = (OWN, "DataLoader, 0 workers, fp32")
# Width, learning rate, and enough epochs that seeds differ only a little.
NETWORKS = (("speednet", 16, 0.2, 4), ("resnet9", 8, 0.1, 8))
BATCH = 125


def data_set(folder: str | None, train: int) -> dict[str, Any]:
    """A folder of images if one is given, else shapes: the `dataset` section of a configuration."""
    if folder:
        return {"kind": "imagefolder", "path": str(Path(folder).resolve()), "train": train}
    return {"kind": "shapes", "train": train, "test": 2000}


def images_of(folder: str | None, train: int) -> tuple[str, dict[str, Images]]:
    """Return a description of the same data set, and both splits."""
    raw = data_set(folder, train)
    spec = SECTIONS[raw["kind"]].model_validate(raw)
    made = build(spec.model_dump(), Path())
    splits = {
        "train": (made.train_images, made.train_labels),
        "test": (made.test_images, made.test_labels),
    }
    found = {
        name: Images(torch.from_numpy(pixels), torch.from_numpy(labels))
        for name, (pixels, labels) in splits.items()
    }
    return f"{train:,} images of {folder or 'shapes'}", found


def trained(
    loop: str,
    name: str,
    width: int,
    rate: float,
    epochs: int,
    seed: int,
    images: dict[str, Images],
) -> tuple[float, float]:
    """Train a network; return its test accuracy in per cent and the seconds it took."""
    network = LOOPS[loop].build(name, width, seed)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True)
    steps = epochs * -(-len(images["train"].labels) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: scheduled_rate(step, steps, 1.0, 0.2)
    )

    def update() -> None:
        optimizer.step()
        schedule.step()

    begun = time.perf_counter()
    for epoch in range(epochs):
        LOOPS[loop].run(network, images["train"], BATCH, update, 1000 * seed + epoch)
    seconds = time.perf_counter() - begun
    if loop != OWN:  # this network takes standardised images, but `measure` takes raw ones
        standard = LOOPS[OWN].build(name, width, seed)
        network.standardize = standard.standardize
    return 100 * epochs.measure(network, images["test"])[1], seconds


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both loops on each network and return the table."""
    torch.set_num_threads(options.threads)
    what, images = images_of(options.images, options.train)
    lines = ["| network, epochs | loop | accuracy, mean | range | difference | time |"]
    lines.append("|---|---|---|---|---|---|")
    for name, width, rate, epochs in NETWORKS:
        seen: dict[str, list[tuple[float, float]]] = {loop: [] for loop in LOOPS_COMPARED}
        for seed in range(options.seeds):
            for loop in LOOPS_COMPARED:
                seen[loop].append(trained(loop, name, width, rate, epochs, seed, images))
        base = statistics.mean(accuracy for accuracy, _ in seen[LOOPS_COMPARED[1]])
        for loop, pairs in seen.items():
            accuracies = [accuracy for accuracy, _ in pairs]
            middle = statistics.mean(accuracies)
            apart = f"{middle - base:+.2f} points" if loop == OWN else ""
            seconds = statistics.mean(seconds for _, seconds in pairs)
            lines.append(
                f"| `{name}`, width {width}, {epochs} | {loop} | {middle:.2f} % | "
                f"{spread(accuracies, 2)} | {apart} | {seconds:.0f} s |"
            )
    return "\n".join(lines) + (
        f"\n\n{what} in batches of {BATCH}, n = {options.seeds} seeds, "
        f"{options.threads} threads; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "accuracy", measure, images=None, train=5000, seeds=3, threads=2)
