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

from skeletons.errors import ExtensionError, SkeletonsError
from skeletons.store.fingerprint import closure
from skeletons.store.user_files import package_of
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
        module = _module(file, Path.cwd())
    if not hasattr(module, function):
        raise ExtensionError(f"{reference} cannot be used: {file} does not define {function!r}.")
    return getattr(module, function)


@functools.cache
def _module(file: str, _: Path) -> ModuleType:
    """The module of a file, as seen from the working folder.

    It can import modules from its own folder and the working folder, and relative to its folder.
    """
    folders = [str(Path(file).parent.resolve()), str(Path.cwd())]
    # At the end, so that a user's file never hides an installed package.
    sys.path += [folder for folder in folders if folder not in sys.path]
    name = _name_in_package(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    with _no_bytecode():
        spec.loader.exec_module(module)
    return module


def _name_in_package(file: str) -> str:
    """The name of a file's module, in a package whose other modules Python finds by itself.

    No name of the user's begins as the package's does, so it never hides another module.
    """
    folder, parts = package_of(file)
    top = f"own:{folder}".replace(".", "·")  # a point would be the border between packages
    if top not in sys.modules:
        sys.modules[top] = package = ModuleType(top)
        package.__path__ = [str(folder)]
    return ".".join([top, *parts, Path(file).stem.replace(".", "·")])


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
def guarded(reference: str, event: str = "failed") -> Iterator[None]:
    """Run user-defined code: any error in the block becomes a sentence with the user's line.

    Args:
        reference: to the function whose code runs.
        event: what to say of it.

    Raises:
        ExtensionError: in place of any error, except one of this package or for lack of memory.
    """
    with _in_one_sentence(file_of(reference), f"{reference} {event}"):
        yield


@contextlib.contextmanager
def _in_one_sentence(file: str, event: str) -> Iterator[None]:
    """Turn any error in the block into a sentence: the event, the line in `file`, the reason."""
    try:
        yield
    except SkeletonsError:
        raise
    except Exception as error:
        if _lacks_memory(error):
            raise
        where = _place(file, error)
        message = " ".join(str(error).split()).rstrip(".")
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise ExtensionError(
            f"{event}{where} ({reason}); correct it and run snakemake again."
        ) from None


def _lacks_memory(error: Exception) -> bool:
    """Whether an error says that memory is full; that is not the fault of the user's code."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(
        error
    )


def _place(file: str, error: Exception) -> str:
    """The innermost line of the user's code in a traceback, with its file if it is another one."""
    known = {Path(file).resolve(): ""}
    with contextlib.suppress(ExtensionError):
        known |= {path.resolve(): f" of {path}" for path in closure(file) if path != Path(file)}
    frames = traceback.extract_tb(error.__traceback__)
    places = [(f.lineno, Path(f.filename).resolve()) for f in frames]
    lines = [f" at line {line}{known[path]}" for line, path in places if path in known]
    return lines[-1] if lines else ""


def refusal(reference: str, found: str, wanted: str) -> ExtensionError:
    """The error for a user-defined function that returned an unusable value."""
    return ExtensionError(f"{reference} returned {found}; it must return {wanted}.")
