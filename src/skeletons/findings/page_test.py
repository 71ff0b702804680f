"""Page's test for a trend within seeds, and robust scores for outliers.

`scipy.stats.page_trend_test` is not used: its exact p-value ignores ties, which are common here
(see the notes in its documentation,
https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.page_trend_test.html).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy import stats

from skeletons.arrays import Floats

RESAMPLES = 9999
OUTLYING = 3.5  # Iglewicz and Hoaglin 1993, p. 12


def page(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """Page's test for a rise along ordered conditions, with seeds as blocks.

    The statistic is the mean over seeds of Spearman's rank correlation between the values and the
    order of the conditions. It orders permutations in the same way as Page's L (Page 1963). Under
    the null hypothesis, the conditions are exchangeable within a seed, independently between seeds.
    A value that drifts along the conditions for an unrelated reason is not exchangeable. It is then
    still evidence if all seeds drift in the same direction, but weak evidence with few seeds.

    Args:
        values: n seeds × k conditions in ascending order, no NaN.
        seed: of the sample of permutations, used if there are too many to try all.
        resamples: size of that sample.

    Returns:
        The mean rank correlation, −1..1; the one-sided p for a rise; the smallest possible p. All
        are NaN without seeds, with fewer than two conditions, or if no seed's values differ.
    """
    count, conditions = values.shape
    if count == 0 or conditions < 2 or not np.ptp(values, axis=1).any():
        return math.nan, math.nan, math.nan
    ranks = stats.rankdata(values, axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    ranks /= np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-9)  # all ties: 0
    order = np.arange(conditions) - (conditions - 1) / 2
    order /= np.linalg.norm(order)
    observed = float((ranks @ order).mean())
    drawn, extra = _orders(order, count, seed, resamples)
    means = np.einsum("wck,ck->w", drawn, ranks) / count
    as_high = int((means >= observed - 1e-9).sum())
    ways = len(drawn) + extra
    return observed, (as_high + extra) / ways, 1 / ways


def _orders(order: Floats, count: int, seed: int, resamples: int) -> tuple[Floats, int]:
    """Orders of the conditions for each seed, ways × seeds × k, and 1 if they are a sample."""
    if math.factorial(len(order)) <= resamples ** (1 / count):
        one = list(itertools.permutations(order))
        return np.array(list(itertools.product(one, repeat=count))), 0
    tiled = np.tile(order, (resamples, count, 1))
    return np.random.default_rng(seed).permuted(tiled, axis=2), 1


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
