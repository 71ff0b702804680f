"""Reading and writing the workflow's files: tensors, tables and JSON.

Every artifact is written whole or not at all (to a temporary file beside its place, then
renamed), holds no timestamp or path, and so the same content always gives the same bytes.
Every read checks what it finds; an error names the file and says how to remake it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_to_bytes

from skeletons.errors import ArtifactError

Array = npt.NDArray[Any]


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` if the block ends well, and vanishes if not.

    Raises:
        ArtifactError: the file cannot be written (no space, no permission, …).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp makes private files; results are meant to be shared like any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        raise ArtifactError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _broken(path: str | os.PathLike[str], what: str) -> ArtifactError:
    return ArtifactError(f"{path} {what}; delete it and run snakemake again, which makes it anew.")


def _require_file(path: str | os.PathLike[str]) -> None:
    if not Path(path).is_file():
        raise ArtifactError(f"{path} does not exist; run snakemake to make it.")


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Array]) -> None:
    """Write named arrays as safetensors; names are sorted, so equal content is equal bytes."""
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    with atomic(path) as temporary:
        temporary.write_bytes(tensors_to_bytes(ordered))


def read_tensors(
    path: str | os.PathLike[str], names: Iterable[str] | None = None
) -> dict[str, Array]:
    """Read named arrays from safetensors, all of them or just `names`.

    Raises:
        ArtifactError: the file is missing or broken, a name is not in it, or a floating-point
            tensor holds a value that is not finite.
    """
    _require_file(path)
    try:
        with safe_open(path, framework="np") as file:
            wanted = list(file.keys()) if names is None else list(names)
            absent = sorted(set(wanted) - set(file.keys()))
            if absent:
                raise _broken(path, f"holds no tensor named {absent[0]!r}")
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(path, f"is not a whole safetensors file ({error})") from error
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise _broken(path, f"holds a value that is not finite in tensor {name!r}")
    return tensors


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as parquet, without pandas' own index."""
    with atomic(path) as temporary:
        pq.write_table(
            pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None),
            temporary,
            compression="zstd",
        )


def read_table(path: str | os.PathLike[str], columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a parquet table and check that it is not empty and has `columns`.

    Raises:
        ArtifactError: the file is missing, broken, empty, or lacks a column.
    """
    _require_file(path)
    try:
        # ParquetFile opens one file; read_table would infer partitions from `seed=1` folders.
        # One thread: these files are small, and other jobs want the cores.
        table = pq.ParquetFile(path).read(use_threads=False).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(path, f"is not a whole parquet file ({error})") from error
    absent = sorted(set(columns) - set(table.columns))
    if absent:
        raise _broken(path, f"has no column {absent[0]!r}")
    if table.empty:
        raise _broken(path, "has no rows")
    return table


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON: sorted keys, no NaN (None stands for what has no value)."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON object and check that it has `keys`.

    Raises:
        ArtifactError: the file is missing, broken, no object, or lacks a key.
    """
    _require_file(path)
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _broken(path, f"is not whole JSON ({error})") from error
    if not isinstance(value, dict):
        raise _broken(path, "is not a JSON object")
    absent = sorted(set(keys) - set(value))
    if absent:
        raise _broken(path, f"has no key {absent[0]!r}")
    return value


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
