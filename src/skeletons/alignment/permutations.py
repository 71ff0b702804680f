"""The units of a network that can be permuted without changing the network's function.

The order of the units in a hidden layer is arbitrary: if its channels and the inputs of all layers
that read them are permuted, the function stays the same. A *group* is a set of units that are
permuted together. A specification lists where each group lies in a network's tensors. It is read
from a file that `networks.symmetries` writes, so this module does not need the network itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.errors import ArtifactError
from skeletons.store import artifacts

Array = artifacts.Array
Indices = npt.NDArray[np.int64]
Shapes = Mapping[str, tuple[int, ...]]
Permutations = Mapping[str, Indices]  # by group: unit i is the former unit p[i]


@dataclass(frozen=True)
class Part:
    """Where a group of G units lies along one axis of a tensor.

    Attributes:
        tensor: its name.
        axis: of the tensor.
        places: G×B; unit i has the B indices places[i]. B is 1, except for a linear layer after a
            flatten, where each channel has a block of inputs.
    """

    tensor: str
    axis: int
    places: Indices


@dataclass(frozen=True)
class Specification:
    """All groups of a network, in the order in which its input reaches them.

    Attributes:
        shapes: of the network's tensors, by name.
        parts: by group, all its parts.
        blocks: the number of equal blocks that a group's units fall into, one after the other; 1 if
            it is not given. Units are exchanged within a block, and blocks as wholes.
        heads: for a group whose blocks only change places together with those of another group, the
            name of that group; such as the values of attention, and its queries and keys.
        factors: by the name of a tensor, the factor that it is multiplied by when its layer runs; 1
            if it is not given.
    """

    shapes: Shapes
    parts: Mapping[str, tuple[Part, ...]]
    blocks: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each group."""
        return {group: len(parts[0].places) for group, parts in self.parts.items()}

    @property
    def bundles(self) -> list[tuple[str, ...]]:
        """The groups by those whose blocks change places together, in the order of the groups."""
        first = {group: self.heads.get(group, group) for group in self.parts}
        names = (name for name in self.parts if first[name] == name)
        return [tuple(g for g in self.parts if first[g] == name) for name in names]

    def lies_twice(self, group: str) -> bool:
        """Whether a group lies along two axes of one tensor.

        Otherwise, the inner product with another network is linear in the group's permutation.
        """
        used = [part.tensor for part in self.parts[group]]
        return len(set(used)) < len(used)

    @property
    def tensors(self) -> list[str]:
        """The names of all tensors that contain a group, sorted."""
        return sorted({part.tensor for parts in self.parts.values() for part in parts})


def identity(spec: Specification) -> dict[str, Indices]:
    """The permutations that change nothing."""
    return {group: np.arange(size) for group, size in spec.sizes.items()}


def order(spec: Specification, permutations: Permutations, tensor: str, axis: int = 0) -> Indices:
    """The order of the indices of one axis of a tensor after permutations.

    The permuted tensor is `tensor.take(order, axis)`. For the weight of a layer and axis 0, `order`
    is the order of the layer's units.
    """
    indices = np.arange(spec.shapes[tensor][axis])
    for group, permutation in permutations.items():
        for part in spec.parts[group]:
            if part.tensor == tensor and part.axis == axis:
                indices[part.places] = part.places[permutation]
    return indices


def block_order(spec: Specification, group: str, permutation: Indices) -> Indices:
    """The order of a group's blocks after a permutation of its units.

    Raises:
        ValueError: the permutation tears a block apart.
    """
    count = spec.blocks.get(group, 1)
    former = permutation.reshape(count, -1) // (len(permutation) // count)
    if (former != former[:, :1]).any():
        raise ValueError(f"the units of {group!r} do not stay in their blocks")
    order: Indices = former[:, 0]
    return order


def apply(
    tensors: Mapping[str, Array], spec: Specification, permutations: Permutations
) -> dict[str, Array]:
    """A network's tensors with its units permuted; the network's function stays the same.

    Args:
        tensors: by name; those without a group are returned unchanged.
        spec: of the network.
        permutations: by group; a group that is left out does not change.

    Raises:
        ValueError: a name is not a group of `spec`, or a value is not a permutation of its units.
    """
    for group, permutation in permutations.items():
        size = spec.sizes.get(group, 0)
        if not np.array_equal(np.sort(permutation), np.arange(size)) or not size:
            raise ValueError(
                f"{group!r} is not a group of {len(permutation)} units of this network"
            )
        partner = spec.heads.get(group, group)
        blocks = block_order(spec, group, permutation)
        others = block_order(spec, partner, permutations.get(partner, permutation))
        if not np.array_equal(blocks, others):
            raise ValueError(f"{group!r} and {partner!r} have their blocks in different orders")
    permuted = dict(tensors)
    axes = {(part.tensor, part.axis) for group in permutations for part in spec.parts[group]}
    for tensor, axis in sorted(axes):
        permuted[tensor] = permuted[tensor].take(order(spec, permutations, tensor, axis), axis)
    return permuted


