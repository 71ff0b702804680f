"""Pruning by magnitude: which weights survive a threshold, and what that leaves of a network.

It needs no network: a pruned model is a comparison on saved tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons import artifacts
from skeletons.seals import unfit

Array = artifacts.Array
Mask = npt.NDArray[np.bool_]

SCALES = ("absolute", "layer_rms")


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


def prune(
    tensors: Mapping[str, Array], layers: Sequence[Mapping[str, Any]], threshold: float, scale: str
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Set the weights under a threshold to zero for good.

    Args:
        tensors: a model's tensors by name.
        layers: its layers, as in model.json: name, flops and prunable are used.
        threshold: see `mask`.
        scale: see `mask`.

    Returns:
        The pruned tensors, and a sparsity report: per layer and in all size, kept, density,
        sparsity, the layer's RMS before, and the FLOPs of an image left if zero weights cost
        nothing; `dead`, with `dead_reason`, if a layer is left empty.
    """
    pruned = dict(tensors)
    rows = []
    for layer in layers:
        if not layer["prunable"]:
            continue
        weights = tensors[layer["name"]]
        kept = mask(weights, threshold, scale)
        pruned[layer["name"]] = np.where(kept, weights, weights.dtype.type(0))
        rows.append(_report(layer, weights, kept))
    fixed = sum(layer["flops"] for layer in layers if not layer["prunable"])
    total = _total(rows)
    total["flops"] += fixed
    empty = [row["name"] for row in rows if row["kept"] == 0]
    return pruned, {
        "threshold": threshold,
        "scale": scale,
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


def prune_stage(
    weights: str, summary: str, output: str, sparsity: str, threshold: str, scale: str
) -> None:
    """Write the pruned weights of a regularised model and their sparsity.json."""
    layers = artifacts.read_json(summary, ["layers"])["layers"]
    tensors = artifacts.read_tensors(weights)
    for layer in layers:
        if layer["name"] not in tensors or list(tensors[layer["name"]].shape) != layer["shape"]:
            raise unfit(weights, f"holds the weights of another network than {summary}")
    pruned, report = prune(tensors, layers, float(threshold), scale)
    artifacts.write_json(sparsity, report)
    artifacts.write_tensors(output, pruned)
