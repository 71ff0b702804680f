"""Walks along the ridge: training a model on with a penalty on its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.networks.build import manner_of
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.prediction.device import autocast, pick_precision
from skeletons.prediction.inference import predict, restore
from skeletons.store import artifacts
from skeletons.training.epochs import MEASURED_IMAGES, Row, measure_splits, report_epoch, run_epoch
from skeletons.training.images import Images, batch_sizes, batches
from skeletons.training.internals import copy, differences
from skeletons.training.job import start, summarize, tensors_of
from skeletons.training.optimizers import load_optimizer, save_optimizer, walk_optimizer
from skeletons.training.penalties import add_subgradient, shrink_proximally
from skeletons.training.resume import Progress, StateFile
from skeletons.training.settings import RegularizeSettings


class Walk:
    """The position of the weights after each step: distances to the base and to the step before.

    Nothing is copied from the device before `rows` is called.
    """

    def __init__(
        self, network: nn.Module, base: Mapping[str, Tensor], sample: Images, precision: str
    ) -> None:
        """Begin at the network's current weights.

        Args:
            network: whose weights are recorded.
            base: the base model's parameters by name.
            sample: the images that the loss is measured on; may be empty.
            precision: `auto`, `bf16` or `fp32`.
        """
        self.network, self.sample, self.precision = network, sample, precision
        self.now: list[Tensor] = [network.get_parameter(name) for name in base]
        self.base = list(base.values())
        self.before = [p.detach().clone() for p in self.now]
        self.points: list[Tensor] = []

    @torch.no_grad()
    def record(self) -> None:
        """Record the network's current position."""
        lengths = [
            _length(differences(self.now, self.base)),
            _length(differences(self.now, self.before)),
            _length(self.now),
        ]
        copy(self.before, self.now)
        self.points.append(torch.stack([*self._measured(), *lengths]))

    def points_so_far(self) -> Tensor:
        """The recorded positions, one per row, to go on from later."""
        if not self.points:
            return torch.empty(0, 5, device=self.sample.labels.device)
        return torch.stack(self.points)

    def go_on_from(self, points: Tensor) -> None:
        """Go on from recorded positions; the network has the weights of the last one."""
        self.points = list(points)
        copy(self.before, self.now)

    def _measured(self) -> tuple[Tensor, Tensor]:
        """Loss and accuracy on the sample as tensors on the device; NaN if the sample is empty."""
        labels = self.sample.labels
        if not len(labels):
            unknown = torch.full((), torch.nan, device=labels.device)
            return unknown, unknown
        training = self.network.training
        with autocast(self.precision, labels.device):
            logits = predict(self.network, self.sample.pixels)
        self.network.train(training)
        right = (logits.argmax(1) == labels).float().mean()
        return F.cross_entropy(logits.float(), labels), right

    def rows(self, first: int, epoch_of: Callable[[int], int]) -> list[Row]:
        """One row per recorded position.

        Columns: step (numbered from `first`), epoch, loss (nats) and accuracy (0..1) on the
        sample, distance (to the base), step_length and norm (L2, over all parameters).
        """
        keys = ("loss", "accuracy", "distance", "step_length", "norm")
        table = torch.stack(self.points).double().cpu().tolist() if self.points else []
        return [
            {"step": step, "epoch": epoch_of(step), **dict(zip(keys, values, strict=True))}
            for step, values in enumerate(table, first)
        ]


def _length(tensors: Sequence[Tensor]) -> Tensor:
    """The L2 length of tensors taken as one vector."""
    return nn.utils.get_total_norm(tensors)


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
) -> list[Row]:
    """Train on L(w) + λ‖w‖₁ over the prunable weights, for the epochs numbered in `epochs`.

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

    Returns:
        One row per epoch, with the columns of `walk_row`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    weights, single = list(prunable(network).values()), manner_of(network).single

    def update() -> None:
        if settings.penalty == "subgradient":
            add_subgradient(weights, l1)
        optimizer.step()
        if settings.penalty == "proximal":
            shrink_proximally(optimizer, weights, l1)
        if walk is not None:
            walk.record()

    def where(epoch: int) -> str:
        return f"Model seed={seed} with λ={l1:g}, epoch {epoch},"

    progress = Progress(state, network, optimizer, walk)
    rows = progress.resume(epochs, where)
    sample = train.sample(MEASURED_IMAGES)
    for epoch in epochs[len(rows) :]:
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        name = ("regularize", seed, l1, epoch)
        data = batches(
            train, settings.batch_size, generator_for(*name), settings.augment, single=single
        )
        layers = generator_for(*name, "layers")
        run_epoch(network, data, update, layers=layers, precision=precision, where=where(epoch))
        rows.append(walk_row(network, before, base, sample, test, l1, epoch, precision))
        report_epoch(where(epoch), rows[-1])
        progress.keep(rows)
    return rows


def walk_row(
    network: nn.Sequential,
    before: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    train: Images,
    test: Images,
    l1: float,
    epoch: int,
    precision: str,
) -> Row:
    """The state of a network after an epoch of its walk.

    Returns:
        epoch; train_loss, train_accuracy, test_loss, test_accuracy (data loss, without penalty);
        penalty, λ‖w‖₁; distance and step, the L2 distances of all parameters to the base model
        and to the epoch before.
    """
    parameters = dict(network.named_parameters())
    magnitudes = [w.detach().abs().double().cpu().numpy() for w in prunable(network).values()]
    return {
        "epoch": epoch,
        **measure_splits(network, train, test, precision),
        "penalty": l1 * float(sum(m.ravel().sum() for m in magnitudes)),
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
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    names = [name for name, _ in network.named_parameters()]
    origin = {
        name: torch.from_numpy(tensor).to(place)
        for name, tensor in artifacts.read_tensors(base, names).items()
    }
    settings = RegularizeSettings(**regularize)
    descent = walk_optimizer(network, settings)
    recorded = Walk(network, origin, train.spread(settings.trace), precision)
    rows, positions = [], []
    if after:
        assert parent_history is not None
        assert parent_walk is not None
        assert parent_optimizer is not None
        load_optimizer(descent, parent_optimizer)
        rows = artifacts.read_table(parent_history).to_dict("records")
        positions = artifacts.read_table(parent_walk).to_dict("records")
    else:
        sample = train.sample(MEASURED_IMAGES)
        rows = [walk_row(network, origin, origin, sample, test, l1, 0, precision)]
        recorded.record()
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
    )
    single = manner_of(network).single
    steps = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    positions += recorded.rows(len(positions), lambda step: -(-step // steps))
    result = summarize(network, about["network"], train, test)
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_table(walk, pd.DataFrame(positions))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    save_optimizer(descent, optimizer)
    artifacts.write_tensors(weights, tensors_of(network))
