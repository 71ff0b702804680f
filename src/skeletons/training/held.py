"""Holding a mask: weights that stay exactly zero through training, whatever the optimiser."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def hold(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Keep weights of a network at zero from now on.

    Their gradients are zero. And because weight decay, or a step that mixes the gradients of a
    layer, may move them all the same, they are set to zero before each time that the network runs.
    So no result of the network, and no gradient, ever depends on them.

    Args:
        network: changed in place; it is not to be used for anything else afterwards.
        masks: by the name of a parameter, a boolean tensor of its shape: False where it stays zero.
    """
    held = [(network.get_parameter(name), mask) for name, mask in masks.items()]
    for weight, mask in held:
        weight.register_hook(functools.partial(_masked, mask))  # type: ignore[no-untyped-call]

    def clear(module: nn.Module, inputs: Any) -> None:
        empty(held)

    network.register_forward_pre_hook(clear)
    empty(held)


def _masked(mask: Tensor, gradient: Tensor) -> Tensor:
    return gradient * mask.to(gradient.device)


@torch.no_grad()
def empty(held: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
    """Set weights to zero where their masks are False."""
    for weight, mask in held:
        weight.masked_fill_(~mask.to(weight.device), 0.0)
