"""A trained curve of low loss between two models.

The units of the second model are aligned to those of the first, so that the curve need not turn
units into others on its way. The curve is a walk between the two, and is certified like one: by the
training loss at each point, and by the length of each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.alignment import permutations
from skeletons.arrays import Floats
from skeletons.inspection.absence import look
from skeletons.inspection.landscape import (
    Landscape,
    Measured,
    Weights,
    check_alike,
    mix,
    naming,
    put,
)
from skeletons.inspection.lines import along, places, write_paths
from skeletons.networks.build import manner_of
from skeletons.networks.generators import generator_for
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.training.epochs import run_epoch
from skeletons.training.images import Images, batch_sizes, batches
from skeletons.training.optimizers import optimizer_of_groups, scheduled_rate
from skeletons.training.settings import BaseSettings

Batches = Iterator[tuple[Tensor, Tensor]]
MOST_STEPS = 400  # of a curve that goes far away, and is not on the ridge anyway
LONGEST_STEP = 0.04  # of the norm of the weights; less than `findings.largest_step` by default


def bezier(t: float) -> tuple[float, float, float]:
    """Shares of the first end, the control point and the second end on a quadratic Bézier curve."""
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def curve_line(
    landscape: Landscape, a: Weights, control: Weights, b: Weights, points: int
) -> pd.DataFrame:
    """What is measured on the curve from `a` by `control` to `b`; and on the straight line.

    The control point has no trained statistics, so those of batch norm are recomputed at every
    point if the landscape has `norm_images`, on the line as well.

    Args:
        landscape: measures.
        a: tensors of the model at t = 0.
        control: tensors of the control point; the mean of a and b gives the straight line.
        b: tensors of the model at t = 1.
        points: ≥ 2, ends included.

    Returns:
        The table of `lines.line`; and distance, to a, and step_length, from the point before (0 at
        first), as shares of the norm of a's parameters.
    """

    def at(t: float) -> dict[str, Array]:
        return mix([a, control, b], bezier(t))

    found = along(landscape, points, at, lambda t: landscape.renew_norms())
    moved = _lengths(at, places(points), landscape.parameters)
    return found.assign(distance=moved[0], step_length=moved[1])


def _lengths(
    at: Callable[[float], Weights], places: Sequence[float], names: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Distances to the first place and steps, as shares of the norm at the first place."""
    start = before = _flat(at(places[0]), names)
    norm = float(np.linalg.norm(start)) or 1.0
    distances, steps = [], []
    for place in places:
        here = _flat(at(place), names)
        distances.append(float(np.linalg.norm(here - start)) / norm)
        steps.append(float(np.linalg.norm(here - before)) / norm)
        before = here
    return distances, steps


def _flat(model: Weights, names: Sequence[str]) -> Floats:
    return np.concatenate([model[name].ravel().astype(np.float64) for name in names])


def points_needed(
    a: Weights, control: Weights, b: Weights, names: Sequence[str], least: int
) -> int:
    """How many points a curve needs so that no step between two is longer than `LONGEST_STEP`.

    A curve moves fastest at an end, by twice the distance between it and the control point.

    Args:
        a: tensors of the model at t = 0.
        control: tensors of the control point.
        b: tensors of the model at t = 1.
        names: of the parameters.
        least: the least number of points.
    """
    ends, middle = [_flat(model, names) for model in (a, b)], _flat(control, names)
    norm = float(np.linalg.norm(ends[0])) or 1.0
    fastest = 2 * max(float(np.linalg.norm(middle - end)) for end in ends) / norm
    return max(least, 1 + min(MOST_STEPS, math.ceil(fastest / LONGEST_STEP)))


