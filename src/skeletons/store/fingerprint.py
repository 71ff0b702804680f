"""A fingerprint of the code that a stage runs, which changes when, and only when, that code does.

Snakemake sees a changed rule, but not a changed function that the rule calls. So each rule carries
the fingerprint of its stage as a parameter. The fingerprint covers the module of the stage and all
modules of this package that it imports, directly or through others. It is computed from their
syntax trees without docstrings, comments, formatting and the words of errors (the arguments of a
`raise`, and of an exception's class): a cosmetic edit recomputes nothing, a change to what runs
recomputes exactly the stages that import it. Importing a module runs the `__init__.py` of each
package above it, so these are covered as well. The files in a package's folder `templates` are part
of the package, to the letter.

An import of this package that cannot be followed is an error: the code behind it could change
without a rerun. A *lazy* `__init__.py`, one with a function `__getattr__`, imports nothing until a
name is used. So its imports do not count, but a name that is imported from it is followed to the
module in which it is defined. That of the whole package is lazy, and it is left out itself: it only
names the public surface.

A stage that calls user-defined functions also covers the user's file and the user's modules that it
imports.
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
from typing import NamedTuple

from skeletons.errors import ExtensionError, FingerprintError
from skeletons.store.user_files import Followed, follow

PACKAGE = Path(__file__).parents[1]
KEPT = 500  # digests at most, of as many versions of modules
_parsing = threading.Lock()


class Import(NamedTuple):
    """One import statement's name: `from MODULE import NAME`, or `import MODULE` without a name.

    Attributes:
        module: dotted, with a leading dot for each level of a relative import; `?` for a name that
            is computed when the program runs.
        name: empty for `import MODULE`, `*` for all.
        line: its line number.
    """

    module: str
    name: str
    line: int


class Source(NamedTuple):
    """The content of a file of code.

    Attributes:
        digest: of its syntax tree.
        imports: all of its imports, also those inside functions.
        homes: names bound at its top level, with the module that each is imported from; empty for a
            name that is defined here.
    """

    digest: str
    imports: tuple[Import, ...]
    homes: Mapping[str, str]

    @property
    def lazy(self) -> bool:
        """Whether it imports a name only when the name is used (PEP 562)."""
        return "__getattr__" in self.homes


def fingerprint(*modules: str, own: Iterable[str] = ()) -> str:
    """A digest of the code that the given modules of this package run.

    Args:
        modules: dotted names within the package, such as `training.base`; what they import of the
            package, directly or through others, is covered.
        own: user-defined files that the stage runs as well.

    Returns:
        Sixteen hexadecimal digits, and for each user-defined file ` FILE=` and sixteen more.

    Raises:
        FingerprintError: an import of this package cannot be followed.
        ExtensionError: a user-defined file, or one that it imports, cannot be read.
    """
    return " ".join([_of_package(modules), *(f"{file}={_of_own(file)}" for file in sorted({*own}))])


def own_files(code: str) -> tuple[str, ...]:
    """The user-defined files that a fingerprint covers."""
    return tuple(re.findall(r" (.+?)=[0-9a-f]{16}(?= |$)", code))


def now(*modules: str, own: Iterable[str] = ()) -> str:
    """The fingerprint of the code as it is on disk now, without cached digests."""
    # One thread at a time: CPython 3.11 counts the depth of syntax trees over all threads:
    # https://github.com/python/cpython/issues/106905
    with _parsing:
        for known in (_read, _module, _of_own):
            known.cache_clear()
        return fingerprint(*modules, own=own)


# --- modules of this package ----------------------------------------------------------------------


def _of_package(modules: Iterable[str]) -> str:
    """The digest of modules of this package and of everything that they import from it."""
    digest = hashlib.sha256()
    for name in sorted(closure_of(modules)):
        digest.update(f"{name}={_read(name)[0]}\n".encode())
    return digest.hexdigest()[:16]


def closure_of(modules: Iterable[str]) -> set[str]:
    """Modules of this package and all modules that they import from it, as names within it.

    Raises:
        FingerprintError: an import of this package cannot be followed.
    """
    seen: set[str] = set()
    waiting = [name for module in modules for name in _with_packages(module)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_read(name)[1])
    return seen


@functools.cache
def _read(name: str) -> tuple[str, frozenset[str]]:
    """A module's own digest, and the modules of this package that it imports."""
    found = _module(name)
    if found is None:
        raise FingerprintError(f"{PACKAGE} has no module {name!r}, whose fingerprint is needed")
    path, source = found
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    digest = source.digest + "".join(_templates(path))
    if source.lazy:
        return digest, frozenset()
    return digest, frozenset(_of_this_package(source.imports, path, package))


