"""Functions of the user's own, named in the configuration as `FILE.py:FUNCTION`.

Such a reference stands where a built-in name may stand. Whatever goes wrong in the user's code is
one sentence. What a function must give is checked where it is used: in `networks`, `datasets`,
`similarity` and `pruning`; what can be known of it without running it, in `references`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from skeletons.errors import ExtensionError

PATTERN = r"^[^:]+:[A-Za-z_][A-Za-z0-9_]*$"
_loading = threading.RLock()  # files may import each other's helpers, so one at a time


def is_reference(name: str) -> bool:
    """Whether a name in the configuration is one of the user's own: no built-in has a colon."""
    return ":" in name


def canonical(reference: str) -> str:
    """The one spelling of a reference: `my.module:f` and `./my/module.py:f` are `my/module.py:f`.

    Raises:
        ValueError: it is not of that form.
    """
    if not re.fullmatch(PATTERN, reference):
        raise ValueError(reference)
    file, function = reference.rsplit(":", 1)
    if not file.endswith(".py"):
        file = f"{file.replace('.', '/')}.py"
    return f"{os.path.normpath(file)}:{function}"


def file_of(reference: str) -> str:
    """The file of a canonical reference."""
    return reference.rsplit(":", 1)[0]


def files_of(*names: str) -> list[str]:
    """The files of those names that are references, for `fingerprint`."""
    return sorted({file_of(name) for name in names if is_reference(name)})


def name_of(name: str) -> str:
    """What results call it: `my/module.py:f` is `module_f`; a built-in name is itself."""
    if not is_reference(name):
        return name
    file, function = name.rsplit(":", 1)
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", Path(file).stem).strip("-") or "own"
    return f"{stem}_{function}"


def load(reference: str) -> Any:
    """What a reference names. Its file is run once in a process, in one thread at a time.

    Raises:
        ExtensionError: the file cannot be run, or has no such name.
    """
    file, function = reference.rsplit(":", 1)
    if not Path(file).is_file():
        raise ExtensionError(
            f"{reference} cannot be used: there is no {file} in {Path.cwd()}; begin in the folder "
            "where snakemake runs."
        )
    with _loading, _told(file, f"{file} could not be imported: it failed"):
        module = _module(file)
    if not hasattr(module, function):
        raise ExtensionError(f"{reference} cannot be used: {file} defines no {function!r}.")
    return getattr(module, function)


@functools.cache
def _module(file: str) -> ModuleType:
    """The module of a file, which can import what lies beside it and in the working folder."""
    folders = [str(Path(file).parent.resolve()), str(Path.cwd())]
    # Last, so that no file of the user's takes the place of an installed package.
    sys.path += [folder for folder in folders if folder not in sys.path]
    name = f"own:{file}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    with _no_bytecode():
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no compiled files: one of the same second and size would pass for an edited source."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def call(reference: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a function of the user's.

    Raises:
        ExtensionError: it is not there, cannot be called so, or raised an error.
    """
    function = load(reference)
    demand_callable(reference, function, *arguments, **options)
    with guarded(reference):
        return function(*arguments, **options)


def demand_callable(reference: str, found: Any, /, *arguments: Any, **options: Any) -> None:
    """See whether what a reference names can be called with so many arguments and such options.

    Raises:
        ExtensionError: it cannot.
    """
    if not callable(found):
        kind = type(found).__name__
        raise ExtensionError(
            f"{reference} cannot be used: found a value of type {kind}; allowed: a function."
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # Python knows none of some callables that are written in C
        return
    try:
        bind(reference.rsplit(":", 1)[1], signature, *arguments, **options)
    except ExtensionError as error:
        raise ExtensionError(f"{reference} cannot be used: {error}.") from None


def bind(function: str, signature: inspect.Signature, /, *arguments: Any, **options: Any) -> None:
    """See whether a function of a signature can be called so.

    Raises:
        ExtensionError: it cannot; the text is a clause, to stand after what was found.
    """
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        names = ", ".join(f"{key}=…" for key in options)
        count = f"{len(arguments)} arguments" if arguments else f"({names})"
        raise ExtensionError(
            f"{function}{signature} cannot be called with {count}: {error}"
        ) from None


@contextlib.contextmanager
def guarded(reference: str) -> Iterator[None]:
    """A block in which an error is one of the user's code: it becomes a sentence with its line.

    Raises:
        ExtensionError: in place of any error.
    """
    with _told(file_of(reference), f"{reference} failed"):
        yield


@contextlib.contextmanager
def _told(file: str, happened: str) -> Iterator[None]:
    """A block in which any error is told as what happened, with the line in the user's file."""
    try:
        yield
    except ExtensionError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).resolve() == Path(file).resolve()]
        where = f" at line {lines[-1]}" if lines else ""
        told = " ".join(str(error).split()).rstrip(".")
        reason = f"{type(error).__name__}: {told}" if told else type(error).__name__
        raise ExtensionError(
            f"{happened}{where} ({reason}); correct it and run snakemake again."
        ) from None


def refusal(reference: str, found: str, wanted: str) -> ExtensionError:
    """The error that says that a function gave what it must not."""
    return ExtensionError(f"{reference} gave {found}; it must give {wanted}.")
