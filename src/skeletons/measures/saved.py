"""Logits or features that were saved elsewhere: from files to arrays of the same images.

A file is a table (`.parquet` or `.csv`) with one row per image, or an archive of arrays (`.npz`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons.arrays import Floats
from skeletons.errors import SavedOutputError

ENDINGS = (".parquet", ".csv", ".npz")
LABEL = "label"
ARRAYS = ("logits", "features")  # names of the array of an archive


@dataclass(frozen=True)
class Saved:
    """One model's saved outputs.

    Attributes:
        name: of the model: that of its file.
        path: of the file.
        values: N×K, one row per image.
        ids: of the images, N; None if the file has none.
        labels: N; None if the file has none.
    """

    name: str
    path: str
    values: Floats
    ids: npt.NDArray[np.str_] | None
    labels: npt.NDArray[np.int64] | None


def read(path: str, id_column: str = "id") -> Saved:
    """Read a file.

    Args:
        path: of the file. Of a table, the column of ids and a column `label` are set apart; all
            others are values, in their order. An archive holds `logits` or `features` (N×…), and
            may hold `label` and the ids (N each), and nothing else.
        id_column: the name of the ids.

    Raises:
        SavedOutputError: the file cannot be read, or holds something else.
    """
    suffix = Path(path).suffix
    if suffix not in ENDINGS:
        raise SavedOutputError(
            f"{path}: found the ending {suffix!r}; allowed: {', '.join(ENDINGS)}."
        )
    if not Path(path).is_file():
        raise SavedOutputError(f"{path}: is not a file; allowed: saved outputs of one model.")
    try:
        found = (_archive if suffix == ".npz" else _table)(path, id_column)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise SavedOutputError(f"{path}: cannot be read: {why}.") from None
    beside = {name: found.pop(name) for name in (id_column, LABEL) if name in found}
    values = _values(path, found)
    for name, column in beside.items():
        if column.shape != (len(values),):
            raise SavedOutputError(
                f"{path}: found {name!r} of shape {column.shape} for {len(values)} images; "
                "allowed: one for each image."
            )
    ids = beside[id_column].astype(str) if id_column in beside else None
    labels = _whole(path, beside[LABEL]) if LABEL in beside else None
    return Saved(Path(path).stem, path, values, ids, labels)


def _whole(path: str, labels: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Labels as whole numbers; a table with an empty cell has floats."""
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
    else:
        whole = np.full(len(labels), labels.dtype.kind in "iu")
    if not whole.all():
        raise SavedOutputError(
            f"{path}: found label {str(labels[~whole][0])!r}; allowed: whole numbers, the columns "
            "of the logits counted from 0."
        )
    return labels.astype(np.int64)


def _table(path: str, id_column: str) -> dict[str, npt.NDArray[np.generic]]:
    table = pd.read_csv(path) if path.endswith(".csv") else pd.read_parquet(path)
    if not isinstance(table.index, pd.RangeIndex):  # as pandas stores it beside the columns
        if table.index.name != id_column:
            name = table.index.name or "without a name"
            raise ValueError(
                f"it has an index {name}; allowed: one named {id_column} (--id names another), or "
                "none"
            )
        table = table.reset_index()
    if unnamed := [str(name) for name in table.columns if str(name).startswith("Unnamed: ")]:
        raise ValueError(
            f"it has a column without a name ({unnamed[0]}), probably an index; write it with "
            "index=False, or name it"
        )
    return {str(name): table[name].to_numpy() for name in table.columns}


