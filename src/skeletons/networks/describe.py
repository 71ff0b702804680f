"""The size of a network: its parameters, FLOPs and prunable weights, in total and by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

IMAGE_SHAPE = (3, 32, 32)


def prunable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The prunable weights by name: trained weights of convolutions and linear layers.

    Regularisation and pruning change only these, not biases, normalisation or fixed filters.
    """
    return {
        f"{name}.weight": module.get_parameter("weight")
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad
    }


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: its weights, and FLOPs per image (2 per multiply-add)."""

    name: str
    shape: tuple[int, ...]
    flops: int
    prunable: bool


def describe(network: nn.Sequential) -> dict[str, Any]:
    """Count parameters and the FLOPs of one image's forward pass, in total and by layer."""
    layers: list[Layer] = []
    trained = prunable(network)

    def count(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            # Each position of the output takes one multiply-add per weight.
            positions = output[0].numel() // weight.shape[0]
            layers.append(
                Layer(name, tuple(weight.shape), 2 * weight.numel() * positions, name in trained)
            )

        return hook

    hooks = [
        module.register_forward_hook(count(f"{name}.weight"))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    training = network.training
    device = next(network.parameters()).device
    with torch.no_grad():
        network.eval()(torch.zeros(1, *IMAGE_SHAPE, device=device))
    network.train(training)
    for hook_handle in hooks:
        hook_handle.remove()
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "prunable": sum(p.numel() for p in trained.values()),
        "flops": sum(layer.flops for layer in layers),
        "layers": [asdict(layer) for layer in layers],
    }
