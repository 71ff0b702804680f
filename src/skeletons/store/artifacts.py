"""Read and write the workflow's files: tensors, tables and JSON.

Every artifact is written completely or not at all: to a temporary file in the same folder, which is
then renamed. It contains no timestamp or absolute path, so equal content gives equal bytes. Every
read checks the seal and the content; an error names the file and says how to remake it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as tensors_to_bytes

from skeletons.errors import ArtifactError
from skeletons.store import provenance, seals
from skeletons.store.seals import unfit

_MARK = "skeletons-origin:"
_LARGE = 1 << 26  # bytes of tensors that are written without a copy of them in memory
_BUFFER = 1 << 16  # bytes of a table that are written at once
_BEGINNING = 1 << 14  # bytes of a figure or page in which the mark stands
Array = npt.NDArray[Any]
Scalar = str | bool | int | float
T = TypeVar("T")

# Types of numbers as safetensors names them, in its own order.
_DTYPES = {
    "BOOL": np.dtype(bool),
    **{
        f"{name}{8 * size}": np.dtype(f"<{name.lower()}{size}")
        for size, names in ((1, "UI"), (2, "IUF"), (4, "IUF"), (8, "FIU"))
        for name in names
    },
}
# The types that pandas would infer. They are explicit because a column of only NaN shows no type.
_ARROW = {str: pa.large_string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def _read_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


UMASK = _read_umask()  # read once: reading it means setting it, which would affect other threads


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `path` if the block succeeds, and else removed.

    Raises:
        ArtifactError: the file cannot be written (no space, no permission, …).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        if not os.path.isdir(target.parent):  # noqa: PTH112 - for thousands of files
            target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp creates private files, but results have the usual permissions.
        temporary.chmod(0o666 & ~UMASK)
        temporary.replace(target)
        temporary = None
    except OSError as error:
        raise ArtifactError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove unfinished files of killed runs; no other run may be writing to the folder."""
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _require_file(path: str | os.PathLike[str]) -> None:
    if not os.path.isfile(path):  # noqa: PTH113 - a Path for each of thousands of files costs more
        raise _absent(path)


def _absent(path: str | os.PathLike[str]) -> ArtifactError:
    return ArtifactError(f"{path} does not exist; run snakemake to make it.")


def remembered(count: int) -> Callable[[Callable[[str], T]], Callable[[str | Path], T]]:
    """Decorate a reader to cache the last `count` files; a file that has changed is read again.

    This is for artifacts that take part in many pairs. Callers must not modify the cached values.

    Raises:
        ArtifactError: from the reader, if the file does not exist.
    """

    def decorate(read: Callable[[str], T]) -> Callable[[str | Path], T]:
        @functools.lru_cache(maxsize=count)
        def read_version(path: str, *_version: int) -> T:
            return read(path)

        @functools.wraps(read)
        def read_once(path: str | Path) -> T:
            try:
                status = os.stat(path)  # noqa: PTH116 - as in `_require_file`
            except OSError:
                raise _absent(path) from None
            return read_version(str(path), status.st_mtime_ns, status.st_size, status.st_ino)

        return read_once

    return decorate


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Array]) -> None:
    """Write named arrays as safetensors, sorted by name, so that equal content has equal bytes."""
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    seal = seals.make(path, {name: _tensor_part(tensor) for name, tensor in ordered.items()})
    about = {seals.KEY: seals.dump(seal)}
    with atomic(path) as temporary:
        if sum(tensor.nbytes for tensor in ordered.values()) < _LARGE:
            temporary.write_bytes(tensors_to_bytes(ordered, metadata=about))
        else:
            _stream(temporary, ordered, about)


