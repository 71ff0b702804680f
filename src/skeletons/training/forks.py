"""Forks: children that share a part of a base's training, then each see another order of images.

How alike the children are, against the part that they share, tells from when on the training has
decided what a network becomes (Frankle et al. 2020, "Linear mode connectivity and the lottery
ticket hypothesis", section 3). The shared part is trained once, up to the last whole epoch in it,
as the state of a trunk that all children of one part begin at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from skeletons.networks.build import manner_of
from skeletons.prediction.device import pick_precision
from skeletons.store import artifacts
from skeletons.training.base import Fork, begun, train_base
from skeletons.training.images import batch_sizes
from skeletons.training.job import summarize, tensors_of
from skeletons.training.resume import StateFile
from skeletons.training.settings import BaseSettings


def shared_steps(share: float, epochs: int, per_epoch: int) -> int:
    """The number of steps that children share, the nearest one to a share of all steps."""
    return round(share * epochs * per_epoch)


def trunk_stage(
    *,
    dataset: str,
    info: str,
    trunk: str,
    seed: int,
    epochs: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train the first epochs of a base, and write the state of the training.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        trunk: the file to write, see `resume.Progress.write`.
        seed: of the base.
        epochs: how many.
        network: as in `train_base_stage`.
        base: the fields of `BaseSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place, net, _, train, test = begun(dataset, info, network, seed, threads, device)
    state = StateFile.of_job(trunk, place, precision)
    fork = Fork(until=epochs, kept=trunk)
    train_base(net, train, test, seed, BaseSettings(**base), precision, 0, state, fork)


def fork_stage(
    *,
    dataset: str,
    info: str,
    trunk: str | None = None,
    weights: str,
    history: str,
    summary: str,
    seed: int,
    fork: float,
    order: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a child of a base, and write its weights, history and description.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        trunk: the state of the base after the last whole epoch that is shared; None if there is no
            such epoch.
        weights: the safetensors file to write.
        history: the parquet file to write, with the rows of `train_base`.
        summary: the model.json to write.
        seed: of the base.
        fork: the share of the base's steps that the child shares, 0..1.
        order: which other order the images have after it.
        network: as in `train_base_stage`.
        base: the fields of `BaseSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place, net, about, train, test = begun(dataset, info, network, seed, threads, device)
    settings = BaseSettings(**base)
    per_epoch = len(
        batch_sizes(len(train.labels), settings.batch_size, single=manner_of(net).single)
    )
    where = Fork(shared_steps(fork, settings.epochs, per_epoch), trunk)
    state = StateFile.of_job(weights, place, precision)
    rows = train_base(net, train, test, seed, settings, precision, order, state, where)
    result = summarize(net, about, train, test)
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    artifacts.write_tensors(weights, tensors_of(net))
