"""The same network in layers of torch's own, for use outside of this library."""

from __future__ import annotations

import copy

import torch
from torch import nn

from skeletons.networks.architectures import _EqualConv, _EqualLinear


@torch.no_grad()
def plain_layers(network: nn.Module) -> nn.Module:
    """A copy of a network in which the stored weights are those that are applied.

    `cnn` multiplies its stored weights by a factor each time a layer runs. In the copy, the factor
    is a part of the weights, and the layers are `torch.nn.Conv2d` and `torch.nn.Linear`. So its
    `state_dict` is right for a network of these layers. Other networks are copied as they are.

    Args:
        network: as `Experiment.load` returns it. It is not changed.

    Returns:
        The copy, which computes the same logits, on the same device and in the same mode. Biases
        and the positions of pruned weights are the same.
    """
    made = copy.deepcopy(network)
    for name, module in list(made.named_modules()):
        if isinstance(module, _EqualConv | _EqualLinear):
            made.set_submodule(name, _plain(module))
    return made


def _plain(module: _EqualConv | _EqualLinear) -> nn.Module:
    with torch.device("meta"):  # without drawing initial weights, which are replaced
        layer: nn.Conv2d | nn.Linear
        if isinstance(module, _EqualConv):
            layer = nn.Conv2d(module.in_channels, module.out_channels, 3, padding=1)
        else:
            layer = nn.Linear(module.in_features, module.out_features)
    layer.weight = nn.Parameter(module.weight * module.scale, module.weight.requires_grad)
    layer.bias = module.bias
    return layer.train(module.training)
