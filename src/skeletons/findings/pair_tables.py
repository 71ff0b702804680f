"""Scores and similarity tables, taken apart by what the models are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skeletons.model_ids import Model

SPARSE = 0.8  # the share of weights that must go before a subnetwork is called a skeleton
SLACK = 0.02  # how far its accuracy may fall below its base's
ALIKE = 0.6  # the post's observation: most pairs are above this cosine


def with_base_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with `base_accuracy` and `drop` (base's accuracy − own, in shares 0..1)."""
    base = table[table.state == "base"].set_index("seed").accuracy
    return table.assign(
        base_accuracy=table.seed.map(base), drop=table.seed.map(base) - table.accuracy
    )


def skeletons(table: pd.DataFrame) -> pd.DataFrame:
    """The pruned models that lost ≥ 80 % of their weights and ≤ 2 points of accuracy."""
    table = with_base_accuracy(table)
    kept = table[
        (table.state == "pruned")
        & ~table.dead
        & (table.sparsity >= SPARSE)
        & (table["drop"] <= SLACK)
    ]
    return kept.sort_values(["sparsity", "model"], ascending=[False, True])


def annotate(pairs: pd.DataFrame) -> pd.DataFrame:
    """A similarity table with both sides' seed, state, recipe and draw as *_a and *_b."""
    parsed = {name: Model.parse(name) for name in {*pairs.a, *pairs.b}}
    columns = {
        f"{field}_{side}": [getattr(parsed[name], field) for name in pairs[side]]
        for side in ("a", "b")
        for field in ("seed", "state", "l1", "epochs", "threshold", "draw")
    }
    return pairs.assign(**columns)


def across_bases(pairs: pd.DataFrame, measure: str) -> list[dict[str, Any]]:
    """Similarity of models of different bases made the same way: unpruned, then by threshold.

    Returns:
        One row for the bases themselves (threshold None) and one a threshold, with the number of
        pairs, their mean, least and largest similarity, and the pairs that have none.
    """
    table = annotate(pairs)
    table = table[table.seed_a != table.seed_b]
    bases = table[(table.state_a == "base") & (table.state_b == "base")]
    rows = [{"threshold": None, **spread(bases, measure)}]
    alike = table[
        (table.state_a == "pruned")
        & (table.state_b == "pruned")
        & (table.l1_a == table.l1_b)
        & (table.epochs_a == table.epochs_b)
        & (table.threshold_a == table.threshold_b)
    ]
    return rows + [
        {"threshold": threshold, **spread(group, measure)}
        for threshold, group in _groups(alike, "threshold_a")
    ]


def _groups(table: pd.DataFrame, column: str) -> list[tuple[float, pd.DataFrame]]:
    """The rows of a table by the value of a numeric column, in ascending order."""
    return [(value, table[table[column] == value]) for value in sorted(set(table[column].dropna()))]


def spread(pairs: pd.DataFrame, measure: str) -> dict[str, Any]:
    """How many pairs there are, how many have no value, and mean, least and largest of the rest."""
    values = pairs[measure].dropna()
    known = len(values) > 0
    return {
        "pairs": len(pairs),
        "undefined": int(len(pairs) - len(values)),
        "mean": float(values.mean()) if known else None,
        "min": float(values.min()) if known else None,
        "max": float(values.max()) if known else None,
    }
