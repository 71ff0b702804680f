"""The observations of the post, claim by claim, and whether they hold here.

Each claim is a row {claim, measured, holds, detail}; `holds` is yes, no, undecided, rose (what the
claim says is kept has risen) or not tested (see `preconditions`). A claim about models in general
is decided only if the seeds, as a sample, decide it: by an interval over seeds that lies entirely
on one side, or by a permutation test over seeds. Otherwise it is undecided, which is not the same
as no. A claim of which nothing was tested is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from skeletons import text as prose
from skeletons.arrays import Floats
from skeletons.findings import pair_tables, seed_values, trend_test
from skeletons.findings.apart import some_models_stand_apart
from skeletons.findings.claim import (
    ALPHA,
    NO,
    ROSE,
    UNDECIDED,
    YES,
    Claim,
    agreed,
    interval_text,
    percent,
    range_of,
    side,
)
from skeletons.findings.pair_tables import ALIKE, MAX_DROP
from skeletons.findings.rules import NOT_TESTED
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.model_ids import BASE, PRUNED, REGULARIZED, Model
from skeletons.text import number

RECIPE = ("l1", "epochs", "threshold", "density")
COSINE = "cosine_prob"  # of the post's number
MARGIN = 0.05  # a model behaves like its base if its similarity falls by less than this


def claims(
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    measure: str,
    declared: Mapping[str, Measure] = MEASURES,
    drop: float = MAX_DROP,
) -> list[Claim]:
    """Every claim of the post that can be tested on an experiment's tables.

    Args:
        scores: all models' scores, as `scores.read_all` returns them.
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns; higher must mean more alike.
        declared: the measures by their names.
        drop: the most accuracy that counts as kept.

    Raises:
        ValueError: the measure is a dissimilarity, for which the claims would mean the opposite.
    """
    if not declared[measure].higher_is_alike:
        raise ValueError(f"{measure} is a dissimilarity; the claims are about similarities")
    found = declared[measure]
    compared = pair_tables.without_controls(pairs)
    return [
        *accuracy_kept(scores, drop),
        more_pruning_changes_more(pairs, measure),
        *more_epochs_smaller(scores),
        more_epochs_like_the_base(compared, measure, possible=range_of(found)),
        most_pairs_alike(compared),
        some_models_stand_apart(scores, compared, measure, declared),
    ]


def claims_without_pairs(scores: pd.DataFrame, drop: float = MAX_DROP) -> list[Claim]:
    """Those claims that need no pair of models."""
    return [*accuracy_kept(scores, drop), *more_epochs_smaller(scores)]


def withheld(found: Sequence[Claim]) -> list[Claim]:
    """Claims with what was measured, but without an answer."""
    return [{**row, "holds": NOT_TESTED} for row in found]


# --- accuracy -----------------------------------------------------------------------------------


def accuracy_kept(scores: pd.DataFrame, drop: float = MAX_DROP) -> list[Claim]:
    """Accuracy after pruning is at most a few points below that before it: a row per recipe.

    Before pruning means the regularised model that was pruned, or the base if there is none. A
    seed's lost accuracy is the mean over its λ and epochs, including dead models. Models of which
    no weight was pruned have no say.
    """
    table = pair_tables.with_unpruned_accuracy(scores)
    table = table[table.state == PRUNED]
    kept = [Model.parse(name).density for name in table.model]
    table = table.assign(to=pd.Series(kept, index=table.index, dtype=float))
    cut = table[table.sparsity > 0]
    return [
        *(
            _accuracy_kept(f"to {density:.4g} of the weights", cut[cut.to == density], drop)
            for density in sorted(set(table.to.dropna()))
        ),
        *(
            _accuracy_kept(f"at {threshold:g}", cut[cut.threshold == threshold], drop)
            for threshold in sorted(set(table.threshold.dropna()))
        ),
    ]


def _accuracy_kept(how: str, pruned: pd.DataFrame, drop: float) -> Claim:
    row = {
        "claim": f"Pruning {how} keeps the accuracy, to within {prose.points(drop, 0)} points",
        "measured": "no weight was pruned",
        "holds": UNDECIDED,
        "detail": "nothing to test",
    }
    if pruned.empty:
        return row
    lost = pruned.groupby("base")["lost"].mean().to_numpy(np.float64)
    before = float(pruned.groupby("base")["unpruned_accuracy"].mean().mean())
    low, high = seed_values.mean_interval(lost, ALPHA, (before - 1, before))
    worst = pruned.iloc[int(pruned["lost"].to_numpy().argmax())]
    against = "the base" if worst.unpruned == BASE else "the same model before pruning"
    return row | {
        "measured": _lost_text(lost, low, high),
        "holds": _kept(lost, low, high, drop),
        "detail": f"compared with {against}; {prose.counted(len(lost), 'seed')}; the worst is "
        f"`{worst.model}` with {prose.points(worst['lost'])} points lost at sparsity "
        f"{worst.sparsity:.1%}",
    }


def _kept(lost: Floats, low: float, high: float, drop: float) -> str:
    """Whether accuracy was kept; accuracy that rose by more than the tolerance was not."""
    if lost.mean() < -drop:
        return ROSE if high < 0 or agreed(lost) else UNDECIDED
    return side(lost, low, high, at_most=drop)


def _lost_text(lost: Floats, low: float, high: float) -> str:
    if float(prose.points(lost.mean()).replace("−", "-")) < 0:
        risen = interval_text(lost, -high, -low, prose.points)
        return f"accuracy rose by {prose.points(-lost.mean())} points, {risen}"
    between = interval_text(lost, low, high, prose.points)
    return f"{prose.points(lost.mean())} points lost, {between}"


# --- thresholds and epochs ----------------------------------------------------------------------


def more_pruning_changes_more(pairs: pd.DataFrame, measure: str) -> Claim:
    """The more is pruned, the less similar a model's OOD predictions are to those before.

    Before means the same model before pruning if regularised models are compared
    (`compare.states`), because further training changes a model too; otherwise its own base. The
    claim is about higher thresholds, or about lower densities if models are pruned to these alone.
    """
    table, before = to_unpruned(pairs, measure), "itself before pruning"
    if table.empty:
        table, before = to_own_base(pairs, measure), "its own base"
    table = table[table.state == PRUNED]
    by_density = table.threshold.isna().all() and table.density.notna().any()
    cut, more = ("density", "lower") if by_density else ("threshold", "higher")
    grid = _grid(table, cut, measure)
    grid = grid.iloc[:, ::-1] if by_density else grid  # from little pruning to much
    correlation, p, attainable = trend_test.page(-grid.to_numpy(np.float64))
    return {
        "claim": f"The {more} the {cut}, the less a model behaves like {before}",
        "measured": _trend_text(-correlation, grid, cut),
        "holds": _trend(p, -grid),
        "detail": _trend_detail(p, attainable, grid, measure),
    }


def more_epochs_smaller(scores: pd.DataFrame) -> list[Claim]:
    """The more epochs of regularisation, the higher the sparsity after pruning.

    A density fixes the sparsity, so only thresholds can show this. Nothing is claimed of models
    that are pruned to densities alone.
    """
    scores = pair_tables.identified(scores)
    pruned = scores[scores.state == PRUNED]
    cut = pruned[pruned.threshold.notna()]
    if len(pruned) and cut.empty:
        return []
    grid = _grid(cut.assign(density=math.nan), "epochs", "sparsity")
    correlation, p, attainable = trend_test.page(grid.to_numpy(np.float64))
    return [
        {
            "claim": "The more epochs of regularisation, the smaller the pruned model",
            "measured": _trend_text(correlation, grid, "epochs"),
            "holds": _trend(p, grid),
            "detail": _trend_detail(p, attainable, grid, "sparsity"),
        }
    ]


def more_epochs_like_the_base(
    pairs: pd.DataFrame, measure: str, margin: float = MARGIN, possible: float = math.inf
) -> Claim:
    """After the most epochs, a model is as similar to its base as after the fewest, to a margin.

    Args:
        pairs: the table of all pairs on one OOD set.
        measure: one of its columns.
        margin: the largest fall that does not matter.
        possible: the largest fall that is possible.
    """
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
    low, high = seed_values.mean_interval(fall, ALPHA, (-possible, possible))
    few, many = (f"{grid.columns[k]:g}" for k in (0, -1))
    return row | {
        "measured": f"{number(fall.mean())} less similar after {many} epochs than after {few}, "
        f"{interval_text(fall, low, high, number)}",
        "holds": side(fall, low, high, at_most=margin),
        "detail": f"`{measure}` to its own base: {grid.iloc[:, 0].mean():.3f} after {few} and "
        f"{grid.iloc[:, -1].mean():.3f} after {many} epochs; {prose.counted(len(fall), 'seed')}",
    }


def to_own_base(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Each model's similarity to its own base: state, seed, l1, epochs, threshold, measure."""
    table = pair_tables.annotate(pairs)
    table = table[(table.base_a == table.base_b) & (table.state_a == BASE)]
    columns = {f"{key}_b": key for key in ("state", "base", *RECIPE)}
    return table.rename(columns=columns)[[*columns.values(), measure]]


