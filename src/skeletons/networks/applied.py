"""Weights as they are applied: some layers multiply their stored weights by a factor."""

from __future__ import annotations

from torch import nn

from skeletons.networks.architectures import _EqualConv, _EqualLinear
from skeletons.networks.describe import prunable


def factors(network: nn.Module) -> dict[str, float]:
    """The factor by which each prunable weight is multiplied when its layer runs, by name.

    It is 1 in all layers but those of `cnn`.
    """
    modules = dict(network.named_modules())
    found = {}
    for name in prunable(network):
        module = modules.get(name.removesuffix(".weight"))  # None for those of attention
        found[name] = module.scale if isinstance(module, _EqualConv | _EqualLinear) else 1.0
    return found
