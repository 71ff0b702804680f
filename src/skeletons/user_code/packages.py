"""The networks of installed packages by name, from their source alone.

Importing the packages takes seconds, and a mistake in a name should end a run before it begins.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from pathlib import Path

# How both packages mark the functions that make a network.
_MADE = re.compile(r"^@register_model(?:\([^)]*\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_INSTALL = {
    "torchvision": "make env, which installs it",
    "timm": "pip install 'skeletons-on-rashomon-ridge[timm]', or make env, which installs it",
}


@functools.cache
def networks_of(package: str) -> frozenset[str] | None:
    """The names of a package's networks for images; None if it is not installed.

    Args:
        package: `torchvision` or `timm`.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    files = (Path(spec.origin).parent / "models").glob("*.py")
    found = (_MADE.findall(file.read_text(encoding="utf-8")) for file in sorted(files))
    return frozenset(name for names in found for name in names)


def problem_with(name: str) -> str | None:
    """The end of the sentence about a network that its package does not have; None if it has it.

    Args:
        name: such as `timm:vit_tiny_patch16_224`.
    """
    package, _, network = name.partition(":")
    known = networks_of(package)
    if known is None:
        return (
            f"but {package} is not installed; allowed: a built-in network, or {_INSTALL[package]}"
        )
    if network in known:
        return None
    near = difflib.get_close_matches(network, sorted(known), n=3, cutoff=0.4)
    nearest = f", such as {', '.join(near)}" if near else ""
    return f"which {package} does not have; allowed: one of its {len(known)} networks{nearest}"


def is_file(weights: str | None) -> bool:
    """Whether pretrained weights are given as a file, and not by a name to download."""
    ends = (".pt", ".pth", ".bin", ".safetensors")
    return weights is not None and ("/" in weights or weights.endswith(ends))
