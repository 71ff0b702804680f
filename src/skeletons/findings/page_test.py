"""A test for a trend within seeds, and robust scores for outliers.

`scipy.stats.page_trend_test` is not used: it takes the conditions within a seed as exchangeable
under the null hypothesis. Here they are nested, such as the thresholds of one model or the epochs
of one walk, so that a value that drifts for no reason drifts along all of them. A seed is therefore
one observation.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from skeletons.arrays import Floats
from skeletons.findings import seed_values

OUTLYING = 3.5  # Iglewicz and Hoaglin 1993, p. 12


def page(values: Floats) -> tuple[float, float, float]:
    """A test for a rise along ordered conditions, with one value per seed.

    The statistic is that of Page's test: the mean over seeds of Spearman's rank correlation between
    the values and the order of the conditions (it orders data as Page's L does; Page 1963). Under
    the null hypothesis, each seed's correlation is as likely to have the opposite sign, so p comes
    from flipping the signs of whole seeds.

    Args:
        values: n seeds × k conditions in ascending order, no NaN.

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
    own = ranks @ (order / np.linalg.norm(order))
    return float(own.mean()), seed_values.sign_flip(own), seed_values.smallest_p(count)


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
