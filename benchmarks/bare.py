"""Stand-ins for safetensors and SciPy on a machine that has PyTorch but not these.

They hold only what training, prediction and the comparison of pairs use.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Types of numbers as safetensors names them, in its own order.
TYPES = {
    **{"F64": "f8", "I64": "i8", "U64": "u8", "F32": "f4", "I32": "i4", "U32": "u4"},
    **{"F16": "f2", "I16": "i2", "U16": "u2", "I8": "i1", "U8": "u1", "BOOL": "?"},
}
NAMES = {np.dtype(code): name for name, code in TYPES.items()}


def install(*, force: bool = False) -> list[str]:
    """Register a stand-in for each package that is missing, or for all; return their names."""
    made = {"safetensors": _safetensors, "scipy": _scipy}
    missing = [name for name in made if force or importlib.util.find_spec(name) is None]
    for name in missing:
        for module in made[name]():
            sys.modules[module.__name__] = module
    return missing


def _module(name: str, **content: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(content)
    return module


# --- safetensors ----------------------------------------------------------------------------------


class SafetensorError(Exception):
    """A file that is not whole."""


class safe_open:  # noqa: N801 - the name in safetensors
    """A file of tensors, opened for reading, as NumPy arrays."""

    def __init__(self, path: str | Path, framework: str) -> None:
        self._path = Path(path)
        try:
            with self._path.open("rb") as file:
                self._start = int.from_bytes(file.read(8), "little") + 8
                self._about = json.loads(file.read(self._start - 8))
        except (ValueError, MemoryError, OverflowError) as error:
            raise SafetensorError(str(error)) from None

    def __enter__(self) -> safe_open:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between two reads."""

    def keys(self) -> list[str]:
        """The names of the tensors."""
        return [name for name in self._about if name != "__metadata__"]

    def metadata(self) -> dict[str, str] | None:
        """The file's own text."""
        return self._about.get("__metadata__")

    def get_tensor(self, name: str) -> np.ndarray:
        """A tensor as an array."""
        about = self._about[name]
        dtype, (begin, end) = np.dtype(TYPES[about["dtype"]]), about["data_offsets"]
        count = (end - begin) // dtype.itemsize
        data = np.fromfile(self._path, dtype, count, offset=self._start + begin)
        if len(data) != count:
            raise SafetensorError("the file is too short")
        return data.reshape(about["shape"])


def save(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file: tensors by the size of their type, then by name."""
    kinds = list(TYPES.values())
    ranks = {name: kinds.index(_code(tensor)) for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (ranks[name], name))
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        kind, shape = NAMES[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    parts = [np.ascontiguousarray(tensors[name]).tobytes() for name in order]
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def load_file(path: str | Path) -> dict[str, Any]:
    """All tensors of a file, as PyTorch's."""
    import torch

    with safe_open(path, "np") as file:
        return {name: torch.from_numpy(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118


def _code(tensor: np.ndarray) -> str:
    return TYPES[NAMES[tensor.dtype]]


def _safetensors() -> list[types.ModuleType]:
    numpy = _module("safetensors.numpy", save=save)
    torch = _module("safetensors.torch", load_file=load_file)
    errors = {"safe_open": safe_open, "SafetensorError": SafetensorError}
    return [_module("safetensors", **errors, numpy=numpy, torch=torch), numpy, torch]


# --- SciPy ----------------------------------------------------------------------------------------


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """The logarithm of `softmax`."""
    lower = x - x.max(axis=axis, keepdims=True)
    return lower - np.log(np.exp(lower).sum(axis=axis, keepdims=True))


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """Numbers > 0 that add up to 1."""
    return np.exp(log_softmax(x, axis))


def brentq(function: Callable[[float], float], low: float, high: float, xtol: float) -> float:
    """A root between two ends at which a function has different signs, by bisection."""
    sign = function(low) > 0
    while high - low > xtol:
        middle = (low + high) / 2
        low, high = (middle, high) if (function(middle) > 0) == sign else (low, middle)
    return (low + high) / 2


def _scipy() -> list[types.ModuleType]:
    special = _module("scipy.special", softmax=softmax, log_softmax=log_softmax)
    optimize = _module("scipy.optimize", brentq=brentq)
    return [_module("scipy", special=special, optimize=optimize), special, optimize]
