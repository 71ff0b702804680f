"""Linear centred kernel alignment (CKA) of two models' activations on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skeletons.arrays import Floats

Order = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Centred:
    """Activations N×d, centred and scaled (see `centred`), and their criterion with themselves.

    Attributes:
        x: the activations.
        plain: `hsic` of x with itself.
        debiased: its unbiased estimate; NaN for fewer than four images.
    """

    x: Floats
    plain: float
    debiased: float


def prepare(x: Floats) -> Centred:
    """What a comparison needs of one model's activations, N×d."""
    x = centred(x)
    enough = len(x) >= 4
    return Centred(x, hsic(x, x, False), hsic(x, x, True) if enough else float("nan"))


def plain(a: Centred, b: Centred, order: Order | None = None) -> float:
    """Linear CKA, 0..1 (Kornblith et al. 2019, section 3); `order` puts b's images in an order."""
    y = b.x if order is None else b.x[order]
    return hsic(a.x, y, False) / float(np.sqrt(a.plain * b.plain))


def debiased(a: Centred, b: Centred, order: Order | None = None) -> float:
    """The same with the unbiased estimate of Song et al. 2012 in each of the three places, −1..1.

    As by Nguyen, Raghu and Kornblith 2021.
    """
    y = b.x if order is None else b.x[order]
    return hsic(a.x, y, True) / float(np.sqrt(a.debiased * b.debiased))


def centred(x: Floats) -> Floats:
    """Columns with mean 0, scaled to a largest entry of 1, so that no product under- or overflows.

    The measures are invariant to this scaling.
    """
    x = np.asarray(x, dtype=np.float64)
    x = x / np.abs(x).max()
    x = x - x.mean(axis=0)
    return np.asarray(x / np.abs(x).max())


def hsic(x: Floats, y: Floats, unbiased: bool) -> float:
    """The Hilbert–Schmidt independence criterion of linear kernels, up to a factor of N alone.

    ‖YᵀX‖² for centred columns. The unbiased estimate omits the diagonals k and m of the kernels
    XXᵀ and YYᵀ; for centred columns the four sums of Song et al. 2012, equation 4, shrink to
    ‖YᵀX‖² − N/(N−2) k·m + (Σk)(Σm)/((N−1)(N−2)).
    """
    count = len(x)
    total = _squared_products(x, y)
    if not unbiased:
        return total
    kx, ky = (np.einsum("nd,nd->n", m, m) for m in (x, y))
    shared = count / (count - 2) * float(kx @ ky)
    return total - shared + float(kx.sum() * ky.sum()) / ((count - 1) * (count - 2))


def _squared_products(x: Floats, y: Floats) -> float:
    """‖YᵀX‖² by the smaller of two products: features by features, or images by images."""
    if max(x.shape[1], y.shape[1]) < len(x):
        return float(np.square(y.T @ x).sum())
    return float(np.einsum("nm,nm->", x @ x.T, y @ y.T))
