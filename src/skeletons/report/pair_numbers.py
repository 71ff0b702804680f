"""All measures of all pairs in a compact form, for the heatmap in the report.

A table of pairs becomes, for each of its measures, the upper triangle of a matrix row by row:
values of (0, 1), (0, 2), …, (1, 2), …
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from skeletons.arrays import Floats
from skeletons.figures import labels
from skeletons.measures.measure import Measure
from skeletons.model_ids import Model
from skeletons.report.html import rounded


def gather(
    tables: Sequence[pd.DataFrame], scores: pd.DataFrame, measures: Mapping[str, Measure]
) -> dict[str, Any]:
    """The data of the heatmap, as JSON has it.

    Args:
        tables: each with columns a, b and one or more measures. If the values depend on images, the
            column `ood` names their data set. The column `reason` states why a value is missing.
        scores: columns model and sparsity (0..1), with a row for each model in the tables.
        measures: the measures after which columns are named.

    Returns:
        `models`, each with its id, base and recipe in words (`figures.labels`), in the order seed,
        λ, epochs, threshold; `shared`, what all walks have in common; `sparsity`, their positions
        from the densest to the sparsest; and `measures`, one for each data set and measure. Each
        has its name and label, `set` (None if it needs no images), `alike` (whether higher means
        more alike), `itself` (the value of every model with itself, or None), the positions of its
        `models`, the `values` of their pairs, `reasons` by the
        position of the missing value, and `clustered`, the positions of the models in the order of
        a clustering.
    """
    unique = {name for table in tables for side in "ab" for name in table[side].unique()}
    models = sorted(map(Model.parse, unique), key=lambda model: model.sort_key)
    names = [str(model) for model in models]
    sparsity = dict(zip(scores.model, scores.sparsity, strict=True))
    recipes = labels.recipes(names)
    return {
        "models": [
            {"id": str(model), "base": labels.base(model), "recipe": recipe}
            for model, recipe in zip(models, recipes, strict=True)
        ],
        "shared": labels.shared(names),
        "sparsity": sorted(range(len(names)), key=lambda k: sparsity[names[k]]),
        "measures": [one for table in tables for one in _measures(table, names, measures)],
    }


def _measures(
    table: pd.DataFrame, names: Sequence[str], measures: Mapping[str, Measure]
) -> list[dict[str, Any]]:
    """Each measure of one table; `names` are all models, also those that the table lacks."""
    present = set(table.a.unique()) | set(table.b.unique())
    models = [k for k, name in enumerate(names) if name in present]
    chosen = [names[k] for k in models]
    upper = np.triu_indices(len(chosen), 1)
    found = []
    for measure in (measures[column] for column in table.columns if column in measures):
        values = matrix(table, measure, chosen)
        found.append(
            {
                "name": measure.name,
                "label": measure.label,
                "set": str(table.ood.iloc[0]) if "ood" in table else None,
                "alike": measure.higher_is_alike,
                "itself": _itself(measure),
                "models": models,
                "values": rounded(values[upper].tolist()),
                "reasons": _reasons(table, measure, chosen),
                "clustered": [models[k] for k in clustered(values, measure)],
            }
        )
    return found


def _itself(measure: Measure) -> float | None:
    """The value of every model with itself; None if models differ in it."""
    return measure.itself if measure.reflexive and math.isfinite(measure.itself) else None


def matrix(table: pd.DataFrame, measure: Measure, names: Sequence[str]) -> Floats:
    """A measure of all pairs as a symmetric N×N matrix; NaN where a pair has no value.

    The diagonal holds the value of a model with itself.
    """
    rows, columns = _ends(table, names)
    values = np.full((len(names), len(names)), np.nan)
    values[rows, columns] = values[columns, rows] = table[measure.name].to_numpy(np.float64)
    np.fill_diagonal(values, measure.itself)
    return values


def _ends(table: pd.DataFrame, names: Sequence[str]) -> npt.NDArray[np.intp]:
    """The positions of each pair's two models among `names`, 2×pairs."""
    index = pd.Index(names)
    return np.array([index.get_indexer(pd.Index(table[side])) for side in "ab"])


def clustered(values: Floats, measure: Measure) -> list[int]:
    """The order of models in a clustering by average linkage, so that neighbours are alike.

    A pair without a value counts as the least similar pair with a value, so that dead models end up
    next to each other.

    Args:
        values: N×N, as `matrix` gives it.
        measure: its value of a model with itself is the point of distance 0.
    """
    if len(values) < 3:
        return list(range(len(values)))
    known = values[np.isfinite(values)]
    itself = measure.itself
    if not np.isfinite(itself):  # a range without an end on the side of what is alike
        itself = known.max(initial=0.0) if measure.higher_is_alike else known.min(initial=0.0)
    distances = np.abs(itself - values)
    np.fill_diagonal(distances, 0.0)
    far = distances[np.isfinite(distances)].max()
    distances[~np.isfinite(distances)] = far or 1.0
    tree = linkage(squareform(distances, checks=False), method="average", optimal_ordering=True)
    return [int(k) for k in leaves_list(tree)]


def _reasons(table: pd.DataFrame, measure: Measure, names: Sequence[str]) -> dict[str, str]:
    """Why pairs have no value, by their position in the upper triangle."""
    if "reason" not in table:
        return {}
    empty = table[table[measure.name].isna()]
    first, second = np.sort(_ends(empty, names), axis=0)
    at = first * len(names) - first * (first + 1) // 2 + second - first - 1
    return {
        str(int(k)): reason for k, reason in zip(at, empty.reason, strict=True) if pd.notna(reason)
    }
