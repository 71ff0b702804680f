"""References to user-defined functions: `FILE.py:FUNCTION` in place of a built-in name."""

from __future__ import annotations

import os
import re
from pathlib import Path

PATTERN = r"^[^:]+:[A-Za-z_][A-Za-z0-9_]*$"
# What these begin is a name of an installed package.
PACKAGES = ("torchvision:", "timm:")


def is_reference(name: str) -> bool:
    """Whether a name in the configuration refers to a user-defined function.

    No built-in name contains a colon, except after the name of a package.
    """
    return ":" in name and not name.startswith(PACKAGES)


def canonical(reference: str) -> str:
    """The one spelling of a reference: `my.module:f` and `./my/module.py:f` are `my/module.py:f`.

    Raises:
        ValueError: the reference does not match `PATTERN`.
    """
    if not re.fullmatch(PATTERN, reference):
        raise ValueError(reference)
    file, function = split(reference)
    if not file.endswith(".py"):
        file = f"{file.replace('.', '/')}.py"
    return f"{os.path.normpath(file)}:{function}"


def split(reference: str) -> tuple[str, str]:
    """The file and the function of a reference."""
    file, function = reference.rsplit(":", 1)
    return file, function


def file_of(reference: str) -> str:
    """The file of a canonical reference."""
    return split(reference)[0]


def files_of(*names: str) -> list[str]:
    """The files of those names that are references, for `fingerprint`."""
    return sorted({file_of(name) for name in names if is_reference(name)})


def name_of(name: str) -> str:
    """The name in results: `my/module.py:f` becomes `module_f`; a built-in name stays as it is."""
    if not is_reference(name):
        return name
    file, function = split(name)
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", Path(file).stem).strip("-") or "own"
    return f"{stem}_{function}"
