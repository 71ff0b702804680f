"""Walks along the ridge: training a model on with a penalty on its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.networks.build import manner_of
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
from skeletons.training.job import start, summarize, tensors_of
from skeletons.training.optimizers import load_optimizer, save_optimizer, walk_optimizer
from skeletons.training.penalties import Penalty, Weights
from skeletons.training.positions import RidgeWalk, Walk
from skeletons.training.resume import Progress, StateFile
from skeletons.training.ridge import Ridge
from skeletons.training.settings import RegularizeSettings
from skeletons.training.unit_penalties import Units

RIDGE = "ridge"  # the name of the state of a walk within its room


def walk_on(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    base: Mapping[str, Tensor],
    train: Images,
    test: Images,
    seed: int,
    l1: float,
    epochs: range,
    settings: RegularizeSettings,
    precision: str,
    walk: Walk | None = None,
    state: StateFile | None = None,
    ridge: Ridge | None = None,
) -> list[Row]:
    """Train on L(w) + λ‖w‖₁ over the prunable weights, for the epochs numbered in `epochs`.

    Or with a penalty on units, see `penalty_of`. Or, within a room: on L(w), while the prunable
    weights shrink as the room allows, see `Ridge`.

    Args:
        network: trained in place.
        optimizer: continues from its state.
        base: the base model's parameters by name, which distances are measured to.
        train: training images.
        test: images to measure on after each epoch.
        seed: of the base model.
        l1: λ ≥ 0.
        epochs: numbers of the epochs to run; the first after the base model is 1.
        settings: see the config.
        precision: `auto`, `bf16` or `fp32`.
        walk: records the position of the weights after each step.
        state: where the state after each epoch is kept, and restored from; None for nowhere.
        ridge: the walk's room; then `walk` is a `RidgeWalk`. None for a constant λ.

    Returns:
        One row per epoch, with the columns of `walk_row`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    single, penalty = manner_of(network).single, penalty_of(network, settings)
    if ridge is None:
        update = _penalised(penalty, optimizer, l1, settings, walk)
        progress = Progress(state, network, optimizer, walk)
    else:
        assert isinstance(walk, RidgeWalk)
        update = _within_room(ridge, walk)
        progress = Progress(state, network, optimizer, walk, {RIDGE: ridge.state})

    def where(epoch: int) -> str:
        return f"Model seed={seed} with λ={l1:g}, epoch {epoch},"

    rows = progress.resume(epochs, where)
    if ridge is not None and rows:
        ridge.begin()
    sample = train.sample(MEASURED_IMAGES)
    for epoch in epochs[len(rows) :]:
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        name = ("regularize", seed, l1, epoch)
        data = batches(
            train, settings.batch_size, generator_for(*name), settings.augment, single=single
        )
        layers = generator_for(*name, "layers")
        if isinstance(walk, RidgeWalk):
            walk.epoch = epoch
        run_epoch(network, data, update, layers=layers, precision=precision, where=where(epoch))
        if ridge is None:
            measured = measure_splits(network, sample, test, precision)
        else:
            measured = _end_of_epoch(ridge, walk, test, precision)
        row = walk_row(network, before, base, measured, l1 * penalty.penalty(), epoch)
        rows.append(row)
        report_epoch(where(epoch), row)
        progress.keep(rows)
    return rows


def penalty_of(network: nn.Module, settings: RegularizeSettings) -> Penalty:
    """The penalty of a walk, on the network's weights or on its units.

    Raises:
        WiringError: it is on units, and the network's units cannot be grouped.
    """
    return Units(network) if settings.groups == "units" else Weights(network)


def _penalised(
    penalty: Penalty,
    optimizer: torch.optim.Optimizer,
    l1: float,
    settings: RegularizeSettings,
    walk: Walk | None,
) -> Callable[[], None]:
    """A step on L(w) and λ times the penalty."""

    def update() -> None:
        if settings.penalty == "subgradient":
            penalty.add_subgradient(l1)
        optimizer.step()
        if settings.penalty == "proximal":
            penalty.shrink_proximally(optimizer, l1)
        if walk is not None:
            walk.record()

    return update


def _within_room(ridge: Ridge, walk: RidgeWalk) -> Callable[[], None]:
    """A step within the room: on the data loss, then towards smaller weights."""

    def update() -> None:
        ridge.optimizer.step()
        ridge.shrink()
        walk.record()
        if ridge.due():
            _look(ridge, walk)

    return update


def _look(ridge: Ridge, walk: RidgeWalk) -> None:
    if ridge.look():
        walk.measured(ridge.reading)
    else:
        walk.go_back()


def _end_of_epoch(ridge: Ridge, walk: Walk | None, test: Images, precision: str) -> Row:
    """Look at the last point of an epoch, so that each checkpoint is a good point."""
    assert isinstance(walk, RidgeWalk)
    if ridge.steps % ridge.every:  # otherwise it was looked at after its step
        _look(ridge, walk)
    test_loss, test_accuracy = measure(ridge.network, test, precision)
    return {
        "train_loss": ridge.reading.loss,
        "train_accuracy": ridge.reading.accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        **ridge.numbers(),
    }


