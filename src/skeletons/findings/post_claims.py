"""The observations of the post, claim by claim, and whether they hold here.

Each claim is a row {claim, measured, holds, detail}; `holds` is yes, no or undecided. A claim about
models in general is decided only if the seeds, as a sample, decide it: by an interval over seeds
that lies entirely on one side, or by a permutation test within seeds. Otherwise it is undecided,
which is not the same as no.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons import text as prose
from skeletons.findings import page_test, pair_tables, seed_pairs
from skeletons.findings.pair_tables import ALIKE, MAX_DROP
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.model_ids import BASE, PRUNED

ALPHA = 0.05  # of each test and interval, without correction for their number
MARGIN = 0.05  # a model behaves like its base if its similarity falls by less than this

YES, NO, UNDECIDED = "yes", "no", "undecided"

Claim = dict[str, str]


def claims(
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    measure: str,
    declared: Mapping[str, Measure] = MEASURES,
) -> list[Claim]:
    """Every claim of the post that can be tested on an experiment's tables.

    Args:
        scores: all models' scores, as `scores.read_all` returns them.
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns; higher must mean more alike.
        declared: the measures by their names.

    Raises:
        ValueError: the measure is a dissimilarity, for which the claims would mean the opposite.
    """
    if not declared[measure].higher_is_alike:
        raise ValueError(f"{measure} is a dissimilarity; the claims are about similarities")
    return [
        *accuracy_kept(scores),
        higher_threshold_changes_more(pairs, measure),
        more_epochs_smaller(scores),
        more_epochs_like_the_base(pairs, measure),
        most_pairs_alike(pairs, measure),
        some_models_stand_apart(scores, pairs, measure),
    ]


# --- accuracy -----------------------------------------------------------------------------------


def accuracy_kept(scores: pd.DataFrame) -> list[Claim]:
    """Accuracy after pruning is at most 2 points below the base's: one row per threshold.

    A seed's lost accuracy is the mean over its λ and epochs, including dead models.
    """
    table = pair_tables.with_base_accuracy(scores)
    table = table[table.state == PRUNED]
    rows = []
    for threshold, group in table.groupby("threshold"):
        lost = group.groupby("seed")["drop"].mean().to_numpy(np.float64)
        low, high = seed_pairs.mean_interval(lost, ALPHA)
        worst = group.iloc[int(group["drop"].to_numpy().argmax())]
        rows.append(
            {
                "claim": f"Pruning at {threshold:g} keeps the accuracy, to within "
                f"{prose.points(MAX_DROP, 0)} points",
                "measured": f"{prose.points(lost.mean())} points lost, "
                f"{_interval(low, high, prose.points)}",
                "holds": _side(low, high, at_most=MAX_DROP),
                "detail": f"{prose.counted(len(lost), 'seed')}; the worst is `{worst.model}` with "
                f"{prose.points(worst['drop'])} points lost at sparsity {worst.sparsity:.1%}",
            }
        )
    return rows


def _side(low: float, high: float, at_most: float) -> str:
    """Whether a mean is at most a number, according to its interval."""
    if high <= at_most:
        return YES
    return NO if low > at_most else UNDECIDED


# --- thresholds and epochs ----------------------------------------------------------------------


def higher_threshold_changes_more(pairs: pd.DataFrame, measure: str) -> Claim:
    """The higher the threshold, the less similar a model's OOD predictions are to its base's."""
    table = to_own_base(pairs, measure)
    grid = _grid(table[table.state == PRUNED], "threshold", measure)
    correlation, p, attainable = page_test.page(-grid.to_numpy(np.float64))
    return {
        "claim": "The higher the threshold, the less a model behaves like its own base",
        "measured": _trend_text(-correlation, grid, "threshold"),
        "holds": _trend(p, -grid),
        "detail": _trend_detail(p, attainable, grid, measure),
    }


def more_epochs_smaller(scores: pd.DataFrame) -> Claim:
    """The more epochs of regularisation, the higher the sparsity after pruning."""
    grid = _grid(scores[scores.state == PRUNED], "epochs", "sparsity")
    correlation, p, attainable = page_test.page(grid.to_numpy(np.float64))
    return {
        "claim": "The more epochs of regularisation, the smaller the pruned model",
        "measured": _trend_text(correlation, grid, "epochs"),
        "holds": _trend(p, grid),
        "detail": _trend_detail(p, attainable, grid, "sparsity"),
    }


def more_epochs_like_the_base(pairs: pd.DataFrame, measure: str, margin: float = MARGIN) -> Claim:
    """After the most epochs, a model is as similar to its base as after the fewest, to a margin."""
    table = to_own_base(pairs, measure)
    grid = _grid(table[table.state == PRUNED], "epochs", measure)
    row = {
        "claim": "However many epochs, the pruned model behaves like its unpruned original, "
        f"to within {margin:g}",
        "measured": "no two numbers of epochs were compared",
        "holds": UNDECIDED,
        "detail": "",
    }
    if grid.shape[1] < 2 or grid.empty:
        return row
    fall = (grid.iloc[:, 0] - grid.iloc[:, -1]).to_numpy(np.float64)
    low, high = seed_pairs.mean_interval(fall, ALPHA)
    few, many = (f"{grid.columns[k]:g}" for k in (0, -1))
    return row | {
        "measured": f"{_number(fall.mean())} less similar after {many} epochs than after {few}, "
        f"{_interval(low, high, _number)}",
        "holds": _side(low, high, at_most=margin),
        "detail": f"`{measure}` to its own base: {grid.iloc[:, 0].mean():.3f} after {few} and "
        f"{grid.iloc[:, -1].mean():.3f} after {many} epochs; {prose.counted(len(fall), 'seed')}",
    }


def to_own_base(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Each model's similarity to its own base: state, seed, l1, epochs, threshold, measure."""
    table = pair_tables.annotate(pairs)
    table = table[(table.seed_a == table.seed_b) & (table.state_a == BASE)]
    columns = {f"{key}_b": key for key in ("state", "seed", "l1", "epochs", "threshold")}
    return table.rename(columns=columns)[[*columns.values(), measure]]


