"""`skeletons compare`: every measure of all pairs of saved logits or features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.errors import SavedOutputError
from skeletons.measures import behaviour, saved
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.measures.saved import Saved


def compare(paths: Sequence[str], *, features: bool = False, id_column: str = "id") -> pd.DataFrame:
    """All measures of all pairs of saved outputs.

    Args:
        paths: of two files or more, see `saved.read`.
        features: whether the files hold features, which need not have equally many columns; else
            they hold logits.
        id_column: the name of the images' ids, by which they are matched.

    Returns:
        One row per pair, with a, b (names of the models) and one column per measure. A pair without
        a value has NaN.

    Raises:
        SavedOutputError: a file cannot be used, or two do not fit together.
    """
    if len(paths) < 2:
        raise SavedOutputError(
            f"skeletons compare: found {text.counted(len(paths), 'file')}; allowed: two or more."
        )
    models = saved.matched([saved.read(path, id_column) for path in paths])
    values = _features if features else _logits
    rows = values(models)
    ends = itertools.combinations(saved.names(models), 2)
    return pd.DataFrame([{"a": a, "b": b, **row} for (a, b), row in zip(ends, rows, strict=True)])


def measures(table: pd.DataFrame) -> list[Measure]:
    """The measures that a table of `compare` has, in its order."""
    return [MEASURES[name] for name in table.columns if name in MEASURES]


def _logits(models: Sequence[Saved]) -> list[dict[str, Any]]:
    first = models[0]
    for other in models[1:]:
        if other.values.shape != first.values.shape:
            raise SavedOutputError(
                f"{other.path}: found logits of {other.values.shape[1]} classes, but of "
                f"{first.values.shape[1]} in {first.path}; allowed: the same classes (features may "
                "differ, see --features)."
            )
    labels = next((m.labels for m in models if m.labels is not None), None)
    shared = np.zeros(len(first.values), dtype=np.int64) if labels is None else labels
    known = [Predictions(model.values, shared) for model in models]
    # Labels that are no outputs of the models say nothing about their errors.
    labelled = labels is not None and labels.min() >= 0 and labels.max() < first.values.shape[1]
    pairs = itertools.combinations(known, 2)
    found = [behaviour.compare(a, b, labelled=bool(labelled)) for a, b in pairs]
    names = [measure.name for measure in behaviour.DECLARED if measure.name in found[0]]
    return [{name: row[name] for name in names} for row in found]


def _features(models: Sequence[Saved]) -> list[dict[str, Any]]:
    chosen = [measure for measure in MEASURES.values() if measure.kind == "representation"]
    pairs = itertools.combinations([model.values for model in models], 2)
    return [{m.name: float(np.mean(m.values(a, b))) for m in chosen} for a, b in pairs]
