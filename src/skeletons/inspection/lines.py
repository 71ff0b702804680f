"""The loss on straight lines between two models.

Each line is measured as it is, and once more with the statistics of the units set to those between
the ends (`repair`). A line that is as it is mixes all tensors, the statistics of batch norm too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from skeletons.alignment import permutations
from skeletons.inspection import barriers
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
from skeletons.inspection.repair import Repair
from skeletons.store import artifacts

MEASURED = ("loss", "accuracy", "test_loss", "test_accuracy", "tempered_loss", "temperature")
COLUMNS = ("path", "repaired", "t", *MEASURED)


def places(points: int) -> list[float]:
    """Evenly spaced places on a path from 0 to 1, ends included; `points` ≥ 2."""
    return [k / (points - 1) for k in range(points)]


def line(
    landscape: Landscape, a: Weights, b: Weights, points: int, *, repaired: bool = False
) -> pd.DataFrame:
    """Loss and accuracy on the straight line from `a` (t = 0) to `b` (t = 1).

    Args:
        landscape: measures the loss.
        a: tensors of the model at t = 0.
        b: tensors of the model at t = 1; to align it to `a`, align it beforehand.
        points: ≥ 2, ends included.
        repaired: whether the units' statistics are set at each point. If the network has batch
            norm, its statistics are then those of the landscape's `norm_images`.

    Returns:
        Rows t and `Landscape.row`.

    Raises:
        ValueError: the models are not of one network.
    """
    settle = _repairing(landscape, a, b) if repaired else None
    return along(landscape, points, lambda t: mix([a, b], [1 - t, t]), settle)


def _repairing(landscape: Landscape, a: Weights, b: Weights) -> Callable[[float], None]:
    """A function that sets the statistics of the network at a place between two models."""
    repair = Repair(landscape.network, landscape.norm_images or landscape.images)
    ends = []
    for model in (a, b):
        put(landscape.network, model)
        ends.append(repair.measure())

    def settle(t: float) -> None:
        repair.between(ends[0], ends[1], t)
        landscape.renew_norms()

    return settle


def along(
    landscape: Landscape,
    points: int,
    weights_at: Callable[[float], Weights],
    settle: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """What is measured on a path: rows t (0..1) and `Landscape.row`.

    Args:
        landscape: measures.
        points: ≥ 2, ends included.
        weights_at: the tensors at a place.
        settle: changes the network once it has the tensors of a place; None for nothing.
    """
    rows = []
    for t in places(points):
        put(landscape.network, weights_at(t))
        if settle is not None:
            settle(t)
        rows.append({"t": t, **landscape.row()})
    return pd.DataFrame(rows)


# --- the stage ----------------------------------------------------------------------------------


@look("table")
def line_stage(
    *,
    a: str,
    b: str,
    summary: str,
    dataset: str,
    by_weights: str | None = None,
    by_activations: str | None = None,
    symmetries: str | None = None,
    table: str,
    points: int,
    measured: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Write loss and accuracy on the line between two models, as b is and aligned to a.

    Columns: `path` (`naive`, and `weights` and `activations`, by which b is aligned), `repaired`
    (whether the units' statistics are set at each point), and those of `line`.

    Args:
        a: weights.safetensors of the model at t = 0.
        b: weights.safetensors of the model at t = 1.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        by_weights: the permutations that align b to a by weights.
        by_activations: the permutations that align b to a by activations.
        symmetries: the symmetries.json of their network, if there are permutations.
        table: the parquet file to write.
        points: ≥ 2, ends included.
        measured: the fields of `Measured` without the device and the threads.
        device: `auto`, `cpu` or `cuda`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
    """
    landscape = Measured(**measured, device=device, threads=threads).landscape(a, summary, dataset)
    one = artifacts.read_tensors(a)
    others = {"naive": artifacts.read_tensors(b)}
    for path, matched in (("weights", by_weights), ("activations", by_activations)):
        if matched is not None:
            others[path] = permutations.read_aligned(b, symmetries, matched)
    with naming(a, b):
        check_alike([one, others["naive"]])
    kinds = [False, True] if Repair(landscape.network, landscape.images).possible else [False]
    tables = [
        line(landscape, one, two, points, repaired=repaired).assign(path=path, repaired=repaired)
        for path, two in others.items()
        for repaired in kinds
    ]
    write_paths(table, tables)


def write_paths(output: str, tables: Sequence[pd.DataFrame], *others: str) -> None:
    """Write tables of paths as one, and print the barrier of each path.

    Args:
        output: the parquet file to write.
        tables: with the columns `COLUMNS`.
        others: names of further columns.
    """
    table = pd.concat(tables, ignore_index=True)[[*COLUMNS, *others]]
    artifacts.write_table(output, table)
    for row in barriers.by_path(table).itertuples():
        print(
            f"{row.path}{', repaired' if row.repaired else ''}: barrier {row.barrier:.4f} nats at "
            f"{row.barrier_at:.2f}, highest loss {row.highest_loss:.4f} at {row.highest_at:.2f}",
            flush=True,
        )
