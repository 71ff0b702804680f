"""How much of the gap between bases and the ceiling pruned models close, beyond a comparison.

The share of the gap closed is G = (S_pruned − S_base) / (S_ceiling − S_base), from means over pairs
of seeds. Beyond a control, the control takes the place of the bases in the numerator. A share of 0
means no more alike than the comparison; 1 means as alike as the ceiling. Means are taken of
Fisher's z and turned back.

Whether the share is above a number g is tested without dividing. The target of the pruned models is
S_control + g (S_ceiling − S_base). The z of the pruned pairs minus that of the target has a mean of
0 if the share is g. To this difference, each pair adds what its own values add to the means in the
target (the influence function of the means, so to first order), and its seeds' effects decide
(`modified_t`). The interval holds the shares that are not rejected.

Without a ceiling, the same is done with the rise itself: the target is S_control + g.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skeletons.arrays import Floats
from skeletons.findings.dead_seeds import with_dead
from skeletons.findings.modified_t import FEWEST, p_above, p_below, seeds_of
from skeletons.findings.scale import Scale

FURTHEST = 1e9  # from the effect: an end that is not found before is infinite
STEPS = 20  # of a bisection: an end is exact to the last decimal that is shown


@dataclass(frozen=True)
class Contrast:
    """The similarities of one comparison, as arrays of all pairs of the living seeds.

    Attributes:
        pruned: of the pruned models; any axes before the last are experiments.
        control: of the models that they are compared with.
        gap: of the bases and of the ceiling; None if the rise itself is measured.
        scale: of the similarities.
        dead: the number of seeds that died.
    """

    pruned: Floats
    control: Floats
    gap: tuple[Floats, Floats] | None
    scale: Scale
    dead: int = 0

    @property
    def seeds(self) -> int:
        """The number of living seeds."""
        return seeds_of(self.pruned.shape[-1])

    @property
    def step(self) -> Floats:
        """What a share of 1 adds to the control: ceiling − bases, or 1."""
        if self.gap is None:
            return np.ones(self.pruned.shape[:-1])
        base, ceiling = (mean_of(part, self.scale) for part in self.gap)
        return np.asarray(ceiling - base)

    @property
    def effect(self) -> Floats:
        """The share closed, or the rise, of each experiment."""
        if not self.pruned.size:
            return np.full(self.pruned.shape[:-1], math.nan)
        rise = mean_of(self.pruned, self.scale) - mean_of(self.control, self.scale)
        return np.asarray(rise / self.step)

    def beyond(self, share: float) -> Floats:
        """How far each pair is above the target at a share, in Fisher's z; experiments × pairs."""
        mean, own = self._parts(self.control)
        if self.gap is not None:
            (_, of_base), (_, of_ceiling) = (self._parts(part) for part in self.gap)
            own = own + share * (of_ceiling - of_base)
        mean = mean + share * self.step[..., None]
        target = self.scale.z_continued(mean) + self.scale.slope(mean) * own
        return np.asarray(self.scale.z(self.pruned) - target)

    def _parts(self, values: Floats) -> tuple[Floats, Floats]:
        """The mean of similarities, and how much each pair adds to it."""
        z = self.scale.z(values)
        middle = z.mean(axis=-1, keepdims=True)
        mean = self.scale.back(middle)
        return mean, (z - middle) / self.scale.slope(mean)

    def p_above(self, share: float) -> Floats:
        """One-sided p against a share of at most this; dead seeds count as a share of 0."""
        return p_above(self._with_dead(share, 0.0))

    def p_below(self, share: float) -> Floats:
        """One-sided p against a share of at least this; dead seeds count as a share of 1."""
        return p_below(self._with_dead(share, 1.0))

    def _with_dead(self, share: float, of_dead: float) -> Floats:
        """`beyond` for all seeds, if the dead ones have a share; of a rise, 1 is its largest."""
        living = self.beyond(share)
        if not self.dead:
            return living
        control = mean_of(self.control, self.scale)
        at = control + of_dead * self.step
        if self.gap is None and of_dead:
            at = np.full_like(control, 1.0) if self.scale.bounded else self.pruned.max(axis=-1)
        z = self.scale.z_continued
        return with_dead(living, self.dead, z(at) - z(control + share * self.step))


def mean_of(values: Floats, scale: Scale) -> Floats:
    """The mean similarity over pairs, taken of Fisher's z and turned back."""
    return scale.back(scale.z(values).mean(axis=-1))


def interval(
    contrast: Contrast, level_low: float, level_high: float, limits: tuple[float, float]
) -> tuple[float, float]:
    """The shares that neither test rejects; NaN for fewer than five seeds.

    Args:
        contrast: of one experiment.
        level_low: of the test against shares that are too low.
        level_high: of the test against shares that are too high.
        limits: the shares that an answer depends on; the interval lies beyond one if the test
            rejects it.
    """
    if contrast.seeds + contrast.dead < FEWEST:
        return math.nan, math.nan

    def above(share: float) -> bool:
        return bool(contrast.p_above(share) < level_low)

    def below(share: float) -> bool:
        return bool(contrast.p_below(share) < level_high)

    bottom, top = _possible(contrast)
    low, high = _end(contrast, above, -1, bottom), _end(contrast, below, 1, top)
    return (
        max([low, *(limit for limit in limits if above(limit))]),
        min([high, *(limit for limit in limits if below(limit))]),
    )


def _end(contrast: Contrast, rejected: Callable[[float], bool], way: int, furthest: float) -> float:
    """The rejected share that is closest to the effect, on one side of it.

    Args:
        contrast: of one experiment.
        rejected: whether a test rejects a share.
        way: −1 to look below the effect, 1 to look above.
        furthest: the share at which to stop, if none is rejected before.
    """
    inner, reach = float(contrast.effect), 1e-3
    outer = inner + way * reach
    while not rejected(outer):
        inner, reach = outer, 2 * reach
        outer += way * reach
        if reach > FURTHEST or way * (outer - furthest) > 0:
            if math.isinf(furthest) or rejected(furthest) is False:
                return furthest
            outer = furthest
            break
    for _ in range(STEPS):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if rejected(middle) else (middle, outer)
    return outer


def _possible(contrast: Contrast) -> tuple[float, float]:
    """The least and the largest share that the range of the similarities allows."""
    control, step = float(mean_of(contrast.control, contrast.scale)), float(contrast.step)
    return (contrast.scale.least - control) / step, (contrast.scale.most - control) / step
