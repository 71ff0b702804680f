"""The importance of units and of skeletons: how much the loss rises without them.

The post defines a skeleton by what would raise the loss if it went. Pruning finds one by magnitude.
Here both are compared, on training images, in three ways: unit by unit, by silencing each in turn
(see `training.silencing`); by the tenth of units that matter most and the tenth that is largest,
each silenced as a whole; and by the weights that pruning keeps. Sets are compared with random ones
of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.arrays import Floats
from skeletons.inspection import unit_ranks
from skeletons.inspection.absence import look
from skeletons.inspection.second_skeleton import Masks, masks, only
from skeletons.networks import channels
from skeletons.networks.channels import Mask
from skeletons.networks.describe import prunable
from skeletons.networks.image_shape import of_network
from skeletons.prediction import inference
from skeletons.prediction.device import pick_device
from skeletons.store import artifacts
from skeletons.training import memory
from skeletons.training.images import Images
from skeletons.training.silencing import LOSS, Silenced

Array = artifacts.Array

DRAWS = 8  # random sets that each set is compared with
ALONE, WITHOUT = "alone", "without"


def silence(network: nn.Sequential, images: Images, by: str = LOSS) -> pd.DataFrame:
    """The loss and accuracy with each unit silenced in turn.

    Args:
        network: as `networks.build.build` makes it; it is put into evaluation mode.
        images: the images that the loss is measured on.
        by: `loss` or `divergence`, see `Silenced`.

    Returns:
        One row per unit: layer (the name of its weight), unit (number), loss_change (nats, mean
        over images; positive if the unit is useful; or the divergence), accuracy_change (−1..1),
        and channel_change, the loss_change with the unit's channel silenced in all layers of its
        residual stream.
    """
    silenced = Silenced(network, by)
    units = silenced.each_unit(images)
    whole = silenced.each_channel(images, units)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "layer": f"body.{name}.weight",
                    "unit": np.arange(found.shape[1]),
                    "loss_change": found[0],
                    "accuracy_change": found[1],
                    "channel_change": whole[silenced.wires.written(name)][0],
                }
            )
            for name, found in units.items()
        ],
        ignore_index=True,
    )


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
    network: nn.Sequential, pruned: Mapping[str, Array], images: Images, by: str = LOSS
) -> pd.DataFrame:
    """`silence` and `unit_weights` in one table: one row per unit, layers in order of execution."""
    found = silence(network, images, by)
    weights = unit_weights(network, pruned, list(dict.fromkeys(found.layer)))
    return found.merge(weights, on=["layer", "unit"], validate="one_to_one")


# --- sets -----------------------------------------------------------------------------------------


def unit_sets(
    network: nn.Sequential, table: pd.DataFrame, images: Images, by: str, draw: np.random.Generator
) -> dict[str, Any]:
    """What a network loses without the tenth of units that matter most, and with only these.

    Args:
        network: as `networks.build.build` makes it.
        table: see `importance_table`.
        images: that the loss is measured on.
        by: `loss` or `divergence`.
        draw: draws the random sets: as many units of each layer.

    Returns:
        units, and of these chosen; and for the sets `important` (of the largest loss_change),
        `largest` (of the largest magnitude) and `random`: `without`, the loss (or divergence) with
        the set silenced, and `alone`, with all other units of hidden layers silenced; for random
        sets see `_spread`.
    """
    layers = {str(layer): group for layer, group in table.groupby("layer", sort=False)}

    def chosen(pick: Callable[[pd.DataFrame, int], Mask]) -> dict[str, Mask]:
        return {
            layer.removeprefix("body.").removesuffix(".weight"): pick(
                group, unit_ranks.tenth(len(group))
            )
            for layer, group in layers.items()
        }

    def drawn(group: pd.DataFrame, k: int) -> Mask:
        return np.isin(np.arange(len(group)), draw.choice(len(group), k, replace=False))

    sets = [
        chosen(lambda group, k: unit_ranks.top(group.loss_change, k)),
        chosen(lambda group, k: unit_ranks.top(group[unit_ranks.MAGNITUDE], k)),
        *(chosen(drawn) for _ in range(DRAWS)),
    ]
    others = [{layer: ~units for layer, units in each.items()} for each in sets]
    losses = Silenced(network, by).without(images, [*sets, *others])[:, 0].reshape(2, -1)
    without, alone = losses
    named = {
        name: {WITHOUT: float(without[k]), ALONE: float(alone[k])}
        for k, name in enumerate(("important", "largest"))
    }
    return {
        "units": len(table),
        "chosen": sum(int(units.sum()) for units in sets[0].values()),
        **named,
        "random": {WITHOUT: _spread(without[2:]), ALONE: _spread(alone[2:])},
    }


def weight_sets(
    network: nn.Sequential,
    pruned: Mapping[str, Array],
    images: Images,
    by: str,
    draw: np.random.Generator,
) -> dict[str, Any]:
    """What a network loses without the weights that pruning keeps, and with only these.

    Args:
        network: the regularised model; it is put into evaluation mode.
        pruned: the weights of all layers of the pruned model by name.
        images: that the loss is measured on.
        by: `loss` or `divergence`.
        draw: draws the random sets: as many weights of each layer.

    Returns:
        weights, and of these chosen; and for the sets `skeleton` and `random`: `without`, the loss
        (or divergence) with these weights set to zero, and `alone`, with all other prunable weights
        set to zero; for random sets see `_spread`.
    """
    names = list(prunable(network))
    skeleton = masks(pruned, names)
    sets = [skeleton, *(_as_many(skeleton, draw) for _ in range(DRAWS))]
    intact = inference.predict(network, images.pixels).double()
    losses = np.array([_without_and_alone(network, each, images, by, intact) for each in sets])
    return {
        "weights": sum(mask.numel() for mask in skeleton.values()),
        "chosen": sum(int(mask.sum()) for mask in skeleton.values()),
        "skeleton": {WITHOUT: float(losses[0, 0]), ALONE: float(losses[0, 1])},
        "random": {WITHOUT: _spread(losses[1:, 0]), ALONE: _spread(losses[1:, 1])},
    }


def _as_many(skeleton: Masks, draw: np.random.Generator) -> Masks:
    """A random set of as many weights in each layer."""
    return {
        name: torch.from_numpy(draw.permutation(mask.numpy().ravel()).reshape(mask.shape))
        for name, mask in skeleton.items()
    }


def _without_and_alone(
    network: nn.Module, chosen: Masks, images: Images, by: str, intact: Tensor
) -> list[float]:
    here = {name: mask.to(intact.device) for name, mask in chosen.items()}
    found = []
    for kept in ({name: ~mask for name, mask in here.items()}, here):
        with only(network, kept):
            logits = inference.predict(network, images.pixels).double()
        found.append(_loss(logits, images.labels, intact, by))
    return found


def _loss(logits: Tensor, labels: Tensor, intact: Tensor, by: str) -> float:
    """The loss of logits, or their divergence from those of the intact network, in nats."""
    if by == LOSS:
        return F.cross_entropy(logits, labels).item()
    own, other = F.log_softmax(intact, 1), F.log_softmax(logits, 1)
    return float((own.exp() * (own - other)).sum(1).mean())


def _spread(losses: Floats) -> dict[str, float]:
    """Of random sets: their mean, the standard deviation, the lowest and the highest."""
    return {
        "mean": float(losses.mean()),
        "deviation": float(losses.std(ddof=1)),
        "lowest": float(losses.min()),
        "highest": float(losses.max()),
    }


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
    by: str,
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
        ranks: the JSON file to write: images, mode and by; intact, the loss of the network as it
            is; `unit_ranks.summarize`; and `unit_sets` and `weight_sets`.
        images: number of training images that the loss is measured on, evenly spaced.
        by: `loss` or `divergence`, see `silence`.
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
    some, kept = (
        Images.read(dataset, "train", chosen).spread(images),
        artifacts.read_tensors(pruned),
    )
    found = importance_table(network, kept, some, by)
    draw = np.random.default_rng(0)
    logits = inference.predict(network, some.pixels).double()
    about = {
        "images": len(some.labels),
        "mode": "zero",  # the output of a silenced unit
        "by": by,
        "intact": F.cross_entropy(logits, some.labels).item(),
        "unit_sets": unit_sets(network, found, some, by, draw),
        "weight_sets": weight_sets(network, kept, some, by, draw),
    }
    artifacts.write_json(ranks, {**about, **unit_ranks.summarize(found)})
    artifacts.write_table(table, found)
