"""From weights and images to penultimate features, the inputs of the layer that runs last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from skeletons.errors import ConfigError
from skeletons.prediction.device import use_one_thread
from skeletons.prediction.inference import opened, predict
from skeletons.store import artifacts


def penultimate(network: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Penultimate features of images: the inputs of the layer that runs last.

    Those of a convolution are averaged over positions.

    Args:
        network: to run.
        images: uint8 N×C×H×W, on the network's device or on the CPU.
        batch_size: images per batch; None for as many as `predict` takes.

    Returns:
        float32 N×d, on the CPU.

    Raises:
        ConfigError: the network runs neither a linear layer nor a convolution.
    """
    last: list[tuple[nn.Module, Tensor]] = []  # that ran in this batch, and what it was given
    seen: list[Tensor] = []

    def after_batch(*_: Any) -> None:
        seen.extend(_flat(*ran) for ran in last)
        last.clear()

    def before_layer(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        last[:] = [(module, inputs[0])]

    hooks = before_layers(network, before_layer)
    hooks.append(network.register_forward_hook(after_batch))
    try:
        predict(network, images, batch_size)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise no_layer("compare.representations")
    return torch.cat(seen)


def _flat(layer: nn.Module, features: Tensor) -> Tensor:
    channels = features.mean((-2, -1)) if isinstance(layer, nn.Conv2d) else features
    return channels.float().flatten(1).cpu()


def before_layers(
    network: nn.Module, look: Callable[[nn.Module, tuple[Tensor, ...]], None]
) -> list[RemovableHandle]:
    """Call `look` with each linear layer and convolution, and its inputs, before it runs.

    What the last one gets is what comes before it, whatever that is.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return [layer.register_forward_pre_hook(look) for layer in layers]


def no_layer(key: str) -> ConfigError:
    """The error about a network without a layer that could run last.

    Args:
        key: of the configuration, which needs it.
    """
    return ConfigError(
        f"{key}: found a measure of features, which are looked for up to the last linear layer or "
        "convolution, but the network runs neither; allowed: an empty list."
    )


@contextlib.contextmanager
def hidden(
    modules: Mapping[str, nn.Module], take: Callable[[nn.Module, Any, Any], Tensor]
) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what `take` makes of each module, its inputs and its output, whenever it runs.

    Args:
        modules: by the names that the results get.
        take: a function of a module, its inputs and its output.

    Yields:
        By name, one tensor for each run of the module, on the CPU.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in modules}

    def collect(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            seen[name].append(take(module, inputs, output).cpu())

        return hook

    handles = [module.register_forward_hook(collect(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def features_stage(
    *,
    weights: str,
    summary: str,
    dataset: str,
    features: str,
    images: int | None,
    device: str,
) -> None:
    """Write a model's penultimate features on a data set's test images.

    The file holds one tensor, `features` (float32, N×d), with one row per image in the data set's
    order.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        features: the safetensors file to write.
        images: how many test images, counted from the first; None for all.
        device: `auto`, `cpu` or `cuda`.
    """
    use_one_thread()
    network, pixels, _ = opened(weights, summary, dataset, images, device)
    found = penultimate(network, pixels).numpy()
    artifacts.write_tensors(features, {"features": np.asarray(found, dtype=np.float32)})
