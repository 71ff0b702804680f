"""How similar two models' representations are, from their activations on the same images.

Activations are penultimate: the inputs of the layer that runs last, one row per image. Those of
other layers are compared in `layers`. The columns of two networks do not correspond to each other,
so a measure must not depend on the order or the rotation of the columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import ArtifactError
from skeletons.measures import cka, neighbours, permuted, procrustes
from skeletons.measures.measure import Measure
from skeletons.store import artifacts
from skeletons.store.seals import unfit

DEBIASED = "linear_cka_debiased"


@dataclass(frozen=True)
class Family:
    """How a similarity is computed: first from each model alone, then from both.

    Attributes:
        prepare: what a comparison needs of one model's activations, N×d.
        value: the similarity of two prepared models, with an order of the second one's images.
        fewest: the smallest number of images.
    """

    prepare: Callable[[Floats], Any]
    value: Callable[[Any, Any, cka.Order | None], float]
    fewest: int


FAMILIES: Mapping[str, Family] = {
    "linear_cka": Family(cka.prepare, cka.plain, 2),
    DEBIASED: Family(cka.prepare, cka.debiased, 4),
    "procrustes": Family(procrustes.prepare, procrustes.similarity, 2),
    "mutual_knn": Family(neighbours.prepare, neighbours.mutual, neighbours.K + 1),
}


def similarity(x: Floats, y: Floats, name: str) -> float:
    """A measure of two models' activations.

    Args:
        x: float32 or float64, N×d, one row per image.
        y: N×e, the same images in the same order.
        name: one of `FAMILIES`.

    Returns:
        A value in the range that the measure declares; NaN if `why_not` gives a reason.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    if why_not(x, y, name):
        return float("nan")
    family = FAMILIES[name]
    return family.value(family.prepare(x), family.prepare(y), None)


def linear_cka(x: Floats, y: Floats, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two models' activations.

    With centred columns it is ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖), Frobenius norms (Kornblith et al. 2019,
    section 3): 1 if one is a rotation and a scaling of the other, near 0 if the two are unrelated.
    With few images it is biased upwards: between independent activations of width d on N
    images it is about d/(N + d), not 0. `debiased` puts the unbiased estimate of Song et al. 2012
    (HSIC₁) in each of the three places, as Nguyen, Raghu and Kornblith 2021 do; it can be negative.

    Args:
        x: as in `similarity`.
        y: as in `similarity`.
        debiased: whether to remove the bias of few images; needs N ≥ 4.

    Returns:
        0..1, or −1..1 if debiased; NaN if `why_not` gives a reason.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    return similarity(x, y, DEBIASED if debiased else "linear_cka")


