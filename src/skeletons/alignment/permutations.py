"""Which units of a network may change places without changing what it computes.

The units of a hidden layer have no order of their own: permute its channels, and the inputs of
whatever reads them, and the function stays the same. A *group* is a set of units that change
places together; a specification says where each group lies in a network's tensors. It is made
from names and shapes alone, so nothing here needs the network itself.
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
Permutations = Mapping[str, Indices]  # by group: unit i comes from the place of unit p[i]
Layout = Mapping[str, Indices]  # how groups share an axis: by group, `places` as in `Part`


@dataclass(frozen=True)
class Part:
    """Where a group of G units lies along one axis of a tensor.

    Attributes:
        tensor: its name.
        axis: of the tensor.
        places: G×B; unit i owns the B indices places[i]. B is 1, but for a linear layer after a
            flatten, where a channel owns a block of inputs.
    """

    tensor: str
    axis: int
    places: Indices


@dataclass(frozen=True)
class Specification:
    """All groups of a network, in the order in which its input reaches them.

    Attributes:
        shapes: of the network's tensors, by name.
        parts: by group, everywhere it lies. No group lies on two axes of one tensor, so a change
            of one group alone changes the inner product with another network linearly.
    """

    shapes: Shapes
    parts: Mapping[str, tuple[Part, ...]]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of units of each group."""
        return {group: len(parts[0].places) for group, parts in self.parts.items()}

    @property
    def tensors(self) -> list[str]:
        """The names of all tensors that a group lies in, sorted."""
        return sorted({part.tensor for parts in self.parts.values() for part in parts})


def identity(spec: Specification) -> dict[str, Indices]:
    """The permutations that leave everything in its place."""
    return {group: np.arange(size) for group, size in spec.sizes.items()}


def random_permutations(spec: Specification, seed: int) -> dict[str, Indices]:
    """Permutations of all groups, drawn evenly from all that there are."""
    draw = np.random.default_rng(seed)
    return {group: draw.permutation(size) for group, size in spec.sizes.items()}


def inverse(permutations: Permutations) -> dict[str, Indices]:
    """The permutations that undo others."""
    return {group: np.argsort(p) for group, p in permutations.items()}


def order(spec: Specification, permutations: Permutations, tensor: str, axis: int = 0) -> Indices:
    """The order in which permutations put the indices of one axis of a tensor.

    The permuted tensor is `tensor.take(order, axis)`; of a layer's weight and axis 0, that is which
    unit of the layer stands where.
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
    """A network's tensors with its units permuted; the network computes what it did before.

    Args:
        tensors: by name; those that no group lies in are handed through.
        spec: of the network.
        permutations: by group; a group that is left out stays as it is.

    Raises:
        ValueError: a permutation is of no group of `spec`, or is no permutation of its units.
    """
    for group, permutation in permutations.items():
        size = spec.sizes.get(group, 0)
        if not np.array_equal(np.sort(permutation), np.arange(size)) or not size:
            raise ValueError(f"{group!r} is no group of {len(permutation)} units of this network")
    permuted = dict(tensors)
    axes = {(part.tensor, part.axis) for group in permutations for part in spec.parts[group]}
    for tensor, axis in sorted(axes):
        permuted[tensor] = permuted[tensor].take(order(spec, permutations, tensor, axis), axis)
    return permuted


# --- how a network's groups are told from its tensors -------------------------------------------

NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass
class _Draft:
    """A specification in the making."""

    shapes: Shapes
    parts: dict[str, list[Part]] = field(default_factory=dict)

    def units(self, layer: str) -> int:
        return self.shapes[f"{layer}.weight"][0]

    def written(self, layer: str, layout: Layout, norm: str | None = None) -> None:
        """The outputs of a layer, and of the batch norm behind it, lie as in `layout`."""
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in self.shapes:
                self._add(name, 0, layout)
        if norm is not None:
            for quantity in NORM:
                self._add(f"{norm}.{quantity}", 0, layout)

    def read(self, layer: str, layout: Layout) -> None:
        """The inputs of a layer lie as in `layout`, each unit owning a block after a flatten."""
        name = f"{layer}.weight"
        units = sum(len(places) for places in layout.values())
        block = self.shapes[name][1] // units
        inner = np.arange(block)
        self._add(name, 1, {g: places * block + inner for g, places in layout.items()})

    def _add(self, tensor: str, axis: int, layout: Layout) -> None:
        for group, places in layout.items():
            self.parts.setdefault(group, []).append(Part(tensor, axis, places))

    def chain(self, layers: Mapping[str, str | None], source: Layout) -> Layout:
        """Layers, each with the name of its norm if it has one, that read one another in turn.

        Args:
            layers: each makes a group of its own.
            source: what the first reads; empty if that is fixed, as colours are.

        Returns:
            How the last one's outputs lie.
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
    hidden = (0, 2, 5, 7, 11, 13)  # 11 reads 64 inputs of each channel, as flattened
    last = draft.chain({f"body.{k}": None for k in hidden}, {})
    draft.read("body.15", last)
    return draft.finished()


def _resnet9(shapes: Shapes) -> Specification:
    draft = _Draft(shapes)

    def chain(names: tuple[str, ...], source: Layout) -> Layout:
        return draft.chain({f"body.{n}.0": f"body.{n}.1" for n in names}, source)

    def residual(name: str, stream: Layout) -> None:
        """What a block adds to the stream lies as the stream does."""
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
    """A stream after a shortcut that pads it with zero channels on both sides, to `units` in all.

    What comes through stays in order of the narrower stream, as nothing lies between that could
    sort it anew. The padding channels are all zero there, so they may change places with one
    another; with those that come through they may not. That is all the freedom there is.
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
    # The whitening filters are fixed and the same in all models: their outputs keep their order.
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
        network: a key of `networks.REGISTRY`.
        tensors: a model's tensors by name; only their shapes are used.

    Raises:
        ConfigError: nobody has said which units of this network may change places.
        ValueError: the tensors are not of this network.
    """
    if network not in PERMUTATIONS:
        raise ConfigError(
            f"network.name: found {network!r}, whose units cannot be aligned, as PERMUTATIONS in "
            f"permutations.py has no entry for it; allowed: {', '.join(PERMUTATIONS)}."
        )
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    try:
        return PERMUTATIONS[network](shapes)
    except KeyError as error:
        raise ValueError(f"these are not the tensors of {network}: {error} is not there") from None


# --- files ----------------------------------------------------------------------------------------


def read_aligned(weights: str, network: str, matched: str | None) -> dict[str, Array]:
    """A model's tensors, its units permuted as a file of `alignment.align_stage` says.

    Args:
        weights: its weights.safetensors.
        network: a key of `networks.REGISTRY`.
        matched: the file of permutations; None for the units as they are.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not go together.
    """
    tensors = artifacts.read_tensors(weights)
    if matched is None:
        return tensors
    try:
        spec = specification(network, tensors)
        return apply(tensors, spec, artifacts.read_tensors(matched))
    except ValueError as error:
        raise ArtifactError(
            f"{matched} does not align {weights}: {error}; "
            "delete it and run snakemake again, which makes it anew."
        ) from None
