"""How similar two models' representations are, from their activations on the same images.

Activations are penultimate: the input of the last linear layer, one row per image. The columns of
two networks do not correspond to each other, so a measure must not depend on the order or the
rotation of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import ArtifactError
from skeletons.measures.measure import Measure, by_name
from skeletons.store import artifacts
from skeletons.store.seals import unfit

DEBIASED = "linear_cka_debiased"


def linear_cka(x: Floats, y: Floats, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two models' activations.

    With centred columns it is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖), Frobenius norms (Kornblith et al. 2019,
    section 3): 1 if one is a rotation and a scaling of the other, near 0 if the two are unrelated.
    With few images it is biased upwards: between independent activations of width d on N
    images it is about d/(N + d), not 0. `debiased` puts the unbiased estimate of Song et al. 2012
    (HSIC₁) in each of the three places, as Nguyen, Raghu and Kornblith 2021 do; it can be negative.

    Args:
        x: float32 or float64, N×d, one row per image.
        y: N×e, the same images in the same order.
        debiased: whether to remove the bias of few images; needs N ≥ 4.

    Returns:
        0..1, or −1..1 if debiased; NaN if `why_not` gives a reason.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    if why_not(x, y, debiased):
        return float("nan")
    x, y = _centred(x), _centred(y)
    return _hsic(x, y, debiased) / float(np.sqrt(_hsic(x, x, debiased) * _hsic(y, y, debiased)))


def why_not(x: Floats, y: Floats, debiased: bool = False) -> str:
    """Why two models' activations cannot be compared; empty if they can.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError("the two models' activations are not on the same images")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an activation is not finite")
    if len(x) < (4 if debiased else 2):
        return f"{text.counted(len(x), 'image is', 'images are')} too few"
    still = [name for name, matrix in (("a", x), ("b", y)) if _constant(matrix)]
    if still:
        return f"{' and '.join(still)} {'sees' if len(still) == 1 else 'see'} every image alike"
    if debiased and not (_has_signal(_centred(x)) and _has_signal(_centred(y))):
        return "without the bias of few images nothing is left to compare"
    return ""


def _has_signal(x: Floats) -> bool:
    """Whether the unbiased estimate of centred activations with themselves is above 0."""
    return _hsic(x, x, debiased=True) > 1e-9 * _hsic(x, x, debiased=False)


def compare(x: Floats, y: Floats) -> dict[str, Any]:
    """Every measure of two models' activations (N×d and N×e) on the same N images.

    Returns:
        `images`, N; `valid`, whether the pair can be compared, and `reason` if not; each measure,
        NaN if it has no value.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    reason = why_not(x, y)
    row: dict[str, Any] = {"images": len(x), "valid": not reason, "reason": reason}
    return row | {measure.name: float(measure.values(x, y)) for measure in DECLARED}


def _constant(x: Floats) -> bool:
    """Whether every image has the same activations, up to a millionth of the largest."""
    return float(np.ptp(x, axis=0).max(initial=0.0)) <= 1e-6 * float(np.abs(x).max(initial=0.0))


def _centred(x: Floats) -> Floats:
    """Columns with mean 0, scaled to a largest entry of 1, so that no product under- or overflows.

    The measures are invariant to this scaling.
    """
    x = np.asarray(x, dtype=np.float64)
    x = x / np.abs(x).max()
    x = x - x.mean(axis=0)
    return np.asarray(x / np.abs(x).max())


def _hsic(x: Floats, y: Floats, debiased: bool) -> float:
    """The Hilbert–Schmidt independence criterion of linear kernels, up to a factor of N alone.

    ‖YᵀX‖² for centred columns. The unbiased estimate omits the diagonals k and m of the kernels
    XXᵀ and YYᵀ; for centred columns the four sums of Song et al. 2012, equation 4, shrink to
    ‖YᵀX‖² − N/(N−2) k·m + (Σk)(Σm)/((N−1)(N−2)).
    """
    count = len(x)
    total = _squared_products(x, y)
    if not debiased:
        return total
    kx, ky = (np.einsum("nd,nd->n", m, m) for m in (x, y))
    shared = count / (count - 2) * float(kx @ ky)
    return total - shared + float(kx.sum() * ky.sum()) / ((count - 1) * (count - 2))


def _squared_products(x: Floats, y: Floats) -> float:
    """‖YᵀX‖² by the smaller of two products: features by features, or images by images."""
    if max(x.shape[1], y.shape[1]) < len(x):
        return float(np.square(y.T @ x).sum())
    return float(np.einsum("nm,nm->", x @ x.T, y @ y.T))


DECLARED: tuple[Measure, ...] = (
    Measure(
        name="linear_cka",
        label="linear CKA of penultimate activations",
        kind="representation",
        low=0.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="a rotation, reflection or permutation of the activations, one positive "
        "factor on all of them, and a constant added to each",
        blind_to="directions of small variance; with few images it is too high: unrelated "
        "activations of width d have about d/(N + d) on N images",
        source="Kornblith et al. 2019, section 3",
        per_image=False,
        cheap=False,
        values=linear_cka,
    ),
    Measure(
        name=DEBIASED,
        label="linear CKA of penultimate activations, debiased",
        kind="representation",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="a rotation, reflection or permutation of the activations, one positive "
        "factor on all of them, and a constant added to each",
        blind_to="directions of small variance",
        source="Nguyen, Raghu and Kornblith 2021; Song et al. 2012",
        per_image=False,
        cheap=False,
        values=lambda x, y: linear_cka(x, y, debiased=True),
    ),
)


# --- the stages ---------------------------------------------------------------------------------


@artifacts.remembered(128)
def read(path: str) -> Floats:
    """Read a file of features, float32 N×d.

    The last hundred files or so are kept in memory, because each is part of many pairs.

    Raises:
        ArtifactError: the file is missing or broken, or does not hold a matrix.
    """
    features = artifacts.read_tensors(path, ["features"])["features"]
    if features.ndim != 2:
        raise unfit(path, "holds no matrix of features")
    return features


def compare_representations_stage(
    *, a: str, b: str, pair: str, representation: str, ood: str, models: Sequence[str]
) -> None:
    """Write one measure of one pair of models: one row with a, b, ood, the measure, and reason.

    Args:
        a: the features of one model.
        b: the features of the other model on the same images.
        pair: the parquet file to write.
        representation: the name of the measure, and of the column of its value, NaN if it has none.
        ood: the name of the data set.
        models: the ids of a and b.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not fit together.
    """
    x, y = read(a), read(b)
    try:
        value = float(by_name(*DECLARED)[representation].values(x, y))
        reason = why_not(x, y, representation == DEBIASED) if np.isnan(value) else ""
    except ValueError as error:
        raise ArtifactError(
            f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
        ) from None
    row: dict[str, artifacts.Scalar] = {"a": models[0], "b": models[1], "ood": ood}
    artifacts.write_rows(pair, [{**row, representation: value, "reason": reason}])


def collect_representations_stage(*, pairs: Sequence[str], table: str, representation: str) -> None:
    """Write the rows of all pairs as one table, in the order given.

    Args:
        pairs: the tables of single pairs.
        table: the parquet file to write.
        representation: the name of the measure, which is a column of each table.

    Raises:
        ArtifactError: a table is missing or broken.
    """
    artifacts.write_table(table, artifacts.read_tables(pairs, ["a", "b", representation]))
