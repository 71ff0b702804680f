"""How many seeds a new experiment would need to be decided, and what it would probably say.

Experiments are drawn that have the means, the spreads and the correlations of the observed effects
of seeds, and are decided by the same rules, with all comparisons together. The true means are
unknown, so they are drawn as well, from their t distribution around the observed ones: an estimate
that took them as true would be too low, because an experiment is asked about only if it happened to
be undecided.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from skeletons.arrays import Floats
from skeletons.findings import modified_t
from skeletons.findings.rules import ADDS, ADDS_NOT, CONVERGES, IN_PART, NOT, PRUNING, UNDECIDED

POWER = 0.8  # the share of drawn experiments that must be decided
TRIED = (6, 8, 10, 12, 16, 20, 24, 32, 40, 50, 70, 100)
DRAWN = 1000


def seeds_needed(
    at_limits: Sequence[tuple[Floats, Floats]], question: str, level: float, level_any: float
) -> tuple[int | None, str]:
    """The fewest seeds of `TRIED` with which 80 % of new experiments would be decided.

    Args:
        at_limits: for each comparison, how far all pairs are above their target at the upper and at
            the lower limit (`Contrast.beyond`).
        question: `walk` or `pruning`.
        level: of tests that all comparisons must pass.
        level_any: of tests that any comparison may pass.

    Returns:
        The number, None if it is above the largest of `TRIED` or there is no comparison; and the
        answer that most of the decided experiments have, empty if none is decided.
    """
    if not at_limits:
        return None, ""
    columns = [values for pair in at_limits for values in pair]
    own = np.stack([modified_t.effects(values).own for values in columns], axis=-1)
    mean = np.array([values.mean() for values in columns])
    generator = np.random.default_rng(0)
    for count in TRIED:
        counts = _tally(_drawn(mean, own, count, generator), question, level, level_any)
        decided = {answer: share for answer, share in counts.items() if answer != UNDECIDED}
        if sum(decided.values()) >= POWER * DRAWN:
            return count, max(decided, key=lambda answer: decided[answer])
    return None, max(decided, key=lambda answer: decided[answer]) if any(decided.values()) else ""


def _drawn(mean: Floats, own: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Effects of the seeds of new experiments: experiments × seeds × columns."""
    seeds = len(own)
    spread = own / np.sqrt(seeds - 1)  # its square is the covariance of the effects
    chi = generator.chisquare(seeds - 1, size=(DRAWN, 1)) / (seeds - 1)
    truth = generator.normal(size=(DRAWN, seeds)) @ spread / np.sqrt(seeds) / np.sqrt(chi)
    around = generator.normal(size=(DRAWN, count, seeds)) @ spread
    return np.asarray(mean + truth[:, None, :] + around)


def _tally(drawn: Floats, question: str, level: float, level_any: float) -> dict[str, int]:
    """How many experiments have each answer."""
    count = drawn.shape[1]
    mean, spread = drawn.mean(axis=1), np.maximum(drawn.std(axis=1, ddof=1), 1e-12)
    skewness = stats.skew(drawn, axis=1, bias=False)
    t = modified_t.statistic(mean, spread / np.sqrt(count), np.nan_to_num(skewness), count)
    p = stats.t.sf(t, count - 3).reshape(len(drawn), -1, 2)
    above = (p < level).all(axis=1)
    below = (1 - p < level_any).any(axis=1)
    upper, lower = 0, 1
    if question == PRUNING:
        adds, not_ = above[:, lower], below[:, lower]
        tally = {ADDS: int(adds.sum()), ADDS_NOT: int((not_ & ~adds).sum())}
    else:
        no = below[:, lower]
        yes = above[:, upper] & ~no
        part = above[:, lower] & below[:, upper] & ~no & ~yes
        tally = {NOT: int(no.sum()), CONVERGES: int(yes.sum()), IN_PART: int(part.sum())}
    return {**tally, UNDECIDED: len(drawn) - sum(tally.values())}
