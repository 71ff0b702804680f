"""Whether models of different bases keep the same weights: overlaps of masks beside their controls.

Two controls tell what an overlap beyond chance comes from. Masks at random show whether the
expectation of chance holds. Bases that are pruned to the same density without a walk show what the
bases share to begin with, see `measures.magnitude_masks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings import model_pairs, modified_t, pair_tables
from skeletons.findings.pair_values import living, pairs_of
from skeletons.findings.sections import Section, joined
from skeletons.model_ids import PRUNED, RANDOM, Model
from skeletons.store import artifacts
from skeletons.text import number

ALL = "all"  # stands for a layer: all layers together
UNWALKED = "unwalked"
WORDS: Mapping[str, str] = {
    PRUNED: "pruned models",
    RANDOM: "pruned at random",
    UNWALKED: "their bases, without a walk",
}
FEWEST = 4  # bases of an interval, see `modified_t.effects`
COLUMNS = (
    *("a", "b", "layer", "size", "kept_a", "kept_b", "jaccard", "expected", "excess"),
    *("same_sign", "same_sign_expected", "base_jaccard", "base_excess", "base_same_sign"),
)

Rows = dict[str, list[dict[str, Any]]]


def read(paths: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The tables of `masks.collect_masks_stage` with a row per layer, by measure.

    Raises:
        ArtifactError: a table is missing or broken.
    """
    return {
        Path(path).stem.removesuffix("_layers"): artifacts.read_table(path, COLUMNS)
        for path in paths
    }


def summarize(tables: Mapping[str, pd.DataFrame]) -> Rows:
    """The overlap of masks of different bases: one row per recipe, kind of models and layer.

    Args:
        tables: by measure, as from `read`.

    Returns:
        By measure: recipe (in words), kind (a key of `WORDS`), layer (`all` for all of them), pairs
        (number), size (weights), density (mean share that is kept), jaccard and expected (means,
        0..1), excess (mean: 0 for chance, 1 for the largest possible), low, high and p (interval
        and one-sided p over bases; NaN for fewer than four), above (pairs that overlap more than
        by chance), same_sign and same_sign_expected (means, 0..1). For pruned models also
        `beyond`, the mean of their excess minus that of their bases without a walk, with
        beyond_low and beyond_high.
    """
    return {measure: list(_rows(table)) for measure, table in tables.items()}


