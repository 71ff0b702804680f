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
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from cost import accuracies, experiment_of
from sandbox import machine, run, spread
from torch import Tensor, nn

from skeletons.data import files
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import describe
from skeletons.networks.generators import generator_for
from skeletons.training.epochs import run_epoch
from skeletons.training.images import Images, batches
from skeletons.training.internals import PlainMuon, PlainSGD
from skeletons.training.job import start

EPOCHS, BATCH, SMOOTHING = 8, 2000, 0.2
FILTER_RATE, FILTER_MOMENTUM = 0.24, 0.6
# The authors' rates are for the sum of a batch's losses; here, losses are means.
BIAS_RATE, HEAD_RATE, MOMENTUM = 0.053 * BATCH, 0.67 * BATCH, 0.85
DECAY = 2e-6 * BATCH  # of a parameter per step, at any learning rate
WHITENING_EPOCHS = 3


class Filters:
    """Muon as in airbench: before each step, a layer of n filters is scaled to norm √n."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = weights
        self.matrices = [nn.Parameter(w.detach().flatten(1).clone()) for w in weights]
        self.muon = PlainMuon(
            self.matrices,
            lr=FILTER_RATE,
            momentum=FILTER_MOMENTUM,
            weight_decay=0.0,
            ns_steps=3,
            adjust_lr_fn="original",  # no effect: no layer has more filters than weights per filter
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every filter."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            assert weight.grad is not None
            matrix.copy_(weight.flatten(1) * (len(weight) ** 0.5 / weight.norm()))
            matrix.grad = weight.grad.flatten(1)
        self.muon.param_groups[0]["lr"] = rate
        self.muon.step()
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.copy_(matrix.view(weight.shape))


class Recipe:
    """airbench's optimisers, whose learning rates fall linearly to 0."""

    def __init__(self, network: nn.Sequential, steps_per_epoch: int) -> None:
        body = network.get_submodule("body")
        head = body.get_parameter("head.weight")
        whitening = body.get_parameter("whiten.bias")
        trained = [p for p in network.parameters() if p.requires_grad]
        shifts = [p for p in trained if p.ndim == 1 and p is not whitening]
        self.filters = Filters([p for p in trained if p.ndim == 4])
        # Logits are divided by √n here and by n in airbench, so weights and rates are scaled.
        inputs = head.shape[1]
        with torch.no_grad():
            head /= head.std() * inputs**0.5
        rates = [(whitening, BIAS_RATE), (head, HEAD_RATE / inputs)]
        rates += [(shift, BIAS_RATE) for shift in shifts]
        self.rates = [rate for _, rate in rates]
        self.rest = PlainSGD(
            [{"params": [p], "lr": rate, "weight_decay": DECAY / rate} for p, rate in rates],
            momentum=MOMENTUM,
            nesterov=True,
        )
        self.each, self.steps = steps_per_epoch, 0

    def step(self) -> None:
        """Update every trainable parameter."""
        left = 1 - self.steps / (EPOCHS * self.each)
        for group, rate in zip(self.rest.param_groups, self.rates, strict=True):
            group["lr"] = rate * left
        whitening = self.rest.param_groups[0]
        whitening["lr"] = self.rates[0] * max(0.0, 1 - self.steps / (WHITENING_EPOCHS * self.each))
        self.filters.step(FILTER_RATE * left)
        self.rest.step()
        self.steps += 1


def epoch_of(images: Images, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch; each image is mirrored in every other epoch, the first at random."""
    first = torch.randint(2, (len(images.labels),), generator=generator_for("mirrored", seed))
    mirrored = (first + epoch) % 2 == 1
    pixels = torch.where(mirrored.view(-1, 1, 1, 1), images.pixels.flip(3), images.pixels)
    random = generator_for("airbench", seed, epoch)
    changes = {"flip": False, "shift": 2, "cutout": 0}
    data = batches(Images(pixels, images.labels), BATCH, random, changes)
    return (batch for batch in data if len(batch[1]) == BATCH)


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
