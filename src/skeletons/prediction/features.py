"""From weights and images to penultimate features, the inputs of a network's last linear layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.data.files import read_split
from skeletons.errors import ConfigError
from skeletons.prediction.device import pick_device, use_one_thread
from skeletons.prediction.inference import predict, restore
from skeletons.store import artifacts


def last_linear(network: nn.Module) -> nn.Linear:
    """The last linear layer, in the order of `network.modules()`.

    Raises:
        ConfigError: the network has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(
            "compare.representations: found a measure of penultimate features, the inputs of the "
            "last linear layer, but the network has no linear layer; allowed: an empty list."
        )
    return layers[-1]


def penultimate(network: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Penultimate features, float32 N×d, of images uint8 N×C×H×W.

    The images are on the network's device or on the CPU.

    Raises:
        ConfigError: the network has no linear layer.
    """
    seen: list[Tensor] = []
    # A hook sees the layer's input, whatever comes before it.
    hook = last_linear(network).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].float().flatten(1).cpu())
    )
    try:
        predict(network, images, batch_size)
    finally:
        hook.remove()
    return torch.cat(seen)


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
    found = penultimate(network, torch.from_numpy(pixels)).numpy()
    artifacts.write_tensors(features, {"features": np.asarray(found, dtype=np.float32)})
