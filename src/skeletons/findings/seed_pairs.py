"""Inference for a mean over pairs of seeds.

The unit of replication is the seed. Pairs that share a seed are not independent: n seeds give
n(n−1)/2 pairs, but only n independent draws. Every function here therefore takes the values of all
pairs of n seeds, in the order of `itertools.combinations`, and reduces them to n pseudo-values, one
per seed, before it computes an error. Nothing here depends on what the values measure.

Coverage in 4,000 simulated tables each (nominal 95 % intervals, true mean 0):

| pairs are | seeds | coverage |
|---|---|---|
| sums of two seeds' effects | 4, 6, 8 | 95, 94, 95 % |
| independent of each other | 4, 6, 8 | 99, 99, 99 % |
| products of two seeds' vectors | 4, 6, 8 | 99, 99, 99 % |
| sums of exponential (skewed) effects | 4, 6, 8 | 88, 89, 89 % |

So with a handful of seeds, a strongly skewed distribution makes the intervals too narrow.

`scipy.stats.permutation_test` is not used for `sign_flip`: it decides ties relative to the observed
statistic (https://github.com/scipy/scipy/pull/15869). If the sum is near 0, equal sums that were
added in another order then count as different.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from skeletons.arrays import Floats

EXACT_UP_TO = 14  # seeds: all 16,384 sign patterns are tried; with more seeds, a sample of them
RESAMPLES = 9999
FEWEST_SEEDS = 3  # of an interval
MOST_SEEDS = 1000  # larger numbers of seeds are not suggested


def seeds_of(values: Floats) -> int:
    """The number of seeds behind a table of all pairs.

    Args:
        values: one row per pair.

    Raises:
        ValueError: the number of rows is not n(n−1)/2 for any n.
    """
    count = (1 + math.isqrt(1 + 8 * len(values))) // 2
    if count * (count - 1) // 2 != len(values):
        raise ValueError(f"{len(values)} is not the number of pairs of any number of seeds")
    return count


def pseudo_values(values: Floats) -> Floats:
    """Tukey's pseudo-values of the mean over pairs: one per seed, with the same mean.

    A seed's pseudo-value is n times the mean over all pairs, minus n−1 times the mean without the
    seed (Tukey 1958; for statistics over pairs Arvesen 1969). If the value of each pair is the sum
    of two seeds' effects, the pseudo-values are exactly twice those effects, hence independent. If
    pairs also have noise of their own, the spread of the pseudo-values overstates the error of the
    mean, by a factor of up to two in its variance (Efron and Stein 1981; for networks Lin, Lunde
    and Sarkar 2020). The interval is then too wide, not too narrow.

    Args:
        values: all pairs of n seeds.

    Returns:
        n values; NaN if n < 3, because no pair remains without one of two seeds.
    """
    count = seeds_of(values)
    if count < 3:
        return np.full(count, np.nan)
    first, second = np.triu_indices(count, 1)
    own = np.bincount(first, values, count) + np.bincount(second, values, count)
    mean = values.mean()
    return np.asarray(mean + 2 * (count - 1) / (count - 2) * (own / (count - 1) - mean))


def standard_error(values: Floats) -> float:
    """The standard error of the mean over pairs, for other seeds and, if given, other images.

    The variances of the two samples are added. This counts the variance that they share twice, so
    the error is rather too large (Owen 2007).

    Args:
        values: all pairs of n seeds; or pairs × images, then images are a second sample.
    """
    over_seeds = pseudo_values(values if values.ndim == 1 else values.mean(axis=1))
    variance = over_seeds.var(ddof=1) / len(over_seeds) if len(over_seeds) > 1 else math.nan
    if values.ndim == 2 and values.shape[1] > 1:
        variance += values.mean(axis=0).var(ddof=1) / values.shape[1]
    return float(np.sqrt(variance))


def interval(values: Floats, alpha: float = 0.05) -> tuple[float, float]:
    """The 1 − alpha confidence interval of the mean over pairs, by Student's t with n − 1 degrees.

    Args:
        values: all pairs of n seeds, or pairs × images.
        alpha: the share of such intervals that may miss the true mean, half on each side.

    Returns:
        Its ends; NaN for fewer than three seeds.
    """
    reach = stats.t.ppf(1 - alpha / 2, seeds_of(values) - 1) * standard_error(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def mean_interval(
    values: Floats, alpha: float = 0.05, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """The same for the mean of n independent values, one per seed.

    Args:
        values: one per seed.
        alpha: as in `interval`.
        bounds: the smallest and the largest mean that is possible; the interval stays within them.

    Returns:
        Its ends; NaN for fewer than three seeds, because with two an interval is thirteen times as
        wide as its standard error; and NaN if all values are equal, because seeds that do not
        differ give no error, and an interval without a width would claim to be certain.
    """
    if len(values) < FEWEST_SEEDS or np.ptp(values) <= 1e-9 * np.abs(values).max():
        return math.nan, math.nan
    reach = stats.t.ppf(1 - alpha / 2, len(values) - 1) * stats.sem(values)
    low, high = float(values.mean() - reach), float(values.mean() + reach)
    return max(low, bounds[0]), min(high, bounds[1])


# --- tests --------------------------------------------------------------------------------------


def sign_flip(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> float:
    """One-sided p for a mean above 0: the share of sign patterns with a mean at least as high.

    Under the null hypothesis, the value of each seed is as likely to be x as −x, independently of
    the others (Fisher 1935, §21). This holds for pseudo-values of a difference if neither side is
    favoured and the effect of a seed is symmetric. If pairs have noise of their own, their
    pseudo-values are negatively correlated, which makes the test conservative: in the simulations
    above it rejects 0.8 to 5.1 % at 5 %.

    Args:
        values: one per seed.
        seed: of the sample of patterns, used if there are too many to try all.
        resamples: size of that sample.

    Returns:
        At least `smallest_p(n)`; 1 without values, NaN if a value is NaN.
    """
    if np.isnan(values).any():
        return math.nan
    count = len(values)
    if count <= EXACT_UP_TO:
        signs, extra = _all_signs(count), 0
    else:
        generator = np.random.default_rng(seed)
        signs = generator.choice((1.0, -1.0), size=(resamples, count))
        extra = 1  # the observed pattern counts as one of the sample
    slack = 1e-12 * float(np.abs(values).sum())  # equal sums that were added in another order
    as_high = int((signs @ values >= values.sum() - slack).sum())
    return (as_high + extra) / (len(signs) + extra)


@functools.cache
def _all_signs(count: int) -> Floats:
    """All 2ⁿ patterns of n signs, one per row."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=count))).reshape(-1, count)