def _grid(table: pd.DataFrame, condition: str, value: str) -> pd.DataFrame:
    """Seeds × conditions: the mean over the rest of the recipe.

    If a seed lacks a value for some condition of a recipe, because a model is dead, that recipe is
    left out for that seed. Otherwise means over different recipes would be compared. Seeds without
    a complete recipe are left out.
    """
    rest = [key for key in ("l1", "epochs", "threshold") if key != condition]
    wide = table.pivot_table(index=["seed", *rest], columns=condition, values=value, dropna=False)
    return wide.dropna().groupby(level="seed").mean().sort_index(axis=1)


def _trend(p: float, grid: pd.DataFrame) -> str:
    """Whether there is a rise; no if the same test shows a fall, or if no value ever changes."""
    if math.isnan(p):
        return NO if grid.size and grid.shape[1] > 1 else UNDECIDED
    if p < ALPHA:
        return YES
    falls = page_test.page(-grid.to_numpy(np.float64))[1]
    return NO if falls < ALPHA else UNDECIDED


def _trend_text(correlation: float, grid: pd.DataFrame, condition: str) -> str:
    if grid.empty:
        return "no seed has a value for every condition"
    means = " → ".join(f"{value:.3f}" for value in grid.mean())
    at = ", ".join(f"{value:g}" for value in grid.columns)
    if math.isnan(correlation):
        return f"{means} at {condition} {at}"
    return f"{means} at {condition} {at}; rank correlation {_number(correlation)}"


def _trend_detail(p: float, attainable: float, grid: pd.DataFrame, value: str) -> str:
    if math.isnan(p):
        return f"`{value}`; {prose.counted(len(grid), 'seed')}, nothing to test"
    return (
        f"`{value}`; Page's test within {prose.counted(len(grid), 'seed')}: p "
        f"{prose.p_value(p)}, smallest possible {prose.p_value(attainable)}"
    )


# --- all pairs ----------------------------------------------------------------------------------


def most_pairs_alike(pairs: pd.DataFrame, measure: str) -> Claim:
    """More than half of all pairs are above 0.6; the interval comes from leaving out each base."""
    table = pairs.dropna(subset=[measure])
    share = float((table[measure] > ALIKE).mean()) if len(table) else math.nan
    low, high = _share_interval(table, measure)
    undefined = len(pairs) - len(table)
    return {
        "claim": f"Most pairs of models are more alike than {ALIKE:g}",
        "measured": f"{share:.1%} of {len(table)} pairs, {_interval(low, high, _percent)}"
        if len(table)
        else "no pair has a similarity",
        "holds": {YES: NO, NO: YES, UNDECIDED: UNDECIDED}[_side(low, high, at_most=0.5)],
        "detail": f"`{measure}`; including pairs of models of one base"
        + (f"; {undefined} undefined" if undefined else ""),
    }


