"""From weights and images to predictions: the last stage that needs a network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.data import sources
from skeletons.errors import DeviceError
from skeletons.networks import architectures
from skeletons.store import artifacts
from skeletons.store.seals import unfit

Array = artifacts.Array


def pick_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` stands for on this machine.

    Raises:
        DeviceError: `cuda` is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "compute.device: found cuda, but no CUDA device is to be seen here; allowed: auto, cpu."
        )
    return torch.device(name)


# Images a batch where nothing is learned: more would make intermediate results so large that the C
# library maps each in anew, which costs more than half of the time on top.
BATCH = 100

# What a processor says of itself where it multiplies in bf16: Intel and AMD, Intel's tiles, ARM.
BF16 = ("avx512_bf16", "amx_bf16", "bf16")


@functools.cache
def pick_precision(name: str, device: torch.device) -> str:
    """The precision that `auto`, `bf16` or `fp32` stands for on a device of this machine.

    `auto` is bf16 where the device multiplies in it, and fp32 elsewhere, as there bf16 is emulated
    and training takes ten times as long.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        able = torch.backends.mkldnn.is_available() and any(map(has.get, BF16))  # type: ignore[no-untyped-call]
    return "bf16" if able else "fp32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Where operations run in a precision, as `pick_precision` takes it; weights stay in fp32."""
    enabled = pick_precision(precision, device) == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def one_thread() -> None:
    """Compute in the thread that calls this, and in no other.

    Stages inside Snakemake's process run as many at once as there are cores; and their results must
    not depend on how many there are.
    """
    torch.set_num_threads(1)


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
    """Put the weights of a file into a network.

    Raises:
        ArtifactError: the file is broken or holds the weights of another network.
    """
    tensors = artifacts.read_tensors(path)
    state = network.state_dict()
    expected = {name: (tuple(t.shape), str(t.dtype)) for name, t in state.items()}
    found = {name: (t.shape, f"torch.{t.dtype}") for name, t in tensors.items()}
    if expected != found:
        odd = min(name for name, _ in set(expected.items()) ^ set(found.items()))
        raise unfit(path, f"holds the weights of another network (they differ at {odd!r})")
    network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})


def restore(weights: str | Path, summary: Mapping[str, Any]) -> nn.Sequential:
    """The network that a model.json's content describes, with the weights of a file.

    Raises:
        ArtifactError: the file is broken or holds the weights of another network.
    """
    about = summary["network"]
    # The standardisation is among the weights; zeros and ones only hold its place.
    network = architectures.build(
        about["name"], about["width"], about["classes"], [0.0] * 3, [1.0] * 3
    )
    load(network, weights)
    return network


def predict_stage(
    weights: str, summary: str, dataset: str, output: str, images: int | None, device: str
) -> None:
    """Write a model's predictions on a data set's test images, one row an image.

    Columns: `label` (int64) and `logit_0`, `logit_1`, … (float32), in the data set's order.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        output: the parquet file to write.
        images: how many test images, counted from the first; None for all.
        device: `auto`, `cpu` or `cuda`.
    """
    one_thread()
    place = pick_device(device)
    network = restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    pixels, labels = sources.read_split(dataset, "test")
    pixels, labels = pixels[:images], labels[:images]
    logits = predict(network, torch.from_numpy(pixels).to(place)).cpu().numpy()
    table = pd.DataFrame({"label": labels.astype(np.int64)})
    for k in range(logits.shape[1]):
        table[f"logit_{k}"] = logits[:, k]
    artifacts.write_table(output, table)
