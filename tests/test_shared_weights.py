"""Overlaps of masks in the findings, with masks whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from skeletons.findings import shared_weights
from skeletons.measures import masks
from skeletons.model_ids import Model
from skeletons.store import artifacts

SEEDS, LAYERS, KEPT = range(1, 7), {"body.0.weight": 400, "body.2.weight": 900}, 0.2
Weights = dict[str, artifacts.Array]


def base(seed: int, common: Weights | None = None) -> Weights:
    """Random weights, with a part that all bases have in common."""
    draw = np.random.default_rng(seed)
    found = {name: draw.normal(size=size) for name, size in LAYERS.items()}
    return {n: w + (2 * common[n] if common else 0) for n, w in found.items()}


def largest(weights: Weights) -> Weights:
    kept = {name: np.quantile(np.abs(w), 1 - KEPT) for name, w in weights.items()}
    return {name: np.where(np.abs(w) > kept[name], w, 0) for name, w in weights.items()}


def at_random(weights: Weights, seed: int) -> Weights:
    draw = np.random.default_rng([seed, 7])
    return {n: np.where(draw.permutation(len(w)) < KEPT * len(w), w, 0) for n, w in weights.items()}


def table(*, walked: bool, together: bool) -> pd.DataFrame:
    """All pairs, if bases share large weights, and if walks lead to one skeleton."""
    common = base(99)
    bases = {seed: base(seed, common if together else None) for seed in SEEDS}
    skeleton = {seed: base(100 + seed, common) if walked else bases[seed] for seed in SEEDS}
    pruned = {seed: largest(skeleton[seed]) for seed in SEEDS}
    control = {seed: at_random(bases[seed], seed) for seed in SEEDS}
    names, parts = list(LAYERS), []
    for a, b in itertools.combinations(SEEDS, 2):
        for draw, models, known in ((None, pruned, (bases[a], bases[b])), (1, control, None)):
            one, two = models[a], models[b]
            rows = masks.with_signs(masks.overlap_of(one, two, names), one, two, names)
            rows = masks.with_unwalked(rows, one, two, known, names)
            ends = [str(Model(s, 1e-4, 2, 0.1, draw=draw)) for s in (a, b)]
            parts.append(rows.assign(a=ends[0], b=ends[1]))
    return pd.concat(parts, ignore_index=True)


def rows_of(found: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    (rows,) = shared_weights.summarize({"mask_overlap": found}).values()
    assert {row["recipe"] for row in rows} == {"λ = 0.0001, 2 epochs, threshold 0.1"}
    return {(row["kind"], row["layer"]): row for row in rows}


@pytest.mark.parametrize(
    ("walked", "together", "shares", "beyond"),
    [(True, False, True, True), (False, True, True, False), (False, False, False, False)],
    ids=["the walk leads to one skeleton", "bases share large weights", "nothing is shared"],
)
def test_controls_show_what_an_overlap_comes_from(
    walked: bool, together: bool, shares: bool, beyond: bool
) -> None:
    rows = rows_of(table(walked=walked, together=together))
    assert set(rows) == {
        (kind, layer) for kind in ("pruned", "random", "unwalked") for layer in ("all", *LAYERS)
    }
    one = rows["pruned", "all"]
    assert one["pairs"] == 15
    assert one["size"] == sum(LAYERS.values())
    assert one["density"] == pytest.approx(KEPT, abs=0.01)
    assert (one["low"] > 0.1) == shares
    assert (one["p"] < 0.01) == shares
    assert (one["beyond_low"] > 0.1) == beyond
    assert (one["same_sign"] > one["same_sign_expected"] + 0.2) == shares
    control = rows["random", "all"]
    assert control["low"] < 0 < control["high"]
    assert abs(control["excess"]) < 0.03
    if not walked:
        assert rows["unwalked", "all"]["excess"] == one["excess"]
        assert one["beyond"] == 0


def test_the_section_names_controls_signs_and_layers() -> None:
    found = shared_weights.summarize({"mask_overlap_aligned": table(walked=True, together=False)})
    section = shared_weights.section(found, "")
    assert section.name == "masks"
    words = section.text
    for part in (
        "units aligned",
        "in 15 of 15 pairs, pruned models share more weights than chance gives",
        "minus that of their bases, it is",
        "| pruned at random |",
        "their bases, without a walk",
        "| `body.2.weight` | 900 | 20.0% |",
    ):
        assert part in words, words
    assert "nan" not in words


def test_few_bases_have_no_interval_and_no_pairs_no_section() -> None:
    found = table(walked=True, together=False)
    first = [str(Model(seed, 1e-4, 2, 0.1)) for seed in (1, 2)]
    rows = rows_of(found[found.a.isin(first) & found.b.isin(first)])
    assert np.isnan(rows["pruned", "all"]["low"])
    words = shared_weights.section({"mask_overlap": list(rows.values())}, "").text
    assert "no interval from so few bases" in words
    assert shared_weights.section(shared_weights.summarize({"m": found[:0]}), "").text == ""
    assert shared_weights.section({}, "").text == ""


def test_a_layer_that_keeps_all_or_nothing_has_dashes() -> None:
    found = table(walked=True, together=False)
    layer = found.layer == "body.0.weight"
    found.loc[layer, ["jaccard", "excess", "same_sign", "base_jaccard", "base_excess"]] = np.nan
    words = shared_weights.section(shared_weights.summarize({"mask_overlap": found}), "").text
    (row,) = (line for line in words.splitlines() if line.startswith("| `body.0.weight`"))
    assert row.count("–") == 4
    assert "nan" not in words
