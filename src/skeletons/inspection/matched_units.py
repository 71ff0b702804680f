"""Do the units that matter in one base stand where they do in another, once the two are aligned?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skeletons.alignment import permutations
from skeletons.alignment.permutations import Array, Permutations
from skeletons.errors import ArtifactError
from skeletons.inspection import unit_ranks
from skeletons.store import artifacts


def by_layer(
    a: pd.DataFrame,
    b: pd.DataFrame,
    network: str,
    tensors: Mapping[str, Array],
    found: Permutations,
) -> pd.DataFrame:
    """The rows of `unit_ranks.matched` for two models of bases that are aligned.

    Args:
        a: the importance table of a model.
        b: that of a model of another base.
        network: a key of `networks.REGISTRY`.
        tensors: any tensors of that network; only their shapes are used.
        found: the permutations that align the base of b to that of a.

    Raises:
        ConfigError: the network cannot be aligned.
        ValueError: the tables, the tensors and the permutations do not go together.
    """
    spec = permutations.specification(network, tensors)
    orders = {str(name): permutations.order(spec, found, str(name)) for name in a.layer.unique()}
    return unit_ranks.matched(a, b, orders)


def summarize(layers: pd.DataFrame) -> dict[str, Any]:
    """Rows of `by_layer` for a JSON file, and in all.

    In all are: units, k_a, k_b, shared and expected, summed over layers; and the mean of the rank
    correlations of layers, each weighted by its units (None where there is none).
    """
    known = layers.dropna(subset=["spearman"])
    mean = float(np.average(known.spearman, weights=known.units)) if len(known) else None
    totals = {key: int(layers[key].sum()) for key in ("units", "k_a", "k_b", "shared")}
    rows = [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in layers.to_dict("records")
    ]
    return {**totals, "expected": float(layers.expected.sum()), "spearman": mean, "layers": rows}


def matched_stage(a: str, b: str, weights: str, summary: str, matched: str, output: str) -> None:
    """Write whether the important units of two models of different bases are the same ones.

    Args:
        a: the importance table of a model.
        b: that of a model of another base.
        weights: weights.safetensors of the second.
        summary: the model.json of their network.
        matched: the permutations that align the base of b to that of a.
        output: the JSON file to write, see `summarize`.

    Raises:
        ArtifactError: a file is missing or broken, or they do not go together.
    """
    name = str(artifacts.read_json(summary, ["network"])["network"]["name"])
    one, two = (artifacts.read_table(path, ["layer", "loss_change"]) for path in (a, b))
    tensors, found = artifacts.read_tensors(weights), artifacts.read_tensors(matched)
    try:
        layers = by_layer(one, two, name, tensors, found)
    except (ValueError, KeyError, IndexError) as error:
        raise ArtifactError(f"{a}, {b} and {matched} do not go together: {error}.") from None
    artifacts.write_json(output, summarize(layers))
