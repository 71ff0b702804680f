"""Weight matching: the permutation of a model's units that brings its weights nearest another's.

Two networks that compute the same function may have their units in different orders. Then neither
their weights nor their masks can be compared one by one. Matching finds the order. It does not
handle other symmetries, such as a positive factor that moves from one layer to the next. The same
assignment matches units by their activations (`permutations.of_activations`).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from skeletons.alignment.permutations import (
    Array,
    Indices,
    Part,
    Permutations,
    Specification,
    apply,
    identity,
)
from skeletons.arrays import Floats

STATISTICS = ("running_mean", "running_var")
SWEEPS = 100  # at most; a few are enough in practice
GAIN = 1e-12  # the least gain of a step, as a share of the norms; below, rounding could cycle


def compared(spec: Specification) -> list[str]:
    """The tensors that `match` uses by default: trained weights and biases.

    The running statistics of batch norm are left out, because they follow from the weights and the
    data, on a different scale.
    """
    return [name for name in spec.tensors if not name.endswith(STATISTICS)]


def match(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    spec: Specification,
    weights: Collection[str] | None = None,
    seed: int = 0,
    restarts: int = 3,
) -> dict[str, Indices]:
    """The permutations of `b` that maximise the inner product of its weights with those of `a`.

    Weights count as they are applied: some layers multiply them by a factor. Otherwise, a layer
    whose stored weights are large would outvote the others.

    Coordinate ascent over groups: each step finds the best permutation of one group while the
    others are fixed, by linear assignment. It stops when no group can gain. This is an optimum for
    each group alone, but not always for all together, so the best of several runs is returned.
    Where units fall into blocks, as the heads of attention do, the blocks are assigned by what the
    best assignment within each pair of blocks is worth (Verma & Elbayad 2024, section 3.2).
    The first run starts from the present order, so the result is never worse than no matching. The
    second starts from a pass through the network that matches each group by the layers before it
    alone; this finds every permuted copy whose units differ. Further runs alternate between the
    two. Each run visits the groups in a random order. Units that are all zero match any unit.

    Source: Ainsworth et al. 2022, Git Re-Basin, algorithm 1; the second start is an addition.

    Args:
        a: tensors of the model that is not changed, by name.
        b: tensors of the model that is aligned, by name.
        spec: of the network of both.
        weights: names of the tensors to compare; None for those of `compared`.
        seed: of the random orders.
        restarts: number of runs, ≥ 1.

    Returns:
        A permutation of each group; `permutations.apply` uses them to align `b`.

    Raises:
        ValueError: the two models are not of the network of `spec`.
    """
    names = set(compared(spec) if weights is None else weights)
    one, two = prepared(a, spec, names), prepared(b, spec, names)
    draw = np.random.default_rng(seed)
    best: tuple[float, dict[str, Indices]] | None = None
    for run in range(max(1, restarts)):
        start = _pass(one, two, spec) if run % 2 else identity(spec)
        found = ascend(one, two, spec, start, draw)
        value = inner_product(one, apply(two, spec, found), one)
        if best is None or value > best[0]:
            best = value, found
    assert best is not None
    return best[1]


def prepared(
    tensors: Mapping[str, Array], spec: Specification, names: Collection[str]
) -> dict[str, Floats]:
    """The tensors to compare, as they are applied, in double precision; the others are zero.

    Raises:
        ValueError: the tensors are not of the network of `spec`.
    """
    for name in spec.tensors:
        if name not in tensors or tensors[name].shape != spec.shapes[name]:
            raise ValueError(f"the two models are not of one network: they differ at {name!r}")
    return {
        name: tensors[name].astype(np.float64) * spec.factors.get(name, 1.0)
        if name in names
        else np.zeros(spec.shapes[name])  # adds nothing to any product
        for name in spec.tensors
    }


def ascend(
    a: Mapping[str, Floats],
    b: Mapping[str, Floats],
    spec: Specification,
    start: Permutations,
    draw: np.random.Generator,
) -> dict[str, Indices]:
    """Improve `start` until no change of a single group gains anything.

    Args:
        a: the tensors that are not changed, from `prepared`.
        b: the tensors that are aligned, from `prepared`.
        spec: of the network of both.
        start: permutations to begin with.
        draw: draws the order in which groups are visited.
    """
    found = dict(start)
    moved = apply(b, spec, found)
    least = GAIN * np.sqrt(inner_product(a, a, a) * inner_product(b, b, b))
    bundles = spec.bundles
    for _ in range(SWEEPS):
        gained = False
        for k in draw.permutation(len(bundles)):
            products = {g: products_of(a, moved, spec.parts[g]) for g in bundles[k]}
            gain, steps = assign(products, spec.blocks.get(bundles[k][0], 1))
            if gain <= least:
                continue
            after = apply(moved, spec, steps)
            if any(map(spec.lies_twice, bundles[k])) and not (
                inner_product(a, after, a) > inner_product(a, moved, a) + least
            ):
                continue  # the gain is not the sum of those of its axes
            gained, moved = True, after
            found |= {group: found[group][step] for group, step in steps.items()}
        if not gained:
            break
    return found


def _pass(
    a: Mapping[str, Floats], b: Mapping[str, Floats], spec: Specification
) -> dict[str, Indices]:
    """Match the groups from the input on, by tensors whose other axes are already matched."""
    waiting = set(spec.parts)
    found = identity(spec)
    moved: Mapping[str, Array] = b
    for bundle in spec.bundles:
        # Also of the bundle itself: a layer that reads and writes one group tells nothing yet.
        unknown = {(p.tensor, p.axis) for g in waiting for p in spec.parts[g]}
        waiting -= set(bundle)
        products = {
            group: products_of(
                a,
                moved,
                [
                    part
                    for part in spec.parts[group]
                    if not any(name == part.tensor and axis != part.axis for name, axis in unknown)
                ],
            )
            for group in bundle
        }
        if all(values.ndim for values in products.values()):
            steps = assign(products, spec.blocks.get(bundle[0], 1))[1]
            found |= steps
            moved = apply(moved, spec, steps)
    return found


def products_of(a: Mapping[str, Array], b: Mapping[str, Array], parts: Iterable[Part]) -> Floats:
    """G×G inner products of the units of `a` with the units of `b`, over all their weights."""
    total: Any = 0.0
    for part in parts:
        total = total + _rows(a[part.tensor], part) @ _rows(b[part.tensor], part).T
    return np.asarray(total)


def _rows(tensor: Array, part: Part) -> Array:
    """A tensor's values by unit, G×(number of values of one unit)."""
    rows = np.moveaxis(tensor, part.axis, 0)[part.places]
    return rows.reshape(len(part.places), -1)


