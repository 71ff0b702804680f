"""Similarities on a scale on which differences can be compared.

A similarity that is bounded by 1 moves less the closer it is to 1, so its effects of seeds are
skewed: one unusual seed can pull a pair down by far more than any seed can push it up. Fisher's z
(Fisher 1921), the inverse hyperbolic tangent, stretches the ends of the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skeletons.arrays import Floats
from skeletons.measures.measure import Measure

ROUNDING = 1e-6  # a cosine of 1 may be a little more
EDGE = 5e-4  # two models that differ on less than this share count as equal: z stays finite


@dataclass(frozen=True)
class Scale:
    """How the values of a measure become similarities, and those Fisher's z.

    Attributes:
        low: the smallest possible value; −∞ if there is none.
        high: the largest possible value; ∞ if there is none.
        sign: 1 if higher values mean more similar, else −1.
    """

    low: float = -1.0
    high: float = 1.0
    sign: int = 1

    @property
    def bounded(self) -> bool:
        """Whether the range is finite; without that, values are compared as they are."""
        return math.isfinite(self.high - self.low)

    @property
    def unit(self) -> float:
        """The size of a similarity of 1, in units of the measure."""
        if not self.bounded:
            return 1.0
        return (self.high - self.low) / (2 if self.low < 0 else 1)

    def similarity(self, values: Floats) -> Floats:
        """Values with the high end meaning similar; bounded ones between 0 or −1, and 1.

        A measure with negative values has −1..1, any other one 0..1.
        """
        if not self.bounded:
            return np.asarray(self.sign * values)
        start = (self.low + self.high) / 2 if self.low < 0 else self.low
        place = (values - start) / self.unit
        if self.sign > 0:
            return np.asarray(place)
        return np.asarray(-place if self.low < 0 else 1 - place)

    def value(self, similarity: float) -> float:
        """The value of the measure that has a similarity: the inverse of `similarity`."""
        if not self.bounded:
            return self.sign * similarity
        if self.low < 0:
            return (self.low + self.high) / 2 + self.sign * similarity * self.unit
        return self.low + (similarity if self.sign > 0 else 1 - similarity) * self.unit

    @property
    def least(self) -> float:
        """The smallest similarity."""
        return -math.inf if not self.bounded else -1.0 if self.low < 0 else 0.0

    @property
    def most(self) -> float:
        """The largest similarity."""
        return 1.0 if self.bounded else math.inf

    def z(self, similarity: Floats) -> Floats:
        """Fisher's z of similarities; those within `EDGE` of −1 or 1 count as that far away."""
        if not self.bounded:
            return similarity
        return np.asarray(np.arctanh(np.clip(similarity, EDGE - 1, 1 - EDGE)))

    def back(self, z: Floats) -> Floats:
        """The similarity with a Fisher's z."""
        return np.asarray(np.tanh(z)) if self.bounded else z

    def slope(self, similarity: Floats) -> Floats:
        """How much z rises with a similarity; beyond `EDGE`, as there."""
        if not self.bounded:
            return np.ones_like(similarity)
        return np.asarray(1 / (1 - np.clip(similarity, EDGE - 1, 1 - EDGE) ** 2))

    def z_continued(self, similarity: Floats) -> Floats:
        """Fisher's z, continued as a straight line, so that it rises beyond −1 and 1 as well."""
        if not self.bounded:
            return similarity
        inside = np.clip(similarity, EDGE - 1, 1 - EDGE)
        return np.asarray(np.arctanh(inside) + self.slope(inside) * (similarity - inside))


def of_measure(measure: Measure) -> Scale:
    """The scale that a measure declares."""
    return Scale(measure.low, measure.high, measure.sign)


def of_values(values: Floats) -> Scale:
    """The scale of similarities of an unknown measure: within −1..1 if all of them are."""
    known = values[~np.isnan(values)]
    inside = bool((np.abs(known) <= 1 + ROUNDING).all())
    return Scale() if inside else Scale(-math.inf, math.inf)
