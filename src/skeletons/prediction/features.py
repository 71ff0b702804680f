"""From weights and images to penultimate features, the inputs of a network's last layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.data.files import read_split
from skeletons.errors import ConfigError
from skeletons.prediction.device import pick_device, use_one_thread
from skeletons.prediction.inference import BATCH, predict, restore
from skeletons.store import artifacts


def penultimate(network: nn.Module, images: Tensor, batch_size: int = BATCH) -> Tensor:
    """Penultimate features of images: the inputs of the layer that runs last.

    Those of a convolution are averaged over positions.

    Args:
        network: to run.
        images: uint8 N×3×32×32, on the network's device.
        batch_size: images per batch.

    Returns:
        float32 N×d.

    Raises:
        ConfigError: the network runs neither a linear layer nor a convolution.
    """
    last: list[tuple[nn.Module, Tensor]] = []  # that ran in this batch, and what it was given
    seen: list[Tensor] = []

    def before_layer(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        last[:] = [(module, inputs[0])]

    def after_batch(*_: Any) -> None:
        seen.extend(_flat(*ran) for ran in last)
        last.clear()

    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    # A hook sees the layer's input, whatever comes before it.
    hooks = [layer.register_forward_pre_hook(before_layer) for layer in layers]
    hooks.append(network.register_forward_hook(after_batch))
    try:
        predict(network, images, batch_size)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ConfigError(
            "compare.representations: found a measure of penultimate features, the inputs of the "
            "last linear layer or convolution, but the network runs neither; allowed: an empty "
            "list."
        )
    return torch.cat(seen)


def _flat(layer: nn.Module, features: Tensor) -> Tensor:
    channels = features.mean((-2, -1)) if isinstance(layer, nn.Conv2d) else features
    return channels.float().flatten(1).cpu()


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
    place = pick_device(device)
    network = restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    pixels = read_split(dataset, "test")[0][:images]
    found = penultimate(network, torch.from_numpy(pixels).to(place)).numpy()
    artifacts.write_tensors(features, {"features": np.asarray(found, dtype=np.float32)})
