"""From weights and images to penultimate features: what a network's last linear layer gets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.data import sources
from skeletons.errors import ConfigError
from skeletons.prediction import inference
from skeletons.store import artifacts


def last_linear(network: nn.Module) -> nn.Linear:
    """The last linear layer in the order in which a network names its layers.

    Raises:
        ConfigError: the network has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(
            "compare.representations: found a measure of penultimate features, which are what the "
            "last linear layer gets, but the network has no linear layer; allowed: an empty list."
        )
    return layers[-1]


def penultimate(network: nn.Module, images: Tensor, batch_size: int = inference.BATCH) -> Tensor:
    """Penultimate features, float32 N×d, of images uint8 N×3×32×32 on the network's device.

    Raises:
        ConfigError: the network has no linear layer.
    """
    seen: list[Tensor] = []
    # A hook sees the layer's input whatever the network calls what comes before.
    hook = last_linear(network).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].float().flatten(1).cpu())
    )
    try:
        inference.predict(network, images, batch_size)
    finally:
        hook.remove()
    return torch.cat(seen)


def features_stage(
    weights: str, summary: str, dataset: str, output: str, images: int | None, device: str
) -> None:
    """Write a model's penultimate features on a data set's test images.

    The file holds one tensor, `features` (float32, N×d), one row an image in the data set's order.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        output: the safetensors file to write.
        images: how many test images, counted from the first; None for all.
        device: `auto`, `cpu` or `cuda`.
    """
    inference.one_thread()
    place = inference.pick_device(device)
    network = inference.restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    pixels = sources.read_split(dataset, "test")[0][:images]
    found = penultimate(network, torch.from_numpy(pixels).to(place)).numpy()
    artifacts.write_tensors(output, {"features": np.asarray(found, dtype=np.float32)})
