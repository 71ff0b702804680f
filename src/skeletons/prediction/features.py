"""From weights and images to penultimate features, the inputs of a network's last linear layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.errors import ConfigError
from skeletons.prediction.device import use_one_thread
from skeletons.prediction.inference import opened, predict
from skeletons.store import artifacts


def last_linear(network: nn.Module, key: str = "compare.representations") -> nn.Linear:
    """The last linear layer, in the order of `network.modules()`.

    Args:
        network: the network.
        key: of the configuration, which needs it.

    Raises:
        ConfigError: the network has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(
            f"{key}: found a measure of features, which are looked for up to the input of the last "
            "linear layer, but the network has no linear layer; allowed: an empty list."
        )
    return layers[-1]


def penultimate(network: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Penultimate features, float32 N×d, of images uint8 N×C×H×W.

    The images are on the network's device or on the CPU.

    Raises:
        ConfigError: the network has no linear layer.
    """
    # A hook sees the layer's input, whatever comes before it.
    with hidden({"": last_linear(network)}, _input) as seen:
        predict(network, images, batch_size)
    return torch.cat(seen[""])


def _input(module: nn.Module, inputs: Any, output: Any) -> Tensor:
    found: Tensor = inputs[0].float().flatten(1)
    return found


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
