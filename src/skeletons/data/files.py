"""A data set's files: images in one form, uint8 of one size and number of channels, and labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.errors import OtherSettingsError
from skeletons.store import artifacts, memory, provenance
from skeletons.store.seals import unfit

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SIDE, CHANNELS = 32, 3  # of images that a configuration says nothing about
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Form:
    """The form that all images of an experiment are brought to.

    Attributes:
        side: height and width in pixels.
        channels: 3 for RGB, 1 for grey.
        exact: whether existing images that have another size are refused instead of resized.
    """

    side: int = SIDE
    channels: int = CHANNELS
    exact: bool = False


USUAL = Form()


@dataclass(frozen=True)
class Dataset:
    """Images uint8 N×C×S×S and labels int64 N (indices into `classes`), for training and test.

    Data sets that are only used to compare models have no training images. Both splits are in a
    fixed random order, so the first n images of either are a fair sample. The notes are sentences
    about its source that a user should read.
    """

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def without_training(cls, images: Pixels, labels: Labels, classes: Sequence[str]) -> Dataset:
        """A data set with test images only, to compare models on."""
        return cls(images[:0], labels[:0], images, labels, tuple(classes))


def read_info(path: str | Path) -> dict[str, Any]:
    """Read a data set's info.json: classes, train, test, mean and std.

    Raises:
        ArtifactError: the file is missing or broken, or was made from another data set.
    """
    with _shared(path):
        return artifacts.read_json(path, ["classes", "mean", "std"])


def read_split(path: str | Path, split: str) -> tuple[Pixels, Labels]:
    """Read the images uint8 N×C×S×S and labels int64 N of one split, `train` or `test`.

    The images of a file that is larger than half the memory are mapped, see
    `artifacts.read_tensors`.

    Raises:
        ArtifactError: the file is missing or broken, holds something else, or was made from another
            data set.
    """
    with _shared(path):
        names = [f"{split}_images", f"{split}_labels"]
        found = artifacts.read_tensors(path, names, mapped=_is_large(path))
    images, labels = found.values()
    good = (
        images.dtype == np.uint8
        and images.ndim == 4
        and images.shape[1] in (1, 3)
        and images.shape[2] == images.shape[3]
        and labels.dtype == np.int64
        and labels.shape == images.shape[:1]
    )
    if not good:
        raise unfit(path, "does not hold square images of 1 or 3 channels with a label each")
    return images, labels


def is_mapped(images: Pixels) -> bool:
    """Whether images are mapped from a file, and not in memory."""
    return getattr(images, "_mmap", None) is not None


def _is_large(path: str | Path) -> bool:
    try:
        return Path(path).stat().st_size > memory.available() // 2
    except OSError:  # which reading it reports
        return False


def check_source(made: str | Path, path: str | Path) -> None:
    """Check that a data set's file is the one that an artifact was made from.

    Args:
        made: the artifact; if its seal does not say what it was made from, nothing is checked.
        path: the data set's file.

    Raises:
        ArtifactError: the file is missing, or was made again since from other images.
    """
    recipe = (artifacts.read_seal(made) or {}).get("made") or {}
    digest = recipe.get("inputs", {}).get(provenance.place(path))
    if digest is not None and provenance.file_digest(path) != digest:
        raise OtherSettingsError(
            f"{path} is not the file that {made} was made from, perhaps because another experiment "
            "has a data set of the same name; give one of the two another `name`, or run snakemake "
            "for this experiment again."
        )


@contextlib.contextmanager
def _shared(path: str | Path) -> Iterator[None]:
    """Explain why a file that all experiments share may be another than the one that is wanted."""
    try:
        yield
    except OtherSettingsError:
        raise OtherSettingsError(
            f"{path} was made from other settings or images than this experiment's, perhaps by "
            "another experiment with a data set of the same name; give one of the two another "
            "`name`, or run snakemake again to remake it."
        ) from None