def train_curve(
    network: nn.Sequential,
    a: Weights,
    b: Weights,
    train: Images,
    seed: int,
    settings: BaseSettings,
    precision: str,
) -> dict[str, Array]:
    """Train the control point of a quadratic Bézier curve between two fixed models.

    Each step draws t uniformly from [0, 1] and descends the loss of the model at t. The curve
    starts as the straight line. Weight decay acts at the point that is drawn, so it keeps the
    models on the curve small, not the control point.

    Source: Garipov et al. 2018, section 3.2 and equation 2; the optimiser is that of the bases.

    Args:
        network: a network of the models' shape; its weights are overwritten.
        a: tensors of the model at t = 0.
        b: tensors of the model at t = 1.
        train: training images.
        seed: of the order of images, their augmentation, and t.
        settings: as for a base model; the learning rate follows the same schedule.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        The tensors of the control point; batch norm has the mean statistics of the two ends.

    Raises:
        ValueError: the models are not of one network.
        TrainingError: the loss became NaN or infinite.
    """
    middle = mix([a, b], [0.5, 0.5])
    put(network, middle)
    points = {n: p for n, p in network.named_parameters() if p.requires_grad}
    device = train.labels.device
    ends = [_tensors(model, points, device) for model in (a, b)]
    control = [nn.Parameter(p.detach().clone()) for p in points.values()]
    # Weight decay acts on the models on the curve (below), not on the control point.
    optimizer = optimizer_of_groups([{"params": control}], settings)
    single = manner_of(network).single
    per_epoch = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    steps = settings.epochs * per_epoch
    step, rate, t = 0, 0.0, 0.5

    def update() -> None:
        nonlocal step, rate
        rate = scheduled_rate(step, steps, settings.learning_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for p, theta in zip(points.values(), control, strict=True):
            assert p.grad is not None
            decay = settings.weight_decay if p.ndim > 1 else 0.0
            # Chain rule: the point at t moves 2t(1 − t) times as far as the control point.
            theta.grad = (p.grad + decay * p.detach()) * bezier(t)[1]
        optimizer.step()
        step += 1

    def on_the_curve(data: Batches, draw: torch.Generator) -> Batches:
        """The same batches; before each, the network moves to a random point of the curve."""
        nonlocal t
        for batch in data:
            t = float(torch.rand((), generator=draw))
            _move(list(points.values()), [ends[0], control, ends[1]], bezier(t))
            yield batch

    for epoch in range(1, settings.epochs + 1):
        order = generator_for("curve", seed, epoch)
        draw = generator_for("place on the curve", seed, epoch)
        data = batches(train, settings.batch_size, order, settings.augment, single=single)
        where = f"Curve seed={seed}, epoch {epoch},"
        run_epoch(
            network,
            on_the_curve(data, draw),
            update,
            layers=generator_for("curve", seed, epoch, "layers"),
            precision=precision,
            where=where,
            label_smoothing=settings.label_smoothing,
        )
        print(f"{where} done; the learning rate is {rate:.2g}.", flush=True)
    trained = {
        name: theta.detach().cpu().contiguous().numpy()
        for name, theta in zip(points, control, strict=True)
    }
    return {**middle, **trained}


def _tensors(model: Weights, names: Iterable[str], device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(model[name]).to(device) for name in names]


@torch.no_grad()
def _move(
    points: Sequence[Tensor], corners: Sequence[Sequence[Tensor]], shares: Sequence[float]
) -> None:
    """Set parameters to the weighted sum of those of the corners."""
    for k, point in enumerate(points):
        point.zero_()
        for share, corner in zip(shares, corners, strict=True):
            point.add_(corner[k], alpha=share)


# --- the stage ----------------------------------------------------------------------------------


@look("weights", "table")
def curve_stage(
    *,
    a: str,
    b: str,
    summary: str,
    dataset: str,
    matched: str | None = None,
    symmetries: str | None = None,
    weights: str,
    table: str,
    seed: int,
    base: Mapping[str, Any],
    precision: str,
    points: int,
    measured: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Train a curve between two models; write its control point, and loss and accuracy on it.

    Columns: `path` (`curve`, and `straight`, the line between the same ends), `repaired` (never),
    and those of `curve_line`.

    Args:
        a: weights.safetensors of the model at t = 0.
        b: weights.safetensors of the model at t = 1.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        matched: the permutations that align b to a; None to leave the units in their order.
        symmetries: the symmetries.json of their network, if `matched` is given.
        weights: the safetensors file of the control point to write.
        table: the parquet file to write.
        seed: of the order of images, and of the points on the curve.
        base: the fields of `BaseSettings`.
        precision: for training: `auto`, `bf16` or `fp32`.
        points: ≥ 2, ends included; more if steps would be longer than `LONGEST_STEP`.
        measured: the fields of `Measured` without the device and the threads. Without `norm_images`
            a network with batch norm is measured with statistics that belong to no point.
        device: `auto`, `cpu` or `cuda`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
        TrainingError: the loss became NaN or infinite.
    """
    landscape = Measured(**measured, device=device, threads=threads).landscape(
        a, summary, dataset, seed
    )
    one = artifacts.read_tensors(a)
    other = permutations.read_aligned(b, symmetries, matched)
    train = Images.read(dataset, "train", landscape.images.labels.device)
    with naming(a, b):
        check_alike([one, other])
    settings = BaseSettings(**base)
    control = train_curve(landscape.network, one, other, train, seed, settings, precision)
    needed = points_needed(one, control, other, landscape.parameters, points)
    paths = {"straight": mix([one, other], [0.5, 0.5]), "curve": control}
    tables = [
        curve_line(landscape, one, middle, other, needed).assign(path=path, repaired=False)
        for path, middle in paths.items()
    ]
    write_paths(table, tables, "distance", "step_length")
    artifacts.write_tensors(weights, control)
