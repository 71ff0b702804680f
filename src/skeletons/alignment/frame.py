"""One order of the units for all models of a network, so that all pairs agree.

Pairs that are matched one by one contradict each other: going from a to b to c and back to a need
not end at the order in which it began. Here each model is brought into the order of one common
frame, and a pair is aligned through it, so the permutations around every circle of models compose
to the identity.

Source: Crisostomi et al. 2024, C²M³: cycle-consistent multi-model merging, section 4: Frank–Wolfe
over doubly stochastic matrices, all layers at once. The second start and the last step, which
improves one model at a time, are additions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skeletons.alignment.matching import ascend, assign, compared, match, prepared
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

Soft = dict[str, Floats]  # by group, doubly stochastic G×G: the share of old unit j in new unit i
Tensors = Mapping[str, Floats]

STEPS = 60  # of Frank–Wolfe, at most
GAIN = 1e-7  # of the objective in a step; below, Frank–Wolfe ends
SWEEPS = 50  # over all models in the last step, at most


def common_frame(
    models: Sequence[Mapping[str, Array]], spec: Specification, seed: int = 0
) -> list[dict[str, Indices]]:
    """The permutations that bring each of n models into one common order.

    They maximise the sum over all pairs of the inner product of the permuted models, which `match`
    maximises for one pair. The result is a local optimum: no model's order can be improved while
    the others keep theirs.

    Args:
        models: tensors of each model by name; or activations, with their specification.
        spec: of the network of all.
        seed: of the random orders in which groups and models are visited.

    Returns:
        For each model, a permutation of each group.

    Raises:
        ValueError: the models are not of the network of `spec`.
    """
    names = set(compared(spec))
    fixed = [prepared(model, spec, names) for model in models]
    draw = np.random.default_rng(seed)
    starts = [_frank_wolfe(fixed, spec), _star(models, spec, seed)]
    ended = [_polished(fixed, spec, start, draw) for start in starts]
    return max(ended, key=lambda found: total(fixed, spec, found))


def through_frame(a: Permutations, b: Permutations) -> dict[str, Indices]:
    """The permutations that align model b to model a, from those of both into the frame."""
    return {group: b[group][np.argsort(a[group])] for group in a}


def total(models: Sequence[Tensors], spec: Specification, found: Sequence[Permutations]) -> float:
    """The sum over all pairs of the inner product of the models in the frame."""
    moved = [apply(model, spec, own) for model, own in zip(models, found, strict=True)]
    return _pairs(moved)


def _pairs(moved: Sequence[Tensors]) -> float:
    """Σ ⟨xᵢ, xⱼ⟩ over pairs i < j, as half of ‖Σ x‖² − Σ ‖x‖²."""
    value = 0.0
    for name in moved[0]:
        both = _sum(moved, name)
        value += float(np.vdot(both, both)) - sum(float(np.vdot(x[name], x[name])) for x in moved)
    return value / 2


def _sum(moved: Sequence[Tensors], name: str) -> Floats:
    return np.sum([x[name] for x in moved], axis=0)


# --- Frank–Wolfe ----------------------------------------------------------------------------------


def _frank_wolfe(models: Sequence[Tensors], spec: Specification) -> list[dict[str, Indices]]:
    """From the present order, the permutations that are nearest to the end of Frank–Wolfe."""
    soft: list[Soft] = [{g: np.eye(size) for g, size in spec.sizes.items()} for _ in models]
    value = _value(models, spec, soft)
    for _ in range(STEPS):
        ends = [_matrices(p) for p in _ascent(models, spec, soft)]
        soft, after = _best_between(models, spec, soft, ends)
        if after <= value + GAIN * abs(value):
            break
        value = after
    return [_nearest(p, spec) for p in soft]


def _value(models: Sequence[Tensors], spec: Specification, soft: Sequence[Soft]) -> float:
    return _pairs([_moved(model, spec, p) for model, p in zip(models, soft, strict=True)])


def _ascent(
    models: Sequence[Tensors], spec: Specification, soft: Sequence[Soft]
) -> list[dict[str, Indices]]:
    """For each model, the permutations furthest along the gradient of the objective."""
    moved = [_moved(model, spec, p) for model, p in zip(models, soft, strict=True)]
    sums = {name: _sum(moved, name) for name in spec.tensors}
    found = []
    for model, own, p in zip(models, moved, soft, strict=True):
        slopes = {
            group: _slope(model, {n: sums[n] - own[n] for n in sums}, spec, p, parts)
            for group, parts in spec.parts.items()
        }
        found.append(_assigned(slopes, spec))
    return found


def _slope(
    model: Tensors, others: Tensors, spec: Specification, soft: Soft, parts: Sequence[Part]
) -> Floats:
    """G×G, the gradient by a group's matrix: products of new units with old ones."""
    size = len(parts[0].places)
    slope = np.zeros((size, size))
    for part in parts:
        still = _moved_tensor(model[part.tensor], spec, soft, part.tensor, skipped=part.axis)
        one = np.moveaxis(others[part.tensor], part.axis, 0)[part.places].reshape(size, -1)
        slope += one @ np.moveaxis(still, part.axis, 0)[part.places].reshape(size, -1).T
    return slope