def walk_row(
    network: nn.Sequential,
    before: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    measured: Row,
    penalty: float,
    epoch: int,
) -> Row:
    """The state of a network after an epoch of its walk.

    Args:
        network: at the end of the epoch.
        before: its parameters before the epoch, by name.
        base: the base model's parameters.
        measured: train_loss, train_accuracy, test_loss, test_accuracy (data loss, without
            penalty); within a room also learning_rate, shrinkage and returns, see `Ridge.numbers`.
        penalty: λ‖w‖₁, or λ times the penalty on units.
        epoch: its number.

    Returns:
        epoch; what was measured; penalty; distance and step, the L2 distances of all
        parameters to the base model and to the epoch before.
    """
    parameters = dict(network.named_parameters())
    return {
        "epoch": epoch,
        **measured,
        "penalty": penalty,
        "distance": _distance(parameters, base),
        "step": _distance(parameters, before),
    }


@torch.no_grad()
def _distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return float(sum(((a[name] - b[name]).double() ** 2).sum().item() for name in b) ** 0.5)


def regularize_stage(
    *,
    dataset: str,
    base: str,
    parent_weights: str,
    parent_summary: str,
    parent_history: str | None = None,
    parent_walk: str | None = None,
    parent_optimizer: str | None = None,
    weights: str,
    history: str,
    walk: str,
    summary: str,
    optimizer: str,
    seed: int,
    l1: float,
    after: int,
    epochs: int,
    regularize: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a checkpoint's parent on, from epoch `after` to epoch `epochs`, and write its files.

    Args:
        dataset: the data set's images.safetensors.
        base: the base model's weights.safetensors.
        parent_weights: the parent's weights.safetensors; the parent is the base model or an
            earlier checkpoint.
        parent_summary: the parent's model.json.
        parent_history: its history.parquet; None if the parent is the base model.
        parent_walk: its walk.parquet; None if the parent is the base model.
        parent_optimizer: its optimizer.safetensors; None if the parent is the base model.
        weights: the safetensors file to write.
        history: the parquet file to write, one row per epoch from 0, see `walk_row`.
        walk: the parquet file to write, one row per step from 0, see `Walk.rows`.
        summary: the model.json to write.
        optimizer: the safetensors file to write, with the optimiser's state.
        seed: of the base model.
        l1: λ.
        after: epochs that the parent was regularised for; 0 for the base model.
        epochs: epochs that the checkpoint is regularised for.
        regularize: the fields of `RegularizeSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place = start(seed, threads, device)
    about = artifacts.read_json(parent_summary, ["network"])
    network = restore(parent_weights, about).to(place)
    train, test = read_task(dataset, about["network"], place)
    names = [name for name, _ in network.named_parameters()]
    origin = {
        name: torch.from_numpy(tensor).to(place)
        for name, tensor in artifacts.read_tensors(base, names).items()
    }
    settings = RegularizeSettings(**regularize)
    descent = walk_optimizer(network, settings)
    ridge, recorded = _recorded(
        network, base, about, origin, train, l1, descent, settings, precision
    )
    also = {} if ridge is None else {RIDGE: ridge.state}
    rows, positions = [], []
    if after:
        assert parent_history is not None
        assert parent_walk is not None
        assert parent_optimizer is not None
        load_optimizer(descent, parent_optimizer, also)
        if ridge is not None:
            ridge.begin()
        rows = artifacts.read_table(parent_history).to_dict("records")
        positions = artifacts.read_table(parent_walk).to_dict("records")
    else:
        recorded.record()
        if ridge is None:
            measured = measure_splits(network, train.sample(MEASURED_IMAGES), test, precision)
        else:
            assert isinstance(recorded, RidgeWalk)
            recorded.measured(ridge.reading)
            measured = _end_of_epoch(ridge, recorded, test, precision)
        start_penalty = l1 * penalty_of(network, settings).penalty()
        rows = [walk_row(network, origin, origin, measured, start_penalty, 0)]
    numbers = range(after + 1, epochs + 1)
    rows += walk_on(
        network,
        descent,
        origin,
        train,
        test,
        seed,
        l1,
        numbers,
        settings,
        precision,
        recorded,
        StateFile.of_job(weights, place, precision),
        ridge,
    )
    single = manner_of(network).single
    steps = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    positions += recorded.rows(len(positions), lambda step: -(-step // steps))
    result = summarize(network, about["network"], train, test)
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_table(walk, pd.DataFrame(positions))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    save_optimizer(descent, optimizer, also)
    artifacts.write_tensors(weights, tensors_of(network))


def _recorded(
    network: nn.Sequential,
    base: str,
    about: Mapping[str, Any],
    origin: Mapping[str, Tensor],
    train: Images,
    l1: float,
    optimizer: torch.optim.Optimizer,
    settings: RegularizeSettings,
    precision: str,
) -> tuple[Ridge | None, Walk]:
    """The room of a walk, if it has one, and the walk's record."""
    if settings.room is None:
        return None, Walk(network, origin, train.spread(settings.trace), precision)
    ridge = Ridge(
        network,
        restore(base, about).to(train.labels.device),
        optimizer,
        train,
        shrinkage=l1,
        room=settings.room,
        batch_size=settings.batch_size,
        precision=precision,
        penalty=penalty_of(network, settings),
    )
    return ridge, RidgeWalk(network, origin, train)
