"""How alike two models are, from their predictions on the same images.

A measure is one entry of `MEASURES`. Vectors that say nothing are never called similar: a zero
logit vector has no direction, and a uniform distribution prefers no class; images where either
model gives one are left out and counted. A model that answers every image alike is dead, and a
pair with one has no similarity at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons import artifacts, predictions
from skeletons.errors import ArtifactError
from skeletons.predictions import Predictions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A similarity of two models on N images; all are symmetric, and higher is more alike.

    Attributes:
        label: what figures call it.
        low: the smallest possible value; the largest is 1, a model with itself.
        invariant_to: changes of one model that leave the value as it is.
        per_image: whether the measure is a mean over images.
        values: from two models' predictions, on images where both say something: one value an
            image if `per_image`, else the measure itself.
    """

    label: str
    low: float
    invariant_to: str
    per_image: bool
    values: Callable[[Predictions, Predictions], Floats | float]


def cosines(a: Floats, b: Floats) -> Floats:
    """Cosine similarity of row i of `a` and row i of `b` (both N×K), −1..1; NaN for a zero row."""
    products = np.einsum("nk,nk->n", a, b)
    norms = np.sqrt(np.einsum("nk,nk->n", a, a) * np.einsum("nk,nk->n", b, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(products / norms, -1.0, 1.0))


def _cosine(quantity: str) -> Measure:
    logits = quantity == "logits"
    return Measure(
        label=f"cosine of {quantity}, mean over images",
        low=-1.0 if logits else 0.0,
        invariant_to=("a positive factor on" if logits else "a constant added to")
        + " an image's logits",
        per_image=True,
        values=lambda a, b: cosines(getattr(a, quantity), getattr(b, quantity)),
    )


def _cosine_flat(quantity: str) -> Measure:
    logits = quantity == "logits"

    def values(a: Predictions, b: Predictions) -> float:
        flat = (getattr(model, quantity).reshape(1, -1) for model in (a, b))
        return float(cosines(*flat)[0])

    return Measure(
        label=f"cosine of {quantity}, all images as one vector",
        low=-1.0 if logits else 0.0,
        invariant_to="a positive factor on all logits"
        if logits
        else "a constant added to an image's logits",
        per_image=False,
        values=values,
    )


MEASURES: Mapping[str, Measure] = {
    "cosine_prob": _cosine("probabilities"),
    "cosine_prob_flat": _cosine_flat("probabilities"),
    "cosine_logit": _cosine("logits"),
    "cosine_logit_flat": _cosine_flat("logits"),
    "agreement": Measure(
        label="agreement of the top class",
        low=0.0,
        invariant_to="any increasing function of an image's logits",
        per_image=True,
        values=lambda a, b: (a.top == b.top).astype(np.float64),
    ),
}


def compare(a: Predictions, b: Predictions) -> dict[str, Any]:
    """Every measure of a pair of models on the same N images.

    Returns:
        `images`, N; `undefined`, the images left out because a prediction on them says nothing;
        `valid`, whether the pair can be compared, and `reason` if not; each measure, NaN if not;
        and for means over images their standard deviation over images as `<measure>_std`.

    Raises:
        ValueError: the two do not have the same images or the same number of classes.
    """
    if a.logits.shape != b.logits.shape or not np.array_equal(a.labels, b.labels):
        raise ValueError("the two models' predictions are not on the same images")
    known = ~(a.silent | b.silent)
    reason = _why_not(a, b, known)
    row: dict[str, Any] = {
        "images": len(a.labels),
        "undefined": int((~known).sum()),
        "valid": not reason,
        "reason": reason,
    }
    if not known.all():
        a, b = a.only(known), b.only(known)
    for name, measure in MEASURES.items():
        values = np.asarray(float("nan") if reason else measure.values(a, b))
        row[name] = float(values.mean())
        if measure.per_image:
            row[f"{name}_std"] = float(values.std())
    return row


def _why_not(a: Predictions, b: Predictions, known: npt.NDArray[np.bool_]) -> str:
    """Why a pair has no similarity, or nothing if it has one."""
    if a.constant and b.constant:
        return "a and b answer every image alike"
    if a.constant or b.constant:
        return f"{'a' if a.constant else 'b'} answers every image alike"
    if not known.any():
        return "on every image one of the two prefers no class"
    return ""


def compare_stage(a: str, b: str, output: str, ood: str, model_a: str, model_b: str) -> None:
    """Write one pair's table: one row with the pair, the data set and every cheap measure.

    Raises:
        ArtifactError: a predictions file is missing or broken, or the two do not go together.
    """
    try:
        row = compare(predictions.read(a), predictions.read(b))
    except ValueError as error:
        raise ArtifactError(
            f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
        ) from None
    artifacts.write_table(output, pd.DataFrame([{"a": model_a, "b": model_b, "ood": ood, **row}]))


def collect_stage(output: str, *inputs: str) -> None:
    """Write all pairs' rows as one table, in the order given."""
    artifacts.write_table(
        output,
        pd.concat([artifacts.read_table(path, ["a", "b"]) for path in inputs], ignore_index=True),
    )
