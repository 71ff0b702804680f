"""What code a stage runs, as a short fingerprint that changes when, and only when, it does.

Snakemake sees a changed rule, but not a changed function that the rule calls. So each rule carries
the fingerprint of the modules its stage uses as a parameter. It is taken from their syntax trees
without docstrings, comments and formatting: a cosmetic edit recomputes nothing, a change to what
runs recomputes exactly the stages that import it. A module's templates, the files in a folder of
its name in `templates`, are part of it, to the letter.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parent
KEPT = 500  # digests at most, of as many versions of modules
_parsing = threading.Lock()


def fingerprint(*modules: str) -> str:
    """A digest of the code that the given modules of this package run.

    Args:
        modules: names within the package, such as `training`; what they import of the package,
            directly or through others, is counted in.
    """
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


def now(*modules: str) -> str:
    """The fingerprint of the code as it is on disk now, whatever was read of it before."""
    # One thread at a time: CPython 3.11 counts the depth of syntax trees for all threads together.
    with _parsing:
        _read.cache_clear()
        return fingerprint(*modules)


@functools.cache
def _read(name: str) -> tuple[str, frozenset[str]]:
    """A module's own digest, and the modules of this package that it imports."""
    source = (PACKAGE / f"{name}.py").read_bytes()
    key = hashlib.sha256(source + Path(__file__).read_bytes()).hexdigest()
    known = _known()
    if key not in known:
        known[key] = _digest(source)
        _remember(known)
    digest, imported = known[key]
    return digest, frozenset(n for n in imported if (PACKAGE / f"{n}.py").is_file())


def _digest(source: bytes) -> tuple[str, list[str]]:
    """The digest of a module's source, and the names that it imports of this package."""
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
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            f"{PACKAGE.name}."
        ):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith(f"{PACKAGE.name}.")
            }
    return found
