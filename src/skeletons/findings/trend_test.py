"""A test for a trend within seeds.

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
