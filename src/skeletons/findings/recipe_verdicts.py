"""Do models of different bases grow more alike with pruning, beyond the controls?

For one recipe (a λ, a number of epochs and a threshold) and n seeds, the *rise* beyond a comparison
is a mean over all pairs of seeds: the similarity of the two pruned models minus the similarity of
the two models that they are compared with, which are their bases or controls made from the same
bases. Comparing both the pruned models and the controls with the bases and subtracting gives the
same number, because the bases cancel.

There are three possible answers, each based on all comparisons together:

- **converges**: beyond *every* comparison, the interval lies above 0 and the sign-flip p, the
  largest over the comparisons, is below alpha after Holm's correction for the number of questions.
  Several comparisons need no further correction, because all of them must hold (Berger 1982).
- **does not converge**: beyond *some* comparison, the interval lies below the margin, the smallest
  rise that would matter. A one-sided t-test must agree, with a p corrected for the comparisons
  (Bonferroni) and the questions (Holm). A rise that is certain but too small to matter is such a
  case.
- **cannot be decided with this many seeds**: otherwise; the verdict then says how many seeds would
  be needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from skeletons import text as prose
from skeletons.arrays import Floats
from skeletons.findings import seed_pairs

CONVERGES = "converges"
NOT = "does not converge"
UNDECIDED = "cannot be decided with this many seeds"
NOT_TESTED = "not tested"  # what the question is about is not there, see `preconditions`

ALPHA = 0.05
MARGIN = 0.05  # in units of the measure: a twentieth of the range of a similarity


@dataclass(frozen=True)
class Rise:
    """How much more alike pruned models of different bases are than models they are compared with.

    Attributes:
        against: the models that they are compared with.
        seeds: n, the number of seeds whose models are all alive; 0 if there are no two.
        images: the number of images that the similarities are means over, if known.
        effect: the mean rise over all pairs of seeds, in units of the measure; NaN without pairs.
        low: lower end of its 1 − alpha interval; NaN for fewer than three seeds.
        high: upper end of the interval.
        spread: standard deviation of the seeds' pseudo-values.
        p_rise: sign-flip p against no rise.
        p_small: t-test p against a rise of at least the margin.
    """

    against: str
    seeds: int
    images: int | None
    effect: float
    low: float
    high: float
    spread: float
    p_rise: float
    p_small: float


@dataclass(frozen=True)
class RecipeVerdict:
    """The answer to whether models of one recipe converge, and its evidence.

    Attributes:
        question: the recipe, in words.
        answer: `converges`, `does not converge` or `cannot be decided with this many seeds`.
        against: the comparison that decides: the one with the weakest evidence.
        effect: the rise beyond it.
        low: lower end of its interval.
        high: upper end of its interval.
        p: of the rise, the largest over all comparisons.
        p_corrected: the same, corrected for the number of questions.
        tests: the number of questions.
        seeds: the fewest of any comparison.
        attainable: the smallest corrected p that this many seeds could have given.
        seeds_for_p: the fewest seeds with which the corrected p can be below alpha.
        seeds_needed: the fewest with which a decision is likely (80 %) if the observed values are
            the true ones; None if decided, if it is more than 1,000, or if it is unknown.
        rises: all comparisons.
        sentence: the answer and its evidence in words.
    """

    question: str
    answer: str
    against: str
    effect: float
    low: float
    high: float
    p: float
    p_corrected: float
    tests: int
    seeds: int
    attainable: float
    seeds_for_p: int
    seeds_needed: int | None
    rises: tuple[Rise, ...]
    sentence: str


def rise(
    pruned: Floats,
    other: Floats,
    against: str,
    *,
    sign: int = 1,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    span: float = math.inf,
) -> Rise:
    """Compare the similarities of the pruned models of n seeds with those of other models.

    Args:
        pruned: of all pairs of seeds in the order of `itertools.combinations`: one value per pair,
            or one per pair and image (pairs × images).
        other: of the models that they are compared with, on the same seeds and images.
        against: those models, in words.
        sign: of the measure: −1 if lower means more alike.
        alpha: the share of intervals that may miss the true rise.
        margin: the smallest rise that would matter, in units of the measure.
        span: the largest rise that is possible, the range of the measure; intervals stay within.

    Raises:
        ValueError: the two have different shapes, or are not of all pairs of seeds.
    """
    if pruned.shape != other.shape:
        raise ValueError("the compared similarities are not of the same pairs")
    difference = living(sign * (np.asarray(pruned) - np.asarray(other)))
    images = difference.shape[1] if difference.ndim == 2 else None
    if not difference.size:
        return Rise(against, 0, images, *[math.nan] * 6)
    own = seed_pairs.pseudo_values(difference if images is None else difference.mean(axis=1))
    low, high = seed_pairs.interval(difference, alpha)
    return Rise(
        against,
        seed_pairs.seeds_of(difference),
        images,
        float(difference.mean()),
        max(low, -span),
        min(high, span),
        float(own.std(ddof=1)),
        seed_pairs.sign_flip(own),
        _p_small(difference, margin),
    )


def living(values: Floats) -> Floats:
    """All pairs of the seeds that have a value in every pair, on the images that all pairs have.

    A dead model has no similarity to any other, so all its pairs are NaN and its seed is left out.
    As long as a pair has no value on any image, the seed with the most such pairs is removed (the
    last one of several). Then the images on which a pair has no value are removed.

    Args:
        values: all pairs of n seeds, or pairs × images.
    """
    count = seed_pairs.seeds_of(values)
    first, second = np.triu_indices(count, 1)
    missing = np.isnan(values) if values.ndim == 1 else np.isnan(values).all(axis=1)
    kept = np.ones(count, dtype=bool)
    there = np.ones(len(values), dtype=bool)
    while (missing & there).any():
        bad = missing & there
        faults = np.bincount(first[bad], minlength=count) + np.bincount(
            second[bad], minlength=count
        )
        kept[count - 1 - int(np.argmax(faults[::-1]))] = False
        there = kept[first] & kept[second]
    values = values[there]
    return np.asarray(values if values.ndim == 1 else values[:, ~np.isnan(values).any(axis=0)])


def _p_small(difference: Floats, margin: float) -> float:
    """One-sided t-test p against a mean rise of at least the margin; NaN for under three seeds."""
    error = seed_pairs.standard_error(difference)
    distance = margin - float(difference.mean())
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, seed_pairs.seeds_of(difference) - 1))


def verdicts(
    questions: Mapping[str, Sequence[Rise]], *, alpha: float = ALPHA, margin: float = MARGIN
) -> list[RecipeVerdict]:
    """The answers to several questions, corrected for their number.

    Args:
        questions: by question, the rises beyond each comparison, at least one.
        alpha: the probability of any wrong `converges`, and of any wrong `does not converge`; the
            same as for the intervals of the rises.
        margin: the smallest rise that would matter, the same as for the rises.
    """
    p_rise = [_worst(rises) for rises in questions.values()]
    p_small = [_smallest([r.p_small for r in rises]) for rises in questions.values()]
    corrected = zip(seed_pairs.holm(p_rise), seed_pairs.holm(p_small), strict=True)
    return [
        _decide(question, tuple(rises), p, *both, len(questions), alpha, margin)
        for (question, rises), p, both in zip(questions.items(), p_rise, corrected, strict=True)
    ]


def _worst(rises: Sequence[Rise]) -> float:
    """The largest p over the comparisons; NaN if a comparison has none, because it is unknown."""
    return float(np.max([r.p_rise for r in rises]))


def _smallest(p: Sequence[float]) -> float:
    """The smallest p over the comparisons, corrected for their number; NaN if all are NaN."""
    known = [value for value in p if not math.isnan(value)]
    return min(1.0, min(known) * len(known)) if known else math.nan


def _decide(
    question: str,
    rises: tuple[Rise, ...],
    p: float,
    p_corrected: float,
    p_small: float,
    tests: int,
    alpha: float,
    margin: float,
) -> RecipeVerdict:
    small = [r for r in rises if r.high < margin]
    if small and p_small < alpha:
        answer, deciding = NOT, min(small, key=lambda r: r.p_small)
    else:
        deciding = min(rises, key=_lowest)
        above = all(r.low > 0 for r in rises)
        answer = CONVERGES if above and p_corrected < alpha else UNDECIDED
    seeds = min(r.seeds for r in rises)
    fewest = seed_pairs.seeds_for_p(alpha, tests)
    needed = _needed(rises, fewest, seeds, tests, alpha, margin) if answer == UNDECIDED else None
    attainable = min(1.0, seed_pairs.smallest_p(seeds) * tests) if seeds > 2 else 1.0
    found = RecipeVerdict(
        question,
        answer,
        deciding.against,
        deciding.effect,
        deciding.low,
        deciding.high,
        p,
        p_corrected,
        tests,
        seeds,
        attainable,
        fewest,
        needed,
        rises,
        "",
    )
    return replace(found, sentence=_sentence(found, alpha, margin))


def _lowest(one: Rise) -> tuple[bool, float]:
    """Sorts comparisons by evidence, the weakest first: those without an interval, then by it."""
    return (not math.isnan(one.low), one.effect if math.isnan(one.low) else one.low)


def _needed(
    rises: Sequence[Rise], fewest: int, seeds: int, tests: int, alpha: float, margin: float
) -> int | None:
    """The fewest seeds that would probably decide, one way or the other; None if unknown.

    For `converges`, every comparison must be detected above 0 and the p must be attainable. For
    `does not converge`, one comparison below the margin is enough.
    """
    level = min(alpha / 2, alpha / tests)
    up = [seed_pairs.seeds_for_power(r.effect, r.spread, level) for r in rises]
    level = min(alpha / 2, alpha / tests / len(rises))
    down = [seed_pairs.seeds_for_power(margin - r.effect, r.spread, level) for r in rises]
    ways = [count for count in down if count is not None]
    known = [count for count in up if count is not None]
    if len(known) == len(rises):
        ways.append(max(fewest, *known))
    return max(min(ways), seeds + 1) if ways else None


# --- in words -----------------------------------------------------------------------------------


def _sentence(found: RecipeVerdict, alpha: float, margin: float) -> str:
    """A verdict as one sentence: the measured rise, and why it decides the answer."""
    with_seeds = f"with {prose.counted(found.seeds, 'seed')}"
    rise_of = f"the rise beyond {found.against} is {_span(found, alpha)}"
    if found.answer == CONVERGES:
        beyond = "" if len(found.rises) == 1 else f", the closest of {len(found.rises)} comparisons"
        return (
            f"Pruned models of different bases grow more alike: {rise_of}{beyond}, {with_seeds} "
            f"({_p_text(found)})."
        )
    if found.answer == NOT:
        small = "there is a rise, but it is" if found.low > 0 else "any rise is"
        return (
            f"Pruned models of different bases do not grow more alike: {small} too small to "
            f"matter, because {rise_of}, all below {margin:g}, {with_seeds}."
        )
    return f"Undecided: {_why_undecided(found, rise_of, alpha, margin)}."


def _why_undecided(found: RecipeVerdict, rise_of: str, alpha: float, margin: float) -> str:
    if found.seeds < 3:
        empty = [r.against for r in found.rises if r.seeds == found.seeds]
        have = "no two seeds have" if found.seeds < 2 else "only two seeds have"
        return f"{have} living models to compare with {prose.listed(empty)}; {_more(found)}"
    if found.attainable >= alpha and found.low > 0:
        return (
            f"{rise_of}, but {found.seeds} seeds cannot give a corrected p below "
            f"{found.attainable:.2g}; {_more(found)}"
        )
    return (
        f"{rise_of} with {found.seeds} seeds ({_p_text(found)}), neither clearly above 0 nor "
        f"clearly below {margin:g}; {_more(found)}"
    )


def _more(found: RecipeVerdict) -> str:
    if found.seeds_needed is not None:
        return f"about {found.seeds_needed} seeds are likely to decide it"
    if found.seeds < 3:
        return f"a decision needs {found.seeds_for_p} seeds or more"
    return f"more than {seed_pairs.MOST_SEEDS:,} seeds would be needed"


def _span(found: RecipeVerdict, alpha: float) -> str:
    if math.isnan(found.low):
        return f"{signed(found.effect)} (no interval from so few seeds)"
    return (
        f"{signed(found.effect)} ({1 - alpha:.0%} interval {signed(found.low)} to "
        f"{signed(found.high)})"
    )


def _p_text(found: RecipeVerdict) -> str:
    p, corrected = (_equals(value) for value in (found.p, found.p_corrected))
    tests = f", {corrected[2:] if corrected.startswith('= ') else corrected} corrected for "
    return f"p {p}" + ("" if found.tests == 1 else f"{tests}{found.tests} questions")


def _equals(p: float) -> str:
    text = prose.p_value(p)
    return text if text.startswith("<") else f"= {text}"


def signed(value: float) -> str:
    """A number with its sign, a typographic minus, and no −0.000."""
    if math.isnan(value):
        return "–"
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def verdict_markdown(
    found: Sequence[RecipeVerdict], *, alpha: float = ALPHA, margin: float = MARGIN
) -> str:
    """Verdicts in Markdown: the counts, a table, a sentence for each, and the method."""
    if not found:
        return "No pruned models of different bases were compared, so there is nothing to decide."
    glance = [
        f"{count} {one if count == 1 else several}"
        for answer, one, several in (
            (CONVERGES, CONVERGES, "converge"),
            (NOT, NOT, "do not converge"),
            (UNDECIDED, UNDECIDED, UNDECIDED),
            (NOT_TESTED, "is not tested", "are not tested"),
        )
        if (count := sum(v.answer == answer for v in found))
    ]
    head = ["recipe", "answer", "rise", f"{1 - alpha:.0%} interval", "beyond", "p", "corrected"]
    rows = [
        [
            v.question,
            f"**{v.answer}**" if v.answer == CONVERGES else v.answer,
            signed(v.effect),
            "–" if math.isnan(v.low) else f"{signed(v.low)} to {signed(v.high)}",
            v.against,
            prose.p_value(v.p),
            prose.p_value(v.p_corrected),
            str(v.seeds),
            "" if v.answer != UNDECIDED else _needed_cell(v),
        ]
        for v in found
    ]
    return "\n\n".join(
        [
            f"Of {prose.counted(len(found), 'recipe')}, {prose.listed(glance)}.",
            prose.table([*head, "seeds", "seeds needed"], rows),
            "\n".join(_sentences(found)),
            _method(min(found, key=lambda v: v.seeds), alpha, margin),
        ]
    )


def _sentences(found: Sequence[RecipeVerdict]) -> list[str]:
    """A list item for each sentence; recipes with the same sentence share one."""
    alike: dict[str, list[str]] = {}
    for one in found:
        alike.setdefault(one.sentence, []).append(one.question)
    return [
        f"- {sentence}"
        if len(found) == len(questions)
        else f"- {prose.listed(questions) if len(questions) > 1 else questions[0]}: {sentence}"
        for sentence, questions in alike.items()
    ]


def _needed_cell(one: RecipeVerdict) -> str:
    if one.seeds_needed is not None:
        return f"about {one.seeds_needed}"
    return f"≥ {one.seeds_for_p}" if one.seeds < 3 else f"> {seed_pairs.MOST_SEEDS:,}"


def _method(one: RecipeVerdict, alpha: float, margin: float) -> str:
    return (
        "A rise is how much more alike two pruned models of different bases are than the models "
        f"that they are compared with ({prose.listed([r.against for r in one.rises])}), as a mean "
        "over pairs of seeds. The table shows the comparison that decides. The unit of replication "
        "is the seed, not the pair: intervals are Student's t on the seeds' jackknife "
        "pseudo-values, and p comes from flipping their signs. It is corrected by Holm's method "
        f"for {prose.counted(one.tests, 'question')}. *Converges* means clearly above 0 beyond "
        f"every comparison; *does not converge* means clearly below {margin:g} beyond one of them. "
        f"With {prose.counted(one.seeds, 'seed')}, the smallest corrected p is "
        f"{one.attainable:.2g}; {one.seeds_for_p} seeds can reach one below {alpha:g}."
    )
