"""The entropy of predictions, and the Jensen–Shannon divergence that follows from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from skeletons.arrays import Floats


class Distributions(NamedTuple):
    """A distribution over K classes for each of N images, and their entropies.

    Attributes:
        p: the probabilities, N×K.
        entropies: the entropy of each row in bits, N; each model is in many pairs.
    """

    p: Floats
    entropies: Floats


def distributions(p: Floats) -> Distributions:
    """The rows of `p` (N×K) with their entropies."""
    return Distributions(p, entropies(p))


def entropies(p: Floats) -> Floats:
    """The entropy of each row of `p` (N×K) in bits, N; a class with p = 0 contributes 0."""
    # Without zeros, as usual, the same numbers need no mask.
    logs = np.log2(p) if p.min(initial=1.0) > 0 else np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-np.einsum("nk,nk->n", p, logs))


def jensen_shannon(a: Distributions, b: Distributions) -> Floats:
    """Jensen–Shannon divergence of each image's two distributions in bits, N, each 0..1.

    The entropy of the midpoint minus the mean of the two entropies, with logarithms to base 2, so
    the divergence of two distributions without a common class is 1 (Lin 1991, equation 4.1). It is
    the square of the Jensen–Shannon distance. Its error is that of
    the entropies: about 1e-15 for ten classes, and 2e-14 for a thousand.
    """
    middle = entropies((a.p + b.p) / 2)
    return np.asarray(np.clip(middle - (a.entropies + b.entropies) / 2, 0.0, 1.0))
