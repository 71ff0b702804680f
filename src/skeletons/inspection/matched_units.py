"""Compares the important units of two bases after their units are aligned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons.alignment import permutations
from skeletons.alignment.permutations import Array, Permutations
from skeletons.errors import ArtifactError
from skeletons.inspection import unit_ranks
from skeletons.inspection.absence import look
from skeletons.store import artifacts


def by_layer(
    a: pd.DataFrame,
    b: pd.DataFrame,
    symmetries: str,
    tensors: Mapping[str, Array],
    found: Permutations,
) -> pd.DataFrame:
    """The rows of `unit_ranks.matched` for two models whose bases are aligned.

    Args:
        a: the importance table of a model.
        b: the importance table of a model of another base.
        symmetries: the symmetries.json of their network.
        tensors: tensors of that network; only their shapes are used.
        found: the permutations that align the base of b to that of a.

    Raises:
        ArtifactError: the file is missing or broken.
        ValueError: the tables, the tensors and the permutations do not fit together.
    """
    spec = permutations.read_specification(symmetries, tensors)
    orders = {str(name): permutations.order(spec, found, str(name)) for name in a.layer.unique()}
    return unit_ranks.matched(a, b, orders)


def summarize(layers: pd.DataFrame) -> dict[str, Any]:
    """The rows of `by_layer` as JSON, with totals.

    The totals are units, k_a, k_b, shared and expected, summed over layers, and the mean of the
    layers' rank correlations, weighted by units (None if no layer has one).
    """
    known = layers.dropna(subset=["spearman"])
    mean = float(np.average(known.spearman, weights=known.units)) if len(known) else None
    totals = {key: int(layers[key].sum()) for key in ("units", "k_a", "k_b", "shared")}
    rows = [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in layers.to_dict("records")
    ]
    return {**totals, "expected": float(layers.expected.sum()), "spearman": mean, "layers": rows}


@look("ranks", made_from=["tables"])
def match_importance_stage(
    *,
    tables: Sequence[str],
    weights: str,
    matched: str | None = None,
    symmetries: str | None = None,
    ranks: str,
) -> None:
    """Write whether two models of different bases have the same important units.

    Args:
        tables: the importance tables of the two models.
        weights: weights.safetensors of the second model.
        matched: the permutations that align the second model's base to the first's; None to leave
            the units in their order.
        symmetries: the symmetries.json of their network, if `matched` is given.
        ranks: the JSON file to write, see `summarize`.

    Raises:
        ArtifactError: a file is missing or broken, or they do not fit together.
    """
    a, b = (artifacts.read_table(path, ["layer", "loss_change"]) for path in tables)
    try:
        if matched is None or symmetries is None:
            layers = unit_ranks.matched(a, b, {})
        else:
            tensors, found = artifacts.read_tensors(weights), artifacts.read_tensors(matched)
            layers = by_layer(a, b, symmetries, tensors, found)
    except (ValueError, KeyError, IndexError) as error:
        files = ", ".join(filter(None, [*tables, matched]))
        raise ArtifactError(f"{files} do not fit together: {error}.") from None
    artifacts.write_json(ranks, summarize(layers))
