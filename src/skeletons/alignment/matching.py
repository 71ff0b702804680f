"""Weight matching: the permutation of one model's units that brings its weights nearest another's.

Two networks that compute the same may hold their units in different orders, and then neither their
weights nor their masks can be compared one by one. Matching finds the order; it does not know the
other symmetries, such as a positive factor moved from one layer to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from skeletons.alignment import permutations
from skeletons.alignment.permutations import Array, Indices, Part, Permutations, Specification
from skeletons.errors import ArtifactError
from skeletons.store import artifacts

Floats = npt.NDArray[np.float64]

SWEEPS = 100  # at most; a few are enough in practice
GAIN = 1e-12  # of the tensors' norms: what a step must gain, so that rounding cannot go in circles


def compared(spec: Specification) -> list[str]:
    """The tensors that `match` goes by unless told otherwise: trained weights and biases.

    The running statistics of batch norm are left out: they follow from the weights and the data,
    on a scale of their own.
    """
    return [name for name in spec.tensors if not name.endswith(permutations.NORM[2:])]


def match(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    spec: Specification,
    weights: Collection[str] | None = None,
    seed: int = 0,
    restarts: int = 3,
) -> dict[str, Indices]:
    """The permutations of `b` that maximise the inner product of its weights with those of `a`.

    Coordinate ascent over groups, each step the best permutation of one group while the others
    stay: a linear assignment. It stops where no group can gain, which is an optimum for each group
    alone and not always for all together; so the best of several runs is taken. One run starts
    from the order as it is, so the result is never worse than no matching; the next from a walk
    through the network that matches each group by the layers behind it alone, which finds every
    permuted copy whose units differ; the others from either, in turn. Each has a random order of
    groups. Units that are all zero fit anywhere.

    Source: Ainsworth et al. 2022, Git Re-Basin, algorithm 1; the walk is an addition.

    Args:
        a: tensors of the model that stays, by name.
        b: tensors of the model that is aligned, by name.
        spec: of the network of both.
        weights: names of the tensors that count; None for those of `compared`.
        seed: of the random orders.
        restarts: runs, ≥ 1.

    Returns:
        A permutation of each group; `permutations.apply` aligns `b` with them.

    Raises:
        ValueError: the two models are not of the network of `spec`.
    """
    names = set(compared(spec) if weights is None else weights)
    one, two = _prepared(a, spec, names), _prepared(b, spec, names)
    draw = np.random.default_rng(seed)
    best: tuple[float, dict[str, Indices]] | None = None
    for run in range(max(1, restarts)):
        start = _walk(one, two, spec) if run % 2 else permutations.identity(spec)
        found = _ascend(one, two, spec, start, draw)
        value = inner_product(one, permutations.apply(two, spec, found), one)
        if best is None or value > best[0]:
            best = value, found
    assert best is not None
    return best[1]


def _prepared(
    tensors: Mapping[str, Array], spec: Specification, names: Collection[str]
) -> dict[str, Floats]:
    """The tensors that count, in double precision, and nothing in place of the others."""
    for name in spec.tensors:
        if name not in tensors or tensors[name].shape != spec.shapes[name]:
            raise ValueError(f"the two models are not of one network: they differ at {name!r}")
    return {
        name: tensors[name].astype(np.float64)
        if name in names
        else np.zeros(spec.shapes[name])  # counts for nothing in every product
        for name in spec.tensors
    }


def _ascend(
    a: Mapping[str, Floats],
    b: Mapping[str, Floats],
    spec: Specification,
    start: Permutations,
    draw: np.random.Generator,
) -> dict[str, Indices]:
    """From `start` to permutations that no change of one group improves."""
    found = dict(start)
    moved = permutations.apply(b, spec, found)
    least = GAIN * np.sqrt(inner_product(a, a, a) * inner_product(b, b, b))
    groups = list(spec.parts)
    for _ in range(SWEEPS):
        gained = False
        for k in draw.permutation(len(groups)):
            group = groups[k]
            gain, step = _assign(_products(a, moved, spec.parts[group]))
            if gain > least:
                gained = True
                found[group] = found[group][step]
                moved = permutations.apply(moved, spec, {group: step})
        if not gained:
            break
    return found


def _walk(
    a: Mapping[str, Floats], b: Mapping[str, Floats], spec: Specification
) -> dict[str, Indices]:
    """Match the groups from the input on, each by tensors whose other axes are matched already."""
    waiting = set(spec.parts)
    found = permutations.identity(spec)
    moved: Mapping[str, Array] = b
    for group, parts in spec.parts.items():
        waiting.discard(group)
        unknown = {(p.tensor, p.axis) for g in waiting for p in spec.parts[g]}
        known = [
            part
            for part in parts
            if not any(name == part.tensor and axis != part.axis for name, axis in unknown)
        ]
        if known:
            found[group] = _assign(_products(a, moved, known))[1]
            moved = permutations.apply(moved, spec, {group: found[group]})
    return found


def _products(a: Mapping[str, Array], b: Mapping[str, Array], parts: Iterable[Part]) -> Floats:
    """G×G inner products of each unit of `a` with each unit of `b`, over all their weights."""
    total: Any = 0.0
    for part in parts:
        total = total + _units(a[part.tensor], part) @ _units(b[part.tensor], part).T
    return np.asarray(total)


def _units(tensor: Array, part: Part) -> Array:
    """A tensor's values by unit, G×(all that belongs to one unit)."""
    rows = np.moveaxis(tensor, part.axis, 0)[part.places]
    return rows.reshape(len(part.places), -1)


