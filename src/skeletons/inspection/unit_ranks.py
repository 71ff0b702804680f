"""Compares the importance of units with their magnitude, and between two bases.

The functions here work on the tables that `importance` writes, without a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Mask = npt.NDArray[np.bool_]

MAGNITUDE = "magnitude_l1"
TENTH = 0.1


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """The rank correlation of two lists of numbers, −1..1: Pearson's of ranks, averaged over ties.

    Unlike that of scipy.stats, it is exactly 1 for equal ranks. It is NaN if a list has fewer than
    two different values, because then it has no ranks.
    """
    ranks = [pd.Series(np.asarray(values, dtype=np.float64)).rank() for values in (a, b)]
    if any(r.nunique() < 2 for r in ranks):
        return float("nan")
    x, y = ((r - r.mean()).to_numpy() for r in ranks)
    return float(np.clip((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()), -1, 1))


def top(values: npt.ArrayLike, k: int) -> Mask:
    """A mask of the k largest values; among equal values, those with lower numbers are chosen."""
    array = np.asarray(values, dtype=np.float64)
    chosen = np.zeros(len(array), dtype=bool)
    chosen[np.argsort(-array, kind="stable")[:k]] = True
    return chosen


def overlap(a: Mask, b: Mask) -> dict[str, Any]:
    """The overlap of two sets of the same n units, and the overlap that chance gives.

    Returns:
        `shared`, the number of units in both; `expected`, its mean for two random sets of these
        sizes, |a|·|b| / n; and `probability`, that two random sets share at least as many, by the
        hypergeometric distribution (the one-sided test of Fisher 1935).
    """
    from scipy.stats import hypergeom  # here, because importing it takes a while

    n, size_a, size_b, shared = len(a), int(a.sum()), int(b.sum()), int((a & b).sum())
    return {
        "shared": shared,
        "expected": size_a * size_b / n,
        "probability": float(hypergeom.sf(shared - 1, n, size_a, size_b)),
    }


def tenth(units: int) -> int:
    """The number of units of a layer that count as important: a tenth, at least one.

    The units that pruning leaves alive would be too many: often most of a layer, and then the
    question is only which units matter least.
    """
    return max(1, round(TENTH * units))


def by_layer(table: pd.DataFrame) -> pd.DataFrame:
    """Magnitude compared with importance in each layer.

    Args:
        table: see `importance.importance_table`.

    Returns:
        One row per layer: layer; units; alive, the number that pruning leaves alive; spearman of
        magnitude (L1) and loss change (NaN if it is not defined); k, see `tenth`; `overlap` of the
        k largest units with the k most important ones; and kept, how many of the latter pruning
        leaves alive (k · alive / units by chance).
    """
    rows = []
    for layer, group in table.groupby("layer", sort=False):
        k = tenth(len(group))
        matter = top(group.loss_change, k)
        rows.append(
            {
                "layer": layer,
                "units": len(group),
                "alive": int((~group.dead).sum()),
                "spearman": spearman(group[MAGNITUDE], group.loss_change),
                "k": k,
                **overlap(top(group[MAGNITUDE], k), matter),
                "kept": int((matter & ~group.dead.to_numpy(bool)).sum()),
            }
        )
    return pd.DataFrame(rows)


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """`by_layer` as JSON, with totals.

    The totals are units, alive, k, shared, expected, kept and kept_expected (kept by chance),
    summed over layers, and the mean of the layers' rank correlations, weighted by units (None if no
    layer has one).
    """
    layers = by_layer(table)
    known = layers.dropna(subset=["spearman"])
    mean = float(np.average(known.spearman, weights=known.units)) if len(known) else None
    totals: dict[str, Any] = {
        key: int(layers[key].sum()) for key in ("units", "alive", "k", "shared", "kept")
    }
    totals["expected"] = float(layers.expected.sum())
    totals["kept_expected"] = float((layers.k * layers.alive / layers.units).sum())
    rows = [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in layers.to_dict("records")
    ]
    return {**totals, "spearman": mean, "layers": rows}


def matched(
    a: pd.DataFrame, b: pd.DataFrame, permutations: Mapping[str, npt.ArrayLike]
) -> pd.DataFrame:
    """Compares the important units of two bases, after their units are aligned.

    Args:
        a: the importance table of a model.
        b: the importance table of a model of another base, with the same layers.
        permutations: by layer (as in the tables), the unit of `b` for each unit of `a`; the units
            of a layer without a permutation keep their order.

    Returns:
        One row per layer: layer; units; k_a and k_b, see `tenth`; spearman of the two loss
        changes; and `overlap` of the k_a most important units of a with the k_b most important
        ones of b.

    Raises:
        ValueError: the tables do not have the same units, or an array is not a permutation of them.
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
        raise ValueError(f"{list(order[:10])} … is not a permutation of {len(a)} units")
    b = b.iloc[order]
    k_a, k_b = tenth(len(a)), tenth(len(b))
    return {
        "units": len(a),
        "k_a": k_a,
        "k_b": k_b,
        "spearman": spearman(a.loss_change, b.loss_change),
        **overlap(top(a.loss_change, k_a), top(b.loss_change, k_b)),
    }
