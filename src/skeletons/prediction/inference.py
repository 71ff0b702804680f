"""From weights and images to logits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.data.files import read_split
from skeletons.networks.build import rebuild
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.device import pick_device, use_one_thread
from skeletons.store import artifacts
from skeletons.store.seals import unfit

# Images per batch without gradients. Larger batches are slower: the C library maps their large
# intermediate results into memory again each time, which adds more than half of the time.
BATCH = 100


@torch.inference_mode()
def predict(network: nn.Module, images: Tensor, batch_size: int = BATCH) -> Tensor:
    """Logits, float32 N×classes, of images uint8 N×3×32×32 on the network's device."""
    network.eval()
    return torch.cat(
        [
            network(batch.contiguous(memory_format=torch.channels_last)).float()
            for batch in torch.split(images, batch_size)
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
    place = pick_device(device)
    network = restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    pixels, labels = read_split(dataset, "test")
    pixels, labels = pixels[:images], labels[:images]
    logits = predict(network, torch.from_numpy(pixels).to(place)).cpu().numpy()
    table = pd.DataFrame({"label": labels.astype(np.int64)})
    for k in range(logits.shape[1]):
        table[f"logit_{k}"] = logits[:, k]
    artifacts.write_table(predictions, table)
