"""The exposed skeleton: a pruned network without its dead units, as a smaller dense network.

What a unit that never changes added to the layers that read it is folded into them, exactly:
`folded` says how. So on any images of 32×32 the small network computes what the pruned one does.
Where channels are added to each other (residual connections), one is taken out only where it is
dead for all layers on the stream; streams that are padded with further channels (resnet20's) stay
whole, and only the channels inside its blocks go. A block in which nothing is left becomes a
constant. The factor of equalised layers goes into their weights.
"""

from __future__ import annotations

import copy
import operator
import statistics
import time
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
from skeletons.networks import channels
from skeletons.networks.build import Standardize, build
from skeletons.networks.channels import Mask, Stream, Wiring
from skeletons.networks.describe import IMAGE_SHAPE, describe
from skeletons.networks.offsets import Offset, conv, runs
from skeletons.prediction import inference
from skeletons.prediction.device import pick_device
from skeletons.store import artifacts

Spec = dict[str, Any]


@dataclass(frozen=True)
class Exposed:
    """An exposed skeleton.

    Attributes:
        network: the small network; in evaluation mode it computes what the pruned one does.
        layers: by layer and norm, what `load` builds it from: inputs and outputs (channels or
            units), bias, and rows and columns of its offset (see `folded.Offset`).
        kept: by layer, which of the pruned network's units its outputs are.
    """

    network: nn.Sequential
    layers: dict[str, Spec]
    kept: dict[str, list[int]]


def expose(network: nn.Sequential) -> Exposed:
    """Take the dead units (see `wiring.live`) out of a network.

    Args:
        network: as `networks.build` makes it, with zeros where weights are pruned, or exposed
            before. It is left as it is.

    Raises:
        ExposureError: every image gets the same logits, so there is nothing to expose.
        WiringError: it is not known where channels go in an operation of the network.
    """
    given = copy.deepcopy(network).cpu().double().eval()
    wires = channels.trace(given.get_submodule("body"))
    weights = {name: _weight(module) for name, module in wires.modules.items() if _holds(module)}
    ties = channels.nonzero(wires, weights)
    _require_life(wires, ties)
    units = channels.live(wires, ties)
    parts = _reduce(wires, units, weights, _offsets(given, wires, units))
    small = _assemble(wires, {name: spec for name, (spec, _) in parts.items() if spec["outputs"]})
    tensors = {f"{name}.{key}": t for name, (_, own) in parts.items() for key, t in own.items()}
    small.load_state_dict({key: torch.as_tensor(tensors[key]) for key in small.state_dict()})
    left = dict(small.named_modules())
    return Exposed(
        _whole(given.get_submodule("standardize").float(), small),
        {name: spec for name, (spec, _) in parts.items() if name in left},
        {
            name: [int(k) for k in np.flatnonzero(units[wires.written(name)])]
            for name in wires.layers()
            if name in left
        },
    )


def _holds(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear)


def _weight(module: nn.Module) -> Floats:
    """A layer's weights as they act, with the factor of an equalised layer."""
    weight = module.get_parameter("weight") * getattr(module, "scale", 1.0)
    return np.asarray(weight.detach().numpy())


def _require_life(wires: Wiring, ties: Mapping[str, Mask]) -> None:
    changing = channels.changing(wires, ties)
    if changing[wires.of[wires.logits()]].any():
        return
    empty = next(n for n in wires.layers() if not channels.driven(wires, ties, changing, n).any())
    raise ExposureError(
        f"the skeleton cannot be exposed: found no unit of body.{empty} that an image reaches, so "
        "every image gets the same logits; allowed: a network with a way from image to logits."
    )