# --- from what networks.symmetries found ---------------------------------------------------------


def specification(symmetries: Mapping[str, Any], tensors: Mapping[str, Array]) -> Specification:
    """The specification of a network.

    Args:
        symmetries: the content of symmetries.json, as from `networks.symmetries.find`.
        tensors: a model's tensors by name; only their shapes are used.

    Raises:
        ValueError: the tensors are not of this network.
    """
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    groups = symmetries["groups"]
    parts = {
        group["name"]: tuple(
            Part(part["tensor"], part["axis"], _places(part["places"])) for part in group["parts"]
        )
        for group in groups
    }
    for name, axis, places in ((p.tensor, p.axis, p.places) for ps in parts.values() for p in ps):
        shape = shapes.get(name, ())
        if len(shape) <= axis or places.max() >= shape[axis]:
            raise ValueError(f"these are not the tensors of the network: they differ at {name!r}")
    return Specification(
        shapes,
        parts,
        {group["name"]: group["blocks"] for group in groups},
        {group["name"]: group["heads"] for group in groups if group["heads"] is not None},
        symmetries.get("factors", {}),
    )


def of_activations(
    symmetries: Mapping[str, Any], activations: Mapping[str, Array]
) -> Specification:
    """The specification by which the activations of two networks are matched like weights.

    Args:
        symmetries: the content of symmetries.json.
        activations: by group, one row per unit, as from `prediction.units.activations`.

    Raises:
        ValueError: the activations are not of this network.
    """
    groups = {group["name"]: group for group in symmetries["groups"]}
    if set(groups) != set(activations):
        raise ValueError("these are not the activations of the units of the network")
    return Specification(
        {name: rows.shape for name, rows in activations.items()},
        {name: (Part(name, 0, np.arange(len(activations[name]))[:, None]),) for name in groups},
        {name: group["blocks"] for name, group in groups.items()},
        {name: group["heads"] for name, group in groups.items() if group["heads"] is not None},
    )


def _places(encoded: Mapping[str, Any]) -> Indices:
    """The indices of each unit, from runs of [first, count, step], see `networks.symmetries`."""

    def listed(runs: Sequence[Sequence[int]]) -> Indices:
        parts = [first + step * np.arange(count) for first, count, step in runs]
        return np.concatenate(parts).astype(np.int64)

    units = listed(encoded["units"])
    if "each" in encoded:
        return units.reshape(-1, encoded["each"])
    return units[:, None] + listed(encoded["within"])


# --- files ----------------------------------------------------------------------------------------


def folder_of(by: str, order: str) -> str:
    """The folder of the permutations of pairs, within `alignment`; "" or ends with a slash.

    Args:
        by: `weights` or `activations`.
        order: `pairs` or `all`, see `config.alignment`.
    """
    if order == "all":
        return f"together/{by}/"
    return "" if by == "weights" else f"{by}/"


def read_specification(symmetries: str, tensors: Mapping[str, Array]) -> Specification:
    """The specification of a network from its symmetries.json; see `specification`.

    Raises:
        ArtifactError: the file is missing or broken.
        ValueError: the tensors are not of this network.
    """
    return specification(artifacts.read_json(symmetries, ["groups"]), tensors)


def read_aligned(weights: str, symmetries: str | None, matched: str | None) -> dict[str, Array]:
    """A model's tensors, with its units permuted by a file from `align_stage`.

    Args:
        weights: its weights.safetensors.
        symmetries: the symmetries.json of its network.
        matched: the file of permutations; None to leave the units in their order.

    Raises:
        ArtifactError: a file is missing or broken, or they do not fit together.
    """
    tensors = artifacts.read_tensors(weights)
    if matched is None or symmetries is None:
        return tensors
    try:
        spec = read_specification(symmetries, tensors)
        return apply(tensors, spec, artifacts.read_tensors(matched))
    except ValueError as error:
        raise ArtifactError(
            f"{matched} does not align {weights}: {error}; delete it and run snakemake again."
        ) from None