def assign(products: Mapping[str, Floats], blocks: int) -> tuple[float, dict[str, Indices]]:
    """The permutations of groups with the largest sum of products, and their gain over none.

    Args:
        products: by group, G×G.
        blocks: how many equal blocks each group has; they change places in all groups together.
    """
    if blocks == 1 and len(products) == 1:
        ((group, only),) = products.items()
        rows, step = linear_sum_assignment(only, maximize=True)
        return float(only[rows, step].sum() - np.trace(only)), {group: step.astype(np.int64)}
    worth = np.zeros((blocks, blocks))
    inside: dict[tuple[str, int, int], Indices] = {}
    for group, values in products.items():
        size = len(values) // blocks
        for i, j in itertools.product(range(blocks), repeat=2):
            block = values[i * size : (i + 1) * size, j * size : (j + 1) * size]
            rows, step = linear_sum_assignment(block, maximize=True)
            worth[i, j] += block[rows, step].sum()
            inside[group, i, j] = step + j * size
    rows, order = linear_sum_assignment(worth, maximize=True)
    steps = {
        group: np.concatenate([inside[group, i, j] for i, j in enumerate(order)]).astype(np.int64)
        for group in products
    }
    return float(worth[rows, order].sum() - sum(map(np.trace, products.values()))), steps


def inner_product(a: Mapping[str, Array], b: Mapping[str, Array], names: Iterable[str]) -> float:
    """The inner product of two models in the named tensors, which `match` maximises."""
    return float(
        sum(np.vdot(a[name].astype(np.float64), b[name].astype(np.float64)) for name in names)
    )


def cosine(a: Mapping[str, Array], b: Mapping[str, Array], names: Collection[str]) -> float:
    """The inner product as a cosine, −1..1; NaN if one of the two is all zero."""
    norms = inner_product(a, a, names) * inner_product(b, b, names)
    return inner_product(a, b, names) / float(np.sqrt(norms)) if norms else float("nan")
