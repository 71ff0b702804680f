"""The size of a network: its parameters, FLOPs and prunable weights, in total and by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.networks.image_shape import Shape, of_network

# Layers whose multiply-adds are counted. Each position of the output of a convolution takes one
# multiply-add per weight; of a transposed convolution, each position of the input.
FORWARD = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


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
    """A convolution, of any kind, or linear layer: its weights, and FLOPs per image.

    A multiply-add is two FLOPs.
    """

    name: str
    shape: tuple[int, ...]
    flops: int
    prunable: bool


def describe(network: nn.Sequential, image_shape: Shape | None = None) -> dict[str, Any]:
    """Count parameters and the FLOPs of one image's forward pass, in total and by layer.

    Args:
        network: as `networks.build.build` makes it.
        image_shape: channels, height and width of the image; None for what the network takes.
    """
    layers: list[Layer] = []
    trained = prunable(network)

    def count(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            moving = inputs[0] if isinstance(module, TRANSPOSED) else output
            positions = moving[0].numel() // weight.shape[0]
            layers.append(
                Layer(name, tuple(weight.shape), 2 * weight.numel() * positions, name in trained)
            )

        return hook

    hooks = [
        module.register_forward_hook(count(f"{name}.weight"))
        for name, module in network.named_modules()
        if isinstance(module, (*FORWARD, *TRANSPOSED))
    ]
    training, shape = network.training, image_shape or of_network(network)
    device = next(network.parameters()).device
    with torch.no_grad():
        network.eval()(torch.zeros(1, *shape, device=device))
    network.train(training)
    for hook_handle in hooks:
        hook_handle.remove()
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "prunable": sum(p.numel() for p in trained.values()),
        "flops": sum(layer.flops for layer in layers),
        "layers": [asdict(layer) for layer in layers],
    }