def why_not(x: Floats, y: Floats, name: str = "linear_cka") -> str:
    """Why two models' activations cannot be compared by a measure; empty if they can.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError("the two models' activations are not on the same images")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an activation is not finite")
    if len(x) < FAMILIES[name].fewest:
        return f"{text.counted(len(x), 'image is', 'images are')} too few"
    still = [name for name, matrix in (("a", x), ("b", y)) if _constant(matrix)]
    if still:
        return f"{' and '.join(still)} {'sees' if len(still) == 1 else 'see'} every image alike"
    if name == DEBIASED and not (_has_signal(cka.prepare(x)) and _has_signal(cka.prepare(y))):
        return "without the bias of few images nothing is left to compare"
    return ""


def _has_signal(x: cka.Centred) -> bool:
    """Whether the unbiased estimate of activations with themselves is above 0."""
    return x.debiased > 1e-9 * x.plain


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
    return row | {name: similarity(x, y, name) for name in FAMILIES}


def calibrated(x: Floats, y: Floats, name: str, permutations: int) -> dict[str, float]:
    """A measure of two models' activations beside those of shuffled images.

    Args:
        x: as in `similarity`.
        y: as in `similarity`.
        name: one of `FAMILIES`.
        permutations: the number of shuffles; 0 for none.

    Returns:
        The measure by its name and, with shuffles, the fields of `permuted.Calibrated` but the
        value as `<measure>_<field>`; NaN if `why_not` gives a reason.

    Raises:
        ValueError: the two are not matrices of finite numbers with the same number of rows.
    """
    if not permutations:
        return {name: similarity(x, y, name)}
    if why_not(x, y, name):
        found = permuted.Calibrated(*(float("nan"),) * 5)
    else:
        family = FAMILIES[name]
        shuffles = permuted.orders(len(x), permutations)
        found = permuted.calibrate(family.value, family.prepare(x), family.prepare(y), shuffles)
    fields = dataclasses.asdict(found)
    return {name: fields.pop("value")} | {f"{name}_{key}": one for key, one in fields.items()}


def _constant(x: Floats) -> bool:
    """Whether every image has the same activations, up to a millionth of the largest."""
    return float(np.ptp(x, axis=0).max(initial=0.0)) <= 1e-6 * float(np.abs(x).max(initial=0.0))


def _declared(name: str, label: str, **about: Any) -> Measure:
    return Measure(
        name=name,
        label=f"{label} of penultimate activations",
        kind="representation",
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        per_image=False,
        cheap=False,
        values=lambda x, y: similarity(x, y, name),
        **about,
    )


_ROTATION = (
    "a rotation, reflection or permutation of the activations, one positive factor on all of them, "
    "and a constant added to each"
)

DECLARED: tuple[Measure, ...] = (
    _declared(
        "linear_cka",
        "linear CKA",
        low=0.0,
        invariant_to=_ROTATION,
        blind_to="directions of small variance; with few images it is too high: unrelated "
        "activations of width d have about d/(N + d) on N images",
        source="Kornblith et al. 2019, section 3",
    ),
    Measure(
        name=DEBIASED,
        label="linear CKA of penultimate activations, debiased",
        kind="representation",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to=_ROTATION,
        blind_to="directions of small variance",
        source="Nguyen, Raghu and Kornblith 2021; Song et al. 2012",
        per_image=False,
        cheap=False,
        values=lambda x, y: similarity(x, y, DEBIASED),
    ),
    _declared(
        "procrustes",
        "orthogonal Procrustes similarity",
        low=0.0,
        invariant_to=_ROTATION,
        blind_to="directions of small variance, though less so than CKA; with few images it is too "
        "high, so compare it with shuffled images",
        source="Schönemann 1966; Ding, Denain and Steinhardt 2021",
    ),
    _declared(
        "mutual_knn",
        f"mutual {neighbours.K} nearest neighbours",
        low=0.0,
        invariant_to=_ROTATION,
        blind_to="how images that are not neighbours are arranged; unrelated activations have "
        f"{neighbours.K}/(N − 1) on N images; of images that a model sees exactly alike, the first "
        "ones of the data set count as neighbours",
        source="Huh, Cheung, Wang and Isola 2024",
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
    *,
    a: str,
    b: str,
    pair: str,
    representation: str,
    ood: str,
    models: Sequence[str],
    permutations: int = 0,
) -> None:
    """Write one measure of one pair of models: one row with a, b, ood, the measure, and reason.

    With permutations, the row also holds what `calibrated` gives.

    Args:
        a: the features of one model.
        b: the features of the other model on the same images.
        pair: the parquet file to write.
        representation: the name of the measure, and of the column of its value, NaN if it has none.
        ood: the name of the data set.
        models: the ids of a and b.
        permutations: the number of shuffles of the images to compare the measure with.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not fit together.
    """
    x, y = read(a), read(b)
    try:
        found = calibrated(x, y, representation, permutations)
        reason = why_not(x, y, representation) if np.isnan(found[representation]) else ""
    except ValueError as error:
        raise ArtifactError(
            f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
        ) from None
    row: dict[str, artifacts.Scalar] = {"a": models[0], "b": models[1], "ood": ood}
    artifacts.write_rows(pair, [{**row, **found, "reason": reason}])


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