def _stream(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write the same bytes as `tensors_to_bytes`, which takes twice the memory of the tensors.

    The header is that of https://github.com/huggingface/safetensors#format, with the tensors in
    the order in which the package sorts them: by type, the last first, then by name.
    """
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    rank = [*_DTYPES.values()]
    order = sorted(tensors, key=lambda name: (-rank.index(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].nbytes
        kind, shape = kinds[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(tensors[name].reshape(-1).view(np.uint8).data)


def _tensor_part(tensor: Array) -> seals.Part:
    return f"{tensor.dtype.str}{tensor.shape}".encode(), tensor.reshape(-1).view(np.uint8).data


def read_tensors(
    path: str | os.PathLike[str], names: Iterable[str] | None = None, *, mapped: bool | None = None
) -> dict[str, Array]:
    """Read named arrays from safetensors: all of them, or only `names`.

    Args:
        path: the file.
        names: of the arrays to read; None for all.
        mapped: whether arrays are mapped (`numpy.memmap`) instead of read. Their pages come from
            the file when they are used, and the system may drop them again. A change to a mapped
            array does not reach the file. None if the arrays are small: for False they are never
            in memory twice, which takes longer for many arrays.

    Raises:
        ArtifactError: the file is missing or broken, does not have one of the names, or a
            floating-point tensor holds a value that is not finite.
    """
    _require_file(path)
    try:
        with safe_open(path, framework="np") as file:
            wanted = list(file.keys()) if names is None else list(names)
            absent = sorted(set(wanted) - set(file.keys()))
            if absent:
                raise unfit(path, f"holds no tensor named {absent[0]!r}")
            read = functools.partial(_read_tensor, path, mapped)
            tensors = {name: (file.get_tensor if mapped is None else read)(name) for name in wanted}
            seal = (file.metadata() or {}).get(seals.KEY)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise unfit(path, f"is not a whole safetensors file ({_brief(error)})") from error
    seals.check(path, seal, {name: _tensor_part(tensor) for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise unfit(path, f"holds a value that is not finite in tensor {name!r}")
    return tensors


def _read_tensor(path: str | os.PathLike[str], mapped: bool | None, name: str) -> Array:
    """An array of a safetensors file, mapped or read.

    The file begins with the length of its header (uint64), and the header, which is JSON:
    https://github.com/huggingface/safetensors#format
    """
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(length))[name]
    shape, dtype = tuple(about["shape"]), _DTYPES[about["dtype"]]
    if 0 in shape:  # nothing can be mapped
        return np.empty(shape, dtype)
    start = 8 + length + about["data_offsets"][0]
    if mapped:
        return np.memmap(path, dtype, "c", start, shape)
    count = int(np.prod(shape, dtype=np.int64))
    return np.fromfile(path, dtype, count, offset=start).reshape(shape)


def write_table(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table as parquet, without the index of pandas."""
    _write_arrow(path, pa.Table.from_pandas(table, preserve_index=False))


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Scalar]]) -> None:
    """Write rows as parquet: the same bytes as `write_table` with a frame, in half the time.

    Args:
        path: the file.
        rows: at least one; all have the names of the first, and each column has one type.
    """
    columns = {
        name: pa.array([row[name] for row in rows], _ARROW[type(value)], from_pandas=True)
        for name, value in rows[0].items()
    }
    _write_arrow(path, pa.table(columns))


def _write_arrow(path: str | os.PathLike[str], arrow: pa.Table) -> None:
    seal = seals.make(path, _column_parts(arrow))
    with (
        atomic(path) as temporary,
        # Parquet has many small pieces: written one by one, a table of one row takes 10 % longer.
        pa.output_stream(temporary, compression=None, buffer_size=_BUFFER) as file,
    ):
        pq.write_table(
            arrow.replace_schema_metadata({seals.KEY: seals.dump(seal)}), file, compression="zstd"
        )


def _column_parts(arrow: pa.Table) -> dict[str, seals.Part]:
    return {
        name: _column_part(column)
        for name, column in zip(arrow.column_names, arrow.columns, strict=True)
    }


def _column_part(column: pa.ChunkedArray) -> seals.Part:
    number = _number(column.type)
    if number and not column.null_count:
        return number, column.to_numpy().tobytes()
    return (json.dumps(column.to_pylist()).encode(),)


@functools.cache
def _number(kind: pa.DataType) -> bytes:
    """NumPy's name of a type of numbers; empty for other types."""
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return str(np.dtype(kind.to_pandas_dtype())).encode() if plain else b""