def _archive(path: str, id_column: str) -> dict[str, npt.NDArray[np.generic]]:
    with np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    named = [name for name in ARRAYS if name in found]
    if len(named) != 1:
        raise ValueError(
            f"it holds {', '.join(found) or 'no array'}, not one of {' and '.join(ARRAYS)}"
        )
    matrix = found.pop(named[0])
    if not matrix.ndim:
        raise ValueError(f"{named[0]} is a single number, not N×K")
    if others := sorted({*found} - {LABEL, id_column}):
        raise ValueError(
            f"beside {named[0]}, it holds {', '.join(others)}, which is neither {LABEL} nor the "
            f"ids ({id_column}; --id names another)"
        )
    matrix = matrix.reshape(len(matrix), -1)
    return {**found, **{f"value_{k}": matrix[:, k] for k in range(matrix.shape[1])}}


def _values(path: str, columns: dict[str, npt.NDArray[np.generic]]) -> Floats:
    for name, values in columns.items():
        if values.dtype.kind not in "fiu":
            raise SavedOutputError(
                f"{path}: found column {name!r}, which is not of numbers; allowed: numbers, and "
                "columns of ids and labels (--id names that of the ids)."
            )
    if not columns:
        raise SavedOutputError(f"{path}: found no column of values; allowed: one or more.")
    found: Floats = np.column_stack([column.astype(np.float64) for column in columns.values()])
    if not np.isfinite(found).all():
        raise SavedOutputError(f"{path}: found NaN or infinite values; allowed: finite numbers.")
    return found


def matched(models: Sequence[Saved]) -> list[Saved]:
    """All models with the images of the first, in its order.

    Raises:
        SavedOutputError: the images or their labels differ, or an image is there twice.
    """
    first = models[0]
    found = [first, *(_like(first, other) for other in models[1:])]
    _demand_same_labels([model for model in found if model.labels is not None])
    return found


def _demand_same_labels(models: Sequence[Saved]) -> None:
    for other in models[1:]:
        first = models[0]
        assert first.labels is not None
        assert other.labels is not None
        differs = np.flatnonzero(first.labels != other.labels)
        if len(differs):
            row = int(differs[0])
            raise SavedOutputError(
                f"{other.path}: found label {other.labels[row]} of image {row + 1} of "
                f"{len(first.labels)}, but {first.labels[row]} in {first.path}; allowed: the same "
                "images in the same order, or a column of ids."
            )


def _like(first: Saved, other: Saved) -> Saved:
    if (first.ids is None) != (other.ids is None):
        lacking = first if first.ids is None else other
        raise SavedOutputError(
            f"{lacking.path}: found no column of ids, which another file has; allowed: ids in all "
            "files or in none."
        )
    if first.ids is None or other.ids is None:
        if len(first.values) != len(other.values):
            raise SavedOutputError(
                f"{other.path}: found {len(other.values)} images, but {len(first.values)} in "
                f"{first.path}; allowed: the same images in the same order, or a column of ids."
            )
        return other
    for model in (first, other):
        _demand_unique(model)
    missing = np.setdiff1d(first.ids, other.ids)
    extra = np.setdiff1d(other.ids, first.ids)
    if len(missing) or len(extra):
        which = (
            f"lacks image {str(missing[0])!r}" if len(missing) else f"has {str(extra[0])!r} as well"
        )
        raise SavedOutputError(
            f"{other.path}: found other images than in {first.path}: it {which} "
            f"({len(missing)} missing, {len(extra)} more); allowed: the same ids."
        )
    order = np.argsort(other.ids)[np.searchsorted(np.sort(other.ids), first.ids)]
    labels = None if other.labels is None else other.labels[order]
    return Saved(other.name, other.path, other.values[order], first.ids, labels)


def _demand_unique(model: Saved) -> None:
    assert model.ids is not None
    names, counts = np.unique(model.ids, return_counts=True)
    if (counts > 1).any():
        twice = str(names[counts > 1][0])
        raise SavedOutputError(f"{model.path}: found image {twice!r} twice; allowed: each id once.")


def names(models: Sequence[Saved]) -> list[str]:
    """The models' names; paths where two files have one name."""
    stems = [model.name for model in models]
    return [m.name if stems.count(m.name) == 1 else m.path for m in models]
