"""Data sets from parquet files of images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeletons import image_tables, text
from skeletons.data.files import Dataset, Form, Labels, Pixels
from skeletons.data.folders import Source, read_sources
from skeletons.errors import DataError


def load_parquet(spec: Mapping[str, Any], _: Path, form: Form) -> Dataset:
    """Load the images and labels of parquet files.

    The classes are those that the files' metadata names. Without it, they are the sorted values of
    the labels in all files; without labels, there is one class, `images`.

    Raises:
        DataError: a file is missing or broken, was changed after the run was planned, lacks a
            column or a label, has a label that the metadata does not name, or holds a broken image.
    """
    patterns = [spec["train"], spec["test"]]
    groups = [image_tables.files(pattern) if pattern else [] for pattern in patterns]
    if spec.get("files") not in (None, image_tables.digest(*groups)):
        named = text.listed([pattern for pattern in patterns if pattern])
        raise DataError(
            f"Files of {named} were changed while the workflow ran; run snakemake again, which "
            "plans again."
        )
    (train, train_values), (test, test_values) = (_read(paths, spec, form) for paths in groups)
    values = (train_values, test_values)
    for pattern, rows in zip(patterns, values, strict=True):
        if pattern and not rows:
            raise DataError(f"{pattern} has no rows; allowed: one image or more.")
    if spec["label"] is None:
        classes: tuple[str, ...] = ("images",)
        labels = [np.zeros(len(split), dtype=np.int64) for split in values]
    else:
        classes, labels = _labelled(values, groups[1][0], spec["label"])
    return Dataset(train, labels[0], test, labels[1], classes)


def _read(paths: Sequence[Path], spec: Mapping[str, Any], form: Form) -> tuple[Pixels, list[Any]]:
    """The images of files, and their labels as they are there."""
    columns = [spec["image"], *([spec["label"]] if spec["label"] else [])]
    sources: list[Source] = []
    labels: list[Any] = []
    for path in paths:
        for row, values in enumerate(image_tables.rows(path, columns)):
            name = f"Row {row:,} of {path}"
            if None in values:
                column = columns[values.index(None)]
                raise DataError(f"{name} has nothing in column {column!r}; remove the row.")
            sources.append(Source(name, io.BytesIO(values[0])))
            labels += values[1:] or [0]
    return read_sources(sources, form), labels


def _labelled(
    splits: Sequence[Sequence[Any]], path: Path, column: str
) -> tuple[tuple[str, ...], list[Labels]]:
    """The names of the classes, and the labels of each split as indices into them."""
    names = image_tables.class_names(path, column)
    used = sorted({value for split in splits for value in split}, key=lambda v: (str(type(v)), v))
    if names and all(isinstance(value, int) for value in used):
        if wrong := [value for value in used if not 0 <= value < len(names)]:
            raise DataError(
                f"{path}: found label {wrong[0]} in column {column!r}, of which the metadata names "
                f"the classes 0 to {len(names) - 1}; allowed: one of these (remove the rows "
                "without a class, or set `label: null` for images without classes)."
            )
        return names, [np.array(split, dtype=np.int64) for split in splits]
    if len({type(value) for value in used}) > 1:
        raise DataError(
            f"{path}: found labels that are text in column {column!r} and integers in other files, "
            "or the reverse; allowed: one of both."
        )
    index = {value: k for k, value in enumerate(used)}
    numbered = [np.array([index[value] for value in split], dtype=np.int64) for split in splits]
    return tuple(map(str, used)), numbered
