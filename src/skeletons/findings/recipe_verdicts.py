"""Do models of different bases grow more alike with pruning, beyond the controls?

For one recipe (a λ, a number of epochs and a threshold) and n seeds, the *rise* beyond a comparison
is the mean over all pairs of seeds of how much more alike the two pruned models are than the two
models they are held against: the bases, or the controls made from the same bases. To hold both the
pruned and the control against the bases and subtract comes to the same, as the bases cancel.

Three answers are possible, each from all comparisons together:

- **converges**: beyond *every* comparison the interval lies above 0 and the sign-flip p, the
  largest over the comparisons, is below alpha after Holm's correction for the number of questions.
  That all must hold is itself the correction for several comparisons (Berger 1982).
- **does not converge**: beyond *some* comparison the interval lies below the margin, the smallest
  rise that would matter, and so does the mean by a one-sided t-test whose p is corrected for the
  comparisons (Bonferroni) and the questions (Holm). A rise that is certain but too small to matter
  is such a case.
- **cannot be decided with this many seeds**: otherwise; then it says how many
  seeds would be needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from skeletons import text as prose
from skeletons.arrays import Floats
from skeletons.findings import seed_pairs

CONVERGES = "converges"
NOT = "does not converge"
UNDECIDED = "cannot be decided with this many seeds"

ALPHA = 0.05
MARGIN = 0.05  # in units of the measure: a twentieth of the range from nothing to the same


@dataclass(frozen=True)
class Rise:
    """How much more alike the pruned models of different bases are than those held against.

    Attributes:
        against: what they are held against.
        seeds: n, those whose models are all alive; 0 if no two are.
        images: over how many images the similarities are means, if that is known.
        effect: the mean rise over all pairs of seeds, in units of the measure; NaN without pairs.
        low: lower end of its 1 − alpha interval; NaN for fewer than three seeds.
        high: its upper end.
        spread: standard deviation of the seeds' pseudo-values.
        p_rise: sign-flip p against no rise.
        p_small: t-test p against a rise of at least the margin.
        bootstrap: the interval by drawing seeds and images again, for comparison.
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
    bootstrap: tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """An answer to whether models of one recipe converge, with what it rests on.

    Attributes:
        question: the recipe, in words.
        answer: `converges`, `does not converge` or `cannot be decided with this many seeds`.
        against: the comparison that decides: the one that shows least.
        effect: the rise beyond it.
        low: lower end of its interval.
        high: upper end of its interval.
        p: of the rise, the largest over all comparisons.
        p_corrected: the same, corrected for the number of questions.
        tests: the number of questions.
        seeds: the fewest of any comparison.
        attainable: the smallest corrected p that so many seeds could have given.
        seeds_for_p: the fewest seeds with which the corrected p can be below alpha at all.
        seeds_needed: the fewest with which a decision is likely (80 %) if what was seen is the
            truth; None if decided, if it is more than 1,000, or if nothing is known to tell from.
        rises: all comparisons.
        sentence: all of it in words.
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
    seed: int = 0,
    resamples: int = 2000,
) -> Rise:
    """Hold the similarities of pruned models of n seeds against those of others.

    Args:
        pruned: of all pairs of seeds in the order of `itertools.combinations`: one value, or one an
            image (pairs × images).
        other: of the models held against, the same seeds and images.
        against: what those are, in words.
        sign: of the measure: −1 if lower is more alike.
        alpha: the share of intervals that may miss the truth.
        margin: the smallest rise that would matter, in units of the measure.
        seed: of random draws.
        resamples: how many draws the bootstrap interval is from; without any it is NaN.

    Raises:
        ValueError: the two do not go together, or are not of all pairs of seeds.
    """
    if pruned.shape != other.shape:
        raise ValueError("the similarities held against each other are not of the same pairs")
    difference = living(sign * (np.asarray(pruned) - np.asarray(other)))
    images = difference.shape[1] if difference.ndim == 2 else None
    if not difference.size:
        none = math.nan
        return Rise(against, 0, images, none, none, none, none, none, none, (none, none))
    seeds = seed_pairs.seeds_of(difference)
    own = seed_pairs.pseudo_values(difference if images is None else difference.mean(axis=1))
    low, high = seed_pairs.interval(difference, alpha)
    return Rise(
        against,
        seeds,
        images,
        float(difference.mean()),
        low,
        high,
        float(own.std(ddof=1)),
        seed_pairs.sign_flip(own, seed),
        _p_small(difference, margin),
        seed_pairs.vertex_bootstrap(difference, seed, resamples, alpha),
    )


def living(values: Floats) -> Floats:
    """All pairs of those seeds that have a value in every pair, on images that all have.

    A dead model is like nothing, so all its pairs are NaN; its seed is left out. While a pair has
    no value on any image, the seed with most such pairs goes, of several the last. Then images go
    on which a pair has no value.

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


