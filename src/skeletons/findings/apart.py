"""Models that stand apart from all others: a description by a fixed rule, not a test.

A model stands apart if its mean similarity to the others is both *unusual*, 3.5 robust deviations
below the median of all models (Iglewicz and Hoaglin 1993), and *lower by an amount that matters*,
a tenth of the range of the measure. The first alone is not enough: among models that are all alike
to within a hundredth, a model at 0.725 beside a median of 0.743 is many deviations away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from skeletons import text as prose
from skeletons.arrays import Floats
from skeletons.findings.claim import NO, UNDECIDED, YES, Claim, range_of
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.text import number

OUTLYING = 3.5  # robust deviations; Iglewicz and Hoaglin 1993, p. 12
LOWER = 0.1  # of the measure's range: how far below the median a model that stands apart is
FEWEST = 5  # models, of which a median and a deviation say something


def robust_scores(values: Floats) -> Floats:
    """The distance of each value from the median, in robust standard deviations.

    0.6745 (x − median) / MAD, where MAD is the median absolute deviation (Iglewicz and Hoaglin
    1993). If more than half of the values are equal, MAD is 0; as they propose, 1.2533 times the
    mean absolute deviation then replaces it. If all values are equal, every score is 0.

    Args:
        values: one per model; NaN is left out and stays NaN.

    Returns:
        One score per value; a value beyond ±3.5 is called an outlier.
    """
    if not np.isfinite(values).any():
        return np.full(len(values), np.nan)
    away = values - np.nanmedian(values)
    spread = float(stats.median_abs_deviation(values, nan_policy="omit")) / 0.6745
    spread = spread or float(np.nanmean(np.abs(away))) * 1.2533
    return np.asarray(away / (spread or 1.0))


def outliers(
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    measure: str,
    declared: Mapping[str, Measure] = MEASURES,
) -> pd.DataFrame:
    """Each model's mean similarity to all others, and its scores on its own task.

    Among about forty models without any outlier, the score alone is beyond −3.5 in about one of
    twenty experiments (measured). So a model that is barely beyond it is not a discovery.

    Args:
        scores: all models' scores.
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns.
        declared: the measures by their names.

    Returns:
        One row per model that has a similarity, the lowest first: model, similarity (its mean to
        all others), score (robust; negative means less alike), loss and accuracy on its own task,
        loss_score (robust; positive means worse), outlier (score < −3.5, and at least `LOWER` of
        the measure's range below the median).
    """
    ends = [pairs[[side, measure]].rename(columns={side: "model"}) for side in ("a", "b")]
    means = pd.concat(ends).groupby("model")[measure].mean().dropna()
    table = scores[["model", "loss", "accuracy"]].merge(
        means.rename("similarity").reset_index(), on="model"
    )
    table["score"] = robust_scores(table.similarity.to_numpy(np.float64))
    table["loss_score"] = robust_scores(table.loss.to_numpy(np.float64))
    lower = table.similarity.median() - table.similarity
    table["outlier"] = (table.score < -OUTLYING) & (lower >= floor(declared[measure]))
    columns = ["model", "similarity", "score", "loss", "accuracy", "loss_score", "outlier"]
    return table[columns].sort_values(["similarity", "model"], ignore_index=True)


def floor(measure: Measure) -> float:
    """How far below the median a model that stands apart is, in units of the measure."""
    possible = range_of(measure)
    return LOWER * possible if math.isfinite(possible) else 0.0


def some_models_stand_apart(
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    measure: str,
    declared: Mapping[str, Measure] = MEASURES,
) -> Claim:
    """A few models differ from all others but do well on their own task, like Model 51 there."""
    table = outliers(scores, pairs, measure, declared)
    apart = table[table.outlier]
    fine = apart[apart.loss_score <= OUTLYING]
    return {
        "claim": "A few models answer unlike all others, though they do well on their own task "
        "(the post's Model 51)",
        "measured": f"{len(apart)} of {len(table)} models, {len(fine)} of them with an ordinary "
        "loss"
        if len(table)
        else "no model has a similarity",
        "holds": (YES if len(fine) else NO) if len(table) >= FEWEST else UNDECIDED,
        "detail": _detail(table, declared[measure]),
    }


def _detail(table: pd.DataFrame, measure: Measure) -> str:
    """The models that stand apart, or how near the least similar one comes to it."""
    named = [
        f"`{row.model}` (mean similarity {row.similarity:.3f}, {number(row.score)} robust "
        f"deviations; loss {row.loss:.3f}, {number(row.loss_score)})"
        for row in table[table.outlier].itertuples()
    ]
    if named:
        return f"{prose.listed(named)}; the median is {table.similarity.median():.3f}"
    if len(table) < FEWEST:
        return f"{prose.counted(len(table), 'model')}, and the rule needs {FEWEST}"
    return (
        f"none is {OUTLYING:g} robust deviations and {floor(measure):g} below the "
        f"median, {table.similarity.median():.3f}; the lowest mean similarity is "
        f"{table.similarity.min():.3f}"
    )
