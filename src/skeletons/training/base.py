"""Base models: networks trained to optimality from one random seed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.data.files import read_info
from skeletons.networks.build import build, manner_of, prepare
from skeletons.networks.generators import generator_for
from skeletons.networks.image_shape import USUAL, described, of_summary
from skeletons.prediction.device import pick_precision
from skeletons.store import artifacts
from skeletons.training.epochs import MEASURED_IMAGES, Row, measure_splits, report_epoch, run_epoch
from skeletons.training.images import (
    Images,
    batch_sizes,
    batches,
    permuted_classes,
    read_task,
)
from skeletons.training.job import start, summarize, tensors_of
from skeletons.training.optimizers import base_optimizer, scheduled_rate
from skeletons.training.resume import Progress, StateFile
from skeletons.training.settings import BaseSettings

PREPARED_IMAGES = (
    5_000  # of 32×32 pixels of the training set, for filters that are derived from images
)


@dataclass(frozen=True)
class Fork:
    """Which part of a base's training takes place, and what it shares with that of the base.

    Attributes:
        shared: the number of steps in which the images come in the base's order.
        trunk: a state of the base after whole epochs that are shared, to begin at; None to begin at
            the initial weights.
        after: the number of epochs that are left out, with the learning rate of the rest.
        until: the number of the epoch after which to stop; None for the last one.
        kept: where the state at the end is written; None for nowhere.
        ends: called after each step; whether training ends there. None to train to the end.
    """

    shared: int = 0
    trunk: str | None = None
    after: int = 0
    until: int | None = None
    kept: str | None = None
    ends: Callable[[], bool] | None = None


def train_base(
    network: nn.Sequential,
    train: Images,
    test: Images,
    seed: int,
    settings: BaseSettings,
    precision: str,
    order: int = 0,
    state: StateFile | None = None,
    fork: Fork | None = None,
) -> list[Row]:
    """Train a network from its initial weights, with a learning rate that rises and then falls.

    Args:
        network: trained in place.
        train: training images.
        test: images to measure on after each epoch.
        seed: of the order of images and their augmentation.
        settings: see the config.
        precision: `auto`, `bf16` or `fp32`.
        order: the number of another order of images; 0 for the base model itself.
        state: where the state after each epoch is kept, and restored from; None for nowhere.
        fork: where training and the other order begin, and where training ends; None for a
            training of its own.

    Returns:
        One row per epoch: epoch (from 1), learning_rate (at its end), and loss and accuracy at its
        end on the test set and on a fixed sample of the training set.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    fork = fork or Fork()
    optimizer = base_optimizer(network, settings)
    single = manner_of(network).single
    per_epoch = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    steps = settings.epochs * per_epoch
    step, rate, ended = 0, 0.0, False

    def update() -> None:
        nonlocal step, rate, ended
        rate = scheduled_rate(step, steps, settings.learning_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        step += 1
        ended = fork.ends is not None and fork.ends()

    def where(epoch: int) -> str:
        return f"Base model seed={seed}{f' in order {order}' if order else ''}, epoch {epoch},"

    def images(epoch: int, order: int) -> Iterator[tuple[Tensor, Tensor]]:
        name = generator_for(*_named(seed, epoch, order))
        return batches(train, settings.batch_size, name, settings.augment, single=single)

    last = settings.epochs if fork.until is None else fork.until
    epochs = range(fork.after + 1, last + 1)
    progress = Progress(state, network, optimizer)
    rows = progress.resume(epochs, where) or progress.begin(fork.trunk, epochs, where)
    step = (fork.after + len(rows)) * per_epoch
    sample = train.sample(MEASURED_IMAGES)
    for epoch in epochs[len(rows) :]:
        common = min(max(fork.shared - step, 0), per_epoch)
        data = images(epoch, order)
        if order and common:  # the steps that are shared, then as many of its own as are left
            own = itertools.islice(data, per_epoch - common)
            data = itertools.chain(itertools.islice(images(epoch, 0), common), own)
        name = _named(seed, epoch, order if common < per_epoch else 0)
        run_epoch(
            network,
            itertools.takewhile(lambda _: not ended, data),
            update,
            layers=generator_for(*name, "layers"),
            precision=precision,
            where=where(epoch),
            label_smoothing=settings.label_smoothing,
        )
        measured = measure_splits(network, sample, test, precision)
        rows.append({"epoch": epoch, "learning_rate": rate, **measured})
        report_epoch(where(epoch), rows[-1])
        if ended:
            break
        progress.keep(rows)
    if fork.kept is not None:
        progress.write(fork.kept, rows)
    return rows


def _named(seed: int, epoch: int, order: int) -> tuple[str | int, ...]:
    """The name of an epoch's random numbers."""
    return ("base", seed, epoch, *(("order", order) if order else ()))


def untrained_network(
    info: str, network: Mapping[str, Any], seed: int
) -> tuple[nn.Sequential, dict[str, Any]]:
    """A network with initial weights, and its description in model.json.

    Args:
        info: the data set's info.json.
        network: see `train_base_stage`.
        seed: of the initial weights.
    """
    about = read_info(info)
    classes, shape = len(about["classes"]), of_summary(about)
    made = build(
        network["name"],
        network.get("width"),
        classes,
        about["mean"],
        about["std"],
        seed=seed,
        options=network.get("options"),
        weights=network.get("weights"),
        image_shape=shape,
    )
    known = {key: value for key, value in network.items() if key not in ("weights", "digest")}
    if "weights" in network:  # a file by its content, because it may be moved
        known["weights"] = network.get("digest", network["weights"])
    return made, {**known, "classes": classes, **described(shape)}


def to_prepare(train: Images) -> Tensor:
    """Images that have about as many pixels as `PREPARED_IMAGES` of the usual size."""
    share = USUAL[1] * USUAL[2] / (train.pixels.shape[2] * train.pixels.shape[3])
    return train.sample(max(1, round(PREPARED_IMAGES * share))).pixels


def begun(
    dataset: str,
    info: str,
    network: Mapping[str, Any],
    seed: int,
    threads: int,
    device: str,
    *,
    labels: bool = False,
) -> tuple[torch.device, nn.Sequential, dict[str, Any], Images, Images]:
    """What a job begins with that trains from the initial weights of a base.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        network: see `train_base_stage`.
        seed: of the initial weights.
        threads: CPU threads.
        device: `auto`, `cpu` or `cuda`.
        labels: whether the classes are permuted by the seed.

    Returns:
        The device, the network on it, its description, and the training and test images.
    """
    place = start(seed, threads, device)
    net, about = untrained_network(info, network, seed)
    if labels:
        about["labels"] = permuted_classes(about["classes"], seed)
    train, test = read_task(dataset, about, place)
    prepare(net.to(place), to_prepare(train).to(place))
    return place, net, about, train, test


def train_base_stage(
    *,
    dataset: str,
    info: str,
    weights: str,
    history: str,
    summary: str,
    seed: int,
    order: int = 0,
    labels: bool = False,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a base model and write its weights, history and description.

    With `order` > 0 the images come in another order, and all else stays the same. With `labels`,
    the classes are permuted by the seed, so that each seed learns another task.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        weights: the safetensors file to write.
        history: the parquet file to write, with the rows of `train_base`.
        summary: the model.json to write.
        seed: of the initial weights and the order of images.
        order: see `train_base`.
        labels: whether the classes are permuted; the permutation is a part of the description.
        network: name, width, options and pretrained weights of the network, see `build`; for a file
            of weights, its digest; and the version of the package that the network is from.
        base: the fields of `BaseSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place, net, about, train, test = begun(
        dataset, info, network, seed, threads, device, labels=labels
    )
    state = StateFile.of_job(weights, place, precision)
    rows = train_base(net, train, test, seed, BaseSettings(**base), precision, order, state)
    result = summarize(net, about, train, test)
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    artifacts.write_tensors(weights, tensors_of(net))


def untrained_stage(
    *,
    dataset: str,
    info: str,
    weights: str,
    summary: str,
    seed: int,
    network: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Write a base model's initial weights and description.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        weights: the safetensors file to write.
        summary: the model.json to write.
        seed: of the base model.
        network: name, width, options and pretrained weights of the network, see `build`; for a file
            of weights, its digest; and the version of the package that the network is from.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
    """
    place = start(seed, threads, device)
    net, about = untrained_network(info, network, seed)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    prepare(net.to(place), to_prepare(train).to(place))
    artifacts.write_json(summary, summarize(net, about, train, test))
    artifacts.write_tensors(weights, tensors_of(net))
