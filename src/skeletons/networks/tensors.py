"""The tensors of a network, each once: what its file of weights holds.

A layer that a network has under two names, or a parameter that two layers share, is one tensor. It
goes by its first name.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def _first_names(network: nn.Module) -> dict[str, str]:
    """The first name of the tensor that each name of the state dict stands for."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(tensor), name)
        for name, tensor in network.state_dict(keep_vars=True).items()
    }


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """A network's parameters and buffers by name, each once; not copied."""
    state = network.state_dict(keep_vars=True)
    return {name: state[name] for name, first in _first_names(network).items() if name == first}


def put(network: nn.Module, given: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network.

    Args:
        network: changed in place.
        given: by name, exactly those of `tensors`.
    """
    names = _first_names(network)
    network.load_state_dict({name: given[first] for name, first in names.items()})
