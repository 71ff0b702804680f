"""How alike two models are, from their predictions on the same images.

A measure is one entry of `MEASURES`, or one of the user's own (`own`). Vectors that say nothing are
never called similar: a zero logit vector has no direction, and a uniform distribution prefers no
class; images where either model gives one are left out and counted. A model that answers every
image alike is dead, and a pair with one has no similarity at all.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons.errors import ArtifactError
from skeletons.measures import predictions
from skeletons.measures.measure import Floats, Measure, by_name, measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model
from skeletons.store import artifacts
from skeletons.user_code.load import demand_callable, guarded, load, refusal
from skeletons.user_code.references import is_reference, name_of


def cosines(a: Floats, b: Floats) -> Floats:
    """Cosine similarity of row i of `a` and row i of `b` (both N×K), −1..1; NaN for a zero row."""
    products = np.einsum("nk,nk->n", a, b)
    norms = np.sqrt(np.einsum("nk,nk->n", a, a) * np.einsum("nk,nk->n", b, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(products / norms, -1.0, 1.0))


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """Jensen–Shannon divergence of row i of `p` and row i of `q` in bits, 0..1.

    The mean of the two divergences from the midpoint, with logarithms to base 2, so that two
    distributions without a common class are 1 apart (Lin 1991, equation 4.1). It is the square of
    the distance of the same name.

    Args:
        p: N distributions over K classes, one a row.
        q: as many.
    """
    middle = (p + q) / 2
    return np.asarray(np.clip((_divergence(p, middle) + _divergence(q, middle)) / 2, 0.0, 1.0))


def _divergence(p: Floats, q: Floats) -> Floats:
    """Kullback–Leibler divergence of rows in bits, N; a class that p never chooses adds nothing."""
    chosen = p > 0
    ratio = np.divide(p, q, out=np.ones_like(p), where=chosen)
    return np.asarray((p * np.log2(ratio)).sum(axis=1))


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
        values=lambda a, b: cosines(getattr(a, quantity), getattr(b, quantity)),
    )


def _cosine_flat(quantity: str, blind_to: str) -> Measure:
    logits = quantity == "logits"

    def values(a: Predictions, b: Predictions) -> float:
        flat = (getattr(model, quantity).reshape(1, -1) for model in (a, b))
        return float(cosines(*flat)[0])

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
        values=values,
    )


MEASURES = by_name(
    _cosine(
        "probabilities",
        "how two confident models differ beyond their top classes: their cosine is near 0 or 1",
    ),
    _cosine_flat(
        "probabilities",
        "images on which the two are unsure: the confident ones have the longest vectors",
    ),
    _cosine(
        "logits",
        "whether the image matters: two models that lean to the same classes on every image "
        "are alike",
    ),
    _cosine_flat("logits", "images with small logits, and what a shared lean to some classes adds"),
    Measure(
        name="agreement",
        label="agreement of the top class",
        kind="behaviour",
        low=0.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="any increasing function of an image's logits",
        blind_to="how sure either is, and how often two would agree by chance (1/K or more)",
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
        blind_to="how sure either is; it is 1 − agreement and adds nothing to it",
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
        blind_to="whether a distance comes of other classes or of another confidence in the same",
        source="Lin 1991",
        per_image=True,
        cheap=True,
        values=lambda a, b: jensen_shannon(a.probabilities, b.probabilities),
    ),
)


# --- measures of the user's own -------------------------------------------------------------------

SLACK = 1e-9  # by which rounding may take a value out of the range that its measure declares
OWN: dict[str, Measure] = {}  # those that this process was told of, by what results call them
KNOWN: Mapping[str, Measure] = ChainMap(OWN, dict(MEASURES))


def admit(names: Iterable[str]) -> tuple[str, ...]:
    """Let this process look up the user's measures, as it does the built-in ones.

    Args:
        names: as the configuration has them: built-in names and references, some perhaps twice.

    Returns:
        What results call them, in the same order.

    Raises:
        ExtensionError: a reference is none to a measure.
    """
    chosen = tuple(names)
    references = dict.fromkeys(filter(is_reference, chosen))
    OWN.update(by_name(*map(own, references)))
    return tuple(map(name_of, chosen))


@functools.cache
def own(reference: str) -> Measure:
    """The measure that a reference names; each value that it gives is checked.

    Raises:
        ExtensionError: it is neither a `Measure` nor a function of two models' logits.
    """
    found = load(reference)
    if not isinstance(found, Measure):
        demand_callable(reference, found, "p", "q")
        found = measure(label=name_of(reference))(found)
    declared = found

    def values(a: Predictions, b: Predictions) -> Floats:
        with guarded(reference):
            numbers = np.asarray(declared.values(a, b))
        _demand_valid(reference, declared, numbers, len(a.labels))
        return numbers.astype(np.float64)

    return dataclasses.replace(declared, name=name_of(reference), values=values)


@functools.cache
def own_both_ways(reference: str) -> Measure:
    """The same, also held against its values with the two models exchanged, if it is symmetric.

    That is twice the work: it is for the tables of pairs, and what computes the same pairs again
    takes `own`.

    Raises:
        ExtensionError: as in `own`.
    """
    measure_of = own(reference)
    if not measure_of.symmetric:
        return measure_of

    def values(a: Predictions, b: Predictions) -> Floats:
        there, back = (np.asarray(measure_of.values(*pair)) for pair in ((a, b), (b, a)))
        _demand_same(reference, there, back)
        return there

    return dataclasses.replace(measure_of, values=values)


def _demand_valid(reference: str, declared: Measure, given: npt.NDArray[Any], images: int) -> None:
    """See whether values are as many as a measure must give, and of the range that it declares.

    Raises:
        ExtensionError: they are not.
    """
    shape = (images,) if declared.per_image else ()
    wanted = f"one number for each of {images} images" if declared.per_image else "one number"
    if given.shape != shape or given.dtype.kind not in "fiub":
        sizes = "×".join(map(str, given.shape)) or "one value"
        kind = "text" if given.dtype.kind in "SU" else given.dtype
        raise refusal(reference, f"{sizes} of {kind}", wanted)
    odd = int((~np.isfinite(given)).sum())
    if odd:
        raise refusal(reference, f"{odd} of NaN or infinity", f"{wanted}, all finite")
    low, high = float(given.min()), float(given.max())
    if low < declared.low - SLACK or high > declared.high + SLACK:
        raise refusal(
            reference,
            f"values from {low:g} to {high:g}",
            f"values from {declared.low:g} to {declared.high:g}, or declare another range with "
            "@measure(low=…, high=…)",
        )


def _demand_same(reference: str, there: Floats, back: Floats) -> None:
    """See whether a measure gives the same whichever model is named first, as a pair has no order.

    Raises:
        ExtensionError: it does not.
    """
    odd = ~np.isclose(there, back, rtol=1e-6, atol=SLACK)
    if odd.any():
        one, other = float(there[odd].flat[0]), float(back[odd].flat[0])
        raise refusal(
            reference,
            f"{one:g} for two models on an image, and {other:g} with the two exchanged",
            "the same either way",
        )


def compare(
    a: Predictions, b: Predictions, more: Mapping[str, Measure] | None = None
) -> dict[str, Any]:
    """Every measure of a pair of models on the same N images.

    Args:
        a: the one model's predictions.
        b: the other's.
        more: measures beside the built-in ones.

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
    for name, chosen in {**MEASURES, **(more or {})}.items():
        values = np.asarray(float("nan") if reason else chosen.values(a, b))
        row[name] = float(values.mean())
        if chosen.per_image:
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


