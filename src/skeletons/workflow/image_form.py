"""The form of all images of an experiment: its configuration's, or that of its data sets.

If `images.size` is null, each data set keeps its own size, and all must agree. CIFAR-10, SVHN,
MNIST and Fashion-MNIST, as the kinds of these names, have 32×32 pixels. Drawn shapes, digits and
noise, and the images of user-defined functions, have the size of the others, or 32×32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

from skeletons import image_tables
from skeletons.config import torchvision_sets
from skeletons.config.datasets import (
    Cifar10,
    DatasetSection,
    FashionMnist,
    ImageFolder,
    Mnist,
    Parquet,
    Svhn,
    Torchvision,
)
from skeletons.config.names import LEAST_SIDE
from skeletons.config.networks import setups
from skeletons.config.sections import Config
from skeletons.data import own_size
from skeletons.data.files import SIDE, Form
from skeletons.errors import ConfigError
from skeletons.image_folders import Folder

Find = Callable[[ImageFolder], Folder]


def form_of(config: Config, find: Find) -> Form:
    """The form that all images of an experiment are brought to.

    Args:
        config: of the experiment.
        find: looks at a folder of images.

    Raises:
        ConfigError: the size is not given, and the data sets do not agree on one; or the size does
            not fit another key.
        DataError: a source is missing, or cannot be read.
    """
    side = config.images.size
    form = Form(side or _common(config, find), _channels(config), exact=side is None)
    _check_changes(config, form)
    return form


def _channels(config: Config) -> int:
    """The number of channels that all networks take.

    Raises:
        ConfigError: they take different ones.
    """
    taken = {setup.tag: setup.network.channels for setup in setups(config)}
    first, *others = taken.items()
    for tag, channels in others:
        if channels != first[1]:
            raise ConfigError(
                f"networks.{tag}.channels: found {channels}, but another network has {first[1]}; "
                "allowed: the same number for all networks."
            )
    return first[1]


def _common(config: Config, find: Find) -> int:
    """The size that the data sets have in common.

    Raises:
        ConfigError: they have none in common.
    """
    known: dict[str, int] = {}
    for key, section in _sections(config):
        sizes = _own(key, section, find)
        if not sizes:
            continue
        shown = [f"{width}×{height}" for width, height in sorted(sizes)[:: max(1, len(sizes) - 1)]]
        if len(sizes) > 1 or len(set(*sizes)) > 1:
            found = (
                f"of {shown[0]} pixels" if len(sizes) == 1 else f"from {' to '.join(shown)} pixels"
            )
            raise _absent(f"{key} has images {found}")
        known[key] = next(iter(sizes))[0]
    if len(set(known.values())) > 1:
        (one, a), (other, b) = next(
            (p, q) for p in known.items() for q in known.items() if p[1] != q[1]
        )
        raise _absent(f"{one} has images of {a}×{a} pixels and {other} of {b}×{b}")
    side = next(iter(known.values()), SIDE)
    if side < LEAST_SIDE:
        raise _absent(f"{next(iter(known))} has images of {side}×{side} pixels")
    return side


def _absent(found: str) -> ConfigError:
    return ConfigError(
        f"images.size: found nothing, but {found}; allowed: a number of pixels ≥ {LEAST_SIDE}, "
        f"such as {SIDE}, to which all images are brought."
    )


def _sections(config: Config) -> Iterator[tuple[str, DatasetSection]]:
    yield "dataset", config.dataset
    for index, section in enumerate(config.ood):
        yield f"ood[{index}]", section


def _own(key: str, section: DatasetSection, find: Find) -> set[own_size.Size]:
    """The sizes of the images of a data set; none if it takes any.

    Raises:
        ConfigError: it is known that they differ.
    """
    match section:
        case Cifar10() | Mnist() | FashionMnist() | Svhn():
            return {(SIDE, SIDE)}
        case Torchvision():
            side = torchvision_sets.SETS[torchvision_sets.name_of(section.kind)].side
            if side is None:
                raise _absent(f"{key} has images of several sizes")
            return {(side, side)}
        case ImageFolder():
            return own_size.of_folder(find(section))
        case Parquet():
            return own_size.of_tables(parquet_files(section), section.image)
    return set()


def parquet_files(section: Parquet) -> list[Path]:
    """All files of a data set, those for training first.

    Raises:
        DataError: there are none.
    """
    patterns = [pattern for pattern in (section.train, section.test) if pattern]
    return [path for pattern in patterns for path in image_tables.files(pattern)]


def _check_changes(config: Config, form: Form) -> None:
    """Check that the random changes to training images fit their size.

    Raises:
        ConfigError: they do not.
    """
    for setup, name in product(setups(config), ("base", "regularize")):
        augment = getattr(setup, name).augment
        key_of = name if setup.tag is None else f"{setup.key}.{name}"
        for key, value, most in (
            ("shift", augment.shift, form.side - 1),
            ("cutout", augment.cutout, form.side),
        ):
            if value > most:
                raise ConfigError(
                    f"{key_of}.augment.{key}: found {value}, but images have "
                    f"{form.side}×{form.side} pixels; allowed: a number ≤ {most}."
                )
