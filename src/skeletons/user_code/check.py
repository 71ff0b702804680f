"""Check user-defined functions before a run, from the syntax of their files alone.

A mistake in a name ends the run before it begins, and parsing the rules imports nothing heavy.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.errors import ExtensionError
from skeletons.store.fingerprint import closure, lost_imports
from skeletons.user_code.load import bind
from skeletons.user_code.references import files_of, split


def check(reference: str, /, *arguments: Any, **options: Any) -> None:
    """Check that a file defines a function that accepts these arguments, from its syntax alone.

    For decorated functions, classes and other objects only the name is checked: their signature is
    known only once the file has run.

    Raises:
        ExtensionError: it does not; the text is a clause, meant to follow the value found.
    """
    file, function = split(reference)
    if not Path(file).is_file():
        raise ExtensionError(f"there is no file {file} in {Path.cwd()}")
    _demand_importable(closure(file))
    lost = lost_imports(file)
    if lost:
        raise ExtensionError(lost[0])
    known = dict(_defined(ast.parse(Path(file).read_bytes()).body))
    if function not in known:
        near = difflib.get_close_matches(function, known, n=1, cutoff=0.6)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ExtensionError(f"{file} does not define {function!r}{hint}")
    node = known[function]
    if isinstance(node, ast.FunctionDef) and not node.decorator_list:
        bind(function, _signature(node.args), *arguments, **options)


def _demand_importable(modules: Mapping[Path, str]) -> None:
    """Check that Python will import the user's modules and not installed ones of the same name.

    Raises:
        ExtensionError: an installed module has the name of one of them.
    """
    for path, name in modules.items():
        top = name.partition(".")[0]
        # A user's package is found as a folder without an origin.
        spec = importlib.util.find_spec(top) if top else None
        origin = None if spec is None else spec.origin
        if origin and Path(origin).resolve() not in {known.resolve() for known in modules}:
            raise ExtensionError(
                f"{path} cannot be imported, because {top!r} is an installed module ({origin})"
            )


def clashes(references: Iterable[str]) -> Iterator[str]:
    """Different files that several references import under one module name.

    A Python process can hold only one module of each name.
    """
    known: dict[str, Path] = {}
    for file in files_of(*references):
        for path, name in closure(file).items():
            other = known.setdefault(name, path) if name else path
            if other.resolve() != path.resolve():
                yield f"{other} and {path} are both imported as {name!r}"


def _defined(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that statements define, each with its statement; branches of `if` are included."""
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
    """The signature without annotations and with None for every default, so no user code runs."""
    for node in ast.walk(arguments):
        if isinstance(node, ast.arg):
            node.annotation = None
    nothing = ast.Constant(None)
    arguments.defaults = [nothing for _ in arguments.defaults]
    arguments.kw_defaults = [default and nothing for default in arguments.kw_defaults]
    return inspect.signature(eval(ast.unparse(ast.Lambda(arguments, nothing))))
