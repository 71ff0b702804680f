"""Inference for the mean of independent values, one per seed, whatever they measure.

`scipy.stats.permutation_test` is not used for `sign_flip`: it decides ties relative to the observed
statistic (https://github.com/scipy/scipy/pull/15869). If the sum is near 0, equal sums that were
added in another order then count as different.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
from scipy import stats

from skeletons.arrays import Floats

EXACT_UP_TO = 14  # seeds: all 16,384 sign patterns are tried; with more seeds, a sample of them
RESAMPLES = 9999
FEWEST_SEEDS = 3  # of an interval


def mean_interval(
    values: Floats, alpha: float = 0.05, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """The 1 − alpha confidence interval of a mean, by Student's t.

    Args:
        values: one per seed.
        alpha: the share of such intervals that may miss the true mean, half on each side.
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


def sign_flip(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> float:
    """One-sided p for a mean above 0: the share of sign patterns with a mean at least as high.

    Under the null hypothesis, the value of each seed is as likely to be x as −x, independently of
    the others (Fisher 1935, §21).

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
