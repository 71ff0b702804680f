"""The importance of each unit: how much the loss rises when this unit alone is silenced.

A unit is a channel or neuron of a hidden layer with prunable weights. The output of a silenced
unit, after the layer's normalisation, activation and pooling, is zero for every image. In a
residual stream, the contribution of one layer is silenced, not the whole channel.

A chunk of images runs through the whole network once. For each unit, only the operations after it
run again, with several silenced units in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from skeletons.inspection import unit_ranks
from skeletons.inspection.absence import look
from skeletons.networks import channels
from skeletons.networks.build import chosen_of, manner_of
from skeletons.networks.channels import Wiring
from skeletons.networks.describe import prunable
from skeletons.networks.image_shape import of_network
from skeletons.prediction import inference
from skeletons.prediction.device import pick_device
from skeletons.store import artifacts
from skeletons.training import memory
from skeletons.training.images import Images

Array = artifacts.Array
Losses = npt.NDArray[np.float64]

CHUNK = 100  # images that run together and whose activations are kept
BATCH = 600  # images of silenced networks in one forward pass


@dataclass(frozen=True)
class _Site:
    """Where the units of a layer are silenced in the traced network, and what runs after that."""

    node: fx.Node
    after: Sequence[fx.Node]
    needs: Sequence[fx.Node]  # results of other operations that `after` reads


def hidden_layers(network: nn.Sequential, wires: Wiring) -> list[str]:
    """The layers with prunable weights, without the layer of the logits."""
    weights = prunable(network.get_submodule("body"))
    last = wires.of[wires.logits()]
    return [
        name
        for name in wires.layers()
        if f"{name}.weight" in weights and wires.written(name) is not last
    ]


def _site(wires: Wiring, layer: str) -> _Site:
    node = wires.settled(layer)
    reached: dict[fx.Node, None] = {node: None}
    for other in wires.graph.nodes:
        if any(source in reached for source in other.all_input_nodes):
            reached[other] = None
    after = [n for n in reached if n is not node and n.op != "output"]
    needs = {m: None for n in after for m in n.all_input_nodes if m not in reached}
    return _Site(node, after, list(needs))


class _Runner:
    """Runs parts of a traced network, given the results of other parts."""

    def __init__(self, network: nn.Sequential) -> None:
        self.wires = channels.trace(network.get_submodule("body"), of_network(network))
        self.standardize = network.get_submodule("standardize")
        self.layout = manner_of(network).layout
        body = fx.GraphModule(dict(self.wires.modules), self.wires.graph)
        self.nodes = [n for n in self.wires.graph.nodes if n.op not in ("placeholder", "output")]
        self.input = next(n for n in self.wires.graph.nodes if n.op == "placeholder")
        self.logits = self.wires.logits()
        self.chosen = chosen_of(network)
        self._interpreter = fx.Interpreter(body, garbage_collect_values=False)

    def run(
        self, nodes: Sequence[fx.Node], given: Mapping[fx.Node, Any], keep: set[fx.Node]
    ) -> dict[fx.Node, Any]:
        """The results of `keep`, after running `nodes` in their order."""
        found = self._interpreter.env = dict(given)
        last_use = {source: node for node in nodes for source in node.all_input_nodes}
        for node in nodes:
            found[node] = self._interpreter.run_node(node)
            for source in set(node.all_input_nodes):
                if last_use[source] is node and source not in keep:
                    del found[source]
        return found

    def chunks(self, images: Images, keep: set[fx.Node]) -> Iterator[tuple[dict[Any, Any], Tensor]]:
        """For each chunk of images: the results of `keep`, and the labels."""
        for start in range(0, len(images.labels), CHUNK):
            pixels = images.pixels[start : start + CHUNK].to(images.labels.device)
            x = self.standardize(pixels.contiguous(memory_format=torch.channels_last))
            yield (
                self.run(self.nodes, {self.input: x}, keep),
                images.labels[start : start + CHUNK],
            )


@torch.inference_mode()
def silence(network: nn.Sequential, images: Images) -> pd.DataFrame:
    """The loss and accuracy with each unit silenced in turn.

    Args:
        network: as `networks.build.build` makes it; it is put into evaluation mode.
        images: the images that the loss is measured on.

    Returns:
        One row per unit: layer (the name of its weight), unit (number), loss_change (nats, mean
        over images; positive if the unit is useful) and accuracy_change (−1..1).
    """
    runner = _Runner(network.eval())
    layers = hidden_layers(network, runner.wires)
    sites = {name: _site(runner.wires, name) for name in layers}
    keep = {node for site in sites.values() for node in (site.node, *site.needs)}
    keep |= {runner.logits}
    sums = {name: np.zeros((2, runner.wires.written(name).size)) for name in layers}
    for results, labels in runner.chunks(images, keep):
        baseline = _scores(runner.chosen(results[runner.logits]), labels, 1)
        for name, site in sites.items():
            sums[name] += _changes(runner, site, results, labels, baseline)
    count = len(images.labels)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "layer": f"body.{name}.weight",
                    "unit": np.arange(found.shape[1]),
                    "loss_change": found[0] / count,
                    "accuracy_change": found[1] / count,
                }
            )
            for name, found in sums.items()
        ],
        ignore_index=True,
    )


def _scores(logits: Tensor, labels: Tensor, copies: int) -> Losses:
    """Loss (nats) and number of correct predictions, summed over images: 2×copies."""
    each = len(labels)  # `view` cannot infer it for 0 copies, if no unit of a layer is active
    labels = labels.repeat(copies)
    losses = F.cross_entropy(logits.double(), labels, reduction="none")
    correct = (logits.argmax(1) == labels).double()
    both = torch.stack([losses, correct]).view(2, copies, each).sum(dim=2)
    return np.asarray(both.cpu().numpy())


def _changes(
    runner: _Runner,
    site: _Site,
    results: Mapping[fx.Node, Any],
    labels: Tensor,
    baseline: Losses,
) -> Losses:
    """The change in the sums of `_scores` when each unit of a layer is silenced: 2×units."""
    outputs = results[site.node]
    found = np.zeros((2, outputs.shape[1]))
    # A unit whose output is zero on all of these images needs no run.
    active = (outputs != 0).transpose(0, 1).flatten(1).any(dim=1)
    for units in torch.split(active.nonzero().flatten(), max(1, BATCH // len(labels))):
        copies = len(units)
        given = {node: _repeat(results[node], copies, runner.layout) for node in site.needs}
        changed = _repeat(outputs, copies, runner.layout)
        for k, unit in enumerate(units):
            changed[k * len(labels) : (k + 1) * len(labels), unit] = 0
        given[site.node] = changed
        logits = runner.chosen(runner.run(site.after, given, {runner.logits})[runner.logits])
        found[:, units.cpu().numpy()] = _scores(logits, labels, copies) - baseline
    return found


def _repeat(value: Any, copies: int, layout: torch.memory_format) -> Any:
    """The results of a chunk of images, repeated for each silenced unit."""
    if not isinstance(value, Tensor):
        return value
    repeated = value.repeat(copies, *[1] * (value.ndim - 1))
    return repeated.contiguous(memory_format=layout) if value.ndim == 4 else repeated


def unit_weights(
    network: nn.Sequential, pruned: Mapping[str, Array], layers: Sequence[str]
) -> pd.DataFrame:
    """The magnitude of the same units.

    Args:
        network: the regularised model.
        pruned: the weights of all layers of the pruned model by name; pruned weights are zero.
        layers: names of weights, `body.….weight`.

    Returns:
        One row per unit: layer, unit; magnitude_l1 and magnitude_l2, norms of its incoming weights
        before pruning; kept_share, the share (0..1) of these that is kept; dead, see
        `channels.dead`.
    """
    wires = channels.trace(network.get_submodule("body"), of_network(network))
    ties = channels.nonzero(wires, {name: pruned[f"body.{name}.weight"] for name in wires.layers()})
    tables = []
    for layer in layers:
        weight = network.get_parameter(layer).detach().flatten(1).double().cpu()
        kept = (pruned[layer] != 0).reshape(len(weight), -1)
        tables.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "unit": np.arange(len(weight)),
                    "magnitude_l1": weight.abs().sum(dim=1).numpy(),
                    "magnitude_l2": weight.norm(dim=1).numpy(),
                    "kept_share": kept.mean(axis=1),
                    "dead": channels.dead(wires, ties, layer[len("body.") : -len(".weight")]),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def importance_table(
    network: nn.Sequential, pruned: Mapping[str, Array], images: Images
) -> pd.DataFrame:
    """`silence` and `unit_weights` in one table: one row per unit, layers in order of execution."""
    found = silence(network, images)
    weights = unit_weights(network, pruned, list(dict.fromkeys(found.layer)))
    return found.merge(weights, on=["layer", "unit"], validate="one_to_one")


@look("table", "ranks")
def importance_stage(
    *,
    regularized: str,
    summary: str,
    pruned: str,
    dataset: str,
    table: str,
    ranks: str,
    images: int,
    device: str,
    threads: int,
) -> None:
    """Write the importance of each unit of a regularised model, compared with its magnitude.

    Args:
        regularized: weights.safetensors of the regularised model.
        summary: its model.json.
        pruned: weights.safetensors of a model pruned from it.
        dataset: the data set's images.safetensors.
        table: the parquet file to write, see `importance_table`.
        ranks: the JSON file to write, see `unit_ranks.summarize`.
        images: number of test images that the loss is measured on, from the first.
        device: `auto`, `cpu` or `cuda`.
        threads: number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken.
        WiringError: the channels of an operation of the network cannot be followed.
    """
    torch.set_num_threads(threads)
    memory.keep_freed()
    chosen = pick_device(device)
    network = inference.restore(regularized, artifacts.read_json(summary, ["network"])).to(chosen)
    test = Images.read(dataset, "test", chosen)
    some = Images(test.pixels[:images], test.labels[:images])
    found = importance_table(network, artifacts.read_tensors(pruned), some)
    about = {"images": len(some.labels), "mode": "zero"}  # the output of a silenced unit
    artifacts.write_json(ranks, {**about, **unit_ranks.summarize(found)})
    artifacts.write_table(table, found)