def _rows(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    pairs = pair_tables.annotate(table)
    alike = pair_tables.same(pairs, "state", "l1", "epochs", "threshold", "density", "draw")
    pairs = pairs[alike & (pairs.base_a != pairs.base_b)]
    models = {name: Model.parse(name) for name in pairs.a}
    order = sorted(models, key=lambda name: (*models[name].sort_key[4:], name))
    named = pairs.a.map({name: model_pairs.named(models[name]) for name in order})
    for recipe in dict.fromkeys(model_pairs.named(models[name]) for name in order):
        for state in (PRUNED, RANDOM):
            group = pairs[(named == recipe) & (pairs.state_a == state)]
            walked = state == PRUNED and group.base_jaccard.notna().any()
            for layer, rows in group.groupby("layer", sort=False):
                yield {"recipe": recipe, **_row(rows, state, str(layer))}
                if walked:
                    yield {"recipe": recipe, **_row(_of_bases(rows), UNWALKED, str(layer))}


def _of_bases(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the bases without a walk, whose masks have the same densities."""
    return rows.assign(
        jaccard=rows.base_jaccard,
        excess=rows.base_excess,
        same_sign=rows.base_same_sign,
        same_sign_expected=np.nan,
    )


def _row(rows: pd.DataFrame, kind: str, layer: str) -> dict[str, Any]:
    excess = _by_bases(rows, rows.excess)
    low, high, p = _over_bases(excess)
    found = {
        "kind": kind,
        "layer": layer,
        "pairs": len(rows),
        "size": int(rows["size"].iloc[0]),
        "density": float(((rows.kept_a + rows.kept_b) / 2 / rows["size"]).mean()),
        **{key: float(rows[key].mean()) for key in ("jaccard", "expected", "excess")},
        **{"low": low, "high": high, "p": p},
        "above": int((rows.jaccard > rows.expected).sum()),
        **{key: float(rows[key].mean()) for key in ("same_sign", "same_sign_expected")},
    }
    if kind != PRUNED:
        return found
    beyond = rows.excess - rows.base_excess
    low, high, _ = _over_bases(_by_bases(rows, beyond))
    return {**found, "beyond": float(beyond.mean()), "beyond_low": low, "beyond_high": high}


def _by_bases(rows: pd.DataFrame, values: pd.Series[float]) -> Floats:
    """The values of all pairs of the bases that have one with each other; means over drawings."""
    names = sorted({*rows.base_a, *rows.base_b}, key=lambda name: Model.parse(name).sort_key)
    place = {name: k for k, name in enumerate(names)}
    between = np.full((len(names), len(names)), np.nan)
    means = values.groupby([rows.base_a, rows.base_b]).mean()
    ends = [[place[name] for name in means.index.get_level_values(k)] for k in (0, 1)]
    between[ends[0], ends[1]] = between[ends[1], ends[0]] = means.to_numpy()
    return pairs_of(between, living(between, np.ones(len(names), dtype=bool)))


def _over_bases(values: Floats) -> tuple[float, float, float]:
    """The ends of the 95 % interval of the mean, and the one-sided p against a mean of 0."""
    if modified_t.seeds_of(len(values)) < FEWEST:
        return math.nan, math.nan, math.nan
    return *modified_t.interval(values), float(modified_t.p_above(values))


# --- in words -----------------------------------------------------------------------------------


def section(found: Mapping[str, Sequence[Mapping[str, Any]]], recipe: str) -> Section:
    """The overlaps of masks in words.

    Args:
        found: what `summarize` returns.
        recipe: the primary one, whose layers are listed; the last one if it has no masks.
    """
    parts = [_of_measure(measure, rows, recipe) for measure, rows in found.items() if rows]
    words = joined(METHOD, *parts) if parts else ""
    return Section("masks", "Do models of different bases keep the same weights?", words)


METHOD = (
    "Pairs of models of different bases with the same recipe. *Beyond chance* is 0 for independent "
    "masks with as many weights in each layer, and 1 for the largest overlap that these numbers "
    "allow; its interval and p are over bases. *Same sign* is the share of weights with the same "
    "sign among those that both keep, beside the share by chance. The bases without a walk keep "
    "their largest weights, as many in each layer as the pruned models; or their largest units, if "
    "whole units were pruned."
)


def _of_measure(measure: str, rows: Sequence[Mapping[str, Any]], recipe: str) -> str:
    units = "units aligned" if measure.endswith("_aligned") else "units as they are"
    known = [row["recipe"] for row in rows]
    shown = recipe if recipe in known else known[-1]
    return joined(
        f"### By `{measure}` ({units})",
        *_sentences([row for row in rows if row["recipe"] == shown]),
        _table([row for row in rows if row["layer"] == ALL]),
        f"Layer by layer, for the recipe {shown}:",
        _by_layer([row for row in rows if row["recipe"] == shown and row["layer"] != ALL]),
    )


def _sentences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the overlap beyond chance and beyond the bases is, for one recipe."""
    row = next((r for r in rows if (r["kind"], r["layer"]) == (PRUNED, ALL)), None)
    if row is None:
        return []
    said = (
        f"{row['recipe']}: in {row['above']} of {text.counted(row['pairs'], 'pair')}, pruned "
        "models share more weights than chance gives; the overlap beyond chance is "
        f"{_span(row, 'excess', '')}"
    )
    if not math.isnan(row["beyond"]):
        said += f"; minus that of their bases, it is {_span(row, 'beyond', 'beyond_')}"
    return [f"{said}."]


def _span(row: Mapping[str, Any], key: str, prefix: str) -> str:
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    if math.isnan(low):
        return f"{number(row[key])} (no interval from so few bases)"
    return f"{number(row[key])} (95% interval {number(low)} to {number(high)})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        [
            row["recipe"],
            WORDS[row["kind"]],
            str(row["pairs"]),
            f"{row['density']:.1%}",
            f"{number(row['jaccard'])} ({number(row['expected'])})",
            number(row["excess"]),
            "–" if math.isnan(row["low"]) else f"{number(row['low'])} to {number(row['high'])}",
            "–" if math.isnan(row["p"]) else text.p_value(row["p"]),
            _signs(row),
        ]
        for row in rows
    ]
    head = ["recipe", "models", "pairs", "density", "overlap (by chance)", "beyond chance"]
    return text.table([*head, "95% interval", "p", "same sign (by chance)"], shown)


def _signs(row: Mapping[str, Any]) -> str:
    expected = row["same_sign_expected"]
    by_chance = "" if math.isnan(expected) else f" ({expected:.0%})"
    return "–" if math.isnan(row["same_sign"]) else f"{row['same_sign']:.0%}{by_chance}"


def _by_layer(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per layer, with the overlap beyond chance of each kind of models."""
    by = {(row["layer"], row["kind"]): row for row in rows}
    kinds = [kind for kind in WORDS if any(k == kind for _, k in by)]
    shown = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        one = by[layer, PRUNED] if (layer, PRUNED) in by else by[layer, kinds[0]]
        excess = [
            number(by[layer, kind]["excess"]) if (layer, kind) in by else "–" for kind in kinds
        ]
        size = [f"{one['size']:,}", f"{one['density']:.1%}"]
        shown.append([f"`{layer}`", *size, *excess, _signs(one)])
    head = ["layer", "weights", "density", *(WORDS[kind] for kind in kinds), "same sign"]
    return text.table(head, shown)
