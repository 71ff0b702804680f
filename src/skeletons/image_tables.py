"""Parquet files of images, as data hubs ship them: which are read, and what their columns are.

A row is an image. One column holds the bytes of an image file, or a struct with the field `bytes`.
Another may hold its class: an integer or text. The names of integer classes are in the metadata
that Hugging Face's `datasets` writes into the schema, if there are any.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skeletons.errors import DataError

BATCH = 256  # rows that are read at a time


def files(pattern: str) -> list[Path]:
    """The files that a path or a glob stands for, sorted.

    Raises:
        DataError: there are none.
    """
    found = [Path(pattern)] if Path(pattern).is_file() else []
    # Unlike that of pathlib, this glob takes absolute patterns.
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    found = found or [Path(name) for name in sorted(names)]
    found = [path for path in found if path.is_file()]
    if not found:
        raise DataError(
            f"found {pattern!r}, which no file matches; allowed: a parquet file or a glob"
        )
    return found


def digest(*groups: Sequence[Path]) -> str:
    """A digest of the name, size and time of files, in groups; where they are does not matter."""
    found = hashlib.sha256()
    for group in groups:
        for path in group:
            status = path.stat()
            found.update(os.fsencode(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
        found.update(b"\n")
    return found.hexdigest()[:32]


def check_whole(path: Path) -> None:
    """Check that a file is a parquet file.

    Raises:
        DataError: it is not; the text is a clause that follows the name of the key.
    """
    _schema(path)


def check_image(path: Path, column: str) -> None:
    """Check that a file has a column of images.

    Raises:
        DataError: it does not; the text is a clause that follows the name of the key.
    """
    kind = _type_of(path, column)
    bytes_of = kind.field("bytes").type if _is_image_struct(kind) else kind
    if not (pa.types.is_binary(bytes_of) or pa.types.is_large_binary(bytes_of)):
        raise DataError(
            f"found {column!r}, whose type in {path} is {_named(kind)}; allowed: a column with the "
            "bytes of image files, or with structs of bytes and path"
        )


def check_label(path: Path, column: str) -> None:
    """Check that a file has a column of labels.

    Raises:
        DataError: see `check_image`.
    """
    kind = _type_of(path, column)
    if not (_is_text(kind) or pa.types.is_integer(kind)):
        raise DataError(
            f"found {column!r}, whose type in {path} is {_named(kind)}; allowed: a column of "
            "integers or text"
        )


def _named(kind: pa.DataType) -> str:
    return str(kind).partition("<")[0]


def _is_image_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _type_of(path: Path, column: str) -> pa.DataType:
    schema = _schema(path)
    if column not in schema.names:
        raise DataError(
            f"found {column!r}, but {path} has no such column; allowed: one of "
            f"{', '.join(schema.names)}"
        )
    return schema.field(column).type


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise DataError(
            f"found {str(path)!r}, which is not a whole parquet file ({reason}); allowed: a "
            "parquet file"
        ) from None


def class_names(path: Path, column: str) -> tuple[str, ...]:
    """The names of the classes in the metadata of Hugging Face's `datasets`; empty without them."""
    try:
        about = json.loads((_schema(path).metadata or {})[b"huggingface"])
        return tuple(map(str, about["info"]["features"][column]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def rows(path: Path, columns: Sequence[str], count: int | None = None) -> Iterator[list[Any]]:
    """The values of columns, row by row; of an image, the bytes of its file.

    Args:
        path: the file.
        columns: their names.
        count: rows at most; None for all.

    Raises:
        DataError: the file is broken.
    """
    try:
        with pq.ParquetFile(path) as file:
            size = BATCH if count is None else min(BATCH, count)
            left = file.metadata.num_rows if count is None else count
            for batch in file.iter_batches(size, columns=list(columns), use_threads=False):
                parts = [batch.column(name).to_pylist() for name in columns]
                for values in list(zip(*parts, strict=True))[:left]:
                    yield [v["bytes"] if isinstance(v, dict) else v for v in values]
                left -= batch.num_rows
                if left <= 0:
                    return
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise DataError(f"{path} is not a whole parquet file ({reason}).") from None


def count(path: Path) -> int:
    """The number of rows of a file."""
    return int(pq.read_metadata(path).num_rows)
