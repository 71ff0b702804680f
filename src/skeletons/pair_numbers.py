"""All measures of all pairs, small enough to be put into a page: for its heatmap.

A table of pairs becomes, for each of its measures, the upper triangle of a matrix row by row:
values of (0, 1), (0, 2), …, (1, 2), …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skeletons.catalogue import MEASURES
from skeletons.embedding import rounded
from skeletons.measures import Floats, Measure
from skeletons.models import Model


def gather(tables: Sequence[pd.DataFrame], scores: pd.DataFrame) -> dict[str, Any]:
    """What the heatmap needs to know, as JSON knows it.

    Args:
        tables: each with columns a, b, one or more measures, and, if its values depend on images,
            `ood`, the one data set that they are of; `reason` says why a pair has no value.
        scores: columns model and sparsity (0..1), with a row for each model in the tables.

    Returns:
        `models`, each with its id and seed, in the order seed, λ, epochs, threshold;
        `sparsity`, their positions from the densest to the sparsest; and `measures`, one for each
        data set and measure: its name and label, `set` (None if it needs no images), whether
        higher is `alike`, the positions of its `models`, the `values` of their pairs, `reasons` by
        the place of the value that is missing, and `clustered`, positions as a tree has them.
    """
    names = sorted(
        {name for table in tables for name in (*table.a, *table.b)},
        key=lambda name: Model.parse(name).sort_key,
    )
    sparsity = dict(zip(scores.model, scores.sparsity, strict=True))
    return {
        "models": [{"id": name, "seed": Model.parse(name).seed} for name in names],
        "sparsity": sorted(range(len(names)), key=lambda k: sparsity[names[k]]),
        "measures": [
            _one(table, MEASURES[column], names)
            for table in tables
            for column in table.columns
            if column in MEASURES
        ],
    }


def _one(table: pd.DataFrame, measure: Measure, names: Sequence[str]) -> dict[str, Any]:
    """One measure on one data set."""
    present = {*table.a, *table.b}
    models = [k for k, name in enumerate(names) if name in present]
    chosen = [names[k] for k in models]
    values = matrix(table, measure, chosen)
    return {
        "name": measure.name,
        "label": measure.label,
        "set": str(table.ood.iloc[0]) if "ood" in table else None,
        "alike": measure.higher_is_alike,
        "models": models,
        "values": rounded(values[np.triu_indices(len(chosen), 1)]),
        "reasons": _reasons(table, measure, chosen),
        "clustered": [models[k] for k in clustered(values, measure)],
    }


def matrix(table: pd.DataFrame, measure: Measure, names: Sequence[str]) -> Floats:
    """A measure of all pairs as a symmetric N×N matrix; NaN where a pair has no value.

    On the diagonal is the value of a model with itself.
    """
    place = {name: k for k, name in enumerate(names)}
    rows, columns = table.a.map(place).to_numpy(), table.b.map(place).to_numpy()
    values = np.full((len(names), len(names)), np.nan)
    values[rows, columns] = values[columns, rows] = table[measure.name].to_numpy(np.float64)
    np.fill_diagonal(values, measure.itself)
    return values


def clustered(values: Floats, measure: Measure) -> list[int]:
    """The order of models in a tree of average linkage, in which neighbours are alike.

    A pair without a value counts as the least alike of those that have one, so that dead models
    end up beside each other.

    Args:
        values: N×N, as `matrix` gives it.
        measure: which tells how far two models are apart by their value.
    """
    if len(values) < 3:
        return list(range(len(values)))
    distances = np.abs(measure.itself - values)
    known = distances[np.isfinite(distances)]
    distances[~np.isfinite(distances)] = known.max() or 1.0
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    return [int(k) for k in leaves_list(tree)]


def _reasons(table: pd.DataFrame, measure: Measure, names: Sequence[str]) -> dict[str, str]:
    """Why pairs have no value, by their place in the upper triangle."""
    if "reason" not in table:
        return {}
    place = {name: k for k, name in enumerate(names)}
    silent = table[table[measure.name].isna()]
    ends = np.sort([silent.a.map(place), silent.b.map(place)], axis=0)
    at = ends[0] * len(names) - ends[0] * (ends[0] + 1) // 2 + ends[1] - ends[0] - 1
    return {
        str(int(k)): reason for k, reason in zip(at, silent.reason, strict=True) if pd.notna(reason)
    }
