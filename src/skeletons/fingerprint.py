"""What code a stage runs, as a short fingerprint that changes when, and only when, it does.

Snakemake sees a changed rule, but not a changed function that the rule calls. So each rule carries
the fingerprint of the modules its stage uses as a parameter. It is taken from their syntax trees
without docstrings, comments and formatting: a cosmetic edit recomputes nothing, a change to what
runs recomputes exactly the stages that import it. A module's templates, the files in a folder of
its name in `templates`, are part of it, to the letter.

A stage that calls a function of the user's own is also told of that file: it, and the user's
modules that it imports, are read in the same way.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from skeletons.errors import ExtensionError

PACKAGE = Path(__file__).parent
KEPT = 500  # digests at most, of as many versions of modules
_parsing = threading.Lock()


def fingerprint(*modules: str, own: Iterable[str] = ()) -> str:
    """A digest of the code that the given modules of this package run.

    Args:
        modules: names within the package, such as `training`; what they import of the package,
            directly or through others, is counted in.
        own: files of the user's own that the stage runs as well.

    Returns:
        Sixteen hexadecimal digits, and for each of the user's files ` FILE=` and as many again.

    Raises:
        ExtensionError: a file of the user's, or one that it imports, cannot be read.
    """
    return " ".join([_of_package(modules), *(f"{file}={_of_own(file)}" for file in sorted({*own}))])


def own_files(code: str) -> tuple[str, ...]:
    """The user's files that a fingerprint was taken of."""
    return tuple(re.findall(r" (.+?)=[0-9a-f]{16}(?= |$)", code))


def now(*modules: str, own: Iterable[str] = ()) -> str:
    """The fingerprint of the code as it is on disk now, whatever was read of it before."""
    # One thread at a time: CPython 3.11 counts the depth of syntax trees for all threads together.
    with _parsing:
        _read.cache_clear()
        _of_own.cache_clear()
        return fingerprint(*modules, own=own)


def _of_package(modules: Iterable[str]) -> str:
    """The digest of modules of this package and of all that they import of it."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_read(name)[1])
    digest = hashlib.sha256()
    for name in sorted(seen):
        digest.update(f"{name}={_read(name)[0]}\n".encode())
        for path in sorted((PACKAGE / "templates" / name).glob("*")):
            digest.update(f"{path.name}={hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _read(name: str) -> tuple[str, frozenset[str]]:
    """A module's own digest, and the modules of this package that it imports."""
    digest, imported = _parsed(PACKAGE / f"{name}.py")
    return digest, frozenset(_of_this_package(imported))


def _of_this_package(imported: Iterable[str]) -> Iterator[str]:
    for name in imported:
        package, _, rest = name.partition(".")
        module = rest.partition(".")[0]
        if package == PACKAGE.name and module and (PACKAGE / f"{module}.py").is_file():
            yield module


@functools.cache
def _of_own(file: str) -> str:
    """The digest of a user's file, of theirs that it imports, and of what these import of ours."""
    digest = hashlib.sha256()
    ours: set[str] = set()
    for path in closure(file):
        own, imported = _parsed_own(path)
        ours |= set(_of_this_package(imported))
        # By its place beside the file: the same in every folder.
        place = os.path.relpath(path, Path(file).parent)
        digest.update(f"{place}={own}\n".encode())
    digest.update(_of_package(ours).encode())
    return digest.hexdigest()[:16]


def closure(file: str) -> dict[Path, str]:
    """A user's file and those that it imports, directly or through others.

    Modules are sought where the file is loaded to find them: beside it, and in the working folder.

    Returns:
        By path, the name that each is imported by; of the file itself, none.

    Raises:
        ExtensionError: one of them cannot be read.
    """
    roots = (Path(file).parent, Path())
    found = {Path(file): ""}
    waiting = [Path(file)]
    while waiting:
        for module in _parsed_own(waiting.pop())[1]:
            new = {path: name for path, name in _local(module, roots) if path not in found}
            found |= new
            waiting.extend(new)
    return dict(sorted(found.items()))


def _local(module: str, roots: Iterable[Path]) -> list[tuple[Path, str]]:
    """What is run when a module is imported, packages first, of the first folder that has it."""
    steps = module.split(".")
    names = [".".join(steps[:n]) for n in range(1, len(steps) + 1)]
    for root in roots:
        places = [(root.joinpath(*name.split("."), "__init__.py"), name) for name in names]
        places.append((root.joinpath(*steps).with_suffix(".py"), module))
        found = [(path, name) for path, name in places if path.is_file()]
        if found:
            return found
    return []


def _parsed_own(path: Path) -> tuple[str, list[str]]:
    try:
        return _parsed(path)
    except (SyntaxError, ValueError) as error:  # a null byte is either, by Python's version
        line = getattr(error, "lineno", None)
        told = f"line {line}: {getattr(error, 'msg', error)}" if line else str(error)
        raise ExtensionError(f"{path} is not Python ({told})") from None
    except OSError as error:
        reason = error.strerror or error
        raise ExtensionError(f"{path} cannot be read ({reason})") from None


def _parsed(path: Path) -> tuple[str, list[str]]:
    """A file's digest, and the names of all that it imports."""
    source = path.read_bytes()
    key = hashlib.sha256(source + Path(__file__).read_bytes()).hexdigest()
    known = _known()
    if key not in known:
        known[key] = _digest(source)
        _remember(known)
    return known[key]


def _digest(source: bytes) -> tuple[str, list[str]]:
    """The digest of a module's source, and the names of all that it imports."""
    tree = ast.parse(source)
    _drop_docstrings(tree)
    # Without attributes, the dump holds no line numbers: moving code changes nothing.
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(_imports(tree))


@functools.cache
def _known() -> dict[str, tuple[str, list[str]]]:
    """Digests by content, kept as Python keeps compiled modules, as syntax trees take time."""
    try:
        found = json.loads(_place().read_text(encoding="utf-8"))
        return {str(key): (str(digest), list(names)) for key, (digest, names) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _place() -> Path:
    return PACKAGE / "__pycache__" / f"fingerprints-{sys.implementation.cache_tag}.json"


def _remember(known: Mapping[str, tuple[str, list[str]]]) -> None:
    """Keep the digests; that they cannot be is no reason to fail."""
    newest = dict(list(known.items())[-KEPT:])
    temporary = _place().with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(newest), encoding="utf-8")
        temporary.replace(_place())


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]


def _imports(tree: ast.Module) -> set[str]:
    """Dotted names: of `from a import b` both `a` and `a.b`, as b may be a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found
