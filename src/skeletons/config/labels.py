"""Which of the compared data sets have labels that are classes of the task.

Measures of errors need such labels. The names of the classes decide. Those of a user-defined data
set are known only when its code has run, so the configuration names the sets that have them.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from skeletons import image_folders
from skeletons.config.datasets import DatasetSection, ImageFolder, Noise, UserDataset, dataset_id
from skeletons.config.sections import Config
from skeletons.errors import DataError

_DIGITS = ("digits", "mnist", "svhn")  # kinds with the classes 0 to 9


def labelled_sets(config: Config) -> list[str]:
    """The names in results of the compared data sets with the task's classes, sorted."""
    task = _classes(config.dataset)
    alike = [
        dataset_id(section)
        for section in config.ood
        if (task is not None and _classes(section) == task)
        or dataset_id(section) in config.compare.labelled
    ]
    return sorted([*alike, *([dataset_id(config.dataset)] if config.compare.test_set else [])])


def unlabelled_sets(config: Config) -> list[str]:
    """The names in results of the compared data sets without the task's classes, sorted."""
    labelled = labelled_sets(config)
    return sorted(name for name in map(dataset_id, config.ood) if name not in labelled)


def _classes(section: DatasetSection) -> Hashable | None:
    """What two data sets with the same classes have in common; None if it is unknown."""
    if isinstance(section, UserDataset | Noise):
        return None
    if isinstance(section, ImageFolder):
        try:
            return image_folders.layout(Path(section.path)).classes or None
        except (DataError, OSError):
            return None  # the check of folders reports it
    return "digits" if section.kind in _DIGITS else section.kind
