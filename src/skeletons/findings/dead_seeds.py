"""Bounds for seeds that died.

A dead model has no similarity to any other. If pruning kills the unusual seeds, the living ones are
a selection, and leaving the dead out makes every answer surer than it is: if the lowest 30 % of the
effects of seeds die, models converge falsely in a third to all of the experiments. So a decision
needs most seeds alive, and each dead one counts as the least favourable case: as if it had closed
nothing of the gap against *converges*, and all of it against *does not converge*.
"""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.findings.modified_t import seeds_of


def with_dead(values: Floats, dead: int, bound: Floats) -> Floats:
    """The values of all pairs, of the living and then of the dead seeds.

    Args:
        values: … × pairs of the living seeds.
        dead: the number of dead seeds.
        bound: … the value of each pair with a dead seed.

    Returns:
        … × pairs of all seeds, in the order of `itertools.combinations`.
    """
    if not dead:
        return values
    alive = seeds_of(values.shape[-1])
    first, second = np.triu_indices(alive + dead, 1)
    found = np.broadcast_to(bound[..., None], (*values.shape[:-1], len(first))).copy()
    found[..., (first < alive) & (second < alive)] = values
    return found
