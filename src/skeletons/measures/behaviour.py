"""How similar two models' predictions on the same images are.

A zero logit vector has no direction, and a uniform distribution prefers no class. Images for which
one of the two models gives such a prediction are left out and counted. A model that gives the same
answer for every image is dead, and a pair with a dead model has no similarity.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import ArtifactError
from skeletons.measures import chance, entropy, predictions, unconfounded, user_defined
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions, products
from skeletons.model_ids import Model
from skeletons.store import artifacts


def cosines(a: Predictions, b: Predictions, quantity: str) -> Floats:
    """Cosine similarity of each image's logits or probabilities, N, −1..1; NaN for a row of zeros.

    Args:
        a: the predictions of one model.
        b: the predictions of the other model.
        quantity: `logits` or `probabilities`.
    """
    return _over_lengths(products(a, b, quantity), a.squares(quantity) * b.squares(quantity))


def cosine_flat(a: Predictions, b: Predictions, quantity: str) -> float:
    """The same, −1..1, with the logits or probabilities of all images as one vector."""
    lengths = a.squares(quantity).sum() * b.squares(quantity).sum()
    return float(_over_lengths(products(a, b, quantity).sum(), lengths))


def _over_lengths(products: Floats, squares: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(products / np.sqrt(squares), -1.0, 1.0))


def _cosine(quantity: str, blind_to: str) -> Measure:
    logits = quantity == "logits"
    return Measure(
        name="cosine_logit" if logits else "cosine_prob",
        label=f"cosine of {quantity}, mean over images",
        kind="behaviour",
        low=-1.0 if logits else 0.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to=("a positive factor on" if logits else "a constant added to")
        + " an image's logits",
        blind_to=blind_to,
        source="the post (Udell, Park and Nicky 2022)",
        per_image=True,
        cheap=True,
        values=lambda a, b: cosines(a, b, quantity),
    )


def _cosine_flat(quantity: str, blind_to: str) -> Measure:
    logits = quantity == "logits"
    return Measure(
        name="cosine_logit_flat" if logits else "cosine_prob_flat",
        label=f"cosine of {quantity}, all images as one vector",
        kind="behaviour",
        low=-1.0 if logits else 0.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="a positive factor on all logits"
        if logits
        else "a constant added to an image's logits",
        blind_to=blind_to,
        source="the post (Udell, Park and Nicky 2022)",
        per_image=False,
        cheap=True,
        values=lambda a, b: cosine_flat(a, b, quantity),
    )


DECLARED: tuple[Measure, ...] = (
    _cosine(
        "probabilities",
        "how two confident models differ beyond their top classes: their cosine is near 0 or 1",
    ),
    _cosine_flat(
        "probabilities",
        "differences on uncertain images: images with confident predictions have longer vectors",
    ),
    _cosine(
        "logits",
        "whether the predictions depend on the image: two models that prefer the same classes on "
        "every image are similar",
    ),
    _cosine_flat(
        "logits",
        "differences on images with small logits, and how much a shared preference for some "
        "classes contributes",
    ),
    Measure(
        name="agreement",
        label="agreement of the top class",
        kind="behaviour",
        low=0.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="any increasing function of an image's logits",
        blind_to="how confident the models are, and how often they would agree by chance "
        "(at least 1/K)",
        source="Fort, Hu and Lakshminarayanan 2019",
        per_image=True,
        cheap=True,
        values=lambda a, b: (a.top == b.top).astype(np.float64),
    ),
    Measure(
        name="disagreement",
        label="disagreement of the top class",
        kind="behaviour",
        low=0.0,
        high=1.0,
        higher_is_alike=False,
        symmetric=True,
        invariant_to="any increasing function of an image's logits",
        blind_to="how confident the models are; it is 1 − agreement and adds nothing to it",
        source="Fort, Hu and Lakshminarayanan 2019",
        per_image=True,
        cheap=True,
        values=lambda a, b: (a.top != b.top).astype(np.float64),
    ),
    Measure(
        name="jensen_shannon",
        label="Jensen–Shannon divergence of probabilities in bits, mean over images",
        kind="behaviour",
        low=0.0,
        high=1.0,
        higher_is_alike=False,
        symmetric=True,
        invariant_to="a constant added to an image's logits",
        blind_to="whether a difference is in the preferred classes or in the confidence",
        source="Lin 1991",
        per_image=True,
        cheap=True,
        values=lambda a, b: entropy.jensen_shannon(a.distributions, b.distributions),
    ),
    *chance.DECLARED,
    *unconfounded.DECLARED,
    *chance.LABELLED,
)


def compare(
    a: Predictions,
    b: Predictions,
    more: Mapping[str, Measure] | None = None,
    *,
    labelled: bool = False,
) -> dict[str, Any]:
    """Every measure of behaviour of a pair of models on the same N images.

    Args:
        a: the predictions of one model.
        b: the predictions of the other model.
        more: measures in addition to the built-in ones.
        labelled: whether the labels of the images are classes of the task; otherwise measures that
            need labels are left out.

    Returns:
        `images`, N; `undefined`, the number of images left out because a prediction prefers no
        class; `valid`, whether the pair can be compared, and `reason` if not, or why single
        measures have no value; each measure, NaN if it has none; and for means over images their
        standard deviation over images as `<measure>_std`.

    Raises:
        ValueError: the two do not have the same images or the same number of classes, or a label is
            not one of the classes.
    """
    if a.logits.shape != b.logits.shape or not np.array_equal(a.labels, b.labels):
        raise ValueError("the two models' predictions are not on the same images")
    if labelled and not (a.labels.min() >= 0 and a.labels.max() < a.logits.shape[1]):
        raise ValueError(
            f"the images have labels from {a.labels.min()} to {a.labels.max()}, but the models "
            f"have {a.logits.shape[1]} classes"
        )
    known = ~(a.silent | b.silent)
    reason = _why_not(a, b, known)
    row: dict[str, Any] = {
        "images": len(a.labels),
        "undefined": int((~known).sum()),
        "valid": not reason,
        "reason": reason,
    }
    a, b = a.only(known), b.only(known)
    missing: dict[str, list[str]] = {}
    for measure in (*DECLARED, *(more or {}).values()):
        if measure.labelled and not labelled:
            continue
        values = np.asarray(float("nan") if reason else measure.values(a, b))
        mean, deviation = _moments(values)
        row[measure.name] = mean
        if measure.per_image:
            row[f"{measure.name}_std"] = deviation
        if not reason and np.isnan(row[measure.name]):
            missing.setdefault(measure.undefined, []).append(measure.name)
    return row | _without_value(missing)


def _moments(values: Floats) -> tuple[float, float]:
    """The mean and the standard deviation, as NumPy computes them, but with one mean for both."""
    if values.ndim != 1 or values.dtype != np.float64:
        return float(values.mean()), float(values.std())
    mean = np.add.reduce(values) / len(values)
    rest = values - mean
    np.multiply(rest, rest, out=rest)
    return float(mean), float(np.sqrt(np.add.reduce(rest) / len(values)))


def _without_value(missing: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The reason of a pair of which only some measures have no value; nothing if all have one.

    Args:
        missing: the measures without a value, by why they have none.
    """
    parts = [f"{text.listed(names)}: {why}" for why, names in missing.items()]
    return {"reason": "; ".join(parts)} if parts else {}


