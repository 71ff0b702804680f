"""The masks of bases that were pruned by magnitude without a walk: a control for overlaps of masks.

Two pruned models of different bases may share weights because the walk led to a common skeleton, or
because large weights of bases lie in similar places to begin with. The second needs no walk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skeletons import unit_masks
from skeletons.store import artifacts

Array = artifacts.Array


def largest(weights: Array, kept: int) -> Array:
    """The weights of a layer with all but the largest magnitudes set to zero.

    Args:
        weights: of any shape.
        kept: how many to keep; of equal magnitudes, the first ones are kept.
    """
    size = np.abs(weights).ravel()
    if kept <= 0:
        return np.zeros_like(weights)
    limit = np.partition(size, len(size) - kept)[len(size) - kept]
    chosen = size > limit
    equal = np.flatnonzero(size == limit)
    chosen[equal[: kept - int(chosen.sum())]] = True
    return np.where(chosen.reshape(weights.shape), weights, 0)


def like(
    base: Mapping[str, Array],
    pruned: Mapping[str, Array],
    streams: Sequence[unit_masks.Stream] | None = None,
) -> dict[str, Array]:
    """A base with as many weights left in each layer as a pruned model has there.

    Args:
        base: the weights of its prunable layers by name.
        pruned: those of the pruned model, of the same shapes.
        streams: the network's units, if whole units were pruned; then as many units are left.
    """
    if streams is not None:
        return _units_like(base, pruned, streams)
    return {
        name: largest(base[name], int(np.count_nonzero(weights)))
        for name, weights in pruned.items()
    }


def _units_like(
    base: Mapping[str, Array], pruned: Mapping[str, Array], streams: Sequence[unit_masks.Stream]
) -> dict[str, Array]:
    """A base with the largest units left, by weights in units of their layer's root mean square."""
    weights = {name: base[name] for name in pruned}
    scaled = {name: w / (np.sqrt(np.mean(np.square(w))) or 1.0) for name, w in weights.items()}
    alive = []
    for score, kept in zip(
        unit_masks.scores(streams, scaled, squared=True),
        unit_masks.living(streams, pruned),
        strict=True,
    ):
        alive.append(largest(score, int(kept.sum())) > 0)
    masks = unit_masks.masks(streams, alive, weights)
    return {name: np.where(masks[name], w, 0) for name, w in weights.items()}
