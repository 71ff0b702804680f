"""Pruning by units: masks that keep or remove all weights of a channel or neuron.

`networks.unit_groups` says which weights lead from a unit and to it. The score of a unit is that of
the weights that lead from it, which are those that the penalty on units shrinks. A weight survives
if both of its units do, so what is left is a smaller dense network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.arrays import Floats
from skeletons.store import artifacts

Array = artifacts.Array
Mask = npt.NDArray[np.bool_]
Stream = Mapping[str, Any]  # units, readers and writers, see `networks.unit_groups.find`


def read(path: str) -> list[Stream]:
    """The streams of a network from its units.json.

    Raises:
        ArtifactError: the file is missing or broken.
    """
    found: list[Stream] = artifacts.read_json(path, ["streams"])["streams"]
    return found


def scores(
    streams: Sequence[Stream], values: Mapping[str, Array], *, squared: bool
) -> list[Floats]:
    """The score of each unit: the mean, or root mean square, of the scores of its weights.

    A mean, not a sum, because what pruning saves is weights. It is that of `GroupNormImportance`
    and `GroupTaylorImportance` in Fang et al. 2023 (DepGraph).

    Args:
        streams: of units.
        values: the scores of the weights by name, in the shapes of the weights.
        squared: whether to take the root of the mean of squares, as for magnitudes.
    """
    found = []
    for stream in streams:
        blocks = [_blocks(values[name], stream["units"]) for name in stream["readers"]]
        all_of = np.concatenate([b.swapaxes(0, 1).reshape(stream["units"], -1) for b in blocks], 1)
        found.append(np.sqrt((all_of**2).mean(axis=1)) if squared else all_of.mean(axis=1))
    return found


def _blocks(values: Array, units: int) -> Floats:
    """Scores as outputs × units × weights between the two."""
    return values.astype(np.float64).reshape(len(values), units, -1)


def masks(
    streams: Sequence[Stream], alive: Sequence[Mask], weights: Mapping[str, Array]
) -> dict[str, Mask]:
    """The weights whose units are all alive, and which are not zero already, by name.

    Args:
        streams: of units.
        alive: for each stream, which of its units are kept.
        weights: all prunable weights.
    """
    found = {name: np.asarray(w != 0) for name, w in weights.items()}
    for stream, kept in zip(streams, alive, strict=True):
        for name in stream["readers"]:
            blocks = found[name].reshape(len(found[name]), len(kept), -1)
            found[name] = (blocks & kept[None, :, None]).reshape(found[name].shape)
        for name in stream["writers"]:
            found[name][~kept] = False
    return found


def living(streams: Sequence[Stream], weights: Mapping[str, Array]) -> list[Mask]:
    """The units of each stream that weights lead from; `weights` are all prunable weights."""
    sizes = {name: np.abs(values) for name, values in weights.items()}
    return [score > 0 for score in scores(streams, sizes, squared=False)]


def above(found: Sequence[Floats], threshold: float) -> list[Mask]:
    """The units with scores of at least a threshold; a score of zero never survives."""
    return [(score >= threshold) & (score > 0) for score in found]


def densest(
    streams: Sequence[Stream],
    found: Sequence[Floats],
    weights: Mapping[str, Array],
    density: float,
) -> list[Mask]:
    """The most units of the highest scores whose weights are at most a share of all.

    The best unit of each stream is kept in any case, because without it a layer would be dead.

    Args:
        streams: of units.
        found: their scores.
        weights: all prunable weights.
        density: 0..1.

    Returns:
        Which units are kept, by stream.
    """
    best = np.concatenate([np.arange(len(score)) == score.argmax() for score in found])
    order = np.lexsort((-np.concatenate(found), ~best))
    limit = round(density * sum(w.size for w in weights.values()))

    def kept(count: int) -> list[Mask]:
        chosen = np.zeros(len(order), dtype=bool)
        chosen[order[:count]] = True
        return np.split(chosen, np.cumsum([len(score) for score in found])[:-1])

    low, high = len(found), len(order)
    while low < high:  # the more units are kept, the more weights are left
        middle = (low + high + 1) // 2
        left = masks(streams, kept(middle), weights)
        if sum(int(m.sum()) for m in left.values()) <= limit:
            low = middle
        else:
            high = middle - 1
    return kept(low)


def at_random(
    streams: Sequence[Stream],
    counts: Sequence[int],
    weights: Mapping[str, Array],
    draw: Any,
) -> list[Mask]:
    """As many units of each stream, drawn from those with weights with equal probability.

    Args:
        streams: of units.
        counts: the number of units to keep in each.
        weights: all prunable weights.
        draw: gives the generator of a stream's number.
    """
    found = []
    for number, (alive, count) in enumerate(zip(living(streams, weights), counts, strict=True)):
        there = np.flatnonzero(alive)
        chosen = np.zeros(len(alive), dtype=bool)
        chosen[draw(number).choice(there, min(count, len(there)), replace=False)] = True
        found.append(chosen)
    return found
