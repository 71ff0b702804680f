"""A training job does not hold a data set that is larger than half of the memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from colours import images
from conftest import ROOT

from skeletons.networks import scale_free
from skeletons.networks.build import build
from skeletons.store import artifacts
from skeletons.training import ranks
from skeletons.training.images import Images

sys.path.insert(0, str(ROOT / "benchmarks"))

import stages

IMAGES = 12_000
SIZE = IMAGES * 3 * 32 * 32  # bytes
NETWORK = {"name": "cnn", "width": 2}


def written(folder: Path) -> tuple[str, str]:
    """A data set of noise."""
    draw = np.random.default_rng(0)
    images = {"train": IMAGES, "test": 100}
    tensors = {
        f"{split}_{part}": value
        for split, number in images.items()
        for part, value in (
            ("images", draw.integers(0, 256, (number, 3, 32, 32), dtype=np.uint8)),
            ("labels", np.arange(number, dtype=np.int64) % 10),
        )
    }
    files = str(folder / "images.safetensors"), str(folder / "info.json")
    artifacts.write_tensors(files[0], tensors)
    about = {"classes": [*"0123456789"], "mean": [0.5] * 3, "std": [0.25] * 3}
    artifacts.write_json(files[1], {**about, **images})
    return files


def peak(folder: Path, memory: int | None) -> stages.Peak:
    """The peak memory of a job that trains for an epoch."""
    data = written(folder)
    settings = {"epochs": 1, "batch_size": 500, "learning_rate": 0.01, "memory": memory}
    return stages.finish(stages.base(folder / "model", data, NETWORK, 1, **settings))


def test_a_job_keeps_no_copy_of_images_that_are_mapped(tmp_path: Path) -> None:
    """Compared with a job on the same images that has room to read them."""
    mapped = peak(tmp_path / "mapped", memory=SIZE)
    read = peak(tmp_path / "read", memory=None)
    assert read.own - mapped.own > 0.8 * SIZE
    assert mapped.resident > mapped.own


def test_mapped_images_move_to_the_device_of_the_network() -> None:
    """They stay on the CPU while the network and the labels are on a GPU; here, on torch's meta."""
    kept = images(8)
    network = build("cnn", 2, 3, [0.5] * 3, [0.25] * 3, seed=1).to("meta")
    there = Images(kept.pixels, kept.labels.to("meta"))
    found = ranks._mean(network, there, 4, 1)
    assert {tensor.device.type for tensor in found.values()} == {"meta"}
    assert scale_free._logits(network, kept.pixels).device.type == "meta"
