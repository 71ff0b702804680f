"""Pruning: which weights survive a threshold, and the size of the network that remains.

No network is built: pruning compares saved tensors with a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons import unit_masks
from skeletons.store import artifacts
from skeletons.store.seals import unfit
from skeletons.user_code.load import call, refusal

Array = artifacts.Array
Mask = npt.NDArray[np.bool_]

MAGNITUDE = "magnitude"


def mask(weights: Array, threshold: float, scale: str = "absolute") -> Mask:
    """Find the weights that survive: |w| ≥ threshold (`absolute`) or |w| ≥ threshold·RMS(layer).

    Args:
        weights: one layer's weights, any shape.
        threshold: ≥ 0, in units of the weights or of their root mean square.
        scale: `absolute` or `layer_rms`.

    Returns:
        A mask of the weights' shape, True where a weight survives. A zero weight never does.
    """
    magnitudes = np.abs(weights.astype(np.float64))
    cut = threshold * (_rms(magnitudes) if scale == "layer_rms" else 1.0)
    # Compare in the weights' precision, in which |w| = float32(0.05) is not below 0.05.
    survives: Mask = (magnitudes >= np.float64(weights.dtype.type(cut))) & (magnitudes > 0)
    return survives


def global_masks(
    scores: Mapping[str, Array], weights: Mapping[str, Array], density: float
) -> dict[str, Mask]:
    """Find the weights with the highest scores in all layers together.

    Args:
        scores: of each weight, by the name of the layer.
        weights: in the same shapes. A zero weight never survives, so fewer weights are kept if not
            enough are nonzero.
        density: the share of all weights to keep, 0..1; rounded to a whole number of weights.

    Returns:
        Masks by layer. Of equal scores at the limit, the larger weights survive, then the first.
    """
    names = list(scores)
    score, size = (
        np.concatenate([np.abs(each[name].astype(np.float64)).ravel() for name in names])
        for each in (scores, weights)
    )
    order = np.lexsort((-size, -score, size == 0))[: round(density * size.size)]
    survives = np.zeros(size.size, dtype=bool)
    survives[order] = size[order] > 0
    ends = np.cumsum([scores[name].size for name in names])[:-1]
    parts = np.split(survives, ends)
    return {name: part.reshape(scores[name].shape) for name, part in zip(names, parts, strict=True)}


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def random_mask(weights: Array, kept: int, random: np.random.Generator) -> Mask:
    """Draw a mask that keeps `kept` weights, all nonzero weights with equal probability."""
    nonzero = np.flatnonzero(weights)
    survives = np.zeros(weights.size, dtype=bool)
    survives[random.choice(nonzero, min(kept, len(nonzero)), replace=False)] = True
    return survives.reshape(weights.shape)


def prune(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    threshold: float,
    scale: str,
    criterion: str = MAGNITUDE,
    scores: Mapping[str, Array] | None = None,
    products: int = 0,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Set the weights that do not survive a threshold permanently to zero.

    Args:
        tensors: a model's tensors by name.
        layers: its layers, as in model.json: name, flops and prunable are used.
        threshold: see `mask`; a user-defined criterion gives it its own meaning.
        scale: see `mask`; a user-defined criterion ignores it.
        criterion: `magnitude`, which applies `mask` to each layer; another built-in one, which
            applies it to the scores; or a reference to a user-defined function.
        scores: of the weights, for a built-in criterion other than `magnitude`.
        products: FLOPs of the network outside of its layers.

    Returns:
        The pruned tensors, and a sparsity report. Per layer and in total: size, kept, density,
        sparsity, and the FLOPs of one image if zero weights cost nothing; per layer also the RMS
        before pruning. `dead`, with `dead_reason`, is true if a layer has no weights left.

    Raises:
        ExtensionError: the user-defined criterion cannot be used, or does not return masks of the
            weights.
    """
    weights = {layer["name"]: tensors[layer["name"]] for layer in layers if layer["prunable"]}
    if criterion == MAGNITUDE:
        masks = {name: mask(values, threshold, scale) for name, values in weights.items()}
        about = {"threshold": threshold, "scale": scale}
    elif scores is not None:
        masks = {name: mask(scores[name], threshold, scale) for name in weights}
        masks = {name: kept & (weights[name] != 0) for name, kept in masks.items()}
        about = {"threshold": threshold, "scale": scale, "criterion": criterion}
    else:
        masks = user_masks(criterion, weights, threshold)
        about = {"threshold": threshold, "scale": scale, "criterion": criterion}
    pruned, report = apply(tensors, layers, masks, products)
    return pruned, {**about, **report}


