"""The loss on straight lines between two models."""

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
)
from skeletons.store import artifacts


def places(points: int) -> list[float]:
    """Evenly spaced places on a path from 0 to 1, ends included; `points` ≥ 2."""
    return [k / (points - 1) for k in range(points)]


def line(landscape: Landscape, a: Weights, b: Weights, points: int) -> pd.DataFrame:
    """Loss and accuracy on the straight line from `a` (t = 0) to `b` (t = 1).

    Args:
        landscape: measures the loss.
        a: tensors of the model at t = 0.
        b: tensors of the model at t = 1; to align it to `a`, align it beforehand.
        points: ≥ 2, ends included.

    Returns:
        Rows t, loss (nats) and accuracy (0..1).

    Raises:
        ValueError: the models are not of one network.
    """
    return along(landscape, points, lambda t: mix([a, b], [1 - t, t]))


def along(
    landscape: Landscape, points: int, weights_at: Callable[[float], Weights]
) -> pd.DataFrame:
    """Loss and accuracy on a path: rows t (0..1), loss (nats) and accuracy (0..1)."""
    rows = []
    for t in places(points):
        loss, accuracy = landscape.measure(weights_at(t))
        rows.append({"t": t, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


# --- the stage ----------------------------------------------------------------------------------


@look("table")
def line_stage(
    *,
    a: str,
    b: str,
    summary: str,
    dataset: str,
    matched: str | None = None,
    symmetries: str | None = None,
    table: str,
    points: int,
    measured: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Write loss and accuracy on the line between two models, with b as it is and aligned to a.

    Columns: `path` (`naive`, and `aligned` if there is an alignment), and those of `line`.

    Args:
        a: weights.safetensors of the model at t = 0.
        b: weights.safetensors of the model at t = 1.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        matched: the permutations that align b to a, from `align_stage`.
        symmetries: the symmetries.json of their network, if `matched` is given.
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
    if matched is not None:
        others["aligned"] = permutations.read_aligned(b, symmetries, matched)
    with naming(a, b):
        check_alike([one, others["naive"]])
    tables = [line(landscape, one, two, points).assign(path=p) for p, two in others.items()]
    write_paths(table, tables)


def write_paths(output: str, tables: Sequence[pd.DataFrame]) -> None:
    """Write tables of paths as one, and print the barrier of each path."""
    table = pd.concat(tables, ignore_index=True)[["path", "t", "loss", "accuracy"]]
    artifacts.write_table(output, table)
    for row in barriers.by_path(table).itertuples():
        print(
            f"{row.path}: barrier {row.barrier:.4f} nats at {row.barrier_at:.2f}, "
            f"highest loss {row.highest_loss:.4f} at {row.highest_at:.2f}",
            flush=True,
        )