def _templates(path: Path) -> Iterator[str]:
    """The digests of the templates of a package, if the path is that of its `__init__.py`."""
    if path.name == "__init__.py":
        for file in sorted((path.parent / "templates").rglob("*")):
            if file.is_file():
                yield f" {file.name}={hashlib.sha256(file.read_bytes()).hexdigest()}"


@functools.cache
def _module(name: str) -> tuple[Path, Source] | None:
    """The file of a module, or of a package's `__init__`, and its content; None if there is none.

    It is read once, although many modules import it.
    """
    stem = PACKAGE.joinpath(*name.split("."))
    paths = (stem / "__init__.py", stem.parent / f"{stem.name}.py")
    path = next((path for path in paths if path.is_file()), None)
    return None if path is None else (path, _parsed(path))


def _of_this_package(
    imports: Iterable[Import], path: Path, package: str | None = None
) -> Iterator[str]:
    """The modules of this package that a file imports, with the packages that they are in.

    Args:
        imports: the file's.
        path: the file, for errors.
        package: the file's package within this one; None for a file elsewhere, whose relative
            imports and computed names are not followed.
    """
    for found in imports:
        if found.module[0] in ".?" and package is None:
            continue
        module = _absolute(found, package or "")
        if module is None:
            raise _lost(found, path)
        top, _, inside = module.partition(".")
        if top == PACKAGE.name:
            try:
                yield from _imported(inside, found.name)
            except LookupError:
                raise _lost(found, path) from None


def _lost(found: Import, path: Path) -> FingerprintError:
    what = f"{found.module}.{found.name}" if found.name else found.module
    name = "by a computed name" if found.module == "?" else f"of {what!r}"
    return FingerprintError(
        f"{path}, line {found.line}: the import {name} cannot be followed, so a change behind it "
        "would rerun nothing; allowed: an import of a module, or of a name that it defines."
    )


def _absolute(found: Import, package: str) -> str | None:
    """An import's module by its full name; None if it has none."""
    level = len(found.module) - len(found.module.lstrip("."))
    if level == 0:
        return None if found.module == "?" else found.module
    above = [PACKAGE.name, *filter(None, package.split("."))]
    if level > len(above):
        return None
    return ".".join([*above[: len(above) - level + 1], *filter(None, [found.module[level:]])])


def _imported(inside: str, name: str) -> Iterator[str]:
    """What `from PACKAGE.inside import name` loads, by names within this package.

    Raises:
        LookupError: it is neither a module nor a name that the module binds.
    """
    target = ".".join(filter(None, [inside, name]))
    if name and (found := _module(target)):
        yield from _with_packages(target)
        if found[1].lazy:  # any of its names may be used
            yield from _from_homes(found[1], "")
        return
    found = _module(inside)
    if found is None or name == "*":
        raise LookupError
    if inside:
        yield from _with_packages(inside)
    path, source = found
    if source.lazy or not inside:
        yield from _from_homes(source, name)
    elif name and path.name == "__init__.py" and name not in source.homes:
        raise LookupError


def _from_homes(source: Source, name: str) -> Iterator[str]:
    """The module of this package that a name of a lazy `__init__` comes from; without a name, all.

    Raises:
        LookupError: the `__init__` does not bind the name.
    """
    for home in [source.homes[name]] if name else source.homes.values():
        if home.startswith(f"{PACKAGE.name}."):
            yield from _with_packages(home.partition(".")[2])


def _with_packages(name: str) -> list[str]:
    """A module and the packages that it is in: importing it runs them all."""
    steps = name.split(".")
    return [".".join(steps[: count + 1]) for count in range(len(steps))]


# --- user-defined files ---------------------------------------------------------------------------


