"""What a measure of activations shows if the images of two models do not belong together.

Similarities of activations are not 0 for unrelated models: they rise with the width of the layers
and fall with the number of images. Shuffling the images of one model keeps all of that, and removes
only what the two have in common (Gröger, Wen and Brbić 2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeletons.measures.cka import Order


@dataclass(frozen=True)
class Calibrated:
    """A similarity beside those of shuffled images.

    Attributes:
        value: the similarity.
        null: the mean similarity with shuffled images.
        null_std: their standard deviation.
        score: (value − null) / (1 − null): 0 for unrelated models, 1 for alike ones.
        p: the share of shuffles that are at least as similar, the images' own order among them.
    """

    value: float
    null: float
    null_std: float
    score: float
    p: float


def orders(images: int, permutations: int) -> list[Order]:
    """Orders of images drawn at random, always the same."""
    rng = np.random.default_rng(0)
    return [rng.permutation(images) for _ in range(permutations)]


def calibrate(
    value: Callable[[Any, Any, Order | None], float], a: Any, b: Any, shuffles: list[Order]
) -> Calibrated:
    """A similarity of two models' activations, and the same with the images of b shuffled.

    Args:
        value: the similarity, at most 1, of prepared activations, with an order of b's images.
        a: the prepared activations of one model.
        b: those of the other model.
        shuffles: orders of the images, at least one, from `orders`.
    """
    found = value(a, b, None)
    null = np.array([value(a, b, order) for order in shuffles])
    mean = float(null.mean())
    reached = int((null >= found - 1e-12).sum())
    return Calibrated(
        value=found,
        null=mean,
        null_std=float(null.std()),
        score=(found - mean) / (1 - mean) if mean < 1 else float("nan"),
        p=(1 + reached) / (1 + len(shuffles)),
    )
