"""The post's scale, 52 models and 1,326 pairs: this workflow and a straightforward script.

python benchmarks/post_scale.py --write docs/performance.md
python benchmarks/post_scale.py --images data/cifar10-jpeg --train 50000 --base-epochs 16

The script is what one would write first. In one process, on all cores, it trains every checkpoint
from its base by the loop of `loops.py` with a DataLoader and fp32. Then it prunes, predicts, and
compares the pairs in a loop. Networks, epochs, batch sizes and images are the same. Nothing is
cached.

The workflow's cost for files, scores, figures and a report is the same for any number of images;
the time that it saves in training is not. So two sizes are measured, and larger ones are
extrapolated. The file `--figure` shows where the time of the larger size went.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy import data_set, images_of
from grid import measured
from loops import MEAN, STD, dataloader
from sandbox import Sandbox, machine, run
from timeline import draw, jobs_of, table_of

from skeletons.data.build import build as build_dataset
from skeletons.measures import behaviour
from skeletons.measures.predictions import Predictions
from skeletons.networks.describe import prunable
from skeletons.prediction import inference
from skeletons.training.images import Images
from skeletons.training.penalties import add_subgradient

SEEDS, L1 = (1, 2), 1e-4
EPOCHS, THRESHOLDS = (1, 2, 4, 8, 16), (0.02, 0.05, 0.1, 0.2, 0.5)
NETWORK = {"name": "cnn", "width": 16}
MODELS = len(SEEDS) * (1 + len(EPOCHS) * len(THRESHOLDS))
PAIRS = MODELS * (MODELS - 1) // 2
CIFAR10 = 50_000  # training images


def config(options: argparse.Namespace, train: int) -> dict[str, Any]:
    """The configuration of the experiment on so many training images."""
    augment = {"flip": True, "shift": 4}
    return {
        "experiment": "post_scale",
        "cache": None,
        "dataset": data_set(options.images, train),
        "network": NETWORK,
        "base": {
            "seeds": list(SEEDS),
            "epochs": options.base_epochs,
            "batch_size": 125,
            "augment": augment,
        },
        "regularize": {
            "lambdas": [L1],
            "epochs": list(EPOCHS),
            "trace": 0,
            "batch_size": 125,
            "learning_rate": 0.005,
            "augment": augment,
        },
        "prune": {"thresholds": list(THRESHOLDS)},
        "compare": {"states": ["base", "pruned"]},
        "controls": {"orders": []},
    }


def passes(
    network: torch.nn.Sequential,
    optimizer: torch.optim.Optimizer,
    images: Images,
    epochs: int,
    l1: float,
) -> None:
    """Train for some epochs by the usual loop, with a penalty on the prunable weights."""
    weights = list(prunable(network).values())
    loop = dataloader(0)

    def update() -> None:
        if l1:
            add_subgradient(weights, l1)
        optimizer.step()

    for epoch in range(epochs):
        loop.run(network, images, 125, update, epoch)


def straightforward(options: argparse.Namespace, train: int) -> float:
    """Run the script; return its wall-clock seconds."""
    begun = time.perf_counter()
    torch.set_num_threads(options.cores)
    _, images = images_of(options.images, train)
    pixels = build_dataset({"kind": "digits"}, Path()).test_images
    build = dataloader(0).build
    found: list[Predictions] = []
    for seed in SEEDS:
        base = build(NETWORK["name"], NETWORK["width"], seed)
        sgd = torch.optim.SGD(base.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        passes(base, sgd, images["train"], options.base_epochs, 0)
        found.append(predicted(base, pixels))
        for epochs in EPOCHS:
            model = build(NETWORK["name"], NETWORK["width"], seed)
            model.load_state_dict(base.state_dict())
            adam = torch.optim.Adam(model.parameters(), lr=0.005)
            passes(model, adam, images["train"], epochs, L1)
            trained = {key: value.clone() for key, value in model.state_dict().items()}
            for threshold in THRESHOLDS:
                model.load_state_dict(trained)
                for weight in prunable(model).values():
                    weight.data[weight.data.abs() < threshold] = 0
                found.append(predicted(model, pixels))
    for a, b in itertools.combinations(found, 2):
        behaviour.compare(a, b)
    return time.perf_counter() - begun


@torch.inference_mode()
def predicted(network: torch.nn.Sequential, pixels: Any) -> Predictions:
    """Predict the OOD images with a model."""
    mean, deviation = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    logits = inference.predict(network, (torch.from_numpy(pixels) / 255 - mean) / deviation)
    return Predictions(logits.double().numpy(), np.zeros(len(pixels), dtype=np.int64))


def both(options: argparse.Namespace, folder: Path, train: int) -> tuple[float, float]:
    """Wall-clock seconds of the workflow and of the script, on so many training images."""
    workflow = Sandbox(folder)
    workflow.write(config(options, train))
    command = workflow.command(cores=options.cores)
    own = measured(command, workflow.folder, workflow.environment()).seconds
    pairs = len(list((workflow / "results/post_scale/similarity/digits").glob("*.parquet")))
    assert pairs == PAIRS, f"{pairs} pairs instead of {PAIRS}"
    return own, straightforward(options, train)


def at(sizes: Sequence[int], seconds: Sequence[float], train: int) -> float:
    """Seconds for a number of training images, on the straight line through the first and last."""
    slope = (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0])
    return seconds[0] + slope * (train - sizes[0])


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both at each size, extrapolate to all of CIFAR-10, and return the table."""
    seconds = [both(options, folder / str(train), train) for train in options.train]
    jobs = jobs_of(folder / str(max(options.train)), "post_scale")
    draw(jobs, Path(options.figure))
    lines = ["| training images | this workflow, s | a straightforward script, s | ratio |"]
    lines.append("|---|---|---|---|")
    lines += [
        f"| {train:,} | {own:,.0f} | {other:,.0f} | {other / own:.1f} |"
        for train, (own, other) in zip(options.train, seconds, strict=True)
    ]
    if len(options.train) > 1:
        own, other = (at(options.train, side, CIFAR10) for side in zip(*seconds, strict=True))
        what = f"{CIFAR10:,}, not run but extrapolated linearly"
        lines.append(f"| {what} | {own:,.0f} | {other:,.0f} | {other / own:.1f} |")
    return "\n".join(lines) + (
        f"\n\n{MODELS} models, {PAIRS:,} pairs; `cnn`, width {NETWORK['width']}, on images of "
        f"{options.images or 'shapes'}, {options.base_epochs} epochs per base, "
        f"{options.cores} cores, n = 1; {machine()}.\n\n"
        f"Where the workflow's time went with {max(options.train):,} images:\n\n{table_of(jobs)}"
    )


if __name__ == "__main__":
    run(
        __doc__,
        "post_scale",
        measure,
        images=None,
        train=(1000, 20_000),
        base_epochs=8,
        cores=2,
        figure="docs/figures/post_scale.svg",
    )
