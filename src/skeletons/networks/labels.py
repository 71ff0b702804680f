"""Which unit each value of a network belongs to, and which units must be the same one.

A unit goes by a number. A value without a unit, such as a position or a constant, has number 0.
Each index of each axis of a network's tensors begins as a unit of its own. Where the network
combines values, their units become one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Labels = npt.NDArray[np.int64]  # of the values of a tensor, in its shape
Axis = tuple[str, int]  # the name of a tensor and the number of one of its axes


class Units:
    """All units of a network, and which of them are the same.

    Attributes:
        first: the number of the first unit of each axis.
        sizes: the length of each axis.
        kept: the numbers of units that cannot change places.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Begin with each index of each axis as a unit of its own."""
        self.first: dict[Axis, int] = {}
        self.sizes: dict[Axis, int] = {}
        self.kept: set[int] = set()
        self._count = 1
        for name, shape in shapes.items():
            for axis, size in enumerate(shape):
                self.first[name, axis], self.sizes[name, axis] = self._count, size
                self._count += size
        self._roots = np.arange(self._count)
        self._new: list[npt.NDArray[np.int64]] = []  # pairs that `_roots` does not know yet

    def more(self, count: int) -> Labels:
        """Numbers for further units, of which no tensor has an index."""
        new = np.arange(self._count, self._count + count)
        self._count += count
        self._roots = np.concatenate([self._roots, new])
        return new

    def of(self, axis: Axis) -> Labels:
        """The numbers of the units of an axis."""
        return np.arange(self.first[axis], self.first[axis] + self.sizes[axis])

    def roots(self, labels: Labels) -> Labels:
        """One number for all units that are the same."""
        if self._new:
            known = np.stack([np.arange(self._count), self._roots], axis=1)
            pairs = np.concatenate([known, *self._new])
            graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(self._count, self._count))
            components = connected_components(graph, directed=False)[1]
            smallest = np.full(components.max() + 1, self._count)
            np.minimum.at(smallest, components, np.arange(self._count))
            self._roots, self._new = smallest[components], []
        found: Labels = self._roots[labels]
        return found

    def join(self, one: Labels, other: Labels) -> None:
        """Let the units of two arrays of one shape be the same; number 0 joins nothing."""
        one, other = (array.ravel() for array in np.broadcast_arrays(one, other))
        differ = (one != other) & (one != 0) & (other != 0)
        codes = np.unique(one[differ] * self._count + other[differ])
        if len(codes):
            self._new.append(np.stack([codes // self._count, codes % self._count], axis=1))

    def keep(self, labels: Labels) -> None:
        """Let units keep their places."""
        self.kept |= {int(label) for label in np.unique(labels) if label}

    @property
    def count(self) -> int:
        """The number of units, with number 0."""
        return self._count


@dataclass(frozen=True)
class Blocks:
    """Units that may change places only within blocks, or blocks only as wholes.

    Attributes:
        blocks: of units. Each has as many parts, and units are exchanged within a part: a block of
            attention has those of queries and keys, and those of values.
        exchanged: whether two blocks may change places.
    """

    blocks: tuple[tuple[Labels, ...], ...]
    exchanged: bool = True


def varies(labels: Labels, axis: int) -> bool:
    """Whether the unit depends on the index of an axis."""
    return bool((labels != labels.take([0], axis)).any())


def columns(labels: Labels, *axes: int) -> Labels:
    """The values of an array by the index of some axes, and all others as the last axis."""
    others = [axis for axis in range(labels.ndim) if axis not in axes]
    moved = labels.transpose(*axes, *others)
    return moved.reshape(*moved.shape[: len(axes)], -1)


def one_each(rows: Labels) -> Labels:
    """The largest number of each row: its unit, if all units of a row are the same or 0."""
    found: Labels = rows.max(axis=-1, initial=0)
    return found


def broadcast(labels: Labels, shape: tuple[int, ...], *axes: int) -> Labels:
    """Labels by the index of some axes, in ascending order, as an array of a shape."""
    sizes = [shape[axis] if axis in axes else 1 for axis in range(len(shape))]
    return np.broadcast_to(labels.reshape(sizes), shape)


def side_by_side(parts: Sequence[Labels], axis: int) -> bool:
    """Whether units lie along another axis than that along which values are put together."""
    return not any(varies(p, axis) for p in parts) and any(
        varies(p, k) for p in parts for k in range(p.ndim) if k != axis
    )