def smallest_p(seeds: int, resamples: int = RESAMPLES) -> float:
    """The smallest p that `sign_flip` can return: one pattern of 2ⁿ has all signs equal."""
    return 2.0**-seeds if seeds <= EXACT_UP_TO else 1 / (resamples + 1)


def seeds_for_p(alpha: float, tests: int = 1) -> int:
    """The fewest seeds with which `sign_flip`, corrected for the number of tests, can be < alpha.

    At least 3, because pseudo-values need three seeds.
    """
    return max(3, math.floor(math.log2(tests / alpha)) + 1)


def seeds_for_power(distance: float, spread: float, alpha: float, power: float = 0.8) -> int | None:
    """The fewest seeds with which a one-sided t-test would detect a distance with the given power.

    The observed distance and spread stand for the true ones, so the result is as rough as they are.
    Noise of pairs averages out faster than differences between seeds, so it is rather too high.

    Args:
        distance: of the mean from the tested value, ≥ 0.
        spread: standard deviation of the pseudo-values.
        alpha: level of the test.
        power: probability of detection.

    Returns:
        At least 3; None if more than 1,000 or unknown.
    """
    if not distance > 0 or not np.isfinite(spread):
        return None
    if spread == 0:
        return 3
    counts = np.arange(3, MOST_SEEDS + 1)
    critical = stats.t.ppf(1 - alpha, counts - 1)
    seen = stats.nct.sf(critical, counts - 1, distance / spread * np.sqrt(counts))
    enough = np.flatnonzero(seen >= power)
    return int(counts[enough[0]]) if len(enough) else None


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979).

    The probability of any wrong rejection is then at most alpha, however the tests depend on each
    other, and the correction is never stricter than Bonferroni's. Tests of one experiment share
    seeds, so a correction that requires independent tests would be invalid. A NaN stays NaN but
    counts as a test.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(np.nan_to_num(values, nan=np.inf), kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]
