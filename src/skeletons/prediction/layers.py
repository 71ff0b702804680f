"""From weights and images to the activations of several layers, by default one for each stage.

A stage is a run of layers between two changes of resolution. Its last layer is the last module
before the change that is not itself a convolution, a linear layer or a norm, so that it is behind
the activation function, and behind the sum where a residual block ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.errors import ConfigError
from skeletons.networks.image_shape import of_network
from skeletons.prediction.device import use_one_thread
from skeletons.prediction.features import before_layers, hidden, no_layer
from skeletons.prediction.inference import opened, predict
from skeletons.store import artifacts


def stage_ends(network: nn.Module) -> list[str]:
    """The names of the last layer of each stage, in the order in which they run.

    Stages without weights, such as pooling, are left out. What follows the last hidden layer, the
    input of the layer that runs last, is not looked at.

    Raises:
        ConfigError: the network runs neither a linear layer nor a convolution.
    """
    ran = _modules_as_they_run(network)
    modules = dict(network.named_modules())
    found: dict[tuple[int, ...], str] = {}
    weighted: set[tuple[int, ...]] = set()
    for name, shape in ran:
        resolution = shape[2:] if len(shape) != 3 else (-1,)
        plain = not list(modules[name].parameters(recurse=False))
        if plain:
            found.pop(resolution, None)  # a stage that comes back ends later
            found[resolution] = name
        else:
            weighted.add(resolution)
    return [name for resolution, name in found.items() if resolution in weighted]


def _modules_as_they_run(network: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """The names and the shapes of results of modules in the order in which they end.

    Up to the linear layer or convolution that runs last, on one blank image. Results that are not
    tensors are left out, and modules that run more than once.
    """
    ran: list[tuple[str, tuple[int, ...]]] = []
    before: list[int] = []  # how many had ended when each layer began

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                ran.append((name, tuple(output.shape)))

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if name.startswith("body.")
    ]
    handles += before_layers(network, lambda *_: before.append(len(ran)))
    device = next(network.parameters()).device
    try:
        predict(network, torch.zeros(1, *of_network(network), dtype=torch.uint8, device=device))
    finally:
        for handle in handles:
            handle.remove()
    if not before:
        raise no_layer("inspect.layers")
    hidden_ran = ran[: before[-1]]
    runs = Counter(name for name, _ in hidden_ran)
    return [(name, shape) for name, shape in hidden_ran if runs[name] == 1]


def chosen(network: nn.Module, names: Sequence[str] | None) -> list[str]:
    """The layers to compare: those that are named, or the last of each stage.

    Raises:
        ConfigError: the network has no layer of a name.
    """
    if names is None:
        return stage_ends(network)
    have = [name for name, _ in _modules_as_they_run(network)]
    for index, name in enumerate(names):
        if name not in have:
            raise ConfigError(
                f"inspect.layer_names[{index}]: found {name!r}; allowed: {', '.join(have)} (the "
                "layers of the network up to the one that runs last)."
            )
    return list(names)


def activations(
    network: nn.Module, images: Tensor, names: Sequence[str], batch_size: int | None = None
) -> dict[str, Tensor]:
    """The activations of layers on images, by the layer's name.

    Args:
        network: the network.
        images: uint8 N×3×32×32, on the network's device.
        names: modules of the network.
        batch_size: images that run together; None for as many as `predict` takes.

    Returns:
        For each layer float32 N×channels, on the CPU; the mean over positions if it has some.
    """
    modules = dict(network.named_modules())
    with hidden({name: modules[name] for name in names}, _outputs) as seen:
        predict(network, images, batch_size)
    return {name: torch.cat(parts) for name, parts in seen.items()}


def _outputs(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """A layer's result without its positions: N×channels."""
    result = output.float()
    if result.dim() == 3:  # tokens
        return result.mean(1)
    return result.flatten(2).mean(2) if result.dim() > 3 else result.flatten(1)


def layers_stage(
    *,
    weights: str,
    summary: str,
    dataset: str,
    layers: str,
    images: int | None,
    names: Sequence[str] | None,
    device: str,
) -> None:
    """Write the activations of a model's layers on a data set's test images.

    The file holds one tensor per layer (float32, N×channels, see `activations`), with one row per
    image in the data set's order. A name is the position of the layer, a slash and its name.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        layers: the safetensors file to write.
        images: how many test images, counted from the first; None for all.
        names: of the layers; None for the last one of each stage.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: the network has no such layer.
    """
    use_one_thread()
    network, pixels, _ = opened(weights, summary, dataset, images, device)
    found = activations(network, pixels, chosen(network, names))
    artifacts.write_tensors(
        layers,
        {
            f"{k:03d}/{name}": np.asarray(tensor.numpy(), dtype=np.float32)
            for k, (name, tensor) in enumerate(found.items())
        },
    )
