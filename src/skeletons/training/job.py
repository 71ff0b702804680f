"""A training job: preparing the process, and describing the model that it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from skeletons.networks.describe import describe
from skeletons.networks.tensors import tensors
from skeletons.prediction.device import pick_device
from skeletons.store import artifacts
from skeletons.training import memory
from skeletons.training.epochs import measure_splits
from skeletons.training.images import Images


def start(seed: int, threads: int, device: str) -> torch.device:
    """Prepare this process to train on a device.

    Training is then deterministic: the same seed, threads and device give the same bits. The
    process keeps the memory that a step frees for the next step.

    Raises:
        DeviceError: see `pick_device`.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)  # for user-defined code that draws outside of `drawing_from`
    torch.set_deterministic_debug_mode("error")  # which does not import torch's compiler
    # Filling it takes 5 % of the time on a CPU, and nothing here reads it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    memory.keep_freed()
    return pick_device(device)


def tensors_of(network: nn.Module) -> dict[str, artifacts.Array]:
    """A network's parameters and buffers by name, each once, as arrays."""
    return {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in tensors(network).items()
    }


def summarize(
    network: nn.Sequential, about: Mapping[str, Any], train: Images, test: Images
) -> dict[str, Any]:
    """The content of model.json: what the network is, its size, its losses and accuracies."""
    return {
        "network": dict(about),
        **describe(network),
        **measure_splits(network, train, test),
    }
