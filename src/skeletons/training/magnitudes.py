"""The distribution of weight magnitudes, on a grid that no configuration changes.

Histories record the share of weights under a threshold at every epoch. If they recorded it for
the thresholds of the config, adding one would mean training again; so they record it for all
magnitudes of two significant digits from 1e-5 to 9.9, and any threshold is read off afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GRID: Floats = np.array(
    [digits * 10.0**power for power in range(-6, 0) for digits in range(10, 100)]
)


def share_below(magnitudes: Floats) -> list[float]:
    """The share (0..1) of `magnitudes` strictly under each value of `GRID`."""
    below = np.searchsorted(np.sort(magnitudes), GRID, side="left")
    return [float(share) for share in below / len(magnitudes)]


def share_at(shares: Sequence[float], threshold: float) -> float:
    """The share (0..1) under `threshold`, from a row of `share_below`.

    Exact for a threshold on the grid; between two values of it, linear in their logarithms.
    """
    if threshold <= 0:
        return 0.0
    return float(np.interp(np.log(threshold), np.log(GRID), shares))
