"""Which of the compared data sets have labels that are classes of the task.

Measures of errors need such labels. The names of the classes decide. Those of a user-defined data
set are known only when its code has run, so the configuration names the sets that have them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from skeletons import image_folders, image_tables
from skeletons.config.datasets import (
    Corrupted,
    DatasetSection,
    ImageFolder,
    Noise,
    Parquet,
    Torchvision,
    UserDataset,
)
from skeletons.config.names import LABELLED_MEASURES
from skeletons.config.sections import Config
from skeletons.errors import DataError

_DIGITS = ("digits", "mnist", "svhn")  # kinds with the classes 0 to 9


def labelled_sets(config: Config, names: Sequence[str]) -> list[str]:
    """The names in results of the compared data sets with the task's classes, sorted.

    Args:
        config: of the experiment.
        names: in results, of the task's data set and then of each OOD set. They depend on the size
            of the images, which may be known only from these.
    """
    task, *ood = names
    classes = _classes(config.dataset)
    alike = [
        name
        for name, section in zip(ood, config.ood, strict=True)
        if isinstance(section, Corrupted)
        or (classes is not None and _classes(section) == classes)
        or name in config.compare.labelled
    ]
    return sorted([*alike, *([task] if config.compare.test_set else [])])


def unlabelled_sets(config: Config, names: Sequence[str]) -> list[str]:
    """The names in results of the compared data sets without the task's classes, sorted."""
    labelled = labelled_sets(config, names)
    return sorted(name for name in names[1:] if name not in labelled)


def problems(config: Config, names: Sequence[str]) -> Iterator[str]:
    """One sentence per unknown set, and per drawn measure that lacks labels.

    A measure that needs labels is drawn on all compared sets, so all of them need labels.

    Args:
        config: of the experiment.
        names: see `labelled_sets`.
    """
    ood = names[1:]
    for index, name in enumerate(config.compare.labelled):
        if name not in ood:
            yield (
                f"compare.labelled[{index}]: found {name!r}; allowed: {', '.join(ood)} (the "
                "names of the OOD sets in results)."
            )
    lacking = unlabelled_sets(config, names)
    for index, measure in enumerate(config.figures.measures):
        if measure in LABELLED_MEASURES and lacking:
            yield (
                f"figures.measures[{index}]: found {measure!r}, which needs labels that are the "
                f"task's classes, but {', '.join(lacking)} has none; allowed: a measure without "
                "labels, or only OOD sets with such labels (compare.labelled names them). On the "
                "sets that have them, the tables of pairs hold it in any case."
            )


def _classes(section: DatasetSection) -> Hashable | None:
    """What two data sets with the same classes have in common; None if it is unknown."""
    if isinstance(section, UserDataset | Noise):
        return None
    if isinstance(section, ImageFolder):
        try:
            return image_folders.layout(Path(section.path)).classes or None
        except (DataError, OSError):
            return None  # the check of folders reports it
    if isinstance(section, Parquet):
        return _named(section)
    options = section.options.items() if isinstance(section, Torchvision) else ()
    return "digits" if section.kind in _DIGITS else (section.kind, *options)


def _named(section: Parquet) -> Hashable | None:
    """The classes that the metadata of parquet files names; None without them."""
    if section.label is None:
        return None
    try:
        return image_tables.class_names(image_tables.files(section.test)[0], section.label) or None
    except (DataError, OSError):
        return None  # the check of files reports it