def verdict(
    question: str, rises: Sequence[Rise], *, alpha: float = ALPHA, margin: float = MARGIN
) -> Verdict:
    """The answer to a single question; see `verdicts`."""
    return verdicts({question: rises}, alpha=alpha, margin=margin)[0]


def verdicts(
    questions: Mapping[str, Sequence[Rise]], *, alpha: float = ALPHA, margin: float = MARGIN
) -> list[Verdict]:
    """The answers to several questions, corrected for their number.

    Args:
        questions: by question, the rises beyond each comparison; at least one.
        alpha: the probability of a wrong `converges` among all of them, and of a wrong `does not
            converge`; that of the intervals in `rises` should be the same.
        margin: the smallest rise that would matter, as in `rises`.
    """
    p_rise = [_worst(rises) for rises in questions.values()]
    p_small = [_smallest([r.p_small for r in rises]) for rises in questions.values()]
    corrected = zip(seed_pairs.holm(p_rise), seed_pairs.holm(p_small), strict=True)
    return [
        _decide(question, tuple(rises), p, *both, len(questions), alpha, margin)
        for (question, rises), p, both in zip(questions.items(), p_rise, corrected, strict=True)
    ]


def _worst(rises: Sequence[Rise]) -> float:
    """The largest p over the comparisons; NaN if one has none, as it could be any."""
    return float(np.max([r.p_rise for r in rises]))


