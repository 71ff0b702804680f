"""How channels flow through a network: which layers write a channel, and which read it.

The network is traced (torch.fx), so a new architecture needs no description. Channels that are
added to each other, as in a residual connection, form one stream: unit k of one writer is unit k of
all its writers. Whether an operation keeps channels apart is tried on random numbers, see
`networks.trying`; so nothing depends on the names of modules and functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import fx, nn

from skeletons.errors import WiringError
from skeletons.networks import trying
from skeletons.networks.image_shape import USUAL, Shape
from skeletons.networks.offsets import Offset
from skeletons.networks.trying import NORMS, Results

Mask = npt.NDArray[np.bool_]

LAYERS = (nn.Conv2d, nn.Linear, Offset)

# Operations that belong to the layer that feeds them.
SETTLES_MODULES = (
    *(*NORMS, nn.ReLU, nn.GELU, nn.Dropout),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
)
SETTLES_FUNCTIONS = (F.relu, F.gelu, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d)


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
        given: whether images are among these channels, so that each differs between images.
        padded: narrower streams that continue in this one, each with the number of its first
            channel.
    """

    size: int
    writers: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    whole: bool = False
    given: bool = False
    padded: list[tuple[Stream, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Wiring:
    """A traced network.

    Attributes:
        graph: its operations in order.
        modules: its leaf modules by name.
        streams: of channels; each once.
        of: the stream of each operation's output.
        numbers: operations that give a number, such as `x.shape[1]`, to others; with the number.
    """

    graph: fx.Graph
    modules: Mapping[str, nn.Module]
    streams: Sequence[Stream]
    of: Mapping[fx.Node, Stream]
    numbers: Mapping[fx.Node, int | float]

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
        leaf = nn.Conv2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d | Offset
        return isinstance(m, leaf) or super().is_leaf_module(m, module_qualified_name)


def trace(body: nn.Module, image_shape: Shape = USUAL) -> Wiring:
    """Trace a network's body, whose input is standardised images.

    Args:
        body: its mode does not matter, and does not change. If it is on torch's device `meta`, it
            has no weights, and its operations are taken for what they were found to be before.
        image_shape: channels, height and width of the images that it takes.

    Raises:
        WiringError: the network has an operation whose channels cannot be followed.
    """
    with trying.evaluating(body):
        try:
            graph = _Tracer().trace(body)
        except Exception as error:
            raise WiringError(trying.untraced(error)) from None
        _demand_single_use(body, graph)
        flow = _Flow(body, graph, image_shape)
        for node in graph.nodes:
            flow.follow(node)
    streams = list(dict.fromkeys(flow.of.values()))
    return Wiring(graph, flow.modules, streams, flow.of, flow.numbers)


def _demand_single_use(body: nn.Module, graph: fx.Graph) -> None:
    uses = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for name, times in uses.items():
        if times > 1 and body.get_submodule(name).state_dict():
            raise WiringError(
                f"The network runs its layer {name} {times} times, so its channels cannot be "
                "followed; allowed: layers with weights or statistics that run once."
            )


class _Flow:
    """Follows channels from operation to operation, and keeps the stream of each output so far."""

    def __init__(self, body: nn.Module, graph: fx.Graph, image_shape: Shape) -> None:
        names = {str(node.target) for node in graph.nodes if node.op == "call_module"}
        self.modules = {name: body.get_submodule(name) for name in sorted(names)}
        self.results: Results = trying.run(body, graph, image_shape)
        self.weightless = any(p.is_meta for p in body.parameters())
        self.of: dict[fx.Node, Stream] = {}
        self.numbers: dict[fx.Node, int | float] = {}

    def follow(self, node: fx.Node) -> None:
        if node.op == "output":
            self._output(node)
        elif node in self.results.shapes:
            step: Callable[[fx.Node], Stream] = getattr(self, f"_{node.op}", self._unknown)
            self.of[node] = step(node)
        elif self.results.holds_tensors(node):
            self._unknown(node)

    def _placeholder(self, node: fx.Node) -> Stream:
        return Stream(self.results.shapes[node][1], whole=True, given=True)

    def _output(self, node: fx.Node) -> None:
        if not isinstance(node.args[0], fx.Node) or node.args[0] not in self.of:
            self._unknown(node)
        self.of[node.all_input_nodes[0]].whole = True

    def _call_module(self, node: fx.Node) -> Stream:
        name = str(node.target)
        module = self.modules[name]
        if isinstance(module, Offset):
            return Stream(module.values.shape[0], writers=[name])
        if isinstance(module, nn.Conv2d | nn.Linear):
            return self._layer(node, module)
        if isinstance(module, NORMS):
            return self._norm(node, module)
        return self._operation(node)

    def _layer(self, node: fx.Node, module: nn.Conv2d | nn.Linear) -> Stream:
        source = self._only_input(node)
        shape = self.results.shapes[node.all_input_nodes[0]]
        axes = 2 if isinstance(module, nn.Linear) else 4
        if len(shape) != axes or getattr(module, "groups", 1) != 1:
            self._unknown(node)
        self._demand_declared(node, module, shape)
        source.readers.append(str(node.target))
        return Stream(module.weight.shape[0], writers=[str(node.target)])

    def _norm(self, node: fx.Node, module: nn.BatchNorm1d | nn.BatchNorm2d) -> Stream:
        stream = self._only_input(node)
        self._demand_declared(node, module, self.results.shapes[node.all_input_nodes[0]])
        stream.norms.append(str(node.target))
        return stream

    def _only_input(self, node: fx.Node) -> Stream:
        """The stream of an operation's only input, whose second axis holds the channels."""
        sources = [source for source in node.all_input_nodes if source in self.of]
        if len(sources) != 1 or self.results.shapes[sources[0]][1] % self.of[sources[0]].size:
            self._unknown(node)
        return self.of[sources[0]]

    def _demand_declared(self, node: fx.Node, module: nn.Module, shape: tuple[int, ...]) -> None:
        if not self.weightless and not trying.computes_as_declared(module, shape):
            raise WiringError(
                f"The network's layer {node.target} is of a class {type(module).__name__} that "
                "computes something else than a plain layer with its options and weights, so its "
                "channels cannot be followed; allowed: convolutions, linear layers and batch norms "
                "without a forward method, hook or tensors of their own."
            )

    def _call_method(self, node: fx.Node) -> Stream:
        return self._operation(node)

    def _call_function(self, node: fx.Node) -> Stream:
        if node.target is F.pad:
            return self._pad(node)
        return self._operation(node)

    def _operation(self, node: fx.Node) -> Stream:
        """The stream of an operation that keeps channels apart, all inputs of which have it."""
        streams = list(dict.fromkeys(self.of[n] for n in node.all_input_nodes if n in self.of))
        sizes = {stream.size for stream in streams}
        others = [n for n in node.all_input_nodes if n not in self.of]
        known = self.results.fixed | self.results.counts
        if len(sizes) != 1 or not known.issuperset(others):
            self._unknown(node)
        keeps = self.weightless or trying.keeps_channels(
            node, self.modules, self.results, min(sizes)
        )
        if not keeps:
            self._unknown(node)
        for number in others:
            value = self.results.number(number)
            if value is not None:
                self.numbers[number] = value
        for other in streams[1:]:
            self._join(streams[0], other)
        return streams[0]

    def _pad(self, node: fx.Node) -> Stream:
        bound = dict(zip(("input", "pad", "mode"), node.args, strict=False)) | node.kwargs
        widths: Any = bound["pad"]
        if not isinstance(widths, tuple | list) or not any(widths[4:]):
            return self._operation(node)
        before, after, *batch = widths[4:]
        stream = self._only_input(node)
        fits = self.results.shapes[node][1] == stream.size + before + after
        if (
            not fits
            or batch
            or min(before, after) < 0
            or bound.get("mode") not in (None, "constant")
        ):
            self._unknown(node)
        stream.whole = True
        return Stream(stream.size + before + after, whole=True, padded=[(stream, before)])

    def _join(self, one: Stream, other: Stream) -> None:
        for names in ("writers", "readers", "norms", "padded"):
            getattr(one, names).extend(getattr(other, names))
        one.whole |= other.whole
        one.given |= other.given
        for stream in self.of.values():
            stream.padded = [(one if s is other else s, first) for s, first in stream.padded]
        self.of = {node: one if stream is other else stream for node, stream in self.of.items()}

    def _unknown(self, node: fx.Node) -> Any:
        what: Any = self.modules[str(node.target)] if node.op == "call_module" else node.target
        what = getattr(what, "__name__", what)
        raise WiringError(
            f"The network has an unsupported operation, {what} at {node.name}: its channels cannot "
            "be followed; allowed: convolutions without groups, linear layers, batch norms, and "
            "operations that treat each channel by itself whatever their number, such as "
            "activations, pooling, sums and x.flatten(1)."
        )


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
        found[stream][:] = stream.given
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
