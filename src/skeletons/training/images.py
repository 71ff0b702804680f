"""Images in memory: reading a split, taking a sample, and batches in random order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skeletons.data.files import is_mapped, read_split
from skeletons.errors import DataError, TrainingError
from skeletons.networks.generators import generator_for
from skeletons.training.augmentation import augment


@dataclass(frozen=True)
class Images:
    """Images uint8 N×C×H×W and labels int64 N, on the device that trains.

    Images that are mapped from a file, because they are too large to be read, stay on the CPU.
    """

    pixels: Tensor
    labels: Tensor

    @classmethod
    def read(cls, path: str | Path, split: str, device: torch.device) -> Images:
        """Read one split of a data set's file.

        Raises:
            DataError: the split is empty: the data set is only used to compare models.
        """
        pixels, labels = read_split(path, split)
        if not len(labels):
            raise DataError(f"{path} has no images to {split} on; train on another data set.")
        if not is_mapped(pixels):
            return cls(torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device))
        return cls(torch.from_numpy(pixels), torch.from_numpy(labels).to(device))

    def sample(self, count: int) -> Images:
        """About `count` of the images, evenly spaced."""
        step = max(1, len(self.labels) // count)
        return Images(self.pixels[::step], self.labels[::step])

    def spread(self, count: int) -> Images:
        """Exactly `count` of the images or all, evenly spaced; none for 0."""
        chosen = torch.arange(min(count, len(self.labels)), device=self.labels.device)
        chosen = chosen * len(self.labels) // max(1, len(chosen))
        return Images(self.pixels[chosen.to(self.pixels.device)], self.labels[chosen])


def permuted_classes(classes: int, seed: int) -> list[int]:
    """A permutation of the classes, drawn by a seed: class k becomes class `[k]`."""
    return [int(k) for k in torch.randperm(classes, generator=generator_for("labels", seed))]


def read_task(
    dataset: str | Path, about: Mapping[str, Any], device: torch.device
) -> tuple[Images, Images]:
    """The training and the test images of the task that a model learns.

    Args:
        dataset: the data set's images.safetensors.
        about: `network` in a model.json. If it has `labels`, an image of class k of the data set is
            of class `labels[k]` of the task.
        device: as in `Images.read`.

    Raises:
        DataError: as `Images.read`.
    """
    train, test = (Images.read(dataset, split, device) for split in ("train", "test"))
    if "labels" not in about:
        return train, test
    new = torch.tensor(about["labels"], device=train.labels.device)
    return Images(train.pixels, new[train.labels]), Images(test.pixels, new[test.labels])


def batch_sizes(count: int, size: int, *, single: bool = True) -> list[int]:
    """The sizes of the batches of an epoch; the last may be smaller.

    Args:
        count: number of images.
        size: images per batch.
        single: whether a batch may be of one image. If not, one that is left over joins the batch
            before it.

    Raises:
        TrainingError: all batches would be of one image, and may not.
    """
    sizes = [size] * (count // size) + [count % size] * (count % size > 0)
    if single or 1 not in sizes:
        return sizes
    if len(sizes) == 1 or size == 1:
        raise TrainingError(
            "The network cannot be trained on a batch of one image: found "
            f"batches of {size} from {count} training images; allowed: a batch_size of 2 or more, "
            "and as many images."
        )
    return [*sizes[:-2], sizes[-2] + 1]


def batches(
    images: Images,
    size: int,
    generator: torch.Generator,
    changes: Mapping[str, Any],
    *,
    single: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches in random order, see `batch_sizes`.

    Args:
        images: to draw from.
        size: images per batch.
        generator: draws the order and the augmentation.
        changes: the keyword arguments of `augment`.
        single: see `batch_sizes`.
    """
    count = len(images.labels)
    order = torch.randperm(count, generator=generator).to(images.labels.device)
    for indices in torch.split(order, batch_sizes(count, size, single=single)):
        chosen = images.pixels[indices.to(images.pixels.device)].to(images.labels.device)
        pixels = augment(chosen, generator, **changes)
        yield pixels.contiguous(memory_format=torch.channels_last), images.labels[indices]
