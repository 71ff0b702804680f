"""Pruning: which weights survive a threshold, and what that leaves of a network.

It needs no network: a pruned model is a comparison on saved tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.store import artifacts
from skeletons.store.seals import unfit
from skeletons.user_code.load import call, refusal

Array = artifacts.Array
Mask = npt.NDArray[np.bool_]

SCALES = ("absolute", "layer_rms")
MAGNITUDE = "magnitude"


def mask(weights: Array, threshold: float, scale: str = "absolute") -> Mask:
    """Which weights survive: those with |w| ≥ threshold (`absolute`) or threshold·RMS(layer).

    Args:
        weights: one layer's weights, any shape.
        threshold: ≥ 0, in units of the weights or of their root mean square.
        scale: `absolute` or `layer_rms`.

    Returns:
        A mask of the weights' shape, True where a weight survives. A zero weight never does.
    """
    magnitudes = np.abs(weights.astype(np.float64))
    cut = threshold * (_rms(magnitudes) if scale == "layer_rms" else 1.0)
    # The threshold in the weights' own precision: |w| = float32(0.05) is not below 0.05.
    survives: Mask = (magnitudes >= np.float64(weights.dtype.type(cut))) & (magnitudes > 0)
    return survives


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def random_mask(weights: Array, kept: int, random: np.random.Generator) -> Mask:
    """A mask that keeps `kept` weights, each as likely as any other that is not zero already."""
    places = np.flatnonzero(weights)
    survives = np.zeros(weights.size, dtype=bool)
    survives[random.choice(places, min(kept, len(places)), replace=False)] = True
    return survives.reshape(weights.shape)


def prune(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    threshold: float,
    scale: str,
    criterion: str = MAGNITUDE,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Set the weights that do not survive a threshold to zero for good.

    Args:
        tensors: a model's tensors by name.
        layers: its layers, as in model.json: name, flops and prunable are used.
        threshold: see `mask`, or what the user's criterion takes it to be.
        scale: see `mask`; of no use to a criterion of the user's.
        criterion: `magnitude`, which is `mask` layer by layer, or a reference to the user's own.

    Returns:
        The pruned tensors, and a sparsity report: per layer and in all size, kept, density,
        sparsity, the layer's RMS before, and the FLOPs of an image left if zero weights cost
        nothing; `dead`, with `dead_reason`, if a layer is left empty.

    Raises:
        ExtensionError: the user's criterion cannot be used, or gives no masks of the weights.
    """
    weights = {layer["name"]: tensors[layer["name"]] for layer in layers if layer["prunable"]}
    if criterion == MAGNITUDE:
        masks = {name: mask(values, threshold, scale) for name, values in weights.items()}
        about = {"threshold": threshold, "scale": scale}
    else:
        masks = own_masks(criterion, weights, threshold)
        about = {"threshold": threshold, "scale": scale, "criterion": criterion}
    pruned, report = apply(tensors, layers, masks)
    return pruned, {**about, **report}


def own_masks(criterion: str, weights: Mapping[str, Array], threshold: float) -> dict[str, Mask]:
    """The masks that the user's criterion gives; a weight that is zero already never survives.

    Args:
        criterion: a reference to a function of weights and threshold.
        weights: those of all prunable layers by name, of which it gets copies.
        threshold: ≥ 0.

    Raises:
        ExtensionError: it cannot be used, or gives something else.
    """
    copies = {name: values.copy() for name, values in weights.items()}
    given = call(criterion, copies, threshold)
    wanted = "a dict with a mask of booleans for each layer, of its weights' shape"
    if not isinstance(given, Mapping):
        raise refusal(criterion, f"a value of type {type(given).__name__}", wanted)
    odd = sorted(map(str, set(given) ^ set(weights)))
    if odd:
        less = "no mask for" if odd[0] in weights else "a mask for the unknown layer"
        raise refusal(criterion, f"{less} {odd[0]}", wanted)
    masks = {}
    for name, values in weights.items():
        kept = np.asarray(given[name])
        if kept.dtype != np.bool_ or kept.shape != values.shape:
            found = f"{kept.dtype} of shape {kept.shape} for {name}, of shape {values.shape}"
            raise refusal(criterion, found, wanted)
        masks[name] = kept & (values != 0)
    return masks


