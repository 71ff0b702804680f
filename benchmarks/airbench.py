"""The accuracy of airbench's own recipe on images that were compressed as JPEG.

python benchmarks/airbench.py --write docs/performance.md

It reads the data set that `experiments/speednet.yaml` has made, and trains like the scripts of
airbench94 (Jordan 2024, with Muon). Filters take orthogonalised steps, and their norm is reset
before each step. Everything else is trained by SGD, the whitening bias for three epochs only.
Images are mirrored in every other epoch. On the original pixels of CIFAR-10 its authors report
94.01 % over six views, the mean of 200 runs. The learning rates are for the original width; at
width 4 they are too high.
"""

from __future__ import annotations

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from airbench_recipe import BATCH, EPOCHS, SMOOTHING, Recipe, epoch_of
from cost import accuracies, experiment_of
from sandbox import machine, run, spread

from skeletons.data import files
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import describe
from skeletons.networks.generators import generator_for
from skeletons.training.epochs import run_epoch
from skeletons.training.images import Images
from skeletons.training.job import start


def trained(folder: Path, width: int, seed: int) -> tuple[float, float, float]:
    """Train; return PFLOPs and test accuracies in per cent, over one view and over six views."""
    place = start(seed, 1, "cpu")
    train, test = (
        Images.read(folder / "images.safetensors", split, place) for split in files.SPLITS
    )
    about = files.read_info(folder / "info.json")
    classes = len(about["classes"])
    network = build("speednet", width, classes, about["mean"], about["std"], seed=seed)
    prepare(network, train.sample(5000).pixels)
    recipe = Recipe(network, len(train.labels) // BATCH)
    for epoch in range(EPOCHS):
        run_epoch(
            network,
            epoch_of(train, seed, epoch),
            recipe.step,
            layers=generator_for("airbench", seed, epoch, "layers"),
            precision="auto",
            where="The benchmark",
            label_smoothing=SMOOTHING,
        )
    spent = 3 * describe(network)["flops"] * recipe.steps * BATCH / 1e15
    return spent, *accuracies(network, test)


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Train all seeds, as many at once as there are cores, and return the table."""
    _, images = experiment_of(options)
    seeds = range(1, options.seeds + 1)
    with ProcessPoolExecutor(options.cores) as pool:
        running = [pool.submit(trained, images.parent, options.width, seed) for seed in seeds]
        spent, alone, several = zip(*(job.result() for job in running), strict=True)
    row = (
        f"| airbench's recipe, {EPOCHS} epochs | {statistics.mean(spent):.3f} | "
        f"{statistics.mean(alone):.2f} % | {spread(alone, 2)} | {statistics.mean(several):.2f} % | "
        f"{spread(several, 2)} |"
    )
    return "\n".join(
        [
            "| on the same images | PFLOPs | test accuracy, mean | range | "
            "over six views, mean | range |",
            "|---|---|---|---|---|---|",
            row,
            "",
            f"`speednet`, width {options.width}, n = {options.seeds} seeds; {machine()}.",
        ]
    )


if __name__ == "__main__":
    run(
        __doc__,
        "airbench",
        measure,
        configfile="experiments/speednet.yaml",
        results="results",
        width=64,
        seeds=2,
        cores=2,
    )
