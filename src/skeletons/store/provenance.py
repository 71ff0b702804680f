"""The recipe that an artifact was made from; it is stored in the artifact and keys the run cache.

A recipe names everything that determines the result of a job: the stage, its slice of the
configuration, the fingerprint of its code, its inputs by content, and the versions of the packages
that compute. It contains no time and no path outside the experiment, so equal work has an equal
recipe in every folder and every experiment.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from skeletons.errors import ArtifactError

PACKAGES = ("numpy", "pandas", "pillow", "pyarrow", "safetensors", "scikit-learn", "scipy", "torch")

_made: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar(
    "made", default=None
)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the result of a job.

    Attributes:
        stage: the rule's name.
        settings: the slice of the configuration that the stage uses, and the model it makes.
        code: fingerprint of the code that the stage runs.
        inputs: SHA-256 of each input file, by its place in the experiment.
        parents: lineage of each input file that the workflow makes, by its place.
        threads: of the job; they change the order of floating-point sums.
        versions: of the packages that compute.
    """

    stage: str
    settings: Mapping[str, Any]
    code: str
    inputs: Mapping[str, str]
    parents: Mapping[str, str]
    threads: int
    versions: Mapping[str, str]

    def key(self) -> str:
        """A digest; equal recipes have equal digests."""
        text = json.dumps(vars(self), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def lineage_of(stage: str, settings: Mapping[str, Any], parents: Iterable[str]) -> str:
    """The identity of an artifact by configuration: a digest of all settings that it depends on.

    Args:
        stage: the rule that makes it.
        settings: the slice of the configuration that the rule uses, as values that JSON has.
        parents: lineages of the artifacts that it is made from.
    """
    described = {"stage": stage, "settings": settings, "parents": sorted(parents)}
    text = json.dumps(described, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def origin_of(stage: str, lineage: str, code: str) -> str:
    """A digest of the settings and the code that an artifact was made from.

    Args:
        stage: the name of the stage.
        lineage: of the artifact.
        code: the fingerprint of the stage's code.
    """
    return hashlib.sha256(json.dumps([stage, lineage, code]).encode()).hexdigest()[:32]


def digests(paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """SHA-256 of files, by their place in the experiment; folders are skipped.

    Raises:
        ArtifactError: a file cannot be read.
    """
    # Functions of `os`, not a Path for each of thousands of files: that costs more.
    return {place(path): file_digest(path) for path in paths if not os.path.isdir(path)}  # noqa: PTH112


def place(path: str | os.PathLike[str]) -> str:
    """The place of an artifact: its path within its experiment, equal in all experiments.

    The place of `results/demo/models/seed=1/weights.safetensors` is
    `models/seed=1/weights.safetensors`. For a path outside `results`, it is the name of the file.
    """
    return _place(os.fspath(path))


@functools.lru_cache(maxsize=4096)
def _place(path: str) -> str:
    parts = Path(path).parts
    if "results" not in parts:
        return parts[-1]
    last = len(parts) - 1 - parts[::-1].index("results")
    return "/".join(parts[last + 2 :]) or parts[-1]


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file. It is cached, and the file is read again only if it has changed.

    Raises:
        ArtifactError: the file cannot be read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116
        return _file_digest(str(path), status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror or error}.") from error


@functools.lru_cache(maxsize=4096)
def _file_digest(path: str, *_version: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """The versions of the packages that influence results."""
    return {name: metadata.version(name) for name in PACKAGES}


@contextlib.contextmanager
def making(recipe: Recipe) -> Iterator[None]:
    """Record `recipe` in all artifacts that this thread writes in this block."""
    token = _made.set(vars(recipe))
    try:
        yield
    finally:
        _made.reset(token)


def made() -> dict[str, Any] | None:
    """The recipe and the device of the job that runs in this thread; None outside a job."""
    recipe = _made.get()
    return None if recipe is None else {**recipe, "device": _device(recipe["settings"])}


def key() -> str | None:
    """The key of the recipe of the job that runs in this thread; None outside a job."""
    recipe = _made.get()
    return None if recipe is None else Recipe(**recipe).key()


def lineage() -> str | None:
    """The lineage of the artifacts that the running job makes; None outside a job."""
    recipe = _made.get()
    if recipe is None:
        return None
    return lineage_of(recipe["stage"], recipe["settings"], recipe["parents"].values())


def origin() -> str | None:
    """The origin of the artifacts that the running job makes; None outside a job."""
    recipe, line = _made.get(), lineage()
    if recipe is None or line is None:
        return None
    return origin_of(recipe["stage"], line, recipe["code"])


def expected(path: str | os.PathLike[str]) -> str | None:
    """The lineage that the running job expects of an input; None if it expects none."""
    recipe = _made.get()
    return None if recipe is None else recipe["parents"].get(place(path))


def _device(settings: Mapping[str, Any]) -> dict[str, str]:
    """The type and name of the processor that computes, as far as this process knows it."""
    torch = sys.modules.get("torch")
    if "device" not in settings or torch is None:
        return {"type": "cpu", "name": platform.machine()}
    if settings["device"] != "cpu" and torch.cuda.is_available():
        return {"type": "cuda", "name": torch.cuda.get_device_name()}
    capability = torch.backends.cpu.get_cpu_capability()
    return {"type": "cpu", "name": f"{platform.machine()} {capability}"}
