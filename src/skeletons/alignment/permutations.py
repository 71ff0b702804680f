"""The units of a network that can be permuted without changing the network's function.

The order of the units in a hidden layer is arbitrary: if its channels and the inputs of all layers
that read them are permuted, the function stays the same. A *group* is a set of units that are
permuted together. A specification lists where each group lies in a network's tensors. It is made
from names and shapes alone, so this module does not need the network itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from skeletons.errors import ArtifactError, ConfigError
from skeletons.store import artifacts

Array = artifacts.Array
Indices = npt.NDArray[np.int64]
Shapes = Mapping[str, tuple[int, ...]]
Permutations = Mapping[str, Indices]  # by group: unit i is the former unit p[i]
Layout = Mapping[str, Indices]  # how groups share an axis: `places` (see `Part`) by group


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
        parts: by group, all its parts. No group lies on two axes of one tensor, so the inner
            product with another network is linear in the permutation of one group.
    """

    shapes: Shapes
    parts: Mapping[str, tuple[Part, ...]]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each group."""
        return {group: len(parts[0].places) for group, parts in self.parts.items()}

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
    permuted = dict(tensors)
    axes = {(part.tensor, part.axis) for group in permutations for part in spec.parts[group]}
    for tensor, axis in sorted(axes):
        permuted[tensor] = permuted[tensor].take(order(spec, permutations, tensor, axis), axis)
    return permuted


# --- specifications from names and shapes -------------------------------------------------------

NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass
class _Draft:
    """A specification under construction."""

    shapes: Shapes
    parts: dict[str, list[Part]] = field(default_factory=dict)

    def units(self, layer: str) -> int:
        return self.shapes[f"{layer}.weight"][0]

    def written(self, layer: str, layout: Layout, norm: str | None = None) -> None:
        """Add the outputs of a layer, and of the batch norm after it, which lie as in `layout`."""
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in self.shapes:
                self._add(name, 0, layout)
        if norm is not None:
            for quantity in NORM:
                self._add(f"{norm}.{quantity}", 0, layout)

    def read(self, layer: str, layout: Layout) -> None:
        """Add the inputs of a layer, which lie as in `layout`; after a flatten in blocks."""
        name = f"{layer}.weight"
        units = sum(len(places) for places in layout.values())
        block = self.shapes[name][1] // units
        inner = np.arange(block)
        self._add(name, 1, {g: places * block + inner for g, places in layout.items()})

    def _add(self, tensor: str, axis: int, layout: Layout) -> None:
        for group, places in layout.items():
            self.parts.setdefault(group, []).append(Part(tensor, axis, places))

    def chain(self, layers: Mapping[str, str | None], source: Layout) -> Layout:
        """Add a chain of layers, in which each layer reads the one before it.

        Args:
            layers: the name of each layer's batch norm, if it has one; each layer is a new group.
            source: the layout of the inputs of the first layer; empty if they have a fixed order,
                such as colours.

        Returns:
            The layout of the outputs of the last layer.
        """
        for layer, norm in layers.items():
            if source:
                self.read(layer, source)
            source = _own(layer, self.units(layer))
            self.written(layer, source, norm)
        return source

    def finished(self) -> Specification:
        return Specification(self.shapes, {group: tuple(p) for group, p in self.parts.items()})


def _own(group: str, units: int) -> Layout:
    return {group: np.arange(units)[:, None]}


def _cnn(shapes: Shapes) -> Specification:
    draft = _Draft(shapes)
    hidden = (0, 2, 5, 7, 11, 13)  # 11 reads 64 inputs per channel after the flatten
    last = draft.chain({f"body.{k}": None for k in hidden}, {})
    draft.read("body.15", last)
    return draft.finished()


def _resnet9(shapes: Shapes) -> Specification:
    draft = _Draft(shapes)

    def chain(names: tuple[str, ...], source: Layout) -> Layout:
        return draft.chain({f"body.{n}.0": f"body.{n}.1" for n in names}, source)

    def residual(name: str, stream: Layout) -> None:
        """Add a residual block, whose outputs have the layout of the stream."""
        inner = chain((f"{name}.body.0",), stream)
        draft.read(f"body.{name}.body.1.0", inner)
        draft.written(f"body.{name}.body.1.0", stream, f"body.{name}.body.1.1")

    stream = chain(("0", "1"), {})
    residual("2", stream)
    stream = chain(("3", "4"), stream)
    residual("5", stream)
    draft.read("body.8", stream)
    return draft.finished()


def _widened(stream: Layout, units: int, group: str) -> Layout:
    """The layout of a stream after a shortcut that pads it with zero channels, to `units` in all.

    The channels of the narrower stream keep their order, because nothing in between could permute
    them. The padding channels, on both sides, are all zero there, so they can be permuted with each
    other, but not with the channels of the narrower stream.
    """
    extra = units - sum(len(places) for places in stream.values())
    before = extra // 2
    through = {name: places + before for name, places in stream.items()}
    padding = [*range(before), *range(units - (extra - before), units)]
    return {**through, group: np.array(padding, dtype=np.int64)[:, None]}


def _resnet20(shapes: Shapes) -> Specification:
    draft = _Draft(shapes)
    stream = draft.chain({"body.0": "body.1"}, {})
    for block in (f"body.{k}" for k in range(3, 12)):
        inner = draft.chain({f"{block}.conv1": f"{block}.norm1"}, stream)
        units = draft.units(f"{block}.conv2")
        if units > sum(len(places) for places in stream.values()):
            stream = _widened(stream, units, f"{block}.padding")
        draft.read(f"{block}.conv2", inner)
        draft.written(f"{block}.conv2", stream, f"{block}.norm2")
    draft.read("body.13", stream)
    return draft.finished()


def _speednet(shapes: Shapes) -> Specification:
    draft = _Draft(shapes)
    layers: dict[str, str | None] = {}
    for k in (1, 2, 3):
        layers[f"body.groups.{k}.0"] = f"body.groups.{k}.2"
        layers[f"body.groups.{k}.4"] = f"body.groups.{k}.5"
    # The whitening filters are fixed and the same in all models, so their outputs keep their order.
    draft.read("body.head", draft.chain(layers, {}))
    return draft.finished()


PERMUTATIONS: Mapping[str, Callable[[Shapes], Specification]] = {
    "cnn": _cnn,
    "resnet9": _resnet9,
    "resnet20": _resnet20,
    "speednet": _speednet,
}


def specification(network: str, tensors: Mapping[str, Array]) -> Specification:
    """The specification of a network of any width, from its tensors.

    Args:
        network: a key of `architectures.REGISTRY`.
        tensors: a model's tensors by name; only their shapes are used.

    Raises:
        ConfigError: it is not known which units of this network can be permuted.
        ValueError: the tensors are not of this network.
    """
    if network not in PERMUTATIONS:
        raise ConfigError(
            f"network.name: found {network!r}, whose units cannot be aligned, because PERMUTATIONS "
            f"in permutations.py has no entry for it; allowed: {', '.join(PERMUTATIONS)}."
        )
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    try:
        return PERMUTATIONS[network](shapes)
    except KeyError as error:
        raise ValueError(f"these are not the tensors of {network}: {error} is missing") from None


# --- files ----------------------------------------------------------------------------------------


def read_aligned(weights: str, network: str, matched: str | None) -> dict[str, Array]:
    """A model's tensors, with its units permuted by a file from `align_stage`.

    Args:
        weights: its weights.safetensors.
        network: a key of `architectures.REGISTRY`.
        matched: the file of permutations; None to leave the units in their order.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not fit together.
    """
    tensors = artifacts.read_tensors(weights)
    if matched is None:
        return tensors
    try:
        spec = specification(network, tensors)
        return apply(tensors, spec, artifacts.read_tensors(matched))
    except ValueError as error:
        raise ArtifactError(
            f"{matched} does not align {weights}: {error}; delete it and run snakemake again."
        ) from None
