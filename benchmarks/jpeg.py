"""The cost of JPEG compression: the same training on the images, and after compressing them again.

python benchmarks/jpeg.py --write docs/performance.md

It reads the data set that `experiments/speednet.yaml` has made, and trains a narrower network with
its settings. The second compression has libjpeg's default quality, 75, and colour at half the
resolution. Its blocks are shifted by half a block, so that it removes detail that the first one
left.
"""

from __future__ import annotations

import argparse
import io
import statistics
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from cost import accuracies, experiment_of
from PIL import Image
from sandbox import machine, run, spread

from skeletons.data import files
from skeletons.networks.build import build, prepare
from skeletons.training.base import train_base
from skeletons.training.images import Images
from skeletons.training.job import start
from skeletons.training.settings import BaseSettings

QUALITY, ASIDE = 75, 4  # pixels; a block has 8, or 16 for colour
Splits = dict[str, tuple[files.Pixels, files.Labels]]


def compressed(image: files.Pixels) -> files.Pixels:
    """An image uint8 3×H×W after JPEG compression."""
    wide = np.pad(image.transpose(1, 2, 0), ((ASIDE, ASIDE), (ASIDE, ASIDE), (0, 0)), "reflect")
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "JPEG", quality=QUALITY, subsampling="4:2:0")
    again = np.asarray(Image.open(file))[ASIDE:-ASIDE, ASIDE:-ASIDE]
    return again.transpose(2, 0, 1)


def all_compressed(splits: Splits) -> Splits:
    """A data set after JPEG compression."""
    with ThreadPoolExecutor() as pool:
        return {
            split: (np.stack(list(pool.map(compressed, pixels))), labels)
            for split, (pixels, labels) in splits.items()
        }


def trained(splits: Splits, width: int, seed: int, settings: BaseSettings) -> tuple[float, float]:
    """Train a base model; return test accuracies in per cent, over one view and over six views."""
    start(seed, 1, "cpu")
    train, test = (Images(*map(torch.from_numpy, splits[name])) for name in files.SPLITS)
    scaled = splits["train"][0] / np.float32(255)
    mean, deviation = (f((0, 2, 3), dtype=np.float64) for f in (scaled.mean, scaled.std))
    network = build("speednet", width, 10, mean.tolist(), deviation.tolist(), seed=seed)
    prepare(network, train.sample(5000).pixels)
    train_base(network, train, test.sample(1000), seed, settings, "auto")
    return accuracies(network, test)


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Train both ways for each seed, as many at once as there are cores; return the table."""
    chosen, file = experiment_of(options)
    images = {split: files.read_split(file, split) for split in files.SPLITS}
    ways = {"unchanged": images, "compressed once more": all_compressed(images)}
    settings = BaseSettings(**chosen.base.model_dump(exclude={"seeds", "target"}))
    with ProcessPoolExecutor(options.cores) as pool:
        running = [
            (way, pool.submit(trained, splits, options.width, seed, settings))
            for seed in range(1, options.seeds + 1)
            for way, splits in ways.items()
        ]
        found = [(way, job.result()) for way, job in running]
    lines = ["| images | test accuracy, mean | range | over six views, mean |"]
    lines.append("|---|---|---|---|")
    for way in ways:
        alone, several = zip(*(pair for which, pair in found if which == way), strict=True)
        lines.append(
            f"| {way} | {statistics.mean(alone):.2f} % | {spread(alone, 2)} | "
            f"{statistics.mean(several):.2f} % |"
        )
    return "\n".join(lines) + (
        f"\n\n`speednet`, width {options.width}, {settings.epochs} epochs, n = {options.seeds} "
        f"seeds; {machine()}."
    )


if __name__ == "__main__":
    run(
        __doc__,
        "jpeg",
        measure,
        configfile="experiments/speednet.yaml",
        results="results",
        width=32,
        seeds=2,
        cores=2,
    )
