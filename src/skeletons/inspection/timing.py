"""The time of inference, before and after a skeleton is exposed."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.data.files import read_split
from skeletons.inspection import exposure
from skeletons.inspection.absence import look
from skeletons.prediction import inference
from skeletons.prediction.device import pick_device
from skeletons.store import artifacts


def inference_time(
    network: nn.Module, images: Tensor, *, batch: int, repeats: int
) -> dict[str, Any]:
    """The time of inference on one batch, repeated, after one batch to warm up.

    Args:
        network: on the device of `images`.
        images: uint8 N×C×H×W, of which the first `batch` are used.
        batch: number of images in a batch.
        repeats: number of timed batches.

    Returns:
        `median_ms`, `least_ms` and `largest_ms` per batch; batch, repeats, threads and device.
    """
    some = images[:batch]
    times = []
    for _ in range(repeats + 1):
        _wait(some.device)
        start = time.perf_counter()
        inference.predict(network, some, batch)
        _wait(some.device)
        times.append((time.perf_counter() - start) * 1e3)
    timed = times[1:]
    return {
        "median_ms": statistics.median(timed),
        "least_ms": min(timed),
        "largest_ms": max(timed),
        "batch": len(some),
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "device": some.device.type,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@look("timing", made_from=["structure"])
def timing_stage(
    *,
    pruned: str,
    summary: str,
    exposed: str,
    structure: str,
    dataset: str,
    timing: str,
    batch: int,
    repeats: int,
    device: str,
    threads: int,
) -> None:
    """Time a pruned model and its exposed skeleton on test images, and write both as JSON.

    Times differ from run to run. They have a separate file, so that exposed.json is the same for
    the same inputs. For a dead model, `dead_reason` in the file says why there is nothing to time.

    Args:
        pruned: weights.safetensors of the pruned model.
        summary: the model.json of its network.
        exposed: weights.safetensors of the exposed skeleton.
        structure: the exposed.json of the skeleton.
        dataset: the data set's images.safetensors.
        timing: the JSON file to write: `before` and `after`, see `inference_time`.
        batch: number of images in a batch.
        repeats: number of timed batches.
        device: `auto`, `cpu` or `cuda`.
        threads: number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    torch.set_num_threads(threads)
    dead = artifacts.read_json(structure, ["dead_reason"])["dead_reason"]
    if dead:
        artifacts.write_json(timing, {"dead_reason": dead})
        return
    chosen = pick_device(device)
    pixels = torch.from_numpy(read_split(dataset, "test")[0][:batch]).to(chosen)
    both = {
        "before": inference.restore(pruned, artifacts.read_json(summary, ["network"])),
        "after": exposure.load(exposed, structure),
    }
    times = {
        when: inference_time(network.to(chosen), pixels, batch=batch, repeats=repeats)
        for when, network in both.items()
    }
    artifacts.write_json(timing, times)
