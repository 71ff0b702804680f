"""What a network loses without some of its units: their outputs are set to zero, one or many.

A unit is a channel or neuron of a hidden layer with prunable weights. The output of a silenced
unit, after the layer's normalisation, activation and pooling, is zero for every image. In a
residual stream, the contribution of one layer is silenced, or the channel in all of its layers.

A chunk of images runs through the whole network once. For each unit, only the operations after it
run again, with several silenced units in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from skeletons.networks import channels
from skeletons.networks.build import chosen_of, manner_of
from skeletons.networks.channels import Mask, Stream, Wiring
from skeletons.networks.describe import prunable
from skeletons.networks.image_shape import of_network
from skeletons.training.images import Images

Losses = npt.NDArray[np.float64]
Edit = Callable[[Any], Any]

CHUNK = 100  # images that run together and whose activations are kept
BATCH = 600  # images of silenced networks in one forward pass
LOSS, DIVERGENCE = "loss", "divergence"


@dataclass(frozen=True)
class _Site:
    """Where units are silenced in the traced network, and what runs after that."""

    nodes: Sequence[fx.Node]  # whose outputs are silenced
    first: Sequence[fx.Node]  # of these, those that depend on no other
    after: Sequence[fx.Node]
    needs: Sequence[fx.Node]  # results of other operations that `after` reads


def _site(wires: Wiring, nodes: Sequence[fx.Node]) -> _Site:
    reached: set[fx.Node] = set()
    for other in wires.graph.nodes:
        if any(source in reached or source in nodes for source in other.all_input_nodes):
            reached.add(other)
    first = [node for node in nodes if node not in reached]
    after = [n for n in wires.graph.nodes if n in reached and n.op != "output"]
    known = {*reached, *first}
    needs = {m: None for n in after for m in n.all_input_nodes if m not in known}
    return _Site(nodes, first, after, list(needs))


class Silenced:
    """A traced network whose units can be silenced."""

    def __init__(self, network: nn.Sequential, by: str = LOSS) -> None:
        """Trace a network.

        Args:
            network: as `networks.build.build` makes it; it is put into evaluation mode.
            by: what is measured: `loss`, the cross-entropy in nats; or `divergence`, the
                Kullback-Leibler divergence of the silenced network's probabilities from those of
                the intact network, in nats.

        Raises:
            WiringError: the channels of an operation cannot be followed.
        """
        network.eval()
        self.by = by
        self.wires = channels.trace(network.get_submodule("body"), of_network(network))
        self.layers = _hidden_layers(network, self.wires)
        self._standardize = network.get_submodule("standardize")
        self._layout = manner_of(network).layout
        body = fx.GraphModule(dict(self.wires.modules), self.wires.graph)
        self._nodes = [n for n in self.wires.graph.nodes if n.op not in ("placeholder", "output")]
        self._input = next(n for n in self.wires.graph.nodes if n.op == "placeholder")
        self._logits = self.wires.logits()
        self._chosen = chosen_of(network)
        self._interpreter = fx.Interpreter(body, garbage_collect_values=False)

    @torch.inference_mode()
    def each_unit(self, images: Images) -> dict[str, Losses]:
        """The rise of the loss and of the accuracy with each unit of a layer silenced in turn.

        Returns:
            By layer, 2×units: means over the images, in nats (or the divergence) and −1..1.
        """
        sites = {name: [self.wires.settled(name)] for name in self.layers}
        return self._changes(sites, images)

    @torch.inference_mode()
    def each_channel(
        self, images: Images, units: Mapping[str, Losses] | None = None
    ) -> dict[Stream, Losses]:
        """The same with each channel of a stream silenced in all layers that write it.

        Streams of images and of logits are left out.

        Args:
            images: that the loss is measured on.
            units: what `each_unit` found on them, for streams that one layer writes.
        """
        logits, found = self.wires.of[self._logits], units or {}
        streams = [s for s in self.wires.streams if not s.given and s is not logits and s.writers]
        known = {
            s: found[s.writers[0]] for s in streams if len(s.writers) == 1 and s.writers[0] in found
        }
        sites = {
            s: [self.wires.settled(layer) for layer in s.writers] for s in streams if s not in known
        }
        return {**known, **self._changes(sites, images)}

    @torch.inference_mode()
    def without(self, images: Images, sets: Sequence[Mapping[str, Mask]]) -> Losses:
        """The loss (or divergence) and accuracy with sets of units silenced, sets×2.

        Args:
            images: that the loss is measured on.
            sets: by layer, which units are silenced; a layer that is left out keeps all.
        """
        sums = np.zeros((len(sets), 2))
        edits = [self._edits(silent, images.labels.device) for silent in sets]
        for results, labels in self._chunks(images, {self._input, self._logits}):
            intact = self._chosen(results[self._logits])
            for row, edit in zip(sums, edits, strict=True):
                given = {self._input: results[self._input]}
                found = self._run(self._nodes, given, {self._logits}, edit)[self._logits]
                row += self._scores(self._chosen(found), labels, intact, 1)[:, 0]
        return sums / len(images.labels)

    def _edits(self, silent: Mapping[str, Mask], device: torch.device) -> dict[fx.Node, Edit]:
        def edit(units: Mask) -> Edit:
            kept = torch.from_numpy(~units).to(device)
            return lambda value: value * kept.view(1, -1, *[1] * (value.ndim - 2))

        return {self.wires.settled(layer): edit(units) for layer, units in silent.items()}

    def _changes(
        self, places: Mapping[Any, Sequence[fx.Node]], images: Images
    ) -> dict[Any, Losses]:
        """The change with each unit silenced at several operations, by the key of the places."""
        sites = {key: _site(self.wires, nodes) for key, nodes in places.items()}
        keep = {self._logits}
        keep |= {node for site in sites.values() for node in (*site.nodes, *site.needs)}
        sums = {
            key: np.zeros((2, self.wires.of[site.nodes[0]].size)) for key, site in sites.items()
        }
        for results, labels in self._chunks(images, keep):
            for key, site in sites.items():
                sums[key] += self._change(site, results, labels)
        return {key: found / len(images.labels) for key, found in sums.items()}

    def _change(self, site: _Site, results: Mapping[fx.Node, Any], labels: Tensor) -> Losses:
        """The change in the sums of `_scores` when each unit is silenced: 2×units."""
        intact = self._chosen(results[self._logits])
        baseline = self._scores(intact, labels, intact, 1)
        found = np.zeros((2, self.wires.of[site.nodes[0]].size))
        # A unit whose output is zero on all of these images needs no run.
        outputs = [results[node].transpose(0, 1).flatten(1) for node in site.nodes]
        active = torch.stack([(each != 0).any(dim=1) for each in outputs]).any(dim=0)
        for units in torch.split(active.nonzero().flatten(), max(1, BATCH // len(labels))):
            edit = self._one_each(units, len(labels))
            given = {n: _repeat(results[n], len(units), self._layout) for n in site.needs}
            for node in site.first:
                given[node] = edit(_repeat(results[node], len(units), self._layout))
            edits = {node: edit for node in site.nodes if node not in site.first}
            logits = self._run(site.after, given, {self._logits}, edits)[self._logits]
            scores = self._scores(self._chosen(logits), labels, intact, len(units))
            found[:, units.cpu().numpy()] = scores - baseline
        return found

    def _one_each(self, units: Tensor, count: int) -> Edit:
        """Silence one unit in each of as many copies of `count` images."""

        def edit(value: Tensor) -> Tensor:
            value = value.clone()
            for k, unit in enumerate(units):
                value[k * count : (k + 1) * count, unit] = 0
            return value

        return edit

    def _scores(self, logits: Tensor, labels: Tensor, intact: Tensor, copies: int) -> Losses:
        """Loss (nats) and number of correct predictions, summed over images: 2×copies."""
        each = len(labels)  # `view` cannot infer it for 0 copies, if no unit of a layer is active
        repeated = labels.repeat(copies)
        if self.by == LOSS:
            losses = F.cross_entropy(logits.double(), repeated, reduction="none")
        else:
            own, other = (F.log_softmax(x.double(), 1) for x in (intact, logits))
            own = own.repeat(copies, 1)
            losses = (own.exp() * (own - other)).sum(1)
        correct = (logits.argmax(1) == repeated).double()
        both = torch.stack([losses, correct]).view(2, copies, each).sum(dim=2)
        return np.asarray(both.cpu().numpy())

    def _run(
        self,
        nodes: Sequence[fx.Node],
        given: Mapping[fx.Node, Any],
        keep: set[fx.Node],
        edits: Mapping[fx.Node, Edit],
    ) -> dict[fx.Node, Any]:
        """The results of `keep`, after running `nodes` in their order, some of them edited."""
        found = self._interpreter.env = dict(given)
        last_use = {source: node for node in nodes for source in node.all_input_nodes}
        for node in nodes:
            found[node] = self._interpreter.run_node(node)
            if node in edits:
                found[node] = edits[node](found[node])
            for source in set(node.all_input_nodes):
                if last_use[source] is node and source not in keep:
                    del found[source]
        return found

    def _chunks(
        self, images: Images, keep: set[fx.Node]
    ) -> Iterator[tuple[dict[Any, Any], Tensor]]:
        """For each chunk of images: the results of `keep`, and the labels."""
        for start in range(0, len(images.labels), CHUNK):
            pixels = images.pixels[start : start + CHUNK].to(images.labels.device)
            x = self._standardize(pixels.contiguous(memory_format=torch.channels_last))
            results = self._run(self._nodes, {self._input: x}, {*keep, self._input}, {})
            yield results, images.labels[start : start + CHUNK]


def _hidden_layers(network: nn.Sequential, wires: Wiring) -> list[str]:
    """The layers with prunable weights, without the layer of the logits."""
    weights = prunable(network.get_submodule("body"))
    last = wires.of[wires.logits()]
    return [
        name
        for name in wires.layers()
        if f"{name}.weight" in weights and wires.written(name) is not last
    ]


def _repeat(value: Any, copies: int, layout: torch.memory_format) -> Any:
    """The results of a chunk of images, repeated for each silenced unit."""
    if not isinstance(value, Tensor):
        return value
    repeated = value.repeat(copies, *[1] * (value.ndim - 1))
    return repeated.contiguous(memory_format=layout) if value.ndim == 4 else repeated
