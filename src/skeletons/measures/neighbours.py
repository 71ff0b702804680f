"""Mutual nearest neighbours: whether two models find the same images near each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skeletons.arrays import Floats
from skeletons.measures.cka import Order, centred

K = 10  # neighbours of an image, as by Huh et al. 2024


@dataclass(frozen=True)
class Neighbours:
    """The K nearest other images of each image: their positions (N×K), and as a mask (N×N)."""

    nearest: npt.NDArray[np.int64]
    near: npt.NDArray[np.bool_]


def prepare(x: Floats) -> Neighbours:
    """The K nearest images of each image by Euclidean distance between activations, N×d.

    Of equally distant images, the first is the nearest.

    Raises:
        ValueError: there are no more than K images.
    """
    count = len(x)
    if count <= K:
        raise ValueError(f"{count} images have no {K} neighbours each")
    x = centred(x)
    squares = np.einsum("nd,nd->n", x, x)
    distances = squares[:, None] + squares[None, :] - 2 * (x @ x.T)
    # Rounding must not decide between images that a network sees alike.
    distances = np.round(distances, 12)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :K]
    near = np.zeros((count, count), dtype=bool)
    np.put_along_axis(near, nearest, True, axis=1)
    return Neighbours(nearest, near)


def mutual(a: Neighbours, b: Neighbours, order: Order | None = None) -> float:
    """The mean share (0..1) of an image's K nearest images that both models agree on.

    Two models that order images independently have K / (N − 1). It is the measure of Huh et al.
    2024, with Euclidean distances in place of their inner products of normalised activations.

    Args:
        a: the neighbours by one model.
        b: the neighbours by the other model, on the same images.
        order: an order of b's images.
    """
    nearest = b.nearest
    if order is not None:
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        nearest = place[nearest[order]]
    return float(np.take_along_axis(a.near, nearest, axis=1).mean())
