"""Published data sets: those that torchvision downloads, and scikit-learn's digits.

Grey images become RGB by repeating their one channel. 28×28 images get a black border of two
pixels, and the 8×8 digits are enlarged by bilinear interpolation.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from skeletons.data.files import SIDE, SPLITS, Dataset, Labels, Pixels
from skeletons.errors import DataError


@dataclass(frozen=True)
class Published:
    """A data set of torchvision: its class there, the files it needs, and its class names."""

    name: str
    files: str
    classes: tuple[str, ...]


_DIGITS = tuple("0123456789")
PUBLISHED = {
    "cifar10": Published(
        "CIFAR10",
        "cifar-10-python.tar.gz or the folder cifar-10-batches-py",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "mnist": Published("MNIST", "the four files MNIST/raw/*-ubyte (or .gz)", _DIGITS),
    "fashionmnist": Published(
        "FashionMNIST",
        "the four files FashionMNIST/raw/*-ubyte (or .gz)",
        (
            "top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "boot",
        ),
    ),
    "svhn": Published("SVHN", "train_32x32.mat and test_32x32.mat", _DIGITS),
}


def load_digits(_: Mapping[str, Any], __: Path) -> Dataset:
    """Load scikit-learn's handwritten digits, which are only used to compare models."""
    from sklearn import datasets

    found = datasets.load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
    size = (SIDE, SIDE)
    large = [np.asarray(Image.fromarray(g).resize(size, Image.Resampling.BILINEAR)) for g in grey]
    images = to_rgb(np.stack(large))
    return Dataset.without_training(images, found.target.astype(np.int64), _DIGITS)


def load_published(spec: Mapping[str, Any], data_root: Path) -> Dataset:
    """Load a data set of torchvision, which downloads it to `data_root` if it is not there.

    Raises:
        DataError: its files are missing or broken and cannot be downloaded.
    """
    about = PUBLISHED[spec["kind"]]
    train, test = (_fetch(about, data_root, split) for split in SPLITS)
    return Dataset(*train, *test, about.classes)


def to_rgb(grey: Pixels) -> Pixels:
    """Grey images N×H×W as RGB N×3×32×32: with a black border, and three equal channels."""
    border = (SIDE - grey.shape[1]) // 2
    grey = np.pad(grey, ((0, 0), (border, border), (border, border)))
    return np.repeat(grey[:, None], 3, axis=1)


def _fetch(about: Published, data_root: Path, split: str) -> tuple[Pixels, Labels]:
    """One split, downloaded if it is not there."""
    import torchvision

    where: dict[str, Any] = (
        {"split": split} if about.name == "SVHN" else {"train": split == "train"}
    )
    remedy = (
        f"delete what is there and run again with a network connection, "
        f"or copy the files to {data_root.resolve()} from a machine that has them."
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = getattr(torchvision.datasets, about.name)(data_root, download=True, **where)
        images = np.asarray(found.data)
        labels = np.asarray(found.labels if about.name == "SVHN" else found.targets)
    except Exception as error:  # torchvision passes on whatever its parsers and urllib raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{about.name} ({split}) could not be read: {about.files} in "
            f"{data_root.resolve()} are absent, incomplete or broken, and could "
            f"not be downloaded ({reason.rstrip('.')}); {remedy}"
        ) from None
    if len(images) != len(labels) or not len(images):
        raise DataError(
            f"{about.name} ({split}) in {data_root.resolve()} has {len(images)} images but "
            f"{len(labels)} labels; {remedy}"
        )
    return _to_channels_first(images), labels.astype(np.int64)


def _to_channels_first(images: npt.NDArray[Any]) -> Pixels:
    if images.ndim == 3:
        return to_rgb(images.astype(np.uint8))
    if images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, dtype=np.uint8)