@functools.cache
def _of_own(file: str) -> str:
    """The digest of a user-defined file and of all code that it imports, also from this package."""
    digest = hashlib.sha256()
    ours: set[str] = set()
    for path in closure(file):
        source = _parsed_own(path)
        ours |= set(_of_this_package(source.imports, path))
        # A relative path, so that the digest is the same in every folder.
        relative = os.path.relpath(path, Path(file).parent)
        digest.update(f"{relative}={source.digest}\n".encode())
    digest.update(_of_package(ours).encode())
    return digest.hexdigest()[:16]


def closure(file: str) -> dict[Path, str]:
    """A user-defined file and the user's files that it imports, directly or through others.

    Returns:
        The module name of each file, by path; empty for the file itself, and for a file that is
        only imported relative to another, see `user_files`.

    Raises:
        ExtensionError: one of them cannot be read.
    """
    return _followed(file).files


def lost_imports(file: str) -> list[str]:
    """A clause for each relative import, by a user's file or one of its own, that finds no file.

    Raises:
        ExtensionError: one of the files cannot be read.
    """
    return _followed(file).lost


def _followed(file: str) -> Followed:
    return follow(file, _parsed_own)


def _parsed_own(path: Path) -> Source:
    try:
        return _parsed(path)
    except (SyntaxError, ValueError) as error:  # a null byte is either, by Python's version
        line = getattr(error, "lineno", None)
        reason = f"line {line}: {getattr(error, 'msg', error)}" if line else str(error)
        raise ExtensionError(f"{path} is not Python ({reason})") from None
    except OSError as error:
        raise ExtensionError(f"{path} cannot be read ({error.strerror or error})") from None


# --- a file's syntax tree -------------------------------------------------------------------------


def _parsed(path: Path) -> Source:
    """The content of a file; content that was read before is not parsed again."""
    content = path.read_bytes()
    key = hashlib.sha256(content + Path(__file__).read_bytes()).hexdigest()
    known = _known()
    if key not in known:
        known[key] = _source(content)
        _remember(known)
    return known[key]


def _source(content: bytes) -> Source:
    tree = ast.parse(content)
    imports, homes = tuple(_imports(tree)), dict(_homes(tree.body))
    _drop_docstrings(tree)
    _drop_words_of_errors(tree)
    # Without attributes, the dump holds no line numbers: moving code changes nothing.
    return Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports, homes)


@functools.cache
def _known() -> dict[str, Source]:
    """Sources by content, stored beside the compiled modules, because parsing takes time."""
    try:
        found = json.loads(_cache_file().read_text(encoding="utf-8"))
        return {
            str(key): Source(str(digest), tuple(Import(*each) for each in imports), dict(homes))
            for key, (digest, imports, homes) in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _cache_file() -> Path:
    return PACKAGE / "__pycache__" / f"fingerprints-{sys.implementation.cache_tag}.json"


def _remember(known: Mapping[str, Source]) -> None:
    """Store the digests; a failure to do so is ignored."""
    newest = dict(list(known.items())[-KEPT:])
    temporary = _cache_file().with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_text(json.dumps(newest), encoding="utf-8")
        temporary.replace(_cache_file())


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


def _drop_words_of_errors(tree: ast.Module) -> None:
    """Drop the arguments of `raise x(…)` and `SomeError(…)`: no result depends on the wording."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name.endswith("Error"):
                node.args, node.keywords = [], []


def _imports(tree: ast.Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import(node.func):
            yield Import(_literal(node) or "?", "", node.lineno)


def _is_import(function: ast.expr) -> bool:
    """Whether a call is one of the functions that import a module by name."""
    name = getattr(function, "id", getattr(function, "attr", ""))
    return name in ("import_module", "__import__", "resolve_name")


def _literal(call: ast.Call) -> str:
    """The first argument of a call if it is a text literal; else empty."""
    match call.args:
        case [ast.Constant(value=str(text)), *_]:
            return text
    return ""


def _homes(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Names bound by statements, also under an `if` or `try`, with the module that each is from."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            yield from ((alias.asname or alias.name, home) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, ""
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, ""
        else:
            yield from _homes(ast.iter_child_nodes(node))
