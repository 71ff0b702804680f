"""Which layers of two models correspond: the maps of `inspect.layers`, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeletons import text
from skeletons.findings.sections import joined
from skeletons.measures.layers import COLUMNS, mean_map
from skeletons.store import artifacts

METHOD = (
    "Every layer of one model is compared with every layer of another. A score is the mean "
    "over pairs of models: 0 is what shuffled images give, 1 means identical up to what the "
    "measure ignores. *Same layer* is the layer of the same name in the other model; it is "
    "above chance in a pair if p is at most 0.05. *Most alike* is the layer of the other model "
    "with the highest score. The figures show all scores."
)

Kind = Callable[[str, str], str]


def summarize(paths: Sequence[str], kind_of: Kind) -> list[dict[str, Any]]:
    """The maps of all pairs, one row per measure, data set, kind of pair and layer.

    Args:
        paths: `…/MEASURE/DATASET/A--B.parquet`, from `measures.layers.compare_layers_stage`.
        kind_of: the kind of a pair of models.

    Returns:
        measure, ood, kind, pairs (number), layer (of the first model); `same`, the mean score with
        the layer of the same name, and `above`, the share of pairs (0..1) in which p is at most
        0.05; `best`, the layer of the second model with the highest mean score, and `score`. None
        stands for a value that does not exist.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for path in paths:
        file = Path(path)
        measure, ood = file.parts[-3:-1]
        groups.setdefault((measure, ood, kind_of(*file.stem.split("--"))), []).append(path)
    return [
        {"measure": measure, "ood": ood, "kind": kind, "pairs": len(files), **row}
        for (measure, ood, kind), files in groups.items()
        for row in _layers(files)
    ]


def _layers(files: Sequence[str]) -> list[dict[str, Any]]:
    names, others, scores, above = mean_map([artifacts.read_table(f, COLUMNS) for f in files])
    rows = []
    for name, of_layer, shares in zip(names, scores, above, strict=True):
        same = others.index(name) if name in others else None
        best = None if np.isnan(of_layer).all() else int(np.nanargmax(of_layer))
        rows.append(
            {
                "layer": name,
                "same": None if same is None else _known(of_layer[same]),
                "above": None if same is None else _known(shares[same]),
                "best": None if best is None else others[best],
                "score": None if best is None else _known(of_layer[best]),
            }
        )
    return rows


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What `summarize` returns as Markdown: one table per measure and data set."""
    if not rows:
        return ""
    tables: dict[tuple[str, str], list[list[str]]] = {}
    for row in rows:
        tables.setdefault((row["ood"], row["measure"]), []).append(
            [
                f"{row['kind']} ({text.counted(row['pairs'], 'pair')})",
                f"`{row['layer']}`",
                text.number(row["same"], ".2f"),
                text.number(row["above"], ".0%"),
                "–" if row["best"] is None else f"`{row['best']}`",
                text.number(row["score"], ".2f"),
            ]
        )
    head = ["models", "layer", "same layer", "pairs above chance", "most alike", "its score"]
    return joined(
        METHOD,
        *(
            f"On `{ood}`, by `{measure}`:\n\n{text.table(head, table)}"
            for (ood, measure), table in tables.items()
        ),
    )
