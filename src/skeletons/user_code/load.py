"""Load and call user-defined functions; any error in their code becomes one sentence.

The value that a function returns is checked where it is used: in `networks`, `data`, `measures`
and `pruning`. `check` finds the mistakes that can be found without running the code.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from skeletons.errors import ExtensionError
from skeletons.user_code.references import file_of, split

_loading = threading.RLock()  # files may import each other's helpers, so one at a time


def load(reference: str) -> Any:
    """The object that a reference names. Each file runs once per process, in one thread at a time.

    Raises:
        ExtensionError: the file cannot be run, or does not define the name.
    """
    file, function = split(reference)
    if not Path(file).is_file():
        raise ExtensionError(
            f"{reference} cannot be used: there is no file {file} in {Path.cwd()}; start in the "
            "folder where snakemake runs."
        )
    with _loading, _in_one_sentence(file, f"{file} could not be imported: it failed"):
        module = _module(file)
    if not hasattr(module, function):
        raise ExtensionError(f"{reference} cannot be used: {file} does not define {function!r}.")
    return getattr(module, function)


@functools.cache
def _module(file: str) -> ModuleType:
    """The module of a file. It can import modules from its own folder and the working folder."""
    folders = [str(Path(file).parent.resolve()), str(Path.cwd())]
    # At the end, so that a user's file never hides an installed package.
    sys.path += [folder for folder in folders if folder not in sys.path]
    name = f"own:{file}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    with _no_bytecode():
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Write no compiled files.

    Python recognises an outdated one by time (in seconds) and size alone, so a quick edit of the
    source could be missed.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def call(reference: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a user-defined function.

    Raises:
        ExtensionError: it does not exist, does not accept these arguments, or raised an error.
    """
    function = load(reference)
    demand_callable(reference, function, *arguments, **options)
    with guarded(reference):
        return function(*arguments, **options)


def demand_callable(reference: str, found: Any, /, *arguments: Any, **options: Any) -> None:
    """Check that a loaded object can be called with these arguments and options.

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
    except (TypeError, ValueError):  # some callables that are written in C have no signature
        return
    try:
        bind(split(reference)[1], signature, *arguments, **options)
    except ExtensionError as error:
        raise ExtensionError(f"{reference} cannot be used: {error}.") from None


def bind(function: str, signature: inspect.Signature, /, *arguments: Any, **options: Any) -> None:
    """Check that a signature accepts these arguments and options.

    Raises:
        ExtensionError: it does not; the text is a clause, meant to follow the value found.
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
    """Run user-defined code: any error in the block becomes a sentence with the user's line.

    Raises:
        ExtensionError: in place of any error.
    """
    with _in_one_sentence(file_of(reference), f"{reference} failed"):
        yield


@contextlib.contextmanager
def _in_one_sentence(file: str, event: str) -> Iterator[None]:
    """Turn any error in the block into a sentence: the event, the line in `file`, the reason."""
    try:
        yield
    except ExtensionError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).resolve() == Path(file).resolve()]
        where = f" at line {lines[-1]}" if lines else ""
        message = " ".join(str(error).split()).rstrip(".")
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise ExtensionError(
            f"{event}{where} ({reason}); correct it and run snakemake again."
        ) from None


def refusal(reference: str, found: str, wanted: str) -> ExtensionError:
    """The error for a user-defined function that returned an unusable value."""
    return ExtensionError(f"{reference} returned {found}; it must return {wanted}.")
