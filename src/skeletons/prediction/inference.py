"""From weights and images to logits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.data.files import Labels, read_split
from skeletons.networks.build import rebuild
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.device import pick_device, use_one_thread
from skeletons.store import artifacts
from skeletons.store.seals import unfit

# Images per batch without gradients. Larger batches are slower: the C library maps their large
# intermediate results into memory again each time, which adds more than half of the time.
BATCH = 100  # of 32×32 pixels; of larger images as many as have the same number of pixels
PIXELS = BATCH * 32 * 32
ON_GPU = 10  # times as many: a GPU starts small batches more slowly than it computes them


@torch.inference_mode()
def predict(network: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Logits, float32 N×classes, of images uint8 N×C×H×W, on the network's device.

    Args:
        network: to run.
        images: on the network's device, or on the CPU, from which they move batch by batch.
        batch_size: images per batch; None for `BATCH`, or fewer if the images are larger, and for
            `ON_GPU` times as many on a GPU.
    """
    network.eval()
    place = next(chain(network.parameters(), network.buffers(), [images])).device
    pixels = images.shape[2] * images.shape[3] if images.ndim == 4 else 1
    size = batch_size or max(1, min(BATCH, PIXELS // pixels)) * (
        ON_GPU if place.type == "cuda" else 1
    )
    return torch.cat(
        [
            network(batch.to(place).contiguous(memory_format=torch.channels_last)).float()
            for batch in torch.split(images, size)
        ]
    )


def load(network: nn.Module, path: str | Path) -> None:
    """Load the weights of a file into a network.

    Raises:
        ArtifactError: the file is broken or holds the weights of another network.
    """
    given = artifacts.read_tensors(path)
    expected = {name: (tuple(t.shape), str(t.dtype)) for name, t in tensors(network).items()}
    found = {name: (t.shape, f"torch.{t.dtype}") for name, t in given.items()}
    if expected != found:
        odd = min(name for name, _ in set(expected.items()) ^ set(found.items()))
        raise unfit(path, f"holds the weights of another network (they differ at {odd!r})")
    put(network, {name: torch.from_numpy(tensor) for name, tensor in given.items()})


def restore(weights: str | Path, summary: Mapping[str, Any]) -> nn.Sequential:
    """The network that the content of a model.json describes, with the weights of a file.

    Raises:
        ArtifactError: the file is broken or holds the weights of another network.
    """
    network = rebuild(summary["network"])
    load(network, weights)
    return network


def opened(
    weights: str | Path, summary: str | Path, dataset: str | Path, images: int | None, device: str
) -> tuple[nn.Sequential, Tensor, Labels]:
    """A model on a device, a data set's test images on the CPU, and the images' labels.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        images: how many test images, counted from the first; None for all.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ArtifactError: a file is missing or broken, or the weights are of another network.
        DeviceError: the device is not available.
    """
    place = pick_device(device)
    network = restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    pixels, labels = read_split(dataset, "test")
    return network, torch.from_numpy(pixels[:images]), labels[:images]


def predict_stage(
    *,
    weights: str,
    summary: str,
    dataset: str,
    predictions: str,
    images: int | None,
    device: str,
) -> None:
    """Write a model's predictions on a data set's test images, one row per image.

    Columns: `label` (int64) and `logit_0`, `logit_1`, … (float32), in the data set's order.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        predictions: the parquet file to write.
        images: how many test images, counted from the first; None for all.
        device: `auto`, `cpu` or `cuda`.
    """
    use_one_thread()
    network, pixels, labels = opened(weights, summary, dataset, images, device)
    logits = predict(network, pixels).cpu().numpy()
    table = pd.DataFrame({"label": labels.astype(np.int64)})
    for k in range(logits.shape[1]):
        table[f"logit_{k}"] = logits[:, k]
    artifacts.write_table(predictions, table)
