"""The similarity of every layer of one model to every layer of another, on the same images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons.arrays import Floats
from skeletons.errors import ArtifactError
from skeletons.measures import permuted
from skeletons.measures.representations import FAMILIES, why_not
from skeletons.store import artifacts
from skeletons.store.seals import unfit

COLUMNS = ("layer_a", "layer_b", "value", "null", "null_std", "score", "p", "reason")


def layer_map(
    a: Mapping[str, Floats], b: Mapping[str, Floats], name: str, permutations: int
) -> pd.DataFrame:
    """A measure of every layer of one model with every layer of another.

    Args:
        a: the activations of one model's layers on N images, each N×channels, in order.
        b: those of the other model.
        name: the measure, one of `FAMILIES`.
        permutations: the number of shuffles of the images, at least 1.

    Returns:
        One row per two layers with `COLUMNS`: the fields of `permuted.Calibrated`, NaN if the two
        cannot be compared, and why not.

    Raises:
        ValueError: two are not matrices of finite numbers with the same number of rows.
    """
    family, first = FAMILIES[name], next(iter(a.values()))
    shuffles = permuted.orders(len(first), permutations)
    able = [
        {layer: family.prepare(x) for layer, x in model.items() if not why_not(x, x, name)}
        for model in (a, b)
    ]
    rows: list[dict[str, Any]] = []
    for layer_a, x in a.items():
        for layer_b, y in b.items():
            found = permuted.Calibrated(*(float("nan"),) * 5)
            if not (reason := why_not(x, y, name)):
                found = permuted.calibrate(
                    family.value, able[0][layer_a], able[1][layer_b], shuffles
                )
            names = {"layer_a": layer_a, "layer_b": layer_b}
            rows.append({**names, **dataclasses.asdict(found), "reason": reason})
    return pd.DataFrame(rows, columns=list(COLUMNS))


@artifacts.remembered(64)
def read(path: str) -> dict[str, Floats]:
    """Read a file of layers: by name and in order, float32 N×channels.

    Raises:
        ArtifactError: the file is missing or broken, or does not hold matrices.
    """
    found = artifacts.read_tensors(path)
    if not found or any(tensor.ndim != 2 for tensor in found.values()):
        raise unfit(path, "holds no matrices of activations")
    return {name.partition("/")[2]: found[name] for name in sorted(found)}


def compare_layers_stage(
    *,
    a: str,
    b: str,
    pair: str,
    representation: str,
    ood: str,
    models: Sequence[str],
    permutations: int,
) -> None:
    """Write one measure of all layers of a pair of models: see `layer_map`, with a, b and ood.

    Args:
        a: the layers of one model.
        b: the layers of the other model on the same images.
        pair: the parquet file to write.
        representation: the name of the measure.
        ood: the name of the data set.
        models: the ids of a and b.
        permutations: the number of shuffles of the images.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not fit together.
    """
    try:
        table = layer_map(read(a), read(b), representation, permutations)
    except ValueError as error:
        raise ArtifactError(
            f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
        ) from None
    artifacts.write_table(pair, table.assign(a=models[0], b=models[1], ood=ood))


def mean_map(tables: Sequence[pd.DataFrame]) -> tuple[list[str], list[str], Floats, Floats]:
    """The mean score of every two layers over pairs of models, and the share of pairs above chance.

    Args:
        tables: of pairs of models with the same layers, from `layer_map`.

    Returns:
        The layers of a, those of b, the mean scores (a×b, NaN if no pair has one), and the shares
        (0..1) of those pairs whose p is at most 0.05.
    """
    rows = pd.concat(tables, ignore_index=True)
    names = [list(dict.fromkeys(rows[side])) for side in ("layer_a", "layer_b")]
    places = [
        rows[side].map({n: k for k, n in enumerate(have)}).to_numpy()
        for side, have in zip(("layer_a", "layer_b"), names, strict=True)
    ]
    shape = (len(names[0]), len(names[1]))
    known = rows.score.notna().to_numpy()
    count, total, above = (np.zeros(shape) for _ in range(3))
    at = tuple(place[known] for place in places)
    np.add.at(count, at, 1)
    np.add.at(total, at, rows.score.to_numpy()[known])
    np.add.at(above, at, (rows.p.to_numpy() <= 0.05)[known])
    with np.errstate(invalid="ignore"):
        return names[0], names[1], total / count, above / count