def over_images(models: Sequence[Predictions], name: str) -> Floats:
    """A measure of all pairs of models image by image, for intervals over images.

    Args:
        models: n models' predictions on the same N images.
        name: in `KNOWN`, of a measure that is a mean over images.

    Returns:
        n(n−1)/2 × N, pairs in the order of `itertools.combinations`; NaN on images where either
        model prefers no class, and on all if either answers every image alike.

    Raises:
        ValueError: the measure is not a mean over images.
    """
    if not KNOWN[name].per_image:
        raise ValueError(f"{name} is not a mean over images")
    pairs = list(itertools.combinations(models, 2))
    table = np.full((len(pairs), len(models[0].labels)), np.nan)
    for row, (a, b) in zip(table, pairs, strict=True):
        known = ~(a.silent | b.silent)
        if known.any() and not (a.constant or b.constant):
            row[known] = KNOWN[name].values(a.only(known), b.only(known))
    return table


def compare_stage(
    a: str,
    b: str,
    output: str,
    ood: str,
    model_a: str,
    model_b: str,
    measures: Sequence[str] = (),
) -> None:
    """Write one pair's table: one row with the pair, the data set and every cheap measure.

    Args:
        a: the one model's predictions file.
        b: the other's.
        output: the parquet file to write.
        ood: the data set's name.
        model_a: the one model's id.
        model_b: the other's.
        measures: references to the user's own measures, for further columns.

    Raises:
        ArtifactError: a predictions file is missing or broken, or the two do not go together.
        ExtensionError: a measure of the user's cannot be used, or gave what it must not.
    """
    artifacts.write_rows(output, _rows([(model_a, a, model_b, b)], ood, measures))


def compare_block_stage(
    one: Sequence[str], two: Sequence[str], output: str, ood: str, measures: Sequence[str] = ()
) -> None:
    """Write one table of many pairs: of all models of one base with all of another.

    Args:
        one: predictions files of the one base's models, each named by its model.
        two: those of the other's; none, for the pairs within `one`.
        output: the parquet file to write.
        ood: the data set's name.
        measures: references to the user's own measures, for further columns.

    Raises:
        ArtifactError: a predictions file is missing or broken, or two do not go together.
        ExtensionError: a measure of the user's cannot be used, or gave what it must not.
    """
    pairs = itertools.product(one, two) if two else itertools.combinations(one, 2)
    named = [(Path(a).stem, a, Path(b).stem, b) for a, b in pairs]
    artifacts.write_rows(output, _rows(named, ood, measures))


def _rows(
    pairs: Iterable[tuple[str, str, str, str]], ood: str, measures: Sequence[str]
) -> list[dict[str, Any]]:
    """One row a pair, given as the two models' ids, each with its predictions file."""
    more = by_name(*map(own_both_ways, measures))
    read = functools.cache(predictions.read)
    rows: list[dict[str, Any]] = []
    for model_a, a, model_b, b in pairs:
        try:
            row = compare(read(a), read(b), more)
        except ValueError as error:
            raise ArtifactError(
                f"{a} and {b} cannot be compared: {error}; delete both and run snakemake again."
            ) from None
        rows.append({"a": model_a, "b": model_b, "ood": ood, **row})
    return rows


def collect_stage(output: str, *inputs: str) -> None:
    """Write the rows of all pairs as one table, ordered by the two models of each."""
    table = artifacts.read_tables(inputs, ["a", "b"])
    ids = pd.unique(pd.concat([table.a, table.b]))
    rank = {name: k for k, name in enumerate(sorted(ids, key=lambda x: Model.parse(x).sort_key))}
    order = np.lexsort((table.b.map(rank), table.a.map(rank)))
    artifacts.write_table(output, table.iloc[order].reset_index(drop=True))
