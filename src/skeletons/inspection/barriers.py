"""Barriers: how far the loss on a path between two models rises over its ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from skeletons.arrays import Floats


def rises(losses: Iterable[float]) -> Floats:
    """How far each loss lies above the straight line between the first and the last, N.

    Args:
        losses: at evenly spaced points on a path, ends included; at least 2.
    """
    values = np.asarray(list(losses), dtype=np.float64)
    # A flat path must have a rise of exactly 0; (1 − t)·first + t·last would not give that.
    chord = values[0] + np.linspace(0, 1, len(values)) * (values[-1] - values[0])
    chord[-1] = values[-1]
    return values - chord


def barrier(losses: Iterable[float]) -> tuple[float, float]:
    """The highest rise of the loss over the line between its ends, and its place on the path.

    Source: Frankle et al. 2020, section 2, with the mean of the ends instead of the line; the two
    definitions agree if the ends have the same loss.

    Args:
        losses: see `rises`.

    Returns:
        The height, in units of the loss, ≥ 0, and its place, 0..1; both 0 if the loss never rises
        over the line; both NaN if a loss is not a number.
    """
    over = rises(losses)
    if np.isnan(over).any():
        return float("nan"), float("nan")
    top = int(over.argmax())
    return float(over[top]), top / (len(over) - 1)


def highest(losses: Iterable[float]) -> tuple[float, float]:
    """The highest loss on a path, and its place, 0..1; see `rises`."""
    values = np.asarray(list(losses), dtype=np.float64)
    return float(values.max()), int(values.argmax()) / (len(values) - 1)


def by_path(paths: pd.DataFrame) -> pd.DataFrame:
    """One row for each path of a table with columns path, repaired, t, loss and accuracy.

    Returns:
        path and repaired; barrier and barrier_at (see `barrier`); highest_loss and highest_at (see
        `highest`); accuracy_drop, the largest amount by which the accuracy is below the line
        between its ends, ≥ 0; all of training images. And of test images test_barrier, test_drop
        (of the accuracy), and tempered_barrier, of the loss at its best temperature.
    """
    rows: list[dict[str, Any]] = []
    for (name, repaired), path in paths.groupby(["path", "repaired"], sort=False):
        path = path.sort_values("t")
        height, place = barrier(path.loss)
        top, at = highest(path.loss)
        rows.append(
            {
                "path": name,
                "repaired": bool(repaired),
                "barrier": height,
                "barrier_at": place,
                "highest_loss": top,
                "highest_at": at,
                "accuracy_drop": barrier(-path.accuracy)[0],
                "test_barrier": barrier(path.test_loss)[0],
                "test_drop": barrier(-path.test_accuracy)[0],
                "tempered_barrier": barrier(path.tempered_loss)[0],
            }
        )
    return pd.DataFrame(rows)