def _why_not(a: Predictions, b: Predictions, known: npt.NDArray[np.bool_]) -> str:
    """Why a pair has no similarity; empty if it has one."""
    if a.constant and b.constant:
        return "a and b answer every image alike"
    if a.constant or b.constant:
        return f"{'a' if a.constant else 'b'} answers every image alike"
    if not known.any():
        return "on every image one of the two prefers no class"
    return ""


# --- the stages ---------------------------------------------------------------------------------


def compare_stage(
    *,
    a: str,
    b: str,
    pair: str,
    ood: str,
    models: Sequence[str],
    measures: Sequence[str] = (),
    labelled: bool = False,
) -> None:
    """Write the table of one pair: one row with the pair, the data set and every cheap measure.

    Args:
        a: the predictions file of one model.
        b: the predictions file of the other model.
        pair: the parquet file to write.
        ood: the name of the data set.
        models: the ids of a and b.
        measures: references to user-defined measures, for further columns.
        labelled: whether the labels of the images are classes of the task.

    Raises:
        ArtifactError: a predictions file is missing or broken, or the two do not fit together.
        ExtensionError: a user-defined measure cannot be used, or returned an invalid value.
    """
    artifacts.write_rows(pair, _rows([(models[0], a, models[1], b)], ood, measures, labelled))


def compare_block_stage(
    *,
    one: Sequence[str],
    two: Sequence[str] = (),
    block: str,
    ood: str,
    measures: Sequence[str] = (),
    labelled: bool = False,
) -> None:
    """Write one table of many pairs: all models of one base with all models of another.

    Args:
        one: the predictions files of one base's models, each named after its model.
        two: those of the other base's models; empty for the pairs within `one`.
        block: the parquet file to write.
        ood: the name of the data set.
        measures: references to user-defined measures, for further columns.
        labelled: whether the labels of the images are classes of the task.

    Raises:
        ArtifactError: a predictions file is missing or broken, or two do not fit together.
        ExtensionError: a user-defined measure cannot be used, or returned an invalid value.
    """
    pairs = itertools.product(one, two) if two else itertools.combinations(one, 2)
    named = [(Path(a).stem, a, Path(b).stem, b) for a, b in pairs]
    artifacts.write_rows(block, _rows(named, ood, measures, labelled))


def _rows(
    pairs: Iterable[tuple[str, str, str, str]],
    ood: str,
    measures: Sequence[str],
    labelled: bool,
) -> list[dict[str, Any]]:
    """One row per pair; a pair is the id and the predictions file of a, and then those of b."""
    more = user_defined.load_all(measures)
    read = functools.cache(predictions.read)
    rows: list[dict[str, Any]] = []
    for model_a, a, model_b, b in pairs:
        try:
            row = compare(read(a), read(b), more, labelled=labelled)
        except ValueError as error:
            raise ArtifactError(
                f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
            ) from None
        rows.append({"a": model_a, "b": model_b, "ood": ood, **row})
    return rows


def collect_pairs_stage(*, pairs: Sequence[str], table: str) -> None:
    """Write the rows of all pairs as one table, ordered by the two models of each pair.

    Args:
        pairs: the tables of pairs or of blocks of pairs.
        table: the parquet file to write.

    Raises:
        ArtifactError: a table is missing or broken.
    """
    rows = artifacts.read_tables(pairs, ["a", "b"])
    ids = pd.unique(pd.concat([rows.a, rows.b]))
    rank = {name: k for k, name in enumerate(sorted(ids, key=lambda x: Model.parse(x).sort_key))}
    order = np.lexsort((rows.b.map(rank), rows.a.map(rank)))
    artifacts.write_table(table, rows.iloc[order].reset_index(drop=True))