def _best_between(
    models: Sequence[Tensors], spec: Specification, soft: Sequence[Soft], ends: Sequence[Soft]
) -> tuple[list[Soft], float]:
    """The best point on the line from `soft` to `ends`, and its value.

    On a line the objective is a polynomial, of degree 2 for each axis of a tensor that has groups.
    """
    used = {(part.tensor, part.axis) for parts in spec.parts.values() for part in parts}
    degree = 2 * max(sum(name == tensor for name, _ in used) for tensor in spec.tensors)

    def at(share: float) -> list[Soft]:
        return [
            {group: (1 - share) * p[group] + share * end[group] for group in p}
            for p, end in zip(soft, ends, strict=True)
        ]

    shares = np.linspace(0, 1, degree + 1)
    values = [_value(models, spec, at(share)) for share in shares]
    curve = np.polynomial.Polynomial.fit(shares, values, degree)
    turns = np.asarray(curve.deriv().roots(), dtype=np.complex128)
    real = turns.real[np.abs(turns.imag) < 1e-9]
    inside = [float(turn) for turn in real[(real > 0) & (real < 1)]]
    best = max([0.0, 1.0, *inside], key=curve)
    return at(best), float(curve(best))


def _moved(model: Tensors, spec: Specification, soft: Soft) -> dict[str, Floats]:
    return {name: _moved_tensor(model[name], spec, soft, name) for name in spec.tensors}


def _moved_tensor(
    tensor: Floats, spec: Specification, soft: Soft, name: str, skipped: int | None = None
) -> Floats:
    """A tensor with its units mixed by matrices, along all axes but one."""
    for group, parts in spec.parts.items():
        for part in parts:
            if part.tensor != name or part.axis == skipped:
                continue
            rows = np.moveaxis(tensor, part.axis, 0)
            mixed = rows.copy()
            mixed[part.places] = np.tensordot(soft[group], rows[part.places], axes=1)
            tensor = np.moveaxis(mixed, 0, part.axis)
    return tensor


def _matrices(found: Permutations) -> Soft:
    return {group: np.eye(len(p))[p] for group, p in found.items()}


def _assigned(worth: Mapping[str, Floats], spec: Specification) -> dict[str, Indices]:
    found: dict[str, Indices] = {}
    for bundle in spec.bundles:
        found |= assign({g: worth[g] for g in bundle}, spec.blocks.get(bundle[0], 1))[1]
    return found


def _nearest(soft: Soft, spec: Specification) -> dict[str, Indices]:
    return _assigned(soft, spec)


# --- hard permutations ----------------------------------------------------------------------------


def _star(
    models: Sequence[Mapping[str, Array]], spec: Specification, seed: int
) -> list[dict[str, Indices]]:
    """Each model matched to the first, which finds permuted copies."""
    first, *others = models
    return [identity(spec), *(match(first, other, spec, seed=seed) for other in others)]


def _polished(
    models: Sequence[Tensors],
    spec: Specification,
    start: Sequence[dict[str, Indices]],
    draw: np.random.Generator,
) -> list[dict[str, Indices]]:
    """Match one model at a time to the sum of the others, until no model gains."""
    found = list(start)
    moved = [apply(model, spec, own) for model, own in zip(models, found, strict=True)]
    for _ in range(SWEEPS):
        changed = False
        for k in draw.permutation(len(models)):
            others = {
                name: _sum([x for i, x in enumerate(moved) if i != k], name)
                for name in spec.tensors
            }
            better = ascend(others, models[k], spec, found[k], draw)
            if any((better[g] != found[k][g]).any() for g in better):
                found[k], changed = better, True
                moved[k] = apply(models[k], spec, better)
        if not changed:
            break
    return found
