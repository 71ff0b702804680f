"""A test of a mean over pairs of seeds that stands skewed effects of seeds.

The unit of replication is the seed. Pairs that share a seed are not independent: n seeds give
n(n−1)/2 pairs, but only n independent draws. So the values of all pairs are first reduced to one
effect per seed. Every function takes arrays whose last axis holds all pairs of n seeds in the order
of `itertools.combinations`; any axes before it are experiments, which are treated alike.

The statistic is Student's t with Hall's (1992) monotone correction for skewness. Johnson's (1978)
modified t is the same without the cubic term; it falls again where t is large, so that an effect
of 70 standard errors could be called nothing. Critical values are Student's with n − 3 degrees of
freedom, because a mean, a variance and a skewness are estimated. Both were chosen by simulation:
`python -m skeletons.findings.error_rates` shows how often each test errs.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from skeletons.arrays import Floats

FEWEST = 5  # seeds of a decision: with fewer, one sign alone has a p of 2⁻⁴ > 0.05 / 2
ROUNDING = 1e-9  # differences of this size come from rounding
REMOVED = 0.5  # of the excess of variance that noise of pairs brings; see `effects`


class Effects(NamedTuple):
    """The effects of seeds, for each experiment.

    Attributes:
        mean: over all pairs.
        own: one effect per seed around that mean, on a last axis; they sum to 0.
        error: the standard error of the mean.
        skewness: of the distribution of the effects.
    """

    mean: Floats
    own: Floats
    error: Floats
    skewness: Floats


def seeds_of(pairs: int) -> int:
    """The number of seeds with so many pairs.

    Raises:
        ValueError: no number of seeds has so many pairs.
    """
    count = (1 + math.isqrt(1 + 8 * pairs)) // 2
    if count * (count - 1) // 2 != pairs:
        raise ValueError(f"{pairs} is not the number of pairs of any number of seeds")
    return count


@functools.cache
def incidence(seeds: int) -> Floats:
    """Pairs × seeds: 1 where a seed is one of a pair."""
    first, second = np.triu_indices(seeds, 1)
    table = np.zeros((len(first), seeds))
    rows = np.arange(len(first))
    table[rows, first] = table[rows, second] = 1.0
    return table


def effects(values: Floats) -> Effects:
    """Effects of seeds, with the standard error of their mean and their skewness.

    A seed's effect is its jackknife pseudo-value minus the mean (Tukey 1958; for statistics over
    pairs Arvesen 1969). If the value of each pair is a + b, with one number per seed, the effects
    are exactly twice those numbers, around their mean. Noise of pairs inflates their variance: if
    there is nothing but noise, to 2(n−1)/(n−2) times that of the mean (3.0 at 4 seeds, 2.5 at 6).
    A two-way table shows how large the noise is, so the excess can be taken off. Half of it is:
    with all of it, skewed effects beside noise of their own size err too often, in simulations.

    Args:
        values: … × pairs of at least 4 seeds.
    """
    seeds = seeds_of(values.shape[-1])
    table = incidence(seeds)
    mean = values.mean(axis=-1)
    rows = values @ table / (seeds - 1) - mean[..., None]
    own = rows * 2 * (seeds - 1) / (seeds - 2)
    noise = values - mean[..., None] - own / 2 @ table.T
    noise_variance = (noise**2).sum(axis=-1) / (seeds * (seeds - 3) / 2)
    variance = (own**2).sum(axis=-1) / (seeds - 1) / seeds
    excess = 2 * noise_variance / ((seeds - 1) * (seeds - 2))
    least = 2 * noise_variance / (seeds * (seeds - 1))
    variance = np.maximum(variance - REMOVED * excess, least)
    third = (own**3).sum(axis=-1) * seeds / ((seeds - 1) * (seeds - 2))
    error = np.sqrt(variance)
    still = error <= ROUNDING * np.maximum(1.0, np.abs(mean))
    spread = np.where(still, 1.0, error) * math.sqrt(seeds)
    return Effects(mean, own, np.where(still, 0.0, error), np.where(still, 0.0, third / spread**3))


def statistic(mean: Floats, error: Floats, skewness: Floats, seeds: int) -> Floats:
    """Hall's (1992) monotone transformation of t = mean / error.

    t + g (2t² + 1) / (6 √n) + g² t³ / (27 n), where g is the skewness; it rises with t. If the
    seeds do not differ, it is ±∞, or 0 for a mean of 0.
    """
    still = error == 0
    t = mean / np.where(still, 1.0, error)
    corrected = (
        t + skewness * (2 * t**2 + 1) / (6 * math.sqrt(seeds)) + skewness**2 * t**3 / (27 * seeds)
    )
    certain = np.where(np.abs(mean) <= ROUNDING, 0.0, np.copysign(np.inf, mean))
    return np.asarray(np.where(still, certain, corrected))


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The interval of a mean over all pairs of seeds, whose ends the tests just do not reject.

    Args:
        values: of pairs of at least 4 seeds.
        level: of the interval, 0..1.
    """
    seeds = seeds_of(len(values))
    found = effects(values)
    reach = float(stats.t.ppf((1 + level) / 2, seeds - 3))
    ends = [_uncorrected(side * reach, float(found.skewness), seeds) for side in (1, -1)]
    low, high = (float(found.mean) - float(found.error) * end for end in ends)
    return low, high


def _uncorrected(corrected: float, skewness: float, seeds: int) -> float:
    """The t whose `statistic` is given; that is ((1 + bt)³ − 1)/3b + b/2 with b = skewness/3√n."""
    b = skewness / (3 * math.sqrt(seeds))
    if abs(b) < ROUNDING:
        return corrected
    return float((np.cbrt(1 + 3 * b * (corrected - b / 2)) - 1) / b)


def p_above(values: Floats) -> Floats:
    """One-sided p against a mean of at most 0.

    Args:
        values: … × pairs.

    Returns:
        One p per experiment; NaN for fewer than 4 seeds.
    """
    seeds = seeds_of(values.shape[-1])
    if seeds < 4:
        return np.full(values.shape[:-1], np.nan)
    found = effects(values)
    return np.asarray(
        stats.t.sf(statistic(found.mean, found.error, found.skewness, seeds), seeds - 3)
    )


def p_below(values: Floats) -> Floats:
    """One-sided p against a mean of at least 0, as `p_above`."""
    return p_above(-values)
