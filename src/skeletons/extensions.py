"""Functions of the user's own, named in the configuration as `FILE.py:FUNCTION`.

Such a reference stands where a built-in name may stand. `check` says without running the file
whether it can be what it is named for; `call` runs it. Whatever goes wrong in it is one sentence.
What a function must give is checked where it is used: in networks, datasets, similarity, pruning.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import importlib.util
import inspect
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from skeletons.errors import ExtensionError
from skeletons.fingerprint import closure

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


# --- without running it ---------------------------------------------------------------------------


def check(reference: str, *arguments: Any, **options: Any) -> None:
    """See whether a file defines a function that can be called so, from its syntax alone.

    Decorated functions, classes and other objects are taken to be callable: `call` will tell.

    Raises:
        ExtensionError: it does not; the text is a clause, to stand after what was found.
    """
    file, function = reference.rsplit(":", 1)
    if not Path(file).is_file():
        raise ExtensionError(f"there is no file {file} in {Path.cwd()}")
    closure(file)
    known = dict(_defined(ast.parse(Path(file).read_bytes()).body))
    if function not in known:
        near = difflib.get_close_matches(function, known, n=1, cutoff=0.6)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ExtensionError(f"{file} defines no {function!r}{hint}")
    node = known[function]
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        _bind(function, _signature(node.args), *arguments, **options)


def _defined(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that statements define, each with the statement, the branches of `if` included."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name, node) for alias in node.names)
            case ast.Assign(targets=targets):
                yield from ((t.id, node) for t in targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case ast.If() | ast.Try():
                yield from _defined([*node.body, *node.orelse])


def _signature(arguments: ast.arguments) -> inspect.Signature:
    kinds = inspect.Parameter
    given = [
        *((a.arg, kinds.POSITIONAL_ONLY) for a in arguments.posonlyargs),
        *((a.arg, kinds.POSITIONAL_OR_KEYWORD) for a in arguments.args),
    ]
    optional = {name for name, _ in given[len(given) - len(arguments.defaults) :]}
    if arguments.vararg:
        given.append((arguments.vararg.arg, kinds.VAR_POSITIONAL))
    given += [(a.arg, kinds.KEYWORD_ONLY) for a in arguments.kwonlyargs]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    optional |= {a.arg for a, default in pairs if default is not None}
    if arguments.kwarg:
        given.append((arguments.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(
        [kinds(n, kind, default=None if n in optional else kinds.empty) for n, kind in given]
    )


def _bind(function: str, signature: inspect.Signature, *arguments: Any, **options: Any) -> None:
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        names = ", ".join(f"{key}=…" for key in options)
        count = f"{len(arguments)} arguments" if arguments else f"({names})"
        raise ExtensionError(
            f"{function}{signature} cannot be called with {count}: {error}"
        ) from None


# --- running it -----------------------------------------------------------------------------------


def load(reference: str) -> Any:
    """What a reference names. Its file is run once in a process, in one thread at a time.

    Raises:
        ExtensionError: the file cannot be run, or has no such name.
    """
    file, function = reference.rsplit(":", 1)
    with _loading, guarded(reference):
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
        _see_what_was_imported(file)
    return module


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no compiled files: one of the same second and size would pass for an edited source."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _see_what_was_imported(file: str) -> None:
    """Hold the user's modules against those that the fingerprint was taken of.

    Python knows one module of a name. If it is another file than the one beside the user's, then
    that is not the code that was meant, nor the code whose changes are seen.
    """
    folder = Path(file).parent
    for path in closure(file)[1:]:
        root = folder if path.is_relative_to(folder) else Path()
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        known = getattr(sys.modules.get(name), "__file__", None)
        if known is not None and Path(known).resolve() != path.resolve():
            raise ImportError(f"{path} cannot be imported, as {name} is already {known}; rename it")


def call(reference: str, *arguments: Any, **options: Any) -> Any:
    """Call a function of the user's.

    Raises:
        ExtensionError: it is not there, cannot be called so, or raised an error.
    """
    function = load(reference)
    demand_callable(reference, function, *arguments, **options)
    with guarded(reference):
        return function(*arguments, **options)


def demand_callable(reference: str, found: Any, *arguments: Any, **options: Any) -> None:
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
        _bind(reference.rsplit(":", 1)[1], signature, *arguments, **options)
    except ExtensionError as error:
        raise ExtensionError(f"{reference} cannot be used: {error}.") from None


@contextlib.contextmanager
def guarded(reference: str) -> Iterator[None]:
    """A block in which an error is one of the user's code: it becomes a sentence with its line.

    Raises:
        ExtensionError: in place of any error.
    """
    try:
        yield
    except ExtensionError:
        raise
    except Exception as error:
        file = Path(file_of(reference))
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if Path(f.filename).resolve() == file.resolve()]
        where = f" at line {lines[-1]} of {file}" if lines else ""
        told = " ".join(str(error).split()).rstrip(".")
        reason = f"{type(error).__name__}: {told}" if told else type(error).__name__
        raise ExtensionError(
            f"{reference} failed{where} ({reason}); correct it and run snakemake again."
        ) from None


def refusal(reference: str, found: str, wanted: str) -> ExtensionError:
    """The error that says that a function gave what it must not."""
    return ExtensionError(f"{reference} gave {found}; it must give {wanted}.")