@torch.no_grad()
def _offsets(network: nn.Module, wires: Wiring, units: Mapping[Stream, Mask]) -> dict[str, Floats]:
    """What each layer would give if all its live inputs were zero: bias, and what is folded.

    Dead inputs that matter are the same for every image, so one image, black, tells their values.

    Returns:
        By layer, values outputs×height×width or outputs.
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
    network(torch.zeros(1, *IMAGE_SHAPE))
    for hook in hooks:
        hook.remove()
    return found


def _reduce(
    wires: Wiring,
    units: Mapping[Stream, Mask],
    weights: Mapping[str, Floats],
    offsets: Mapping[str, Floats],
) -> dict[str, tuple[Spec, dict[str, Floats]]]:
    """What is left of each layer and norm: the spec that `_blank` builds it from, and tensors."""
    parts = {}
    for name, module in wires.modules.items():
        if isinstance(module, nn.BatchNorm2d):
            parts[name] = _reduce_norm(module, units[wires.written(name)])
        elif name in offsets:
            parts[name] = _reduce_layer(wires, name, weights, units, offsets[name])
    return parts


def _reduce_norm(module: nn.BatchNorm2d, kept: Mask) -> tuple[Spec, dict[str, Floats]]:
    tensors = {
        name: tensor.numpy()[kept] if tensor.ndim else tensor.numpy()
        for name, tensor in module.state_dict().items()
    }
    return {"kind": "norm", "outputs": int(kept.sum())}, tensors


def _reduce_layer(
    wires: Wiring,
    name: str,
    weights: Mapping[str, Floats],
    units: Mapping[Stream, Mask],
    offset: Floats,
) -> tuple[Spec, dict[str, Floats]]:
    kept, source = units[wires.written(name)], wires.read(name)
    if not kept.any():
        return {"outputs": 0}, {}  # and whoever reads them is a constant
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
    """A module of the size that a spec says, in the place of another."""
    outputs, rows, columns = spec["outputs"], spec.get("rows", ()), spec.get("columns", ())
    blank: nn.Module
    if spec["kind"] == "constant":
        return Offset(outputs, rows, columns)
    if isinstance(module, nn.BatchNorm2d):
        blank = nn.BatchNorm2d(outputs, eps=module.eps, momentum=module.momentum)
    elif isinstance(module, nn.Linear):
        blank = nn.Linear(spec["inputs"], outputs, bias=spec["bias"])
    else:
        assert isinstance(module, nn.Conv2d)
        blank = conv(module, spec["inputs"], outputs, rows, columns, bias=spec["bias"])
    trained = module.get_parameter("weight").requires_grad
    blank.get_parameter("weight").requires_grad_(trained)  # fixed filters stay fixed
    return blank


def _assemble(wires: Wiring, layers: Mapping[str, Spec]) -> fx.GraphModule:
    """A network's body with its layers in the sizes that `layers` says; the others fall away.

    Its tensors hold no numbers yet.
    """
    with torch.device("meta"):  # their numbers come later: none is drawn now
        modules = {
            name: _blank(module, layers[name]) if name in layers else module
            for name, module in wires.modules.items()
        }
    for node in list(wires.graph.nodes):
        if node.op == "call_module" and layers.get(node.target, {}).get("kind") == "constant":
            node.args = ()
        elif _asks_for_channels(node):
            # Where a network computes with its number of channels, it means the original's.
            with wires.graph.inserting_before(node):
                size = wires.of[node.args[0].args[0]].size
                node.replace_all_uses_with(wires.graph.call_function(int, (size,)))
    body = fx.GraphModule(modules, wires.graph)
    body.graph.eliminate_dead_code()
    body.delete_all_unused_submodules()
    body.recompile()
    return body.to_empty(device="cpu")


def _asks_for_channels(node: fx.Node) -> bool:
    """Whether an operation is `x.shape[1]`."""
    source = node.args[0] if node.args else None
    return bool(
        node.target is operator.getitem
        and isinstance(source, fx.Node)
        and source.target is getattr
        and node.args[1] == 1
    )


def _whole(standardize: nn.Module, body: nn.Module) -> nn.Sequential:
    network = nn.Sequential()
    network.add_module("standardize", standardize)
    network.add_module("body", body)
    return network.to(memory_format=torch.channels_last).eval()


def report(network: nn.Sequential, exposed: Exposed) -> dict[str, Any]:
    """What exposing a skeleton saves.

    Returns:
        `before` and `after`, each with parameters, prunable weights and FLOPs of an image as
        `networks.describe` counts them (a zero weight counts; a folded value is a parameter);
        `units`, by layer how many there are before and after.
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
        about: the network it comes from: name, width and classes, as in model.json.
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
        ExposureError: the files say that nothing was left to expose.
    """
    found = artifacts.read_json(structure, ["network", "layers", "dead_reason"])
    if found["dead_reason"]:
        raise ExposureError(f"{structure} holds no network: {found['dead_reason']}")
    about = found["network"]
    with torch.device("meta"):  # shapes without numbers: what the layers are, before their sizes
        original = build(about["name"], about["width"], about["classes"], [0] * 3, [1] * 3)
    body = _assemble(channels.trace(original.get_submodule("body")), found["layers"])
    network = _whole(Standardize([0.0] * 3, [1.0] * 3), body)
    inference.load(network, weights)
    return network


def largest_difference(one: nn.Module, other: nn.Module, images: Tensor) -> dict[str, Any]:
    """How far two networks' logits are apart on images, uint8 N×3×32×32.

    Returns:
        `largest`, the largest difference of a logit; `scale`, the largest logit of the first
        network, which says how much that is; and how many `images`.
    """
    logits, others = inference.predict(one, images), inference.predict(other, images)
    return {
        "largest": float((logits - others).abs().max()),
        "scale": float(logits.abs().max()),
        "images": len(images),
    }


def expose_stage(
    weights: str,
    summary: str,
    output: str,
    structure: str,
    dataset: str | None = None,
    *,
    images: int | None = None,
    threads: int = 1,
) -> None:
    """Write a pruned model's exposed skeleton: its weights, and exposed.json with what it saves.

    Of a dead model, exposed.json says why in `dead_reason`, and the weights are its constant
    `logits`.

    Args:
        weights: the pruned model's weights.safetensors.
        summary: the model.json of its network.
        output: the safetensors file to write.
        structure: the JSON file to write.
        dataset: the data set's images.safetensors; with it, exposed.json says in `difference` how
            far the two networks' logits are apart on test images (see `largest_difference`).
        images: how many of those, counted from the first; None for all.
        threads: CPU threads.
    """
    torch.set_num_threads(threads)
    about = artifacts.read_json(summary, ["network"])
    network = inference.restore(weights, about).eval()
    try:
        exposed = expose(network)
    except ExposureError as error:
        blank = torch.zeros(1, *IMAGE_SHAPE)
        empty = {"layers": {}, "kept": {}, "dead_reason": str(error)}
        artifacts.write_json(structure, {"network": about["network"], **empty})
        artifacts.write_tensors(output, {"logits": inference.predict(network, blank)[0].numpy()})
        return
    found = report(network, exposed)
    if dataset is not None:
        pixels = torch.from_numpy(read_split(dataset, "test")[0][:images])
        found["difference"] = largest_difference(network, exposed.network, pixels)
    save(exposed, about["network"], output, structure, **found)


def inference_time(
    network: nn.Module, images: Tensor, *, batch: int, repeats: int
) -> dict[str, Any]:
    """How long inference takes: the median over `repeats` of one batch, after one that warms up.

    Args:
        network: on the device of `images`.
        images: uint8 N×3×32×32, of which the first `batch` are used.
        batch: images at once.
        repeats: timed batches.

    Returns:
        `median_ms`, `least_ms` and `largest_ms` of a batch, and how it was measured.
    """
    some = images[:batch]
    times = []
    for _ in range(repeats + 1):
        _wait(some.device)
        start = time.perf_counter()
        inference.predict(network, some, batch)
        _wait(some.device)
        times.append((time.perf_counter() - start) * 1e3)
    timed = times[1:]
    return {
        "median_ms": statistics.median(timed),
        "least_ms": min(timed),
        "largest_ms": max(timed),
        "batch": len(some),
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "device": some.device.type,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timing_stage(
    weights: str,
    summary: str,
    small_weights: str,
    structure: str,
    dataset: str,
    output: str,
    *,
    batch: int,
    repeats: int,
    device: str,
    threads: int,
) -> None:
    """Time a pruned model and its exposed skeleton on test images, and write both as JSON.

    Times are what a machine took, and no two runs give the same: so they have a file of their own,
    apart from exposed.json, which the same inputs always give the same. Of a dead model, the file
    says why there is nothing to time, in `dead_reason`.
    """
    torch.set_num_threads(threads)
    dead = artifacts.read_json(structure, ["dead_reason"])["dead_reason"]
    if dead:
        artifacts.write_json(output, {"dead_reason": dead})
        return
    place = pick_device(device)
    pixels = torch.from_numpy(read_split(dataset, "test")[0][:batch]).to(place)
    both = {
        "before": inference.restore(weights, artifacts.read_json(summary, ["network"])),
        "after": load(small_weights, structure),
    }
    times = {
        when: inference_time(network.to(place), pixels, batch=batch, repeats=repeats)
        for when, network in both.items()
    }
    artifacts.write_json(output, times)