def _share_interval(pairs: pd.DataFrame, measure: str) -> tuple[float, float]:
    """The jackknife interval, over bases, of the share of pairs above 0.6 (Tukey 1958).

    NaN for fewer than three bases: without one of two, no pair of different bases remains.
    """
    table = pair_tables.annotate(pairs)
    first, second = table.seed_a, table.seed_b
    above = table[measure] > ALIKE
    bases = sorted({*first, *second})
    if len(bases) < 3:
        return math.nan, math.nan
    rest = np.array([above[(first != base) & (second != base)].mean() for base in bases])
    low, high = seed_pairs.mean_interval(-(len(bases) - 1) * rest, ALPHA)
    reach, share = (high - low) / 2, float(above.mean())
    return max(share - reach, 0.0), min(share + reach, 1.0)


def outliers(scores: pd.DataFrame, pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Each model's mean similarity to all others, and its scores on its own task.

    Among about forty models without any outlier, the rule finds one in about one of twenty
    experiments (measured). So a model that is barely beyond −3.5 is not a discovery.

    Args:
        scores: all models' scores.
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns.

    Returns:
        One row per model that has a similarity, the lowest first: model, similarity (its mean to
        all others), score (robust; negative means less alike), loss and accuracy on its own task,
        loss_score (robust; positive means worse), outlier (score < −3.5).
    """
    ends = [pairs[[side, measure]].rename(columns={side: "model"}) for side in ("a", "b")]
    means = pd.concat(ends).groupby("model")[measure].mean().dropna()
    table = scores[["model", "loss", "accuracy"]].merge(
        means.rename("similarity").reset_index(), on="model"
    )
    table["score"] = page_test.robust_scores(table.similarity.to_numpy(np.float64))
    table["loss_score"] = page_test.robust_scores(table.loss.to_numpy(np.float64))
    table["outlier"] = table.score < -page_test.OUTLYING
    columns = ["model", "similarity", "score", "loss", "accuracy", "loss_score", "outlier"]
    return table[columns].sort_values(["similarity", "model"], ignore_index=True)


def some_models_stand_apart(scores: pd.DataFrame, pairs: pd.DataFrame, measure: str) -> Claim:
    """A few models differ from all others but do well on their own task, like Model 51 there."""
    table = outliers(scores, pairs, measure)
    apart = table[table.outlier]
    fine = apart[apart.loss_score <= page_test.OUTLYING]
    named = [
        f"`{row.model}` (mean similarity {row.similarity:.3f}, {_number(row.score)} robust "
        f"deviations; loss {row.loss:.3f}, {_number(row.loss_score)})"
        for row in apart.itertuples()
    ]
    return {
        "claim": "A few models answer unlike all others, though they do well on their own task "
        "(the post's Model 51)",
        "measured": f"{len(apart)} of {len(table)} models, {len(fine)} of them with an ordinary "
        "loss"
        if len(table)
        else "no model has a similarity",
        "holds": (YES if len(fine) else NO) if len(table) else UNDECIDED,
        "detail": prose.listed(named)
        if named
        else "none is 3.5 robust deviations below the median",
    }


# --- in words -----------------------------------------------------------------------------------


def claims_markdown(found: Sequence[Mapping[str, str]]) -> str:
    """The claims in Markdown: how many hold, and a table."""
    if not found:
        return "There is nothing to compare with the post's claims."
    counts = {
        answer: sum(row["holds"] == answer for row in found) for answer in (YES, NO, UNDECIDED)
    }
    rows = [[row["claim"], row["measured"], f"**{row['holds']}**", row["detail"]] for row in found]
    return (
        f"Of {prose.counted(len(found), 'claim')}, {counts[YES]} hold here, {counts[NO]} do not, "
        f"and {counts[UNDECIDED]} cannot be decided with these seeds.\n\n"
        + prose.table(["claim", "measured here", "holds", "detail"], rows)
    )


METHOD = (
    f"A claim is decided if a {1 - ALPHA:.0%} interval over seeds lies entirely on one side, or if "
    f"a permutation test within seeds gives a p below {ALPHA:g}. Each claim is tested on its own, "
    "without correction for their number. Whether models stand apart is a description of these "
    "models by a fixed rule, not a test."
)


def _number(value: Any) -> str:
    text = f"{float(value):.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def _percent(value: Any) -> str:
    text = f"{float(value):.1%}"
    return "0.0%" if text == "-0.0%" else text.replace("-", "−")


def _interval(low: float, high: float, spell: Any) -> str:
    if math.isnan(low):
        return "no interval from so few seeds"
    return f"{1 - ALPHA:.0%} interval {spell(low)} to {spell(high)}"
