"""What code a stage runs, as a short fingerprint that changes when, and only when, it does.

Snakemake sees a changed rule, but not a changed function that the rule calls. So each rule carries
the fingerprint of the modules its stage uses as a parameter. It is taken from their syntax trees
without docstrings, comments and formatting: a cosmetic edit recomputes nothing, a change to what
runs recomputes exactly the stages that import it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import threading
from pathlib import Path

PACKAGE = Path(__file__).parent
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
    tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    _drop_docstrings(tree)
    # Without attributes, the dump holds no line numbers: moving code changes nothing.
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(_imports(tree))


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
    return {name for name in found if (PACKAGE / f"{name}.py").is_file()}
