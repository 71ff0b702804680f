"""A claim as a row of a table, and what all claims share: answers, intervals, spelling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings import seed_values
from skeletons.measures.measure import Measure

ALPHA = 0.05  # of each test and interval, without correction for their number

YES, NO, UNDECIDED = "yes", "no", "undecided"
ROSE = "rose"  # what a claim says is kept has risen instead

Claim = dict[str, str]


def side(values: Floats, low: float, high: float, at_most: float) -> str:
    """Whether a mean is at most a number, according to its interval.

    Seeds that all have the same value give no interval. They decide if there are so many that they
    would hardly lie on one side by chance, see `agreed`.
    """
    if math.isnan(low) and agreed(values):
        return YES if values[0] <= at_most else NO
    if high <= at_most:
        return YES
    return NO if low > at_most else UNDECIDED


def agreed(values: Floats) -> bool:
    """Whether enough seeds have one and the same value: by a sign test, 2⁻ⁿ < 0.05, so five."""
    return seed_values.smallest_p(len(values)) < ALPHA and bool(np.ptp(values) <= 1e-9)


def range_of(measure: Measure) -> float:
    """The largest possible difference of two values of a measure."""
    return measure.high - measure.low


def interval_text(values: Floats, low: float, high: float, spell: Callable[[Any], str]) -> str:
    """An interval in words, or why there is none.

    Args:
        values: one per seed.
        low: its lower end, NaN for none.
        high: its upper end.
        spell: a number as text.
    """
    if not math.isnan(low):
        return f"{1 - ALPHA:.0%} interval {spell(low)} to {spell(high)}"
    if len(values) < seed_values.FEWEST_SEEDS:
        return "no interval from so few seeds"
    return "no interval, because the seeds do not differ"


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return text.number(value, ".1%")
