"""The exposed skeleton: a pruned network without its dead units, as a smaller dense network.

The constant output of a dead unit is folded exactly into the layers that read it, see
`networks.offsets`. So on any images of its size the small network computes the same function as the
pruned network. In a residual stream, where channels are added to each other, a channel is removed
only if it is dead for all layers of the stream. Streams that are padded with further channels (in
resnet20) keep all channels; only the channels inside their blocks are removed. A block in which
nothing is left becomes a constant. The factor of equalised layers is multiplied into their weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from skeletons.arrays import Floats
from skeletons.data.files import read_split
from skeletons.errors import ExposureError
from skeletons.inspection.absence import look, reason
from skeletons.inspection.sameness import demand_same
from skeletons.networks import channels
from skeletons.networks.build import Chosen, Standardize, chosen_of, manner_of, rebuild
from skeletons.networks.channels import Mask, Stream, Wiring
from skeletons.networks.describe import describe
from skeletons.networks.generators import generator_for
from skeletons.networks.image_shape import of_network
from skeletons.networks.offsets import Offset, conv, runs
from skeletons.networks.trying import NORMS, effective_weight
from skeletons.prediction import inference
from skeletons.store import artifacts

Spec = dict[str, Any]
RANDOM_IMAGES = 16  # that networks are compared on if there is no data set


@dataclass(frozen=True)
class Exposed:
    """An exposed skeleton.

    Attributes:
        network: the small network; in evaluation mode it computes the function of the pruned one.
        layers: for each layer and norm, the sizes that `load` builds it from: inputs and outputs
            (channels or units), bias, and rows and columns of its offset (see `offsets.Offset`).
        kept: for each layer, the units of the pruned network that its outputs are.
    """

    network: nn.Sequential
    layers: dict[str, Spec]
    kept: dict[str, list[int]]


def expose(network: nn.Sequential) -> Exposed:
    """Remove the dead units (see `channels.live`) from a network.

    Args:
        network: as `networks.build.build` makes it, with zeros for pruned weights, or an exposed
            network. It is not changed.

    Raises:
        ExposureError: every image gets the same logits, so there is nothing to expose.
        WiringError: the channels of an operation of the network cannot be followed.
    """
    given = copy.deepcopy(network).cpu().double().eval()
    wires = channels.trace(given.get_submodule("body"), of_network(given))
    weights = {
        name: np.asarray(effective_weight(module).detach().numpy())
        for name, module in wires.modules.items()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    ties = channels.nonzero(wires, weights)
    _require_change(wires, ties)
    units = channels.live(wires, ties)
    parts = _reduce(wires, units, weights, offsets_of(given, wires, units))
    small = _assemble(wires, {name: spec for name, (spec, _) in parts.items() if spec["outputs"]})
    tensors = {
        f"{name}.{key}": tensor
        for name, module in wires.modules.items()
        for key, tensor in (parts[name][1] if name in parts else module.state_dict()).items()
    }
    small.load_state_dict({key: torch.as_tensor(tensors[key]) for key in small.state_dict()})
    left = dict(small.named_modules())
    return Exposed(
        _whole(given.get_submodule("standardize").float(), small, chosen_of(given)),
        {name: spec for name, (spec, _) in parts.items() if name in left},
        {
            name: [int(k) for k in np.flatnonzero(units[wires.written(name)])]
            for name in wires.layers()
            if name in left
        },
    )


def check(network: nn.Sequential) -> None:
    """Check that the skeletons of a network can be exposed, without training or images.

    A copy with random weights, of which some units are dead, is exposed, and both networks must
    compute the same logits on random images.

    Args:
        network: as `networks.build.build` makes it; its weights do not matter, and do not change.

    Raises:
        WiringError: the channels of an operation of the network cannot be followed.
        DifferenceError: the small network would compute something else.
    """
    planted = copy.deepcopy(network).cpu()
    _plant_dead_units(planted)
    try:
        exposed = expose(planted)
    except ExposureError:  # every image gets the same logits: a network of width 1, for example
        exposed = expose(network)
        planted = network
    demand_same(planted, exposed.network, _random_images(network))


@torch.no_grad()
def _plant_dead_units(network: nn.Module) -> None:
    """Draw all weights, and zero those of every third unit, so that streams have dead channels."""
    draw = generator_for("check")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.get_parameter("weight")
            if weight.requires_grad:
                fan = weight[0].numel()
                weight.copy_(torch.randn(weight.shape, generator=draw) * (2 / fan) ** 0.5)
                weight[1:-1:3] = 0
            if module.bias is not None:
                module.bias.copy_(0.5 * torch.randn(module.bias.shape, generator=draw))


def _random_images(network: nn.Module) -> Tensor:
    shape = (RANDOM_IMAGES, *of_network(network))
    return torch.randint(0, 256, shape, generator=generator_for("images"), dtype=torch.uint8)


def _require_change(wires: Wiring, ties: Mapping[str, Mask]) -> None:
    changing = channels.changing(wires, ties)
    if changing[wires.of[wires.logits()]].any():
        return
    empty = next(n for n in wires.layers() if not channels.driven(wires, ties, changing, n).any())
    raise ExposureError(
        f"the skeleton cannot be exposed: found no unit of body.{empty} that an image reaches, so "
        "every image gets the same logits; allowed: a network with a way from image to logits."
    )


@torch.no_grad()
def offsets_of(
    network: nn.Module, wires: Wiring, units: Mapping[Stream, Mask]
) -> dict[str, Floats]:
    """The output of each layer for live inputs of zero: its bias, and the folded constants.

    Dead inputs are the same for every image, so one black image gives their values.

    Returns:
        By layer, values of shape outputs×height×width, or outputs.
    """
    found: dict[str, Floats] = {}

    def look(name: str) -> Any:
        source = wires.read(name)

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if source is None:
                found[name] = module.forward()[0].numpy()
                return
            alive = torch.from_numpy(units[source])
            blocks = inputs[0].view(1, source.size, -1).masked_fill(alive[None, :, None], 0.0)
            found[name] = module.forward(blocks.view_as(inputs[0]))[0].numpy()

        return hook

    hooks = [wires.modules[name].register_forward_pre_hook(look(name)) for name in wires.layers()]
    network(torch.zeros(1, *of_network(network)))
    for hook in hooks:
        hook.remove()
    return found


def _reduce(
    wires: Wiring,
    units: Mapping[Stream, Mask],
    weights: Mapping[str, Floats],
    offsets: Mapping[str, Floats],
) -> dict[str, tuple[Spec, dict[str, Floats]]]:
    """The rest of each layer and norm: the spec that `_blank` builds it from, and its tensors."""
    parts = {}
    for name, module in wires.modules.items():
        if isinstance(module, NORMS):
            parts[name] = _reduce_norm(module, units[wires.written(name)])
        elif name in offsets:
            parts[name] = _reduce_layer(wires, name, weights, units, offsets[name])
    return parts


def _reduce_norm(
    module: nn.BatchNorm1d | nn.BatchNorm2d, kept: Mask
) -> tuple[Spec, dict[str, Floats]]:
    # After a flattening, a channel is a block of features.
    features = np.repeat(kept, module.num_features // len(kept))
    tensors = {
        name: tensor.numpy()[features] if tensor.ndim else tensor.numpy()
        for name, tensor in module.state_dict().items()
    }
    return {"kind": "norm", "outputs": int(features.sum())}, tensors


def _reduce_layer(
    wires: Wiring,
    name: str,
    weights: Mapping[str, Floats],
    units: Mapping[Stream, Mask],
    offset: Floats,
) -> tuple[Spec, dict[str, Floats]]:
    kept, source = units[wires.written(name)], wires.read(name)
    if not kept.any():
        return {"outputs": 0}, {}  # layers that read it become constants
    offset, rows, columns = _compressed(offset[kept])
    spec: Spec = {"outputs": int(kept.sum()), "rows": rows, "columns": columns}
    if source is None or not units[source].any():
        return {"kind": "constant", **spec}, {"values": offset}
    weight = weights[name]
    blocks = weight.reshape(len(weight), source.size, -1)[kept][:, units[source]]
    tensors = {"weight": blocks.reshape(len(blocks), -1, *weight.shape[2:])}
    spec |= {"kind": "layer", "inputs": tensors["weight"].shape[1]}
    if rows and not _uniform(rows, columns):
        return spec | {"bias": False}, {**tensors, "offset.values": offset}
    bias = getattr(wires.modules[name], "bias", None) is not None or bool(offset.any())
    spec |= {"rows": [], "columns": [], "bias": bias}
    return spec, {**tensors, "bias": offset.reshape(len(offset))}


def _uniform(rows: list[int], columns: list[int]) -> bool:
    return len(rows) == len(columns) == 1


def _compressed(offset: Floats) -> tuple[Floats, list[int], list[int]]:
    return runs(offset) if offset.ndim == 3 else (offset, [], [])


def _blank(module: nn.Module, spec: Spec) -> nn.Module:
    """A module with the sizes of a spec that replaces another module."""
    outputs, rows, columns = spec["outputs"], spec.get("rows", ()), spec.get("columns", ())
    blank: nn.Module
    if spec["kind"] == "constant":
        return Offset(outputs, rows, columns)
    if isinstance(module, NORMS):
        kind = nn.BatchNorm1d if isinstance(module, nn.BatchNorm1d) else nn.BatchNorm2d
        blank = kind(
            outputs, module.eps, module.momentum, module.affine, module.track_running_stats
        )
    elif isinstance(module, nn.Linear):
        blank = nn.Linear(spec["inputs"], outputs, bias=spec["bias"])
    else:
        assert isinstance(module, nn.Conv2d)
        blank = conv(module, spec["inputs"], outputs, rows, columns, bias=spec["bias"])
    trained = {name: p.requires_grad for name, p in module.named_parameters()}
    if "weight" in trained:
        blank.get_parameter("weight").requires_grad_(trained["weight"])  # fixed filters stay fixed
    return blank


def _assemble(wires: Wiring, layers: Mapping[str, Spec]) -> fx.GraphModule:
    """A network's body with its layers in the given sizes; other layers are removed.

    Its tensors are not initialised.
    """
    with torch.device("meta"):  # without drawing initial weights, which are loaded later
        modules = {
            # Copied, because what follows takes the content of tensors away.
            name: _blank(module, layers[name]) if name in layers else copy.deepcopy(module)
            for name, module in wires.modules.items()
        }
    for node in list(wires.graph.nodes):
        if node.op == "call_module" and layers.get(node.target, {}).get("kind") == "constant":
            node.args = ()
        elif node in wires.numbers:
            # A network that computes with its number of channels needs the original number.
            value = wires.numbers[node]
            with wires.graph.inserting_before(node):
                node.replace_all_uses_with(wires.graph.call_function(type(value), (value,)))
    body = fx.GraphModule(modules, wires.graph)
    body.graph.eliminate_dead_code()
    body.delete_all_unused_submodules()
    body.recompile()
    return body.to_empty(device="cpu").float()


def _whole(standardize: nn.Module, body: nn.Module, chosen: nn.Module) -> nn.Sequential:
    network = nn.Sequential()
    network.add_module("standardize", standardize)
    network.add_module("body", body)
    if not isinstance(chosen, nn.Identity):
        network.add_module("chosen", chosen)
    return network.to(memory_format=manner_of(network).layout).eval()


def report(network: nn.Sequential, exposed: Exposed) -> dict[str, Any]:
    """The savings of exposing a skeleton.

    Returns:
        `before` and `after`, each with parameters, prunable weights and FLOPs per image as counted
        by `describe` (a zero weight counts; a folded value is a parameter); `units`,
        for each layer the number of units before and after.
    """
    sizes = {
        "before": describe(network),
        "after": describe(exposed.network),
    }
    left = {f"body.{name}.weight": len(units) for name, units in exposed.kept.items()}
    return {
        **{
            when: {key: about[key] for key in ("parameters", "prunable", "flops")}
            for when, about in sizes.items()
        },
        "units": [
            {
                "layer": layer["name"],
                "before": layer["shape"][0],
                "after": left.get(layer["name"], 0),
            }
            for layer in sizes["before"]["layers"]
        ],
    }


def save(
    exposed: Exposed, about: Mapping[str, Any], weights: str, structure: str, **more: Any
) -> None:
    """Write an exposed skeleton: its tensors, and the exposed.json that `load` builds it from.

    Args:
        exposed: the skeleton.
        about: the network that it comes from: name, width and classes, as in model.json.
        weights: the safetensors file to write.
        structure: the JSON file to write.
        more: further keys of the JSON file.
    """
    artifacts.write_json(
        structure,
        {
            "network": dict(about),
            "layers": exposed.layers,
            "kept": exposed.kept,
            "dead_reason": None,
            **more,
        },
    )
    tensors = {name: t.detach().cpu().numpy() for name, t in exposed.network.state_dict().items()}
    artifacts.write_tensors(weights, tensors)


def load(weights: str | Path, structure: str | Path) -> nn.Sequential:
    """An exposed skeleton from its two files alone, in evaluation mode.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not belong together.
        ExposureError: nothing was left to expose.
    """
    if because := reason(structure):
        raise ExposureError(f"{structure} holds no network: {because}")
    found = artifacts.read_json(structure, ["network", "layers", "dead_reason"])
    if found["dead_reason"]:
        raise ExposureError(f"{structure} holds no network: {found['dead_reason']}")
    with torch.device("meta"):  # shapes without weights: the layers, before their sizes change
        original = rebuild(found["network"])
    about, shape = found["network"], of_network(original)
    body = _assemble(channels.trace(original.get_submodule("body"), shape), found["layers"])
    chosen = Chosen(about["order"]) if "order" in about else nn.Identity()
    unit = ([0.0] * shape[0], [1.0] * shape[0])
    network = _whole(Standardize(*unit, manner_of(original), shape), body, chosen)
    inference.load(network, weights)
    return network


def largest_difference(one: nn.Module, other: nn.Module, images: Tensor) -> dict[str, Any]:
    """The difference of two networks' logits on images, uint8 N×C×H×W.

    Returns:
        `largest`, the largest difference of a logit; `scale`, the largest logit of the first
        network, for comparison; and the number of `images`.
    """
    logits, others = inference.predict(one, images), inference.predict(other, images)
    return {
        "largest": float((logits - others).abs().max()),
        "scale": float(logits.abs().max()),
        "images": len(images),
    }


@look("weights", "structure")
def expose_stage(
    *,
    pruned: str,
    summary: str,
    dataset: str | None = None,
    weights: str,
    structure: str,
    images: int | None = None,
    threads: int = 1,
) -> None:
    """Write the exposed skeleton of a pruned model: its weights, and exposed.json.

    For a dead model, `dead_reason` in exposed.json says why it is dead, and the weights are its
    constant `logits`.

    Args:
        pruned: weights.safetensors of the pruned model.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors; with it, `difference` in exposed.json is the
            difference of the two networks' logits on test images (see `largest_difference`).
        weights: the safetensors file to write.
        structure: the JSON file to write.
        images: number of these test images, from the first; None for all.
        threads: number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken.

    If the channels of an operation of the network cannot be followed, or the logits of the two
    networks differ by more than rounding, the files hold the reason, see `absence`.
    """
    torch.set_num_threads(threads)
    about = artifacts.read_json(summary, ["network"])
    network = inference.restore(pruned, about).eval()
    try:
        exposed = expose(network)
    except ExposureError as error:
        blank = torch.zeros(1, *of_network(network))
        empty = {"layers": {}, "kept": {}, "dead_reason": str(error)}
        artifacts.write_json(structure, {"network": about["network"], **empty})
        artifacts.write_tensors(weights, {"logits": inference.predict(network, blank)[0].numpy()})
        return
    found = report(network, exposed)
    if dataset is None:
        demand_same(network, exposed.network, _random_images(network))
    else:
        pixels = torch.from_numpy(read_split(dataset, "test")[0][:images])
        demand_same(network, exposed.network, pixels)
        found["difference"] = largest_difference(network, exposed.network, pixels)
    save(exposed, about["network"], weights, structure, **found)
