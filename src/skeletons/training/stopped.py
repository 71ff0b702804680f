"""Bases that are stopped at the training loss of a pruned model.

A walk and pruning raise the training loss. Models that are less sure may look more alike for this
reason alone. A base that is stopped where it has the same loss shows how much that explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn

from skeletons.networks.build import manner_of
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.device import pick_precision
from skeletons.prediction.inference import restore
from skeletons.store import artifacts
from skeletons.training.base import Fork, begun, train_base
from skeletons.training.epochs import measure
from skeletons.training.images import Images, batch_sizes
from skeletons.training.job import summarize, tensors_of
from skeletons.training.settings import BaseSettings

IMAGES = 2_000  # training images on which both losses are measured
LOOKS = 10  # in each epoch
LOSSES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
COLUMNS = ("epoch", "learning_rate", *LOSSES)  # of the history


class Watch:
    """Looks at the training loss every few steps, and ends training once it is low enough.

    Attributes:
        target: the loss to reach, in nats.
        reached: the lowest loss that was seen so far, in nats.
        step: the number of steps after which it was seen.
    """

    def __init__(self, network: nn.Module, images: Images, target: float, every: int) -> None:
        """Look at the initial weights.

        Args:
            network: that will be trained.
            images: training images to measure on.
            target: see above.
            every: the number of steps between two looks.
        """
        self.network, self.images, self.target, self.every = network, images, target, every
        self.step = self._steps = 0
        self.reached, _ = measure(network, images)
        self._best = self._copied()

    @property
    def done(self) -> bool:
        """Whether the target is reached."""
        return self.reached <= self.target

    def after_step(self) -> bool:
        """Count a step, and look if it is time; whether training ends here."""
        self._steps += 1
        if self._steps % self.every == 0:
            self.look()
        return self.done

    def look(self) -> None:
        """Measure the loss, unless the target is reached."""
        if self.done:
            return
        training = self.network.training
        loss, _ = measure(self.network, self.images)
        self.network.train(training)
        if loss < self.reached:
            self.reached, self.step, self._best = loss, self._steps, self._copied()

    def restore(self) -> None:
        """Give the network the weights of the lowest loss."""
        put(self.network, self._best)

    def _copied(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in tensors(self.network).items()}


def stopped_stage(
    *,
    dataset: str,
    info: str,
    like: str,
    like_summary: str,
    weights: str,
    history: str,
    summary: str,
    seed: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a base until it has the training loss of a pruned model, and write its files.

    If it never has, the base with the lowest loss that was seen is written.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        like: the pruned model's weights.safetensors.
        like_summary: the model.json of its network.
        weights: the safetensors file to write.
        history: the parquet file to write, with the rows of `train_base` so far.
        summary: the model.json to write, with `stopped`: target and reached, the losses of the
            pruned model and of the base (nats), on the same training images; and steps.
        seed: of the base.
        network: as in `train_base_stage`.
        base: the fields of `BaseSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place, net, about, train, test = begun(dataset, info, network, seed, threads, device)
    settings = BaseSettings(**base)
    images = train.spread(IMAGES)
    pruned = restore(like, artifacts.read_json(like_summary, ["network"])).to(place)
    single = manner_of(net).single
    per_epoch = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    watch = Watch(net, images, measure(pruned, images)[0], max(1, per_epoch // LOOKS))
    rows = []
    if not watch.done:
        ends = Fork(ends=watch.after_step)
        rows = train_base(net, train, test, seed, settings, precision, fork=ends)
        watch.look()  # the steps of an epoch need not be a multiple of those between two looks
    watch.restore()
    print(
        f"Stopped after {watch.step} steps at a training loss of {watch.reached:.4f}; that of the "
        f"pruned model is {watch.target:.4f}.",
        flush=True,
    )
    stopped = {"target": watch.target, "reached": watch.reached, "steps": watch.step}
    result = {**summarize(net, about, train, test), "stopped": stopped}
    artifacts.write_table(history, pd.DataFrame(rows, columns=list(COLUMNS)))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    artifacts.write_tensors(weights, tensors_of(net))
