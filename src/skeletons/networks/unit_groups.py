"""The weights of each unit, for penalties and pruning that remove whole channels and neurons.

A weight belongs to the unit that it leads from (a *channel-wise* group of Wen et al. 2016, section
3.1). A unit without these weights is read by nothing, so it can be removed without changing what
the network computes, and its incoming weights with it. Groups of incoming weights would not do:
under batch norm, the scale of a unit's filter has no effect, so a penalty would only rescale it.

The channels of a residual stream are the same units for all of its layers, so the weights of a
unit lie in all layers that read the stream. Weights that lead from units that cannot be removed,
such as the channels of images, belong to no unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from skeletons.data.files import read_info
from skeletons.errors import WiringError
from skeletons.networks import channels
from skeletons.networks.build import rebuild
from skeletons.networks.channels import Stream, Wiring
from skeletons.networks.describe import prunable
from skeletons.networks.image_shape import described, of_network, of_summary
from skeletons.store import artifacts

Content = dict[str, Any]


def find(network: nn.Module) -> list[Content]:
    """The streams of units that can be removed.

    Args:
        network: as `networks.build.build` makes it; its weights do not matter.

    Returns:
        One entry per stream: `units`, their number n; `readers`, the names of the weights that lead
        from them: unit k has the k-th of n equal blocks of inputs (of several, if a linear layer
        reads flattened channels); `writers`, the names of the prunable weights that lead to them,
        whose k-th output is unit k.

    Raises:
        WiringError: the channels of an operation cannot be followed, or no unit can be removed.
    """
    wires = channels.trace(network.get_submodule("body"), of_network(network))
    known = prunable(network)
    streams = [
        {
            "units": stream.size,
            "readers": [_weight(layer) for layer in stream.readers],
            "writers": [_weight(layer) for layer in stream.writers if _weight(layer) in known],
        }
        for stream in _removable(wires)
        if all(_weight(layer) in known for layer in stream.readers)
    ]
    if not streams:
        raise WiringError(
            "The network has no units that can be removed; allowed: a network with a hidden layer."
        )
    return streams


def _removable(wires: Wiring) -> list[Stream]:
    return [stream for stream in wires.streams if not stream.whole and stream.readers]


def _weight(layer: str) -> str:
    return f"body.{layer}.weight"


def of(about: Mapping[str, Any]) -> list[Content]:
    """The streams of the network that `network` in a model.json describes; see `find`."""
    return find(rebuild(about))


def unit_groups_stage(*, info: str, units: str, network: Mapping[str, Any]) -> None:
    """Write the weights of each unit of a network, so that pruning needs no network.

    Args:
        info: the data set's info.json, for the number of classes.
        units: the JSON file to write, with `streams`, see `find`.
        network: what it is built from.

    Raises:
        WiringError: see `find`.
    """
    torch.set_num_threads(1)  # it runs beside other stages
    data = read_info(info)
    about = {**network, "classes": len(data["classes"]), **described(of_summary(data))}
    artifacts.write_json(units, {"streams": of(about)})
