"""Whether units that are large are the ones that matter, and whether two bases agree on them.

It needs no network: it works on the tables that `importance` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MAGNITUDE = "magnitude_l1"


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Rank correlation of two lists of numbers, −1..1: Pearson's of ranks, ties sharing theirs.

    NaN if a list has less than two different values: it ranks nothing.
    """
    ranks = [pd.Series(np.asarray(values, dtype=np.float64)).rank() for values in (a, b)]
    if any(r.nunique() < 2 for r in ranks):
        return float("nan")
    x, y = ((r - r.mean()).to_numpy() for r in ranks)
    return float(np.clip((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()), -1, 1))


def top(values: npt.ArrayLike, k: int) -> Mask:
    """Which are the k largest; of equal ones at the edge, those of lower number."""
    array = np.asarray(values, dtype=np.float64)
    chosen = np.zeros(len(array), dtype=bool)
    chosen[np.argsort(-array, kind="stable")[:k]] = True
    return chosen


def overlap(a: Mask, b: Mask) -> dict[str, Any]:
    """How much two sets of the same n units share, and how much two independent ones would.

    Returns:
        `shared`, the number of units in both; `expected`, its mean for two sets of these sizes
        drawn at random, |a|·|b| / n; and `probability` that such sets share at least as many, by
        the hypergeometric distribution (the one-sided test of Fisher 1935).
    """
    n, size_a, size_b, shared = len(a), int(a.sum()), int(b.sum()), int((a & b).sum())
    at_least = sum(
        comb(size_a, k) * comb(n - size_a, size_b - k)
        for k in range(shared, min(size_a, size_b) + 1)
    )
    return {
        "shared": shared,
        "expected": size_a * size_b / n,
        "probability": at_least / comb(n, size_b),
    }


def important(layer: pd.DataFrame) -> int:
    """How many units of a layer to call important: as many as pruning keeps alive.

    Where it keeps them all, which would say nothing: as many as the weights that it keeps would
    fill, and one at the least.

    Args:
        layer: the rows of a layer in an importance table.
    """
    alive = int((~layer.dead).sum())
    if alive < len(layer):
        return alive
    return max(1, round(float(layer.kept_share.mean()) * len(layer)))


def by_layer(table: pd.DataFrame) -> pd.DataFrame:
    """Magnitude against importance in each layer.

    Args:
        table: see `importance.importance_table`.

    Returns:
        One row a layer: layer; units; alive, those that pruning leaves alive; spearman of
        magnitude (L1) and loss change (NaN if either ranks nothing); k, see `important`; and
        `overlap` of the k largest units with the k most important ones.
    """
    rows = []
    for layer, group in table.groupby("layer", sort=False):
        k = important(group)
        rows.append(
            {
                "layer": layer,
                "units": len(group),
                "alive": int((~group.dead).sum()),
                "spearman": spearman(group[MAGNITUDE], group.loss_change),
                "k": k,
                **overlap(top(group[MAGNITUDE], k), top(group.loss_change, k)),
            }
        )
    return pd.DataFrame(rows)


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """`by_layer` for a JSON file, and in all.

    In all are: units, alive, k, shared and expected, summed over layers; and the mean of the rank
    correlations of layers, each weighted by its units (None where there is none).
    """
    layers = by_layer(table)
    known = layers.dropna(subset=["spearman"])
    mean = float(np.average(known.spearman, weights=known.units)) if len(known) else None
    totals: dict[str, Any] = {
        key: int(layers[key].sum()) for key in ("units", "alive", "k", "shared")
    }
    totals["expected"] = float(layers.expected.sum())
    rows = [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in layers.to_dict("records")
    ]
    return {**totals, "spearman": mean, "layers": rows}


def matched(
    a: pd.DataFrame, b: pd.DataFrame, permutations: Mapping[str, npt.ArrayLike]
) -> pd.DataFrame:
    """Whether the units that matter in one base stand where they do in another, once aligned.

    Args:
        a: the importance table of a model.
        b: that of a model of another base, with the same layers.
        permutations: by layer (as in the tables) the unit of `b` that stands for each unit of `a`;
            a layer that is not named is compared as it is.

    Returns:
        One row a layer: layer; units; k_a and k_b, see `important`; spearman of the two loss
        changes; and `overlap` of the k_a most important units of a with the k_b most important
        ones of b.

    Raises:
        ValueError: the tables do not have the same units, or an array is no permutation of them.
    """
    groups = [dict(list(table.groupby("layer", sort=False))) for table in (a, b)]
    if {k: len(v) for k, v in groups[0].items()} != {k: len(v) for k, v in groups[1].items()}:
        raise ValueError("the two importance tables do not have the same units")
    return pd.DataFrame(
        [
            {
                "layer": layer,
                **_match(one, groups[1][layer], permutations.get(str(layer), range(len(one)))),
            }
            for layer, one in groups[0].items()
        ]
    )


def _match(a: pd.DataFrame, b: pd.DataFrame, permutation: npt.ArrayLike) -> dict[str, Any]:
    order = np.asarray(permutation, dtype=np.int64)
    if not np.array_equal(np.sort(order), np.arange(len(a))):
        raise ValueError(f"{list(order[:10])} … is no permutation of {len(a)} units")
    b = b.iloc[order]
    k_a, k_b = important(a), important(b)
    return {
        "units": len(a),
        "k_a": k_a,
        "k_b": k_b,
        "spearman": spearman(a.loss_change, b.loss_change),
        **overlap(top(a.loss_change, k_a), top(b.loss_change, k_b)),
    }