def prune_at_random(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    like: Mapping[str, Any],
    name: str,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The control of a pruned model: as many weights left in each layer, but drawn at random.

    Args:
        tensors: the tensors of the regularised model.
        layers: its layers, as in model.json.
        like: the sparsity report of the pruned model.
        name: id of the control, which with the layer's place decides the drawing, so that those
            of two bases are independent.

    Returns:
        As `prune` does.
    """
    masks = {
        row["name"]: random_mask(
            tensors[row["name"]], row["kept"], np.random.default_rng([*name.encode(), number])
        )
        for number, row in enumerate(like["layers"])
    }
    pruned, report = apply(tensors, layers, masks)
    return pruned, {"threshold": like["threshold"], "scale": like["scale"], **report}


def apply(
    tensors: Mapping[str, Array], layers: Sequence[Mapping[str, Any]], masks: Mapping[str, Mask]
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Zero what the masks of the prunable layers do not keep, and report what is left."""
    pruned = dict(tensors)
    rows = []
    for layer in (layer for layer in layers if layer["prunable"]):
        weights, kept = tensors[layer["name"]], masks[layer["name"]]
        pruned[layer["name"]] = np.where(kept, weights, weights.dtype.type(0))
        rows.append(_report(layer, weights, kept))
    total = _total(rows)
    total["flops"] += sum(layer["flops"] for layer in layers if not layer["prunable"])
    empty = [row["name"] for row in rows if row["kept"] == 0]
    return pruned, {
        **total,
        "dead": bool(empty),
        "dead_reason": f"no weight is left in {', '.join(empty)}" if empty else None,
        "layers": rows,
    }


def _report(layer: Mapping[str, Any], weights: Array, kept: Mask) -> dict[str, Any]:
    return {
        "name": layer["name"],
        "rms": _rms(weights),
        "flops": round(layer["flops"] * float(kept.mean())),
        **_shares(int(kept.sum()), kept.size),
    }


def _total(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **_shares(sum(row["kept"] for row in rows), sum(row["size"] for row in rows)),
        "flops": sum(row["flops"] for row in rows),
    }


def _shares(kept: int, size: int) -> dict[str, Any]:
    density = kept / size
    return {"kept": kept, "size": size, "density": density, "sparsity": 1 - density}


def _read(weights: str, summary: str) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """A regularised model's tensors and layers.

    Raises:
        ArtifactError: a file is missing or broken, or the two do not go together.
    """
    layers = artifacts.read_json(summary, ["layers"])["layers"]
    tensors = artifacts.read_tensors(weights)
    for layer in layers:
        if layer["name"] not in tensors or list(tensors[layer["name"]].shape) != layer["shape"]:
            raise unfit(weights, f"holds the weights of another network than {summary}")
    return tensors, layers


def prune_stage(
    weights: str,
    summary: str,
    output: str,
    sparsity: str,
    threshold: str,
    scale: str,
    criterion: str = MAGNITUDE,
) -> None:
    """Write the pruned weights of a regularised model and their sparsity.json."""
    pruned, report = prune(*_read(weights, summary), float(threshold), scale, criterion)
    artifacts.write_json(sparsity, report)
    artifacts.write_tensors(output, pruned)


def random_stage(weights: str, summary: str, like: str, output: str, sparsity: str) -> None:
    """Write the control of the model whose sparsity.json is `like`, and its own report.

    The folder that `output` is in is named by the control's id.
    """
    report = artifacts.read_json(like, ["layers", "threshold", "scale"])
    pruned, own = prune_at_random(*_read(weights, summary), report, Path(output).parent.name)
    artifacts.write_json(sparsity, own)
    artifacts.write_tensors(output, pruned)
