"""The accuracy of base models and its cost in floating-point operations.

snakemake --cores all --configfile experiments/speednet.yaml --until train_base
python benchmarks/cost.py --write docs/performance.md

Operations are counted, so unlike seconds they do not depend on the machine. An image counts as
three forward passes per epoch, with the operations of convolutions and linear layers as in
`model.json`. The accuracy is measured on the test images. It is also measured like in airbench
(Jordan 2024), which averages the predictions for six views of each image: the image and its mirror
image, unmoved, moved by one pixel up and left, and moved by one pixel down and right.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from sandbox import machine, run
from torch import Tensor, nn

from skeletons.config.datasets import dataset_id
from skeletons.config.load import load
from skeletons.config.sections import Config
from skeletons.data import files
from skeletons.prediction import inference
from skeletons.store import artifacts
from skeletons.training.images import Images

VIEWS = ((0.5, 0, 0), (0.25, -1, -1), (0.25, 1, 1))  # weight, pixels down, pixels right


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Images uint8 N×3×32×32, moved by at most one pixel in each direction, borders reflected."""
    padded = F.pad(images.float(), (1,) * 4, mode="reflect").to(images.dtype)
    return padded[:, :, 1 - down : 33 - down, 1 - right : 33 - right]


@torch.inference_mode()
def accuracies(network: nn.Module, images: Images) -> tuple[float, float]:
    """Accuracy in per cent, over one view and over six views of each image."""
    alone = inference.predict(network, images.pixels)
    several = torch.zeros_like(alone)
    for weight, down, right in VIEWS:
        view = moved(images.pixels, down, right)
        for mirrored in (view, view.flip(3)):
            several += weight / 2 * inference.predict(network, mirrored)
    first, second = (
        100 * (logits.argmax(1) == images.labels).double().mean().item()
        for logits in (alone, several)
    )
    return first, second


def experiment_of(options: argparse.Namespace) -> tuple[Config, Path]:
    """Return the configuration, and the file of its data set in the results."""
    chosen = load(yaml.safe_load(Path(options.configfile).read_text(encoding="utf-8")))
    data = Path(options.results) / "data" / dataset_id(chosen.dataset)
    return chosen, data / "images.safetensors"


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Return the table: one row per base model, and their means."""
    torch.set_num_threads(options.threads)
    chosen, images = experiment_of(options)
    test = Images(*map(torch.from_numpy, files.read_split(images, "test")))
    count = len(files.read_split(images, "train")[1])
    models = Path(options.results) / chosen.experiment
    rows = []
    for seed in chosen.base.seeds:
        place = models / "models" / f"seed={seed}"
        if not (place / "model.json").exists():
            print(f"Seed {seed} is left out: there is no model in {place}.", file=sys.stderr)
            continue
        about = artifacts.read_json(place / "model.json", ["network", "flops"])
        epochs = len(artifacts.read_table(place / "history.parquet"))
        spent = pd.read_csv(models / "benchmarks/train_base" / f"seed={seed}.tsv", sep="\t")
        network = inference.restore(place / "weights.safetensors", about)
        cost = 3 * about["flops"] * count * epochs / 1e15
        minutes = spent["cpu_time"].iloc[-1] / 60
        rows.append((seed, epochs, cost, *accuracies(network, test), minutes))
    if not rows:
        sys.exit(f"There is no base model in {models}. Run the first command of this file first.")
    name = f"`{chosen.network.name}`, width {chosen.network.width}"
    lines = [f"| {name} | epochs | PFLOPs | test accuracy | over six views | CPU minutes |"]
    lines.append("|---|---|---|---|---|---|")
    for seed, epochs, cost, alone, several, minutes in rows:
        lines.append(
            f"| seed {seed} | {epochs} | {cost:.3f} | {alone:.2f} % | {several:.2f} % | "
            f"{minutes:.0f} |"
        )
    epochs, cost, alone, several, minutes = (
        statistics.mean(row[k] for row in rows) for k in range(1, 6)
    )
    lines.append(
        f"| mean | {epochs:g} | {cost:.3f} | {alone:.2f} % | {several:.2f} % | {minutes:.0f} |"
    )
    return "\n".join(lines) + (
        f"\n\n{count:,} training and {len(test.labels):,} test images, n = {len(rows)} seeds; "
        f"{machine()}."
    )


if __name__ == "__main__":
    run(
        __doc__,
        "cost",
        measure,
        configfile="experiments/speednet.yaml",
        results="results",
        threads=2,
    )