def _smallest(p: Sequence[float]) -> float:
    """The smallest p over the comparisons, corrected for their number; NaN if all are."""
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
) -> Verdict:
    bound = [r for r in rises if r.high < margin]
    if bound and p_small < alpha:
        answer, deciding = NOT, min(bound, key=lambda r: r.p_small)
    else:
        deciding = min(rises, key=_lowest)
        above = all(r.low > 0 for r in rises)
        answer = CONVERGES if above and p_corrected < alpha else UNDECIDED
    seeds = min(r.seeds for r in rises)
    fewest = seed_pairs.seeds_for_p(alpha, tests)
    needed = _needed(rises, fewest, seeds, tests, alpha, margin) if answer == UNDECIDED else None
    attainable = min(1.0, seed_pairs.smallest_p(seeds) * tests) if seeds > 2 else 1.0
    found = Verdict(
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
    return Verdict(**{**vars(found), "sentence": _sentence(found, alpha, margin)})


def _lowest(one: Rise) -> tuple[bool, float]:
    """Orders comparisons by how little they show: those without an interval first."""
    return (not math.isnan(one.low), one.effect if math.isnan(one.low) else one.low)


def _needed(
    rises: Sequence[Rise], fewest: int, seeds: int, tests: int, alpha: float, margin: float
) -> int | None:
    """The fewest seeds that would likely decide, one way or the other; None if it cannot be told.

    To converge all comparisons must be seen above 0, and p be attainable; not to, one below the
    margin is enough.
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


def _sentence(found: Verdict, alpha: float, margin: float) -> str:
    """A verdict as one sentence that says what was measured and why that decides it."""
    with_seeds = f"with {prose.counted(found.seeds, 'seed')}"
    rise_of = f"the rise beyond {found.against} is {_span(found, alpha)}"
    if found.answer == CONVERGES:
        beyond = "" if len(found.rises) == 1 else f", the closest of {len(found.rises)} comparisons"
        return (
            f"Pruned models of different bases grow more alike: {rise_of}{beyond}, {with_seeds} "
            f"({_p_text(found)})."
        )
    if found.answer == NOT:
        small = "a rise is there but" if found.low > 0 else "any rise is"
        return (
            f"Pruned models of different bases do not grow more alike: {small} too small to "
            f"matter, as {rise_of}, all below {margin:g}, {with_seeds}."
        )
    return f"Nothing can be said yet: {_why_undecided(found, rise_of, alpha, margin)}."


def _why_undecided(found: Verdict, rise_of: str, alpha: float, margin: float) -> str:
    if found.seeds < 3:
        empty = [r.against for r in found.rises if r.seeds == found.seeds]
        have = "no two seeds have" if found.seeds < 2 else "only two seeds have"
        return f"{have} living models to hold against {prose.listed(empty)}; {_more(found)}"
    if found.attainable >= alpha and found.low > 0:
        return (
            f"{rise_of}, but {found.seeds} seeds cannot give a corrected p below "
            f"{found.attainable:.2g}; {_more(found)}"
        )
    return (
        f"{rise_of} with {found.seeds} seeds ({_p_text(found)}), neither surely above 0 nor surely "
        f"below {margin:g}; {_more(found)}"
    )


def _more(found: Verdict) -> str:
    if found.seeds_needed is not None:
        return f"about {found.seeds_needed} seeds are likely to decide it"
    if found.seeds < 3:
        return f"it takes {found.seeds_for_p} seeds or more"
    return f"more than {seed_pairs.MOST_SEEDS:,} seeds would be needed"


def _span(found: Verdict, alpha: float) -> str:
    return (
        f"{signed(found.effect)} ({1 - alpha:.0%} interval {signed(found.low)} to "
        f"{signed(found.high)})"
    )


def _p_text(found: Verdict) -> str:
    p, corrected = (_equals(value) for value in (found.p, found.p_corrected))
    tests = f", {corrected[2:] if corrected.startswith('= ') else corrected} corrected for "
    return f"p {p}" + ("" if found.tests == 1 else f"{tests}{found.tests} questions")


def _equals(p: float) -> str:
    text = prose.p_value(p)
    return text if text.startswith("<") else f"= {text}"


def signed(value: float) -> str:
    """A number with its sign, a true minus, and no −0.000."""
    if math.isnan(value):
        return "–"
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def verdict_markdown(
    found: Sequence[Verdict], *, alpha: float = ALPHA, margin: float = MARGIN
) -> str:
    """Verdicts as a page section: the answers at a glance, then each in a sentence, then how."""
    if not found:
        return "No pruned models of different bases were compared, so there is nothing to decide."
    glance = [
        f"{count} {text if count == 1 else several}"
        for answer, text, several in (
            (CONVERGES, CONVERGES, "converge"),
            (NOT, NOT, "do not converge"),
            (UNDECIDED, UNDECIDED, UNDECIDED),
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


def _sentences(found: Sequence[Verdict]) -> list[str]:
    """One point a sentence; recipes with the same one share it."""
    alike: dict[str, list[str]] = {}
    for one in found:
        alike.setdefault(one.sentence, []).append(one.question)
    return [
        f"- {sentence}"
        if len(found) == len(questions)
        else f"- {prose.listed(questions) if len(questions) > 1 else questions[0]}: {sentence}"
        for sentence, questions in alike.items()
    ]


def _needed_cell(one: Verdict) -> str:
    if one.seeds_needed is not None:
        return f"about {one.seeds_needed}"
    return f"≥ {one.seeds_for_p}" if one.seeds < 3 else f"> {seed_pairs.MOST_SEEDS:,}"


def _method(one: Verdict, alpha: float, margin: float) -> str:
    return (
        "A rise is how much more alike two pruned models of different bases are than what they are "
        f"held against ({prose.listed([r.against for r in one.rises])}), in the mean over pairs of "
        "seeds; shown is the comparison that decides. Seeds, not pairs, are what is counted: "
        "intervals are Student's t on the seeds' jackknife pseudo-values, p is from flipping their "
        f"signs, and it is corrected by Holm's method for {prose.counted(one.tests, 'question')}. "
        "*Converges* means above 0 beyond every comparison; *does not converge*, surely below "
        f"{margin:g} beyond one of them. With {prose.counted(one.seeds, 'seed')} the "
        f"smallest corrected p is {one.attainable:.2g}; {one.seeds_for_p} can reach one below "
        f"{alpha:g}."
    )
