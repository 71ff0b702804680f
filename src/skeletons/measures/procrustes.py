"""Orthogonal Procrustes similarity of two models' activations on the same images."""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.measures.cka import Order, centred


def prepare(x: Floats) -> Floats:
    """Activations N×d with centred columns and Frobenius norm 1, and no more than N columns.

    A wider matrix is replaced by one with the same inner products between images, which is all that
    the similarity depends on.
    """
    x = centred(x)
    if x.shape[1] > len(x):
        x = np.asarray(np.linalg.qr(x.T, mode="r")).T
    return np.asarray(x / np.linalg.norm(x))


def similarity(x: Floats, y: Floats, order: Order | None = None) -> float:
    """The sum of the singular values of YᵀX, 0..1, for prepared activations.

    It is 1 − d²/2 for the orthogonal Procrustes distance d, the smallest ‖X − YQ‖ over rotations
    and reflections Q (Schönemann 1966; Ding, Denain and Steinhardt 2021, section 2).

    Args:
        x: N×d, from `prepare`.
        y: N×e, likewise; the widths may differ.
        order: an order of y's images.
    """
    y = y if order is None else y[order]
    return float(np.linalg.svd(y.T @ x, compute_uv=False).sum())
