"""How channels flow through a network: which layers write a channel, and which read it.

The network is traced (torch.fx), so a new architecture needs no description. Channels that are
added to each other, as in a residual connection, form one stream: unit k of one writer is unit k of
all its writers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import fx, nn

from skeletons.errors import WiringError
from skeletons.networks.describe import IMAGE_SHAPE
from skeletons.networks.offsets import Offset

Mask = npt.NDArray[np.bool_]

LAYERS = (nn.Conv2d, nn.Linear, Offset)

# Operations that do not mix channels. Those of `SETTLES` belong to the layer that feeds them.
SETTLES_MODULES = (nn.BatchNorm2d, nn.ReLU, nn.GELU, nn.MaxPool2d)
SETTLES_FUNCTIONS = (F.relu, F.gelu, F.max_pool2d)
KEEPS_MODULES = (*SETTLES_MODULES, nn.Flatten)
KEEPS_FUNCTIONS = SETTLES_FUNCTIONS
KEEPS_METHODS = ("mean", "flatten")


@dataclass(eq=False)  # compared by identity
class Stream:
    """Channels that are the same units for all layers named here.

    Attributes:
        size: number of channels.
        writers: layers whose outputs are these channels, or are added to them.
        readers: layers whose inputs are these channels.
        norms: batch norms that the channels pass.
        whole: whether no channel can be removed, because a channel's number has a meaning: images,
            logits, and streams that are padded with further channels.
        padded: narrower streams that continue in this one, each with the number of its first
            channel.
    """

    size: int
    writers: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    whole: bool = False
    padded: list[tuple[Stream, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Wiring:
    """A traced network.

    Attributes:
        graph: its operations in order.
        modules: its leaf modules by name.
        streams: of channels; each once.
        of: the stream of each operation's output.
    """

    graph: fx.Graph
    modules: Mapping[str, nn.Module]
    streams: Sequence[Stream]
    of: Mapping[fx.Node, Stream]

    def node(self, layer: str) -> fx.Node:
        """The operation that runs a layer."""
        return next(n for n in self.graph.nodes if n.op == "call_module" and n.target == layer)

    def logits(self) -> fx.Node:
        """The operation whose output is the network's output."""
        return next(n for n in self.graph.nodes if n.op == "output").all_input_nodes[0]

    def written(self, layer: str) -> Stream:
        """The stream that a layer writes."""
        return self.of[self.node(layer)]

    def read(self, layer: str) -> Stream | None:
        """The stream that a layer reads; None if it has no input."""
        return next((s for s in self.streams if layer in s.readers), None)

    def layers(self) -> list[str]:
        """The layers with weights, in the order in which they run."""
        nodes = [n for n in self.graph.nodes if n.op == "call_module"]
        return [n.target for n in nodes if isinstance(self.modules[n.target], LAYERS)]

    def settled(self, layer: str) -> fx.Node:
        """The operation after which other layers read a layer's units, past norm and pooling."""
        node = self.node(layer)
        while len(node.users) == 1 and self._settles(user := next(iter(node.users))):
            node = user
        return node

    def _settles(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], SETTLES_MODULES)
        return node.op == "call_function" and node.target in SETTLES_FUNCTIONS


class _Tracer(fx.Tracer):
    """Keeps layers with weights and norms whole, including those that a network itself defines."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf = nn.Conv2d | nn.Linear | nn.BatchNorm2d | Offset
        return isinstance(m, leaf) or super().is_leaf_module(m, module_qualified_name)


def trace(body: nn.Module) -> Wiring:
    """Trace a network's body, whose input is standardised images.

    Raises:
        WiringError: the network has an operation whose channels cannot be followed.
    """
    graph = _Tracer().trace(body)
    names = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    modules = {name: body.get_submodule(name) for name in sorted(names)}
    flow = _Flow(modules)
    for node in graph.nodes:
        flow.follow(node)
    return Wiring(graph, modules, list(dict.fromkeys(flow.of.values())), flow.of)


class _Flow:
    """Follows channels from operation to operation, and keeps the stream of each output so far."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules = modules
        self.of: dict[fx.Node, Stream] = {}

    def follow(self, node: fx.Node) -> None:
        step: Callable[[fx.Node], Stream | None] = getattr(self, f"_{node.op}", self._unknown)
        stream = step(node)
        if stream is not None:
            self.of[node] = stream

    def _placeholder(self, _: fx.Node) -> Stream:
        return Stream(IMAGE_SHAPE[0], whole=True)

    def _output(self, node: fx.Node) -> None:
        self._input(node).whole = True

    def _call_module(self, node: fx.Node) -> Stream:
        name = str(node.target)
        module = self.modules[name]
        if isinstance(module, Offset):
            return Stream(module.values.shape[0], writers=[name])
        stream = self._input(node)
        if isinstance(module, nn.Conv2d | nn.Linear):
            if isinstance(module, nn.Conv2d) and module.groups != 1:
                return self._unknown(node)
            stream.readers.append(name)
            return Stream(module.weight.shape[0], writers=[name])
        if isinstance(module, nn.BatchNorm2d):
            stream.norms.append(name)
        return stream if isinstance(module, KEEPS_MODULES) else self._unknown(node)

    def _call_method(self, node: fx.Node) -> Stream:
        return self._input(node) if node.target in KEEPS_METHODS else self._unknown(node)

    def _call_function(self, node: fx.Node) -> Stream | None:
        streams = [self.of[n] for n in node.all_input_nodes if n in self.of]
        if node.target is getattr or not streams:
            return None  # a shape, or a number computed from a shape
        if node.target in KEEPS_FUNCTIONS:
            return streams[0]
        if node.target in (operator.truediv, operator.mul) and len(streams) == 1:
            return streams[0]
        if node.target is operator.getitem and _all_channels(node.args[1]):
            return streams[0]
        if node.target is operator.add and len(streams) == 2:
            return self._join(*streams)
        if node.target is F.pad:
            return self._pad(streams[0], node.args[1])
        return self._unknown(node)

    def _pad(self, stream: Stream, widths: Any) -> Stream:
        further = sum(widths[4:6])
        if not further:
            return stream
        stream.whole = True
        return Stream(stream.size + further, whole=True, padded=[(stream, widths[4])])

    def _join(self, one: Stream, other: Stream) -> Stream:
        if one is other:
            return one
        for names in ("writers", "readers", "norms", "padded"):
            getattr(one, names).extend(getattr(other, names))
        one.whole |= other.whole
        for stream in self.of.values():
            stream.padded = [(one if s is other else s, first) for s, first in stream.padded]
        self.of = {node: one if stream is other else stream for node, stream in self.of.items()}
        return one

    def _input(self, node: fx.Node) -> Stream:
        return self.of[node.all_input_nodes[0]]

    def _unknown(self, node: fx.Node) -> Stream:
        what = self.modules[str(node.target)] if node.op == "call_module" else node.target
        raise WiringError(
            f"The network has an unsupported operation, {what} at {node.name}: its channels cannot "
            "be followed (add it in src/skeletons/networks/channels.py)."
        )


