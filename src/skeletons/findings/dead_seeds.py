"""Bounds for seeds that died.

A dead model has no similarity to any other. If pruning kills the unusual seeds, the living ones are
a selection, and leaving the dead out makes every answer surer than it is: if the lowest 30 % of the
effects of seeds die, models converge falsely in a third to all of the experiments. So a decision
needs most seeds alive, and the dead ones count as the least favourable case: as if they had closed
nothing of the gap against *converges*, and all of it against *does not converge*.
"""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.findings.modified_t import seeds_of


def with_dead(values: Floats, dead: int, bound: Floats) -> Floats:
    """Values of the living with the mean that all seeds would have if the dead had a bound.

    The bound is a worst case and not a sample, so it moves the values and adds no spread.

    Args:
        values: … × pairs of the living seeds.
        dead: the number of dead seeds.
        bound: … the value of each pair with a dead seed.

    Returns:
        … × pairs of the living seeds.
    """
    if not dead:
        return values
    alive = seeds_of(values.shape[-1])
    share = alive * (alive - 1) / ((alive + dead) * (alive + dead - 1))
    return np.asarray(share * values + (1 - share) * bound[..., None])
