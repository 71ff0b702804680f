"""Measures that a user defines in a file, and the checks of their values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.arrays import Floats
from skeletons.measures.measure import Measure, by_name, measure
from skeletons.measures.predictions import Predictions
from skeletons.user_code import load as user_code
from skeletons.user_code.references import name_of

SLACK = 1e-9  # how far rounding may move a value out of the declared range


def load_all(names: Iterable[str]) -> dict[str, Measure]:
    """The user-defined measures that references name, by the names that results use.

    Their values are checked, including their symmetry.

    Raises:
        ExtensionError: a reference does not name a measure.
    """
    return dict(by_name(*map(load_symmetric, names)))


@functools.cache
def load(reference: str) -> Measure:
    """The measure that a reference names; each value that it gives is checked.

    Raises:
        ExtensionError: it is neither a `Measure` nor a function of two models' logits.
    """
    found = user_code.load(reference)
    if not isinstance(found, Measure):
        user_code.demand_callable(reference, found, "p", "q")
        found = measure(label=name_of(reference))(found)
    declared = found

    def values(a: Predictions, b: Predictions) -> Floats:
        with user_code.guarded(reference):
            numbers = np.asarray(declared.values(a, b))
        _demand_valid(reference, declared, numbers, len(a.labels))
        return numbers.astype(np.float64)

    return dataclasses.replace(declared, name=name_of(reference), values=values)


@functools.cache
def load_symmetric(reference: str) -> Measure:
    """The measure of `load`; if it declares symmetry, that is checked for each value, too.

    The check doubles the work. It is done once, when the tables of pairs are made; code that
    computes the same pairs again uses `load`.

    Raises:
        ExtensionError: it is neither a `Measure` nor a function of two models' logits.
    """
    loaded = load(reference)
    if not loaded.symmetric:
        return loaded

    def values(a: Predictions, b: Predictions) -> Floats:
        forward, backward = (np.asarray(loaded.values(*pair)) for pair in ((a, b), (b, a)))
        _demand_symmetric(reference, forward, backward)
        return forward

    return dataclasses.replace(loaded, values=values)


def _demand_valid(reference: str, declared: Measure, given: npt.NDArray[Any], images: int) -> None:
    """Check the number and the range of the values that a measure gave.

    Raises:
        ExtensionError: there are too few or too many, or one is outside the declared range.
    """
    shape = (images,) if declared.per_image else ()
    wanted = f"one number for each of {images} images" if declared.per_image else "one number"
    if given.shape != shape or given.dtype.kind not in "fiub":
        sizes = "×".join(map(str, given.shape)) or "one value"
        kind = "text" if given.dtype.kind in "SU" else given.dtype
        raise user_code.refusal(reference, f"{sizes} of {kind}", wanted)
    odd = int((~np.isfinite(given)).sum())
    if odd:
        raise user_code.refusal(reference, f"{odd} of NaN or infinity", f"{wanted}, all finite")
    low, high = float(given.min()), float(given.max())
    if low < declared.low - SLACK or high > declared.high + SLACK:
        raise user_code.refusal(
            reference,
            f"values from {low:g} to {high:g}",
            f"values from {declared.low:g} to {declared.high:g}, or declare another range with "
            "@measure(low=…, high=…)",
        )


def _demand_symmetric(reference: str, forward: Floats, backward: Floats) -> None:
    """Check that a measure gives the same values when the two models are exchanged.

    Raises:
        ExtensionError: it does not.
    """
    odd = ~np.isclose(forward, backward, rtol=1e-6, atol=SLACK)
    if odd.any():
        one, other = float(forward[odd].flat[0]), float(backward[odd].flat[0])
        raise user_code.refusal(
            reference,
            f"{one:g} for two models on an image, and {other:g} with the two exchanged",
            "the same either way",
        )