def prune_to_density(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    density: float,
    criterion: str,
    scores: Mapping[str, Array],
    products: int = 0,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Keep a share of the prunable weights, those with the highest scores in all layers together.

    Args:
        tensors: a model's tensors by name.
        layers: its layers, as in model.json.
        density: see `global_masks`.
        criterion: the name of the scores, for the report.
        scores: of each prunable weight, see `training.ranks`.
        products: FLOPs of the network outside of its layers.

    Returns:
        The pruned tensors and a sparsity report, as from `prune`; `target` is the density.
    """
    chosen = {layer["name"]: scores[layer["name"]] for layer in layers if layer["prunable"]}
    masks = global_masks(chosen, {name: tensors[name] for name in chosen}, density)
    pruned, report = apply(tensors, layers, masks, products)
    return pruned, {"target": density, "criterion": criterion, **report}


def prune_units(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    streams: Sequence[unit_masks.Stream],
    *,
    threshold: float | None = None,
    density: float | None = None,
    scale: str = "absolute",
    criterion: str = MAGNITUDE,
    scores: Mapping[str, Array] | None = None,
    products: int = 0,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Remove whole units: those whose score is below a threshold, or the lowest of all layers.

    Args:
        tensors: a model's tensors by name.
        layers: its layers, as in model.json.
        streams: its units, see `networks.unit_groups`.
        threshold: of the scores of units, see `unit_masks.scores`; None for a density.
        density: see `unit_masks.densest`; None for a threshold. Magnitudes are then in units of
            their layer's root mean square: layers with more inputs have smaller weights, and their
            units would all go first.
        scale: see `mask`; of thresholds.
        criterion: the name of the scores; a unit's magnitude is a root mean square.
        scores: of the weights; None for a threshold of magnitudes, which is one of stored weights.
        products: FLOPs of the network outside of its layers.

    Returns:
        The pruned tensors and a sparsity report, as from `prune`; `units` has the number of units
        of each stream that are kept.
    """
    weights = {layer["name"]: tensors[layer["name"]] for layer in layers if layer["prunable"]}
    values = weights if scores is None else {name: scores[name] for name in weights}
    squared = criterion == MAGNITUDE
    if scale == "layer_rms" or (squared and density is not None):
        values = {name: v / (_rms(v) or 1.0) for name, v in values.items()}
    found = unit_masks.scores(streams, values, squared=squared)
    about: dict[str, Any]
    if density is not None:
        alive = unit_masks.densest(streams, found, weights, density)
        about = {"target": density, "criterion": criterion}
    else:
        assert threshold is not None
        alive = unit_masks.above(found, threshold)
        about = {"threshold": threshold, "scale": scale}
        about |= {} if squared else {"criterion": criterion}
    masks = unit_masks.masks(streams, alive, weights)
    pruned, report = apply(tensors, layers, masks, products)
    return pruned, {**about, "units": [int(kept.sum()) for kept in alive], **report}


def user_masks(criterion: str, weights: Mapping[str, Array], threshold: float) -> dict[str, Mask]:
    """Call a user-defined criterion for masks; a weight that is already zero never survives.

    Args:
        criterion: a reference to a function of weights and threshold.
        weights: the weights of all prunable layers by name; the function gets copies.
        threshold: ≥ 0.

    Raises:
        ExtensionError: the function cannot be used, or returns something else.
    """
    copies = {name: values.copy() for name, values in weights.items()}
    given = call(criterion, copies, threshold)
    wanted = "a dict with a boolean mask for each layer, in the shape of its weights"
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
    products: int = 0,
    streams: Sequence[unit_masks.Stream] | None = None,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Make the control of a pruned model: each layer keeps as many weights, drawn at random.

    If whole units were pruned, it keeps as many units of each stream.

    Args:
        tensors: the tensors of the regularised model.
        layers: its layers, as in model.json.
        like: the sparsity report of the pruned model.
        name: the control's id. The draws depend on it and on the number of the layer, so the
            controls of two bases are independent.
        products: FLOPs of the network outside of its layers.
        streams: its units, if whole units were pruned.

    Returns:
        The pruned tensors and a sparsity report, as from `prune`.
    """

    def draw(number: int) -> np.random.Generator:
        return np.random.default_rng([*name.encode(), number])

    weights = {row["name"]: tensors[row["name"]] for row in like["layers"]}
    if streams is None:
        masks = {
            row["name"]: random_mask(weights[row["name"]], row["kept"], draw(number))
            for number, row in enumerate(like["layers"])
        }
    else:
        alive = unit_masks.at_random(streams, like["units"], weights, draw)
        masks = unit_masks.masks(streams, alive, weights)
    pruned, report = apply(tensors, layers, masks, products)
    about = {key: like[key] for key in ("threshold", "scale", "target", "units") if key in like}
    return pruned, {**about, **report}


def apply(
    tensors: Mapping[str, Array],
    layers: Sequence[Mapping[str, Any]],
    masks: Mapping[str, Mask],
    products: int = 0,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Set weights outside the masks of the prunable layers to zero, and report the rest.

    `products` are the FLOPs of the network outside of its layers, which pruning does not change.
    """
    pruned = dict(tensors)
    rows = []
    for layer in (layer for layer in layers if layer["prunable"]):
        weights, kept = tensors[layer["name"]], masks[layer["name"]]
        pruned[layer["name"]] = np.where(kept, weights, weights.dtype.type(0))
        rows.append(_report(layer, weights, kept))
    total = _total(rows)
    total["flops"] += sum(layer["flops"] for layer in layers if not layer["prunable"]) + products
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


def _read(weights: str, summary: str) -> tuple[dict[str, Array], list[dict[str, Any]], int]:
    """Read a regularised model's tensors and layers, and its FLOPs outside of layers.

    Raises:
        ArtifactError: a file is missing or broken, or the two are of different networks.
    """
    about = artifacts.read_json(summary, ["layers"])
    layers = about["layers"]
    tensors = artifacts.read_tensors(weights)
    for layer in layers:
        if layer["name"] not in tensors or list(tensors[layer["name"]].shape) != layer["shape"]:
            raise unfit(weights, f"holds the weights of another network than {summary}")
    by_layer = sum(layer["flops"] for layer in layers)
    return tensors, layers, about.get("flops", by_layer) - by_layer


def prune_stage(
    *,
    regularized: str,
    summary: str,
    ranks: str | None = None,
    units: str | None = None,
    weights: str,
    sparsity: str,
    threshold: float | None = None,
    density: float | None = None,
    scale: str = "absolute",
    criterion: str,
) -> None:
    """Prune a regularised model and write its weights and sparsity report.

    Args:
        regularized: the regularised model's weights.safetensors.
        summary: its model.json.
        ranks: the scores of its weights, see `training.ranks`; for a density, or a threshold of
            scores.
        units: the units.json of its network, to prune whole units; None for single weights.
        weights: the safetensors file to write.
        sparsity: the JSON file to write, see `prune`.
        threshold: see `prune`; None for a density.
        density: see `prune_to_density`; None for a threshold.
        scale: see `prune`.
        criterion: see `prune`.
    """
    tensors, layers, products = _read(regularized, summary)
    scores = None if ranks is None else artifacts.read_tensors(ranks)
    if units is not None:
        pruned, report = prune_units(
            tensors,
            layers,
            unit_masks.read(units),
            threshold=threshold,
            density=density,
            scale=scale,
            criterion=criterion,
            scores=scores,
            products=products,
        )
    elif density is not None:
        assert scores is not None
        pruned, report = prune_to_density(tensors, layers, density, criterion, scores, products)
    else:
        assert threshold is not None
        pruned, report = prune(tensors, layers, threshold, scale, criterion, scores, products)
    artifacts.write_json(sparsity, report)
    artifacts.write_tensors(weights, pruned)


def random_stage(
    *,
    regularized: str,
    summary: str,
    like: str,
    units: str | None = None,
    weights: str,
    sparsity: str,
    name: str,
) -> None:
    """Write the random control of a pruned model: its weights and sparsity report.

    Args:
        regularized: the regularised model's weights.safetensors.
        summary: its model.json.
        like: the sparsity.json of the pruned model.
        units: the units.json of its network, if whole units were pruned.
        weights: the safetensors file to write.
        sparsity: the JSON file to write, see `prune`.
        name: the id of the control, which its random numbers are named by.
    """
    report = artifacts.read_json(like, ["layers"])
    tensors, layers, products = _read(regularized, summary)
    streams = None if units is None else unit_masks.read(units)
    pruned, own = prune_at_random(tensors, layers, report, name, products, streams)
    artifacts.write_json(sparsity, own)
    artifacts.write_tensors(weights, pruned)
