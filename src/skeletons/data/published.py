"""Published data sets: those of torchvision, which downloads them, and scikit-learn's digits.

The 8×8 digits are enlarged by bilinear interpolation. Grey images of 28×28 pixels get a black
border of two pixels if the wanted size is 32×32. All other images are brought to it as in
`data.sizes`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from skeletons.config import torchvision_sets
from skeletons.data.files import SPLITS, Dataset, Form, Labels, Pixels
from skeletons.data.sizes import demand_size, fit_picture, fit_published
from skeletons.errors import DataError
from skeletons.store import memory


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


class _Split(NamedTuple):
    """The images and labels of a split, and the names of the classes, if torchvision has them."""

    images: Pixels
    labels: Labels
    classes: tuple[str, ...]


def load_digits(_: Mapping[str, Any], __: Path, form: Form) -> Dataset:
    """Load scikit-learn's handwritten digits, which are only used to compare models."""
    from sklearn import datasets

    found = datasets.load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
    size = (form.side, form.side)
    large = [np.asarray(Image.fromarray(g).resize(size, Image.Resampling.BILINEAR)) for g in grey]
    images = np.stack(large)[:, None]
    return Dataset.without_training(images, found.target.astype(np.int64), _DIGITS)


def load_published(spec: Mapping[str, Any], data_root: Path, form: Form) -> Dataset:
    """Load a built-in data set, which torchvision downloads to `data_root` if it is not there.

    Raises:
        DataError: its files are missing or broken and cannot be downloaded.
    """
    about = PUBLISHED[spec["kind"]]
    train, test = _splits(about.name, about.files, data_root, form, {})
    return Dataset(*train[:2], *test[:2], about.classes)


def load_torchvision(spec: Mapping[str, Any], data_root: Path, form: Form) -> Dataset:
    """Load a data set by its name in torchvision; the same as `load_published` otherwise.

    The classes have the names that torchvision gives them, or their numbers.

    Raises:
        DataError: its files are missing or broken and cannot be downloaded, or an image that must
            have the wanted size has another.
    """
    name = torchvision_sets.name_of(spec["kind"])
    files = f"the files that torchvision.datasets.{name} reads"
    train, test = _splits(name, files, data_root, form, spec["options"])
    count = 1 + int(max(split.labels.max() for split in (train, test)))
    classes = test.classes if len(test.classes) >= count else tuple(map(str, range(count)))
    return Dataset(*train[:2], *test[:2], classes)


def _splits(
    name: str, files: str, data_root: Path, form: Form, options: Mapping[str, Any]
) -> list[_Split]:
    known = torchvision_sets.SETS[name]
    download = {"download": True} if known.download else {}
    arguments = [{**options, **where, **download} for where in (known.train, known.test)]
    return [
        _fetch(name, files, split, data_root, form, chosen)
        for split, chosen in zip(SPLITS, arguments, strict=True)
    ]


def _fetch(
    name: str, files: str, split: str, data_root: Path, form: Form, arguments: Mapping[str, Any]
) -> _Split:
    """One split, downloaded if it is not there."""
    import torchvision

    where = data_root.resolve()
    remedy = (
        f"delete what is there and run again with a network connection, "
        f"or copy the files to {where} from a machine that has them."
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = getattr(torchvision.datasets, name)(data_root, **arguments)
        images, labels = _contents(found, f"{name} ({split})", form)
    except DataError:
        raise
    except Exception as error:  # torchvision passes on whatever its parsers and urllib raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name} ({split}) could not be read: {files} in {where} are absent, incomplete or "
            f"broken, and could not be downloaded ({reason.rstrip('.')}); {remedy}"
        ) from None
    if len(images) != len(labels) or not len(images):
        raise DataError(
            f"{name} ({split}) in {where} has {len(images)} images but {len(labels)} labels; "
            f"{remedy}"
        )
    return _Split(images, labels.astype(np.int64), _names(getattr(found, "classes", ())))


def _names(classes: Sequence[Any]) -> tuple[str, ...]:
    """The names of classes; of several names for one (as ImageNet has), the first."""
    return tuple(str(name[0] if isinstance(name, tuple) else name) for name in classes)


def _contents(found: Any, name: str, form: Form) -> tuple[Pixels, npt.NDArray[Any]]:
    """The images N×C×S×S and the labels of a data set of torchvision."""
    if not hasattr(found, "data") or isinstance(found.data, list):
        return _one_by_one(found, name, form)
    images = np.asarray(found.data)
    labels = np.asarray(found.targets if hasattr(found, "targets") else found.labels)
    if labels.ndim == 2:  # QMNIST: the first column is the class
        labels = labels[:, 0]
    images = images[:, None] if images.ndim == 3 else images
    if images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    images = np.ascontiguousarray(images, dtype=np.uint8)
    return fit_published(images, form, name), labels


def _one_by_one(found: Any, name: str, form: Form) -> tuple[Pixels, npt.NDArray[Any]]:
    images = memory.array((len(found), 3, form.side, form.side))
    labels = np.empty(len(found), dtype=np.int64)
    for k in range(len(found)):
        picture, labels[k] = found[k]
        rgb = picture.convert("RGB")
        demand_size(rgb.size, form, f"Image {k:,} of {name}")
        images[k] = np.asarray(fit_picture(rgb, form.side)).transpose(2, 0, 1)
    return images, labels
