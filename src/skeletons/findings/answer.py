"""The answers that follow from a table of similarities.

Two questions are asked for each recipe:

- **walk**: do models of different bases converge on the walk? Pruned models are compared with the
  bases, and with every living control: the same walk without a penalty, bases stopped at the same
  training loss, models pruned at random. *Converges*: beyond every comparison, the share of the gap
  that is closed is clearly above one limit. *Does not converge*: beyond some comparison, it is
  clearly below another. *In part*: clearly between them. *Undecided*: anything else.
- **pruning**: does pruning add to it? Pruned models are compared with the same models before
  pruning. *Adds*: the share is clearly above the lower limit. *Does not add*: clearly below it.
  This is never a reason for *does not converge*.

The tests and their levels are those of `share` and `rules`. One set of living seeds serves all
comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons.arrays import Floats
from skeletons.findings import answer_text, pair_values, seeds_needed
from skeletons.findings.modified_t import FEWEST
from skeletons.findings.pair_values import (
    BASE,
    CEILING,
    PLAIN,
    PRUNED,
    RANDOM,
    REGULARIZED,
    STOPPED,
    Square,
)
from skeletons.findings.rules import (
    ADDS,
    ADDS_NOT,
    CONVERGES,
    IN_PART,
    NOT,
    PRUNING,
    UNDECIDED,
    WALK,
    Rules,
)
from skeletons.findings.scale import Scale
from skeletons.findings.share import Contrast, interval, mean_of

NONE = "there is none"  # why a comparison could not be had
CONTROLS = (PLAIN, STOPPED, RANDOM)  # of the walk, besides the bases


@dataclass(frozen=True)
class Comparison:
    """How much more alike pruned models of different bases are than others.

    Attributes:
        against: the kind of models that they are compared with, one of `pair_values.KINDS`.
        effect: the share of the gap closed, or the rise in units of the measure.
        low: lower end of its interval; NaN for fewer than five seeds.
        high: upper end.
        p: one-sided p against no rise.
    """

    against: str
    effect: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Answer:
    """The answer to a question, and its evidence.

    Attributes:
        question: `walk` or `pruning`.
        answer: see `rules`.
        effect: of the comparison with the bases (walk) or with the models before pruning.
        low: lower end of its interval; NaN for fewer than five seeds, or without the comparison.
        high: upper end.
        p: one-sided p against no rise.
        seeds: the number of living seeds.
        asked: the number of all seeds.
        unit: `share` of the gap closed, or `rise` in units of the measure.
        limits: the share above which models converge, and that below which they do not; or twice
            the margin.
        against: the comparison that decides: the one with the least similarity beyond it.
        comparisons: all of them.
        similarity: the mean similarity by kind, in units of the measure.
        missing: the comparisons that could not be had, by kind, and why.
        notes: what else a reader must know, in sentences.
        needed: the number of seeds with which a new experiment would probably decide; None if it is
            decided or unknown.
        likely: the answer that it would most probably have; empty if unknown.
        sentence: the answer and its evidence in words.
    """

    question: str
    answer: str
    effect: float
    low: float
    high: float
    p: float
    seeds: int
    asked: int
    unit: str
    limits: tuple[float, float]
    against: str
    comparisons: tuple[Comparison, ...]
    similarity: Mapping[str, float]
    missing: Mapping[str, str]
    notes: tuple[str, ...]
    needed: int | None
    likely: str
    sentence: str


@dataclass(frozen=True)
class _Found:
    """The similarities of a recipe on its living seeds."""

    kept: npt.NDArray[np.bool_]
    squares: Mapping[str, Square]
    gap: tuple[Floats, Floats] | None
    unit: str
    limits: tuple[float, float]
    scale: Scale
    missing: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def asked(self) -> int:
        return len(self.kept)

    @property
    def seeds(self) -> int:
        return int(self.kept.sum())

    def pairs(self, kind: str) -> Floats:
        return pair_values.pairs_of(self.squares[kind].between, self.kept)


def answers(
    table: pd.DataFrame,
    recipe: str,
    rules: Rules,
    scale: Scale,
    *,
    left_out: Mapping[str, str] | None = None,
    estimate: bool = True,
) -> dict[str, Answer]:
    """The answers to both questions for one recipe.

    Args:
        table: tidy, see `pair_values`.
        recipe: of the pruned models.
        rules: levels and limits.
        scale: of the values.
        left_out: kinds that take no part, and why: controls that are dead or far less accurate.
        estimate: whether to estimate how many seeds would decide, which takes a moment.

    Returns:
        By question, `walk` and `pruning`.
    """
    found = _gathered(table, recipe, rules, scale, left_out or {})
    walk = [BASE, *(kind for kind in CONTROLS if kind in found.squares)]
    return {
        WALK: _answer(WALK, walk if BASE in found.squares else [], found, rules, estimate),
        PRUNING: _answer(
            PRUNING,
            [REGULARIZED] if REGULARIZED in found.squares else [],
            found,
            rules,
            estimate,
        ),
    }


# --- what is there ------------------------------------------------------------------------------


def _gathered(
    table: pd.DataFrame, recipe: str, rules: Rules, scale: Scale, left_out: Mapping[str, str]
) -> _Found:
    """The similarities of all kinds, on one set of living seeds."""
    named = pair_values.seeds(table)
    squares = {}
    missing = dict(left_out)
    for kind in pair_values.KINDS:
        square = pair_values.square(table, kind, recipe, named)
        if square is None:
            missing[kind] = NONE
        elif kind not in left_out:
            squares[kind] = _similar(square, scale)
    kept = np.full(len(named), PRUNED in squares)
    for kind in (BASE, PRUNED):
        if kind in squares:
            kept = pair_values.living(squares[kind].between, kept)
    for kind in (*CONTROLS, REGULARIZED):
        if kind not in squares:
            continue
        among = pair_values.living(squares[kind].between, kept)
        if among.sum() < kept.sum() and among.sum() < rules.alive * len(named):
            missing[kind] = f"only {among.sum()} of {len(named)} seeds have a living one"
            del squares[kind]
        else:
            kept = among
    return _with_ceiling(kept, squares, scale, rules, missing)


def _similar(square: Square, scale: Scale) -> Square:
    return Square(
        *(scale.similarity(part) for part in (square.between, square.within, square.others))
    )


def _with_ceiling(
    kept: npt.NDArray[np.bool_],
    squares: Mapping[str, Square],
    scale: Scale,
    rules: Rules,
    missing: dict[str, str],
) -> _Found:
    """The same with what a share of 1 adds, or with the margin if there is no gap to close."""
    margin = (rules.margin / scale.unit, rules.margin / scale.unit)
    rise = _Found(kept, squares, None, "rise", margin, scale, missing, ())
    if BASE not in squares or CEILING not in squares or kept.sum() < 2:
        return rise
    base = pair_values.pairs_of(squares[BASE].between, kept)
    ceiling, source = pair_values.ceiling_of(squares[CEILING], kept)
    if not mean_of(ceiling, scale) - mean_of(base, scale) > margin[0]:
        missing[CEILING] = (
            f"it is not above the bases by more than {rules.margin:g}, so there is no gap to close"
        )
        return rise
    notes = {
        "between": "",
        "within": "The ceiling is of pairs within a base.",
        "constant": "The ceiling is one number for all pairs, and counts as known.",
    }
    limits = (rules.converges_above, rules.not_below)
    said = tuple(filter(None, [notes[source]]))
    return _Found(kept, squares, (base, ceiling), "share", limits, scale, missing, said)


# --- the answer ---------------------------------------------------------------------------------


def _answer(
    question: str, against: list[str], found: _Found, rules: Rules, estimate: bool
) -> Answer:
    level_high = rules.level_of_any(len(against)) if against else rules.level
    contrasts = (
        {kind: _contrast(found, kind) for kind in against} if PRUNED in found.squares else {}
    )
    rows = [_comparison(kind, one, found, rules, level_high) for kind, one in contrasts.items()]
    answer = _decided(question, list(contrasts.values()), found, rules, level_high)
    first = rows[0] if rows else Comparison("", *[math.nan] * 4)
    deciding = _deciding(answer, contrasts, found.limits)
    needed, likely = None, ""
    if answer == UNDECIDED and estimate and found.seeds >= max(FEWEST, rules.alive * found.asked):
        needed, likely = seeds_needed.seeds_needed(
            [_at_limits(one, found.limits) for one in contrasts.values()],
            question,
            rules.level,
            level_high,
        )
    made = Answer(
        question=question,
        answer=answer,
        effect=first.effect,
        low=first.low,
        high=first.high,
        p=first.p,
        seeds=found.seeds,
        asked=found.asked,
        unit=found.unit,
        limits=found.limits if found.unit == "share" else (rules.margin, rules.margin),
        against=deciding,
        comparisons=tuple(rows),
        similarity=_means(found),
        missing=_relevant(question, found.missing),
        notes=found.notes if found.unit == "share" else (),
        needed=needed,
        likely=likely,
        sentence="",
    )
    return replace(made, sentence=answer_text.sentence(made, rules))


def _contrast(found: _Found, kind: str) -> Contrast:
    return Contrast(
        found.pairs(PRUNED), found.pairs(kind), found.gap, found.scale, found.asked - found.seeds
    )


def _comparison(
    kind: str, contrast: Contrast, found: _Found, rules: Rules, level_high: float
) -> Comparison:
    size = 1.0 if found.unit == "share" else found.scale.unit
    enough = contrast.seeds >= 2 and contrast.seeds + contrast.dead >= FEWEST
    low, high = math.nan, math.nan
    if enough:
        low, high = interval(contrast, rules.level, level_high, found.limits)
    p = float(contrast.p_above(0.0)) if enough else math.nan
    return Comparison(kind, float(contrast.effect) * size, low * size, high * size, p)


def _decided(
    question: str, contrasts: list[Contrast], found: _Found, rules: Rules, level_high: float
) -> str:
    """The answer, by the tests at the limits."""
    if not contrasts or found.seeds < 2 or found.asked < FEWEST:
        return UNDECIDED
    if found.seeds < rules.alive * found.asked:
        return UNDECIDED
    upper, lower = found.limits
    above_upper = all(one.p_above(upper) < rules.level for one in contrasts)
    above_lower = all(one.p_above(lower) < rules.level for one in contrasts)
    below_upper = any(one.p_below(upper) < level_high for one in contrasts)
    below_lower = any(one.p_below(lower) < level_high for one in contrasts)
    return decision(question, above_upper, above_lower, below_upper, below_lower)


def decision(
    question: str, above_upper: bool, above_lower: bool, below_upper: bool, below_lower: bool
) -> str:
    """The answer that follows from what the tests at the two limits reject."""
    if question == PRUNING:
        return ADDS if above_lower else ADDS_NOT if below_lower else UNDECIDED
    if below_lower:
        return NOT
    if above_upper:
        return CONVERGES
    return IN_PART if above_lower and below_upper else UNDECIDED


def _deciding(answer: str, contrasts: Mapping[str, Contrast], limits: tuple[float, float]) -> str:
    """What the comparison that decides is with; of an undecided question, the smallest effect.

    All comparisons must pass a lower limit, so the least clear one decides. One that stays below a
    limit is enough, so the clearest one decides.
    """
    upper, lower = limits
    limit = upper if answer in (CONVERGES, IN_PART) else lower

    def order(kind: str) -> tuple[float, float]:
        one, p = contrasts[kind], 0.0
        if answer in (CONVERGES, ADDS):
            p = -float(one.p_above(limit))
        elif answer != UNDECIDED:
            p = float(one.p_below(limit))
        return p, float(one.effect)

    return min(contrasts, key=order, default="")


def _at_limits(contrast: Contrast, limits: tuple[float, float]) -> tuple[Floats, Floats]:
    return contrast.beyond(limits[0]), contrast.beyond(limits[1])


def _means(found: _Found) -> dict[str, float]:
    """The mean similarity by kind over pairs of living seeds, in units of the measure."""
    means = {}
    for kind in found.squares:
        values = (
            pair_values.ceiling_of(found.squares[kind], found.kept)[0]
            if kind == CEILING
            else found.pairs(kind)
        )
        if len(values):
            means[kind] = found.scale.value(float(mean_of(values, found.scale)))
    return means


def _relevant(question: str, missing: Mapping[str, str]) -> dict[str, str]:
    """The comparisons of a question that could not be had."""
    kinds = (BASE, PRUNED, *CONTROLS) if question == WALK else (REGULARIZED, PRUNED)
    return {kind: missing[kind] for kind in (*kinds, CEILING) if kind in missing}