def _all_channels(index: Any) -> bool:
    return isinstance(index, tuple) and index[1] == slice(None)


def changing(wiring: Wiring, weights: Mapping[str, Mask]) -> dict[Stream, Mask]:
    """Find the units that can differ between images: those that a weight connects to such a unit.

    Args:
        wiring: of the network.
        weights: which weights are not zero, see `nonzero`.

    Returns:
        For each stream, a mask of its size.
    """
    found = {stream: np.zeros(stream.size, dtype=bool) for stream in wiring.streams}
    for stream in found:
        if not stream.writers and not stream.padded:
            found[stream][:] = True  # the images
    while True:
        before = sum(int(units.sum()) for units in found.values())
        for stream, units in found.items():
            for layer in stream.writers:
                units |= driven(wiring, weights, found, layer)
            for narrow, first in stream.padded:
                units[first : first + narrow.size] |= found[narrow]
        if sum(int(units.sum()) for units in found.values()) == before:
            return found


def driven(
    wiring: Wiring, weights: Mapping[str, Mask], found: Mapping[Stream, Mask], layer: str
) -> Mask:
    """Find the units of a layer that a weight connects to one of the units in `found`."""
    source = wiring.read(layer)
    if source is None:
        return np.zeros(wiring.written(layer).size, dtype=bool)
    return np.asarray(weights[layer][:, found[source]].any(axis=1))


def live(wiring: Wiring, weights: Mapping[str, Mask]) -> dict[Stream, Mask]:
    """Find the units that can neither be replaced by a constant nor be left out.

    A unit is dead if its value is the same for every image, because all its incoming weights are
    zero or come from such units, or if no weight connects it to a live unit. A dead unit can make
    others dead, so the search continues until it finds no more. A unit of a residual stream is dead
    only if it is dead for all layers of the stream, and units of a `whole` stream are never dead.

    Args:
        wiring: of the network.
        weights: which weights are not zero, see `nonzero`.

    Returns:
        For each stream, a mask of its size, True for a live unit.
    """
    found = {stream: units | stream.whole for stream, units in changing(wiring, weights).items()}
    while True:
        before = sum(int(units.sum()) for units in found.values())
        for stream, units in found.items():
            if not stream.whole:
                used = [weights[r][found[wiring.written(r)]].any(axis=0) for r in stream.readers]
                units &= np.any(used, axis=0)
        if sum(int(units.sum()) for units in found.values()) == before:
            return found


def dead(wiring: Wiring, weights: Mapping[str, Mask], layer: str) -> Mask:
    """Find a layer's dead units: those that are constant, or whose channel is not live.

    On a residual stream, a layer's unit can be dead while other layers keep its channel alive.
    """
    alive = driven(wiring, weights, changing(wiring, weights), layer)
    return np.asarray(~(alive & live(wiring, weights)[wiring.written(layer)]))


def nonzero(wiring: Wiring, weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, Mask]:
    """Find the weights that are not zero, by layer, as outputs×channels of its input stream.

    After a flattening, a channel is a block of a linear layer's inputs.

    Args:
        wiring: of the network.
        weights: by layer, in any shape that begins with its outputs.
    """
    found = {}
    for layer in wiring.layers():
        source = wiring.read(layer)
        if source is not None:
            blocks = weights[layer].reshape(len(weights[layer]), source.size, -1)
            found[layer] = np.asarray((blocks != 0).any(axis=2))
    return found
