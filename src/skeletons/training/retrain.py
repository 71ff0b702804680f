"""Retraining: what is left of a pruned model is trained on, and what was pruned stays zero.

Pruning cuts once, and the weights that remain can make up for some of what was lost (Han et al.
2015, Learning both Weights and Connections). They are trained on the data loss alone, without a
penalty, while the learning rate falls to 0. All models that come from one walk see the same images
in the same order, so a model and its random controls differ by their masks alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn

from skeletons.model_ids import Model
from skeletons.networks.build import manner_of
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.prediction.device import pick_precision
from skeletons.prediction.inference import restore
from skeletons.store import artifacts
from skeletons.training.epochs import (
    MEASURED_IMAGES,
    Row,
    measure,
    measure_splits,
    report_epoch,
    run_epoch,
)
from skeletons.training.images import Images, batch_sizes, batches, read_task
from skeletons.training.job import start, tensors_of
from skeletons.training.optimizers import scheduled_rate, walk_optimizer
from skeletons.training.resume import Progress, StateFile
from skeletons.training.ridge import Gauge
from skeletons.training.settings import RegularizeSettings

FP32 = "fp32"  # the precision in which losses of finished models are measured


class Mask:
    """The weights of a pruned network that are zero, and stay so."""

    def __init__(self, network: nn.Module) -> None:
        """Take the zeros of the prunable weights; biases and normalisation stay free.

        Args:
            network: pruned.
        """
        self._pruned = [(weight, weight.detach() == 0) for weight in prunable(network).values()]

    @torch.no_grad()
    def hold(self) -> None:
        """Set the weights to zero again, whatever momentum, decay or an update made of them."""
        for weight, gone in self._pruned:
            weight.masked_fill_(gone, 0.0)


def retrain(
    network: nn.Sequential,
    train: Images,
    test: Images,
    walk: Model,
    epochs: int,
    settings: RegularizeSettings,
    precision: str,
    name: str = "",
    state: StateFile | None = None,
) -> list[Row]:
    """Train a pruned network on the data loss, at a rate that falls linearly to 0.

    Args:
        network: pruned; trained in place. Statistics of batch norm follow the training images.
        train: training images.
        test: images to measure on after each epoch.
        walk: the regularised model that it was cut from, which names the order of the images.
        epochs: ≥ 1.
        settings: optimiser, batch size and augmentation, and the rate at the start.
        precision: `auto`, `bf16` or `fp32`.
        name: the model, for the log.
        state: where the state after each epoch is kept, and restored from; None for nowhere.

    Returns:
        One row per epoch, from 0 (before the first): epoch, learning_rate (at its end; NaN for
        epoch 0), and loss and accuracy on the test set and on a fixed sample of the training set.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    mask, optimizer = Mask(network), walk_optimizer(network, settings)
    single = manner_of(network).single
    per_epoch = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    step, rate = 0, 0.0

    def update() -> None:
        nonlocal step, rate
        rate = scheduled_rate(step, epochs * per_epoch, settings.learning_rate, 0.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        mask.hold()
        step += 1

    def where(epoch: int) -> str:
        return f"Retraining of {name or walk}, epoch {epoch},"

    sample = train.sample(MEASURED_IMAGES)
    begun = {"epoch": 0, "learning_rate": float("nan")}
    begun |= measure_splits(network, sample, test, precision)
    progress = Progress(state, network, optimizer)
    rows = progress.resume(range(1, epochs + 1), where)
    step = len(rows) * per_epoch
    for epoch in range(len(rows) + 1, epochs + 1):
        named = ("retrain", walk.number, walk.l1, walk.epochs, epoch)
        data = batches(
            train, settings.batch_size, generator_for(*named), settings.augment, single=single
        )
        layers = generator_for(*named, "layers")
        run_epoch(network, data, update, layers=layers, precision=precision, where=where(epoch))
        measured = measure_splits(network, sample, test, precision)
        rows.append({"epoch": epoch, "learning_rate": rate, **measured})
        report_epoch(where(epoch), rows[-1])
        progress.keep(rows)
    return [begun, *rows]


def judged(network: nn.Module, gauge: Gauge, train: Images) -> dict[str, float]:
    """The training loss of a network, and its rise above the base's.

    Args:
        network: is put into evaluation mode.
        gauge: of the base, in single precision.
        train: all training images.

    Returns:
        train_loss (nats) and train_accuracy (0..1) on all training images; rise, error and bound of
        the loss above the base's, on the images of the gauge, see `ridge.Reading`.
    """
    (loss, accuracy), reading = measure(network, train), gauge.read(network)
    return {
        "train_loss": loss,
        "train_accuracy": accuracy,
        "rise": reading.rise,
        "error": reading.error,
        "bound": reading.bound,
    }


def retrain_stage(
    *,
    cut: str,
    cut_sparsity: str,
    summary: str,
    base: str,
    dataset: str,
    weights: str,
    sparsity: str,
    history: str,
    model: str,
    epochs: int,
    regularize: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Retrain a pruned model or a random control; write its weights, sparsity and history.

    Args:
        cut: weights.safetensors of the model as it was cut.
        cut_sparsity: its sparsity.json, see `pruning.prune`.
        summary: the model.json of the regularised model.
        base: weights.safetensors of the base model.
        dataset: the data set's images.safetensors.
        weights: the safetensors file to write.
        sparsity: the JSON file to write: the same with `retrained`, which holds the number of
            epochs and the numbers of `judged`.
        history: the parquet file to write, with the rows of `retrain`.
        model: its id.
        epochs: ≥ 1.
        regularize: the fields of `RegularizeSettings`, see `retrain`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    known = Model.parse(model)
    place = start(known.number, threads, device)
    about = artifacts.read_json(summary, ["network"])
    report = artifacts.read_json(cut_sparsity, ["kept", "layers"])
    network = restore(cut, about).to(place)
    train, test = read_task(dataset, about["network"], place)
    rows = retrain(
        network,
        train,
        test,
        known.parent,
        epochs,
        RegularizeSettings(**regularize),
        precision,
        model,
        StateFile.of_job(weights, place, precision),
    )
    found = judged(network, Gauge(restore(base, about).to(place), train, FP32), train)
    artifacts.write_table(history, pd.DataFrame(rows))
    retrained = {"epochs": epochs, **found, "precision": pick_precision(precision, place)}
    artifacts.write_json(sparsity, {**report, "retrained": retrained})
    artifacts.write_tensors(weights, tensors_of(network))
