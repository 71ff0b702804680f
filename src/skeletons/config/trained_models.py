"""Checks of networks, and of the trained models that take the place of their bases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from skeletons.config.networks import STATE_DICTS, Setup, setups
from skeletons.config.sections import Config
from skeletons.config.sentences import PATTERNS
from skeletons.config.types import OWN_PATTERN
from skeletons.model_ids import UNTRAINED
from skeletons.text import listed

NEEDING = ("mean", "std", "classes", "accuracy")  # keys that describe checkpoints


def problems(config: Config) -> Iterator[str]:
    """One sentence per problem."""
    found = list(setups(config))
    if not found:
        yield "network: found nothing, and networks is empty; allowed: one network or more."
    for setup in found:
        yield from _files(setup)
        yield from _names(setup)
        yield from _lone_keys(setup)


def _files(setup: Setup) -> Iterator[str]:
    given, key = setup.network.checkpoints, f"{setup.key}.checkpoints"
    endings = listed(STATE_DICTS)
    if given is None:
        return
    if isinstance(given, str) and not Path(given).is_dir():
        yield (
            f"{key}: found {given!r}, which is not a folder; allowed: a folder of {endings} files, "
            "or a mapping of names to files."
        )
    elif not setup.checkpoints:
        held = f"no {endings} file in {given!r}" if isinstance(given, str) else "an empty mapping"
        yield f"{key}: found {held}; allowed: one file or more."
    if isinstance(given, str):
        stems = Counter(path.stem for path in Path(given).glob("*") if path.suffix in STATE_DICTS)
        twice = [name for name, count in sorted(stems.items()) if count > 1]
        if twice:
            yield (
                f"{key}: found {given!r}, in which several files are named {twice[0]}; allowed: "
                "one file of each name, or a mapping of names to files."
            )
    for name, path in setup.checkpoints.items():
        if not Path(path).is_file():
            yield f"{key}.{name}: found {path!r}, which is not a file; allowed: an existing file."
        elif Path(path).suffix not in STATE_DICTS:
            yield (
                f"{key}.{name}: found {path!r}; allowed: a file of weights whose name ends in "
                f"{endings}."
            )


def _names(setup: Setup) -> Iterator[str]:
    """The name of a model is a part of its id and of file names, which must have one reading."""
    stems = [Path(path).stem for path in setup.checkpoints.values()]
    for name in setup.checkpoints:
        good = re.fullmatch(OWN_PATTERN, name) and "--" not in name
        if good and not name.endswith(("-", f"_{UNTRAINED}")):
            continue
        hint = "; rename the file, or give a mapping of names to files" if name in stems else ""
        yield (
            f"{setup.key}.checkpoints: found the name {name!r}; allowed: {PATTERNS[OWN_PATTERN]}, "
            f"without '--' and not ending in '-' or '_{UNTRAINED}'{hint}."
        )


def _lone_keys(setup: Setup) -> Iterator[str]:
    network = setup.network
    for key in NEEDING:
        if getattr(network, key) is not None and not network.checkpoints:
            yield (
                f"{setup.key}.{key}: found a value, but there are no checkpoints that it could "
                "describe; allowed: nothing, or checkpoints as well."
            )
    if (network.mean is None) != (network.std is None):
        given, absent = ("mean", "std") if network.std is None else ("std", "mean")
        yield (f"{setup.key}.{absent}: found nothing beside {given}; allowed: both or neither.")
