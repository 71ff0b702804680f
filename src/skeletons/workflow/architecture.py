"""What a network is built from: the part of the configuration that its stages depend on."""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

from skeletons.config.networks import Setup
from skeletons.user_code import references
from skeletons.user_code.packages import is_file


def architecture(setup: Setup) -> dict[str, Any]:
    """What a network is built from; a package's network has no width, and most have no options."""
    network = setup.network
    found: dict[str, Any] = {"name": network.name}
    if network.name.startswith(references.PACKAGES):
        found["version"] = metadata.version(network.name.partition(":")[0])
    else:
        found["width"] = network.width
    return found | ({"options": network.options} if network.options else {})


def trained_from(setup: Setup) -> dict[str, Any]:
    """The same with the pretrained weights that bases start from, a file by its content as well."""
    found, weights = architecture(setup), setup.network.weights
    if weights is not None:
        found["weights"] = weights
    if weights is not None and is_file(weights):
        found["digest"] = _digest(weights, Path(weights).stat().st_mtime_ns)
    return found


@functools.cache
def _digest(path: str, changed: int) -> str:
    """The digest of a file's content, until it changes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
