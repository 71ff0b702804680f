"""Pairs grouped by what their two models have in common, to put a similarity into perspective.

A similarity of 0.6 means much if untrained networks have 0.1, and nothing if they have 0.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from skeletons.findings import pair_tables
from skeletons.findings.pair_tables import ALIKE
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.model_ids import (
    BASE,
    PLAIN,
    PRUNED,
    RANDOM,
    REGULARIZED,
    REORDERED,
    STOPPED,
    UNTRAINED,
)

UNTRAINED_PAIRS = "before training, different seeds"
ORDERS = "bases of one seed, images in another order"
ACROSS = {
    BASE: "bases of different seeds",
    REGULARIZED: "regularised alike, different bases",
    PRUNED: "pruned alike, different bases",
    RANDOM: "pruned at random alike, different bases",
    PLAIN: "walked without a penalty, different bases",
    STOPPED: "stopped at the loss of pruned models, different bases",
}
NAMES = (UNTRAINED_PAIRS, ORDERS, *ACROSS.values())


def by_kind(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table of pairs split by kind; pairs of no kind are left out.

    Models of different bases form a pair of a kind only if they have the same recipe: λ, epochs,
    threshold and, if pruned at random, draw.

    Args:
        pairs: the table of all pairs on one OOD set.

    Returns:
        The rows by kind, in the order of `NAMES`; kinds without a pair are left out.
    """
    table = pair_tables.annotate(pairs)
    kind = pd.Series(index=table.index, dtype=object)
    across = pair_tables.same(
        table, "state", "l1", "epochs", "threshold", "density", "draw"
    ) & ~pair_tables.same(table, "base")
    for state, name in {UNTRAINED: UNTRAINED_PAIRS, **ACROSS}.items():
        kind[across & (table.state_a == state)] = name
    orders = table.state_a.isin([BASE, REORDERED]) & (table.state_b == REORDERED)
    kind[orders & pair_tables.same(table, "base")] = ORDERS
    return {name: pairs[kind == name] for name in NAMES if (kind == name).any()}


def summary(
    pairs: pd.DataFrame, measure: str, declared: Mapping[str, Measure] = MEASURES
) -> list[dict[str, Any]]:
    """One row per kind: kind, pairs, undefined, mean, min, max and `above`, the share above 0.6.

    Args:
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns; for a dissimilarity, `above` is None.
        declared: the measures by their names.
    """
    rows = []
    for kind, group in by_kind(pairs).items():
        values = group[measure].dropna()
        counts = len(values) > 0 and declared[measure].higher_is_alike
        above = float((values > ALIKE).mean()) if counts else None
        rows.append({"kind": kind, **pair_tables.spread(group, measure), "above": above})
    return rows
