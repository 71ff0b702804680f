"""Within a base: do different strategies from one base grow alike?

The post compares many variants of few bases, so most of its pairs share a base. Such variants are
alike because of their base; the question is whether they are more alike than that explains. If each
strategy changed the base in a direction of its own, two variants would be less alike than either is
like the base. If they grow alike, they have changes in common, and are *more* like each other than
like their base.

So for each base, the rise is the mean similarity of its variants minus their mean similarity with
the base, of Fisher's z. The bases are the unit of replication: one value each, Student's t. Pairs
are grouped by the part of the strategy in which they differ. All walks of one λ are one walk: the
variant with more epochs passed through the other before both were pruned, so a rise there is
weaker evidence than one between two λs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings import model_pairs, scale
from skeletons.findings.seed_values import mean_interval
from skeletons.measures.measure import Measure
from skeletons.model_ids import PRUNED, Model

APART = {"l1": "λ", "epochs": "epochs", "cut": "threshold or density"}
ALIKE, NOT_ALIKE, UNDECIDED = "grow alike", "do not grow alike", "undecided"
ANY = "any of these"


@dataclass(frozen=True)
class Within:
    """The answer for variants of one base that differ in one part of their strategy.

    Attributes:
        differ: in what; `ANY` for all pairs.
        bases: the number of bases that have such pairs.
        pairs: the number of pairs of variants, of all bases.
        among: the mean similarity of variants of one base.
        with_base: the mean similarity of the same variants with their base.
        rise: the mean over bases of the difference, of Fisher's z.
        low: lower end of its interval; NaN from fewer than three bases.
        high: upper end.
        p: one-sided, against no rise; NaN likewise.
        answer: `ALIKE`, `NOT_ALIKE` or `UNDECIDED`.
    """

    differ: str
    bases: int
    pairs: int
    among: float
    with_base: float
    rise: float
    low: float
    high: float
    p: float
    answer: str


def by_set(
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    declared: Mapping[str, Measure],
    level: float,
) -> dict[str, list[Within]]:
    """The answers by data set, by the primary measure; empty if no base has two variants.

    Args:
        similarity: the table of all pairs by data set.
        measures: the primary one first.
        declared: the measures by their names.
        level: of a one-sided test.
    """
    if not measures:
        return {}
    measure = declared[measures[0]]
    found = {ood: _on_set(pairs, measure, level) for ood, pairs in similarity.items()}
    return {ood: rows for ood, rows in found.items() if rows}


def _on_set(pairs: pd.DataFrame, measure: Measure, level: float) -> list[Within]:
    value = model_pairs.from_table(pairs, measure.name)
    names = {*pairs.a, *pairs.b}
    by_base: dict[str, list[Model]] = {}
    for model in sorted(map(Model.parse, names), key=lambda model: model.sort_key):
        if model.state == PRUNED and str(model.base) in names:
            by_base.setdefault(str(model.base), []).append(model)
    several = {base: group for base, group in by_base.items() if len(group) > 1}
    rows = [_within(differ, several, value, measure, level) for differ in (*APART.values(), ANY)]
    kept = [row for row in rows if row is not None]
    return kept if len(kept) > 2 else kept[:1]  # with one part that differs, it is all


def _differ(a: Model, b: Model) -> list[str]:
    """In which parts two strategies differ."""
    return [name for part, name in APART.items() if getattr(a, part) != getattr(b, part)]


def _within(
    differ: str,
    by_base: Mapping[str, Sequence[Model]],
    value: model_pairs.Values,
    measure: Measure,
    level: float,
) -> Within | None:
    """The answer for pairs that differ in one part alone, or in any; None without pairs."""
    on = scale.of_measure(measure)
    among, own, rises, count = [], [], [], 0
    for base, group in by_base.items():
        chosen = [
            (value(str(a), str(b)), (value(base, str(a)), value(base, str(b))))
            for a, b in itertools.combinations(group, 2)
            if differ == ANY or _differ(a, b) == [differ]
        ]
        living = [(one, ends) for one, ends in chosen if not np.isnan([one, *ends]).any()]
        if not living:
            continue
        count += len(living)
        z_among = _z(on, [one for one, _ in living])
        z_base = _z(on, [(a, b) for _, (a, b) in living])
        among.append(z_among.mean())
        own.append(z_base.mean())
        rises.append(z_among.mean() - z_base.mean())
    if not rises:
        return None
    values = np.array(rises)
    low, high = mean_interval(values, 2 * level)
    p = math.nan
    if not math.isnan(low):
        p = float(stats.ttest_1samp(values, 0, alternative="greater").pvalue)
    answer = ALIKE if low > 0 else NOT_ALIKE if high < 0 else UNDECIDED
    means = [on.value(float(on.back(np.mean(part)))) for part in (among, own)]
    return Within(
        differ, len(values), count, means[0], means[1], float(values.mean()), low, high, p, answer
    )


def _z(on: scale.Scale, values: Sequence[object]) -> Floats:
    return on.z(on.similarity(np.array(values, dtype=np.float64)))


def markdown(found: Mapping[str, Sequence[Within]], level: float) -> str:
    """The tables, and what they mean; empty without answers."""
    if not found:
        return ""
    head = ["variants of one base differ in", "bases", "pairs", "similarity to each other"]
    head += ["to their base", "rise (Fisher's z)", f"{100 * (1 - 2 * level):.4g}% interval", "p"]
    parts = []
    for ood, rows in found.items():
        shown = [
            [
                row.differ,
                str(row.bases),
                str(row.pairs),
                f"{row.among:.3f}",
                f"{row.with_base:.3f}",
                _signed(row.rise),
                "–" if math.isnan(row.low) else f"{_signed(row.low)} to {_signed(row.high)}",
                text.p_value(row.p),
                row.answer,
            ]
            for row in rows
        ]
        title = f"On `{ood}`:" if len(found) > 1 else ""
        parts += [part for part in (title, text.table([*head, "they"], shown)) if part]
    return "\n\n".join(
        [
            "Most pairs of the post share a base. Variants of one base *grow alike* if they are "
            "more like each other than like their base: then their strategies changed it in the "
            "same way. Each base gives one value, so this is not about different bases. It is "
            "exploratory.",
            *parts,
            "Variants that differ in epochs lie on one walk, one behind the other. Variants that "
            "differ in threshold or density are the same model before pruning.",
        ]
    )


def _signed(value: float) -> str:
    return text.with_minus(f"{value:+.3f}")