def _assign(products: Floats) -> tuple[float, Indices]:
    """The permutation with the largest sum of products, and what it gains over the identity."""
    rows, step = linear_sum_assignment(products, maximize=True)
    return float(products[rows, step].sum() - np.trace(products)), step.astype(np.int64)


def inner_product(a: Mapping[str, Array], b: Mapping[str, Array], names: Iterable[str]) -> float:
    """The sum of products of two models' values in the named tensors: what `match` maximises."""
    return float(
        sum(np.vdot(a[name].astype(np.float64), b[name].astype(np.float64)) for name in names)
    )


def cosine(a: Mapping[str, Array], b: Mapping[str, Array], names: Collection[str]) -> float:
    """The same as a cosine, −1..1; NaN if one of the two is all zero."""
    norms = inner_product(a, a, names) * inner_product(b, b, names)
    return inner_product(a, b, names) / float(np.sqrt(norms)) if norms else float("nan")


# --- the stage ----------------------------------------------------------------------------------


def align_stage(
    a: str, b: str, summary: str, output: str, report: str, *, seed: int, restarts: int
) -> None:
    """Write the permutations that align model `b` to model `a`, and what they gain.

    Args:
        a: weights.safetensors of the model that stays.
        b: weights.safetensors of the model that is aligned.
        summary: the model.json of their network.
        output: the safetensors file to write, one permutation (int64) a group.
        report: the JSON file to write: `cosine_before`, `cosine_after` (None if a model is all
            zero), and `moved`, the share of units (0..1) of each group that change places.
        seed: of the random orders.
        restarts: runs of which the best is taken.

    Raises:
        ArtifactError: the two models are not of the network of `summary`.
        ConfigError: that network cannot be aligned.
    """
    name = artifacts.read_json(summary, ["network"])["network"]["name"]
    one, two = artifacts.read_tensors(a), artifacts.read_tensors(b)
    try:
        spec = permutations.specification(name, one)
        found = match(one, two, spec, seed=seed, restarts=restarts)
    except ValueError as error:
        raise ArtifactError(f"{b} cannot be aligned to {a}: {error}.") from None
    names = compared(spec)
    before = cosine(one, two, names)
    after = cosine(one, permutations.apply(two, spec, found), names)
    artifacts.write_json(
        report,
        {
            "cosine_before": None if np.isnan(before) else before,
            "cosine_after": None if np.isnan(after) else after,
            "moved": {g: float(np.mean(p != np.arange(len(p)))) for g, p in found.items()},
        },
    )
    artifacts.write_tensors(output, found)