def to_unpruned(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Each pruned model's similarity to the model it was pruned from, as `to_own_base`.

    Empty if no regularised model was compared.
    """
    table = pair_tables.annotate(pairs)
    same = (table.base_a == table.base_b) & (table.l1_a == table.l1_b)
    same &= table.epochs_a == table.epochs_b
    table = table[same & (table.state_a == REGULARIZED) & (table.state_b == PRUNED)]
    columns = {f"{key}_b": key for key in ("state", "base", *RECIPE)}
    return table.rename(columns=columns)[[*columns.values(), measure]]


def _grid(table: pd.DataFrame, condition: str, value: str) -> pd.DataFrame:
    """Seeds × conditions: the mean over the rest of the recipe.

    If a seed lacks a value for some condition of a recipe, because a model is dead, that recipe is
    left out for that seed. Otherwise means over different recipes would be compared. Seeds without
    a complete recipe are left out.
    """
    rest = [key for key in RECIPE if key != condition]
    table = table[table[condition].notna()]
    # A recipe has a threshold or a density; the other is filled, because a pivot loses None.
    table = table.assign(**{key: table[key].astype(float).fillna(-1) for key in rest})
    wide = table.pivot_table(index=["base", *rest], columns=condition, values=value, dropna=False)
    return wide.dropna().groupby(level="base").mean().sort_index(axis=1)


def _trend(p: float, grid: pd.DataFrame) -> str:
    """Whether there is a rise; no if the same test shows a fall, or if no seed's values change.

    The latter needs as many seeds as `agreed`, and two conditions.
    """
    if math.isnan(p):
        return NO if grid.shape[1] > 1 and agreed(np.zeros(len(grid))) else UNDECIDED
    if p < ALPHA:
        return YES
    falls = trend_test.page(-grid.to_numpy(np.float64))[1]
    return NO if falls < ALPHA else UNDECIDED


def _trend_text(correlation: float, grid: pd.DataFrame, condition: str) -> str:
    if grid.empty:
        return "no seed has a value for every condition"
    means = " → ".join(f"{value:.3f}" for value in grid.mean())
    at = ", ".join(f"{value:g}" for value in grid.columns)
    if math.isnan(correlation):
        return f"{means} at {condition} {at}"
    return f"{means} at {condition} {at}; rank correlation {number(correlation)}"


def _trend_detail(p: float, attainable: float, grid: pd.DataFrame, value: str) -> str:
    if math.isnan(p):
        still = "no value changes" if grid.shape[1] > 1 and len(grid) else "nothing to test"
        return f"`{value}`; {prose.counted(len(grid), 'seed')}, {still}"
    return (
        f"`{value}`; one rank correlation per seed, {prose.counted(len(grid), 'seed')}: p "
        f"{prose.p_value(p)}, smallest possible {prose.p_value(attainable)}"
    )


# --- all pairs ----------------------------------------------------------------------------------


def most_pairs_alike(pairs: pd.DataFrame) -> Claim:
    """More than half of the pairs of different bases have a cosine above 0.6.

    The post's number is a cosine of probabilities, so the claim is about `COSINE` whatever the
    primary measure is. Pairs of one base are left out: how many there are follows from the grid.
    The interval comes from leaving out each base.

    Args:
        pairs: of bases and pruned models on one OOD set.
    """
    row = {
        "claim": f"Most pairs of models of different bases have a cosine above {ALIKE:g}",
        "measured": "no pair has a cosine",
        "holds": UNDECIDED,
        "detail": f"`{COSINE}`, the measure of the post",
    }
    table = pair_tables.annotate(pairs)
    table = table[table.base_a != table.base_b]
    known = table.dropna(subset=[COSINE]) if COSINE in table else table[:0]
    if known.empty:
        return row
    share = float((known[COSINE] > ALIKE).mean())
    own, low, high = _share_interval(known, COSINE)
    undefined = len(table) - len(known)
    return row | {
        "measured": f"{share:.1%} of {prose.counted(len(known), 'pair')}, "
        f"{interval_text(own, low, high, percent)}",
        "holds": {YES: NO, NO: YES, UNDECIDED: UNDECIDED}[side(own, low, high, at_most=0.5)],
        "detail": row["detail"] + (f"; {undefined} undefined" if undefined else ""),
    }


def _share_interval(table: pd.DataFrame, measure: str) -> tuple[Floats, float, float]:
    """The jackknife of the share of pairs above 0.6 over bases (Tukey 1958).

    Args:
        table: pairs of different bases.
        measure: one of its columns.

    Returns:
        One pseudo-value per base, and the ends of the interval, within 0..1. They are NaN for fewer
        than three bases, because without one of two no pair of different bases remains; and if
        leaving out a base never changes the share, as at 100 %.
    """
    first, second = table.base_a, table.base_b
    above = table[measure] > ALIKE
    bases = sorted({*first, *second})
    if len(bases) < seed_values.FEWEST_SEEDS:
        return np.full(len(bases), np.nan), math.nan, math.nan
    rest = np.array([above[(first != base) & (second != base)].mean() for base in bases])
    own, share = len(bases) * above.mean() - (len(bases) - 1) * rest, float(above.mean())
    low, high = seed_values.mean_interval(own, ALPHA)
    reach = (high - low) / 2
    if math.isnan(reach):
        return own, math.nan, math.nan
    return own, max(share - reach, 0.0), min(share + reach, 1.0)


# --- in words -----------------------------------------------------------------------------------


def claims_markdown(found: Sequence[Mapping[str, str]]) -> str:
    """The claims in Markdown: how many hold, and a table."""
    if not found:
        return "There is nothing to compare with the post's claims."
    counts = {
        answer: sum(row["holds"] == answer for row in found)
        for answer in (YES, NO, UNDECIDED, ROSE, NOT_TESTED)
    }
    rows = [[row["claim"], row["measured"], f"**{row['holds']}**", row["detail"]] for row in found]
    if counts[NOT_TESTED] == len(found):
        opening = f"{prose.counted(len(found), 'claim')}, none of them tested."
    else:
        rose = f" For {counts[ROSE]}, what they say is kept rose." if counts[ROSE] else ""
        opening = (
            f"Of {prose.counted(len(found), 'claim')}, {_verb(counts[YES], 'holds', 'hold')} here, "
            f"{_verb(counts[NO], 'does', 'do')} not, and "
            f"{_verb(counts[UNDECIDED], 'is', 'are')} undecided with these seeds.{rose}"
        )
    return f"{opening}\n\n" + prose.table(["claim", "measured here", "holds", "detail"], rows)


def _verb(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


METHOD = (
    f"A claim is decided if a {1 - ALPHA:.0%} interval over seeds lies entirely on one side, or if "
    f"a permutation test over seeds gives a p below {ALPHA:g}. Each claim is tested on its own, "
    "without correction for their number. An interval needs three seeds that differ, and stays "
    "within what is possible. If five or more seeds all have one value, that value decides. "
    "Whether models stand apart is a description of these models by a fixed rule, not a test."
)
