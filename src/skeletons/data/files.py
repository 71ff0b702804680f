"""A data set's files: images in one form, uint8 RGB of 32×32 pixels, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.store import artifacts
from skeletons.store.seals import unfit

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SIDE = 32
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 N×3×32×32 and labels int64 N (indices into `classes`), for training and test.

    Data sets that are only used to compare models have no training images. Both splits are in a
    fixed random order, so the first n images of either are a fair sample.
    """

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: tuple[str, ...]

    @classmethod
    def without_training(cls, images: Pixels, labels: Labels, classes: Sequence[str]) -> Dataset:
        """A data set with test images only, to compare models on."""
        return cls(images[:0], labels[:0], images, labels, tuple(classes))


def read_info(path: str | Path) -> dict[str, Any]:
    """Read a data set's info.json: classes, train, test, mean and std."""
    return artifacts.read_json(path, ["classes", "mean", "std"])


def read_split(path: str | Path, split: str) -> tuple[Pixels, Labels]:
    """Read the images uint8 N×3×32×32 and labels int64 N of one split, `train` or `test`.

    Raises:
        ArtifactError: the file is missing or broken, or holds something else.
    """
    images, labels = artifacts.read_tensors(path, [f"{split}_images", f"{split}_labels"]).values()
    good = (
        images.dtype == np.uint8
        and images.shape[1:] == (3, SIDE, SIDE)
        and labels.dtype == np.int64
        and labels.shape == images.shape[:1]
    )
    if not good:
        raise unfit(path, f"does not hold images of 3×{SIDE}×{SIDE} with a label each")
    return images, labels
