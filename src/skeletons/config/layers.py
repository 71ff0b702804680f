"""Lay configurations over each other: later ones override the keys that they name."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

# Sections that are one thing. If another thing takes its place, none of the old keys stays: the
# number of drawn images says nothing about `{kind: mnist}`. An override is another thing always, or
# if it has the key that is named here. So `network: {width: 4}` changes the width of any network.
ONE_THING: Mapping[tuple[Hashable, ...], str | None] = {
    ("dataset",): None,
    ("network",): "name",
    ("inspect", "variant"): None,
    ("findings", "primary", "recipe"): None,
}


def merged(layers: Iterable[Mapping[Any, Any]]) -> dict[Any, Any]:
    """All layers as one; none of them is changed.

    Args:
        layers: configurations as read from YAML, the one that overrides all others last.
    """
    found: dict[Any, Any] = {}
    for layer in layers:
        found = _over(found, layer, ())
    return found


def _over(
    below: Mapping[Any, Any], layer: Mapping[Any, Any], path: tuple[Hashable, ...]
) -> dict[Any, Any]:
    found = dict(below)
    for key, value in layer.items():
        place = (*path, key)
        old: Any = found.get(key)
        sections = isinstance(old, Mapping) and isinstance(value, Mapping)
        if sections and not _is_another(place, value):
            found[key] = _over(old, value, place)
        else:
            found[key] = value
    return found


def _is_another(place: tuple[Hashable, ...], override: Mapping[Any, Any]) -> bool:
    """Whether an override of a section is another thing, not a change of the same one."""
    if place not in ONE_THING:
        return False
    named = ONE_THING[place]
    return named is None or named in override
