"""The user's files that a user-defined file imports: by their names, or relative to its folder.

A user's file belongs to a package, so that it can import the files beside it (`from .blocks import
block`): the folders from the working folder to the file. Outside of the working folder, these are
the file's own folder and the folders above it that have an `__init__.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skeletons.store.fingerprint import Import, Source


@dataclass
class Followed:
    """A user's file and those that it imports, directly or through others.

    Attributes:
        files: the name under which each is imported, by path; empty for the file itself, and for
            one that is only imported relative to another.
        lost: a clause for each relative import that leads to no file.
    """

    files: dict[Path, str]
    lost: list[str] = field(default_factory=list)


def package_of(file: str | Path) -> tuple[Path, tuple[str, ...]]:
    """The package of a user's file: the folder at its top, and the folders from there to the file.

    Relative imports find files in these folders, the top included.
    """
    folder = Path(file).resolve().parent
    top = Path.cwd().resolve()
    if not folder.is_relative_to(top):
        top = folder
        while (top / "__init__.py").is_file():
            top = top.parent
    parts = folder.relative_to(top).parts
    # Python takes a point in a name for the border between two packages.
    return (folder, ()) if any("." in part for part in parts) else (top, parts)


def follow(file: str, read: Callable[[Path], Source]) -> Followed:
    """Follow the imports of a user's file.

    Modules are searched in the folders from which `user_code.load` lets the file import: its own
    folder and the working folder.

    Args:
        file: the user's file.
        read: gives the imports of a file, and the names that it binds.
    """
    roots = (Path(file).parent, Path())
    found = Followed({Path(file): ""})
    # For each file, how many packages it is in: as many points may begin its relative imports.
    depths = {Path(file): len(package_of(file)[1]) + 1}
    waiting = [Path(file)]
    while waiting:
        path = waiting.pop()
        imports = read(path).imports
        new: dict[Path, tuple[str, int]] = {}
        for name in _dotted(imports):
            for other, known in _local(name, roots):
                steps = known.count(".") + (other.name == "__init__.py")
                new.setdefault(other, (known, steps))
        for each in imports:
            if each.module[0] == ".":
                relative = _relative(path, each, depths[path], read)
                if not relative:
                    found.lost.append(_lost(path, each, depths[path]))
                for other, depth in relative.items():
                    new.setdefault(other, ("", depth))
        for other, (known, depth) in new.items():
            if other not in found.files:
                waiting.append(other)
                depths[other] = depth
            if other != Path(file):
                found.files[other] = found.files.get(other) or known
    return Followed(dict(sorted(found.files.items())), found.lost)


def _dotted(imports: Iterable[Import]) -> list[str]:
    """Dotted names: of `from a import b` both `a` and `a.b`, because b may be a module."""
    absolute = [each for each in imports if each.module[0] not in ".?"]
    names = {each.module for each in absolute}
    return sorted(names | {f"{each.module}.{each.name}" for each in absolute if each.name})


def _local(module: str, roots: Iterable[Path]) -> list[tuple[Path, str]]:
    """The files that importing a module runs, packages first, in the first folder that has it."""
    steps = module.split(".")
    names = [".".join(steps[:n]) for n in range(1, len(steps) + 1)]
    for root in roots:
        possible = [(root.joinpath(*name.split("."), "__init__.py"), name) for name in names]
        possible.append((root.joinpath(*steps).with_suffix(".py"), module))
        found = [(path, name) for path, name in possible if path.is_file()]
        if found:
            return found
    return []


def _relative(
    path: Path, found: Import, depth: int, read: Callable[[Path], Source]
) -> dict[Path, int]:
    """The files that a relative import runs, each with its number of packages; none if it fails.

    Args:
        path: the file that imports.
        found: the import.
        depth: the number of packages that the file is in.
        read: see `follow`.
    """
    points, module = _split(found.module)
    if points > depth:
        return {}
    folders = [path.parent, *path.parent.parents][points - 1 :]
    names = [module, f"{module}.{found.name}"] if module else [found.name]
    wanted = [each for name in names for each in _local(name, folders[:1])]
    packages = [folder / "__init__.py" for folder in folders[: depth - points + 1]]
    runs = {init: depth - points + 1 - n for n, init in enumerate(packages) if init.is_file()}
    if not wanted and (module or packages[0] not in runs or not _binds(packages[0], found, read)):
        return {}
    inside = {p: depth - points + 1 + name.count(".") for p, name in wanted}
    return runs | {p: n + (p.name == "__init__.py") for p, n in inside.items()}


def _split(module: str) -> tuple[int, str]:
    """The number of points that a relative import begins with, and what follows them."""
    rest = module.lstrip(".")
    return len(module) - len(rest), rest


def _binds(init: Path, found: Import, read: Callable[[Path], Source]) -> bool:
    """Whether the `__init__.py` of a package has the imported name, as far as its syntax shows."""
    return found.name == "*" or not read(init).homes.keys().isdisjoint(
        [found.name, "*", "__getattr__"]  # the last two may give any name
    )


def _lost(path: Path, found: Import, depth: int) -> str:
    points, module = _split(found.module)
    what = f"{found.module}{'' if module else found.name}"
    where = f"{path} cannot import {what!r} at line {found.line}: there is no"
    if points > depth:
        return (
            f"{where} folder of yours so far up (relative imports begin at the file's own folder)"
        )
    folder = Path(os.path.normpath(path.parent.joinpath(*[".."] * (points - 1))))
    return f"{where} file {folder.joinpath(*(module or found.name).split('.'))}.py"
