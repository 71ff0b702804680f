"""One temperature for each model, so that all models are equally sure on average.

Probabilities mix what a model prefers with how sure it is, and a model's confidence changes with
the length of its training. Dividing all of its logits by one number, the temperature, changes the
confidence alone.
"""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.measures.entropy import entropies

COLDEST, HOTTEST = 1e-12, 1e4  # in units of the largest difference between two logits of an image
PRECISION = 1e-10  # of the logarithm of a temperature


def at_half_entropy(logits: Floats) -> Floats:
    """Probabilities at the temperature at which their mean entropy is ½ log₂ K bits.

    Half of the largest possible entropy leaves the order of the classes visible: near 0 only the
    top class counts, and near the largest nothing does. Logits and a multiple of them give the same
    probabilities.

    Args:
        logits: N×K.

    Returns:
        N×K; NaN if there is no such temperature, because so many images have several top classes
        that even at temperature 0 the mean entropy is higher, or because no image prefers a class.
    """
    from scipy.optimize import brentq  # here, because importing scipy takes a while

    lower = logits - logits.max(axis=1, keepdims=True)
    scale = float(-lower.min(initial=0.0))
    target = np.log2(logits.shape[1]) / 2
    if scale == 0:
        return np.full_like(logits, np.nan)
    lower = lower / scale

    def missing(log_temperature: float) -> float:
        found = _probabilities(lower, float(np.exp(log_temperature)))
        return float(entropies(found).mean() - target)

    ends = float(np.log(COLDEST)), float(np.log(HOTTEST))
    if missing(ends[0]) > 0 or missing(ends[1]) < 0:
        return np.full_like(logits, np.nan)
    return _probabilities(lower, float(np.exp(brentq(missing, *ends, xtol=PRECISION))))


def _probabilities(lower: Floats, temperature: float) -> Floats:
    """Softmax of logits whose largest is 0 in each row, at a temperature."""
    found = np.exp(lower / temperature)
    return np.asarray(found / found.sum(axis=1, keepdims=True))
