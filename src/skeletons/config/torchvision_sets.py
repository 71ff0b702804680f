"""The classification sets of torchvision, and how each is asked for its splits.

A test compares this table with the installed torchvision. It is written out because importing
torchvision takes seconds, and a configuration is read at every start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PREFIX = "torchvision:"


class Splits(NamedTuple):
    """A data set of torchvision.

    Attributes:
        train, test: the argument of its class for the images to train on, and to test on.
        side: height and width of all its images in pixels; None if they differ.
        download: whether torchvision can download it.
    """

    train: Mapping[str, object]
    test: Mapping[str, object]
    side: int | None = None
    download: bool = True


def _flag(side: int) -> Splits:
    return Splits({"train": True}, {"train": False}, side)


def _named(
    train: str = "train", test: str = "test", side: int | None = None, download: bool = True
) -> Splits:
    return Splits({"split": train}, {"split": test}, side, download)


# `EMNIST` needs a further argument, `split`, which is an option; its splits are named by `train`.
SETS: Mapping[str, Splits] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100"), _flag(32)),
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "QMNIST", "EMNIST"), _flag(28)),
    "USPS": _flag(16),
    "SVHN": _named(side=32),
    "STL10": _named(side=96),
    "PCAM": _named(side=96),
    "FER2013": _named(side=48, download=False),
    "CLEVRClassification": _named(test="val"),
    "Country211": _named(),
    "DTD": _named(),
    "FGVCAircraft": _named("trainval"),
    "Flowers102": _named(),
    "Food101": _named(),
    "GTSRB": _named(),
    "ImageNet": _named(test="val", download=False),
    "Imagenette": _named(test="val"),
    "OxfordIIITPet": _named("trainval"),
    "Places365": _named("train-standard", "val"),
    "RenderedSST2": _named(),
    "StanfordCars": _named(download=False),
}
# Classification sets that torchvision does not divide into training and test images.
WITHOUT_SPLITS = (
    "Caltech101",
    "Caltech256",
    "EuroSAT",
    "INaturalist",
    "Omniglot",
    "SEMEION",
    "SUN397",
)


def name_of(kind: str) -> str:
    """The name in torchvision of a kind such as `torchvision:CIFAR100`."""
    return kind.removeprefix(PREFIX)