def read_table(path: str | os.PathLike[str], columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a parquet table and check that it is not empty and has `columns`.

    Raises:
        ArtifactError: the file is missing, broken, empty, or lacks a column.
    """
    return _read_arrow(path, columns).to_pandas()


def read_columns(
    path: str | os.PathLike[str], columns: Iterable[str]
) -> dict[str, npt.NDArray[Any]]:
    """The columns of a parquet table as arrays; raises the errors of `read_table`.

    For small files that are read by the thousand: a data frame would take longer than the file.
    """
    table = _read_arrow(path, columns)
    return dict(zip(table.column_names, (one.to_numpy() for one in table.columns), strict=True))


def read_tables(paths: Iterable[str | os.PathLike[str]], columns: Iterable[str]) -> pd.DataFrame:
    """The rows of many tables as one table, in order; raises the errors of `read_table`."""
    parts = [_read_arrow(path, columns).replace_schema_metadata() for path in paths]
    return pa.concat_tables(parts, promote_options="default").to_pandas()


def _read_arrow(path: str | os.PathLike[str], columns: Iterable[str]) -> pa.Table:
    _require_file(path)
    try:
        # ParquetFile opens one file; read_table would infer partitions from `seed=1` folders:
        # https://github.com/apache/arrow/issues/43574
        # One thread: these files are small, and other jobs need the cores.
        table = pq.ParquetFile(path).read(use_threads=False)
        parts = _column_parts(table)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise unfit(path, f"is not a whole parquet file ({_brief(error)})") from error
    seals.check(path, (table.schema.metadata or {}).get(seals.KEY.encode()), parts)
    absent = sorted(set(columns) - set(table.column_names))
    if absent:
        raise unfit(path, f"has no column {absent[0]!r}")
    if not table.num_rows:
        raise unfit(path, "has no rows")
    return table


def _brief(error: Exception) -> str:
    """The first line of a library's error message, which may have many lines."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _json_part(value: Mapping[str, Any]) -> seals.Part:
    return (json.dumps(value, sort_keys=True, allow_nan=False).encode(),)


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write an object as JSON with sorted keys and without NaN; None stands for a missing value.

    Raises:
        ValueError: the object has a key with the name of the seal, which would replace it.
    """
    if seals.KEY in value:
        raise ValueError(f"{seals.KEY!r} is the name of the seal and cannot be a key")
    sealed = {**value, seals.KEY: seals.make(path, {"": _json_part(value)})}
    text = json.dumps(sealed, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON object and check that it has `keys`.

    Raises:
        ArtifactError: the file is missing or broken, is not an object, or lacks a key.
    """
    _require_file(path)
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise unfit(path, "is not a JSON object")
        seal = value.pop(seals.KEY, None)
        part = _json_part(value)
    except (OSError, ValueError, RecursionError) as error:
        raise unfit(path, f"is not whole JSON ({_brief(error)})") from error
    seals.check(path, seal, {"": part})
    absent = sorted(set(keys) - set(value))
    if absent:
        raise unfit(path, f"has no key {absent[0]!r}")
    return value


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_seal(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The unchecked seal of an artifact: its format, place, digests, and recipe (as `made`).

    None if the artifact has no seal or is too broken to read it.
    """
    try:
        if Path(path).suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                found = json.loads((file.metadata() or {})[seals.KEY])
        elif Path(path).suffix == ".parquet":
            found = json.loads(pq.read_schema(path).metadata[seals.KEY.encode()])
        else:
            found = json.loads(Path(path).read_text(encoding="utf-8"))[seals.KEY]
    except (SafetensorError, pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def mark_of_origin() -> str:
    """What a figure or a page, which has no seal, carries near its beginning; empty outside a job.

    `read_origin` finds it there.
    """
    found = provenance.origin()
    return "" if found is None else f"{_MARK}{found}"


def read_origin(path: str | os.PathLike[str]) -> str | None:
    """The origin (`provenance.origin_of`) of an artifact, figure or page, unchecked.

    None if the file does not say what it was made from.
    """
    if Path(path).suffix in (".svg", ".html"):
        with Path(path).open("rb") as file:
            found = re.search(rf"{_MARK}([0-9a-f]{{32}})".encode(), file.read(_BEGINNING))
        return found[1].decode() if found else None
    seal = read_seal(path) or {}
    try:
        made = seal["made"]
        return provenance.origin_of(made["stage"], seal["lineage"], made["code"])
    except (KeyError, TypeError):
        return None
