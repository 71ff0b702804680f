"""Keys whose defaults belong together: who names one of them decides about the others.

The default experiment has one task, one walk, one way to prune and one control, whose values fit
each other. An experiment that names its own thresholds does not ask for the density of the default
experiment as well, and its λs are no shares of a walk within the default room. The images of
an experiment with its own data set keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# If a section is named: values of keys in other sections that are not named.
SECTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"dataset": {"images": {"size": None}}}
# If a key is named: values of other keys of its section that are not named.
COMPANIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "regularize": {"lambdas": {"room": None}},
    "prune": {
        "thresholds": {"densities": [], "retrain": 0, "retrain_learning_rate": None},
        "densities": {"thresholds": [], "retrain": 0, "retrain_learning_rate": None},
        "retrain": {"retrain_learning_rate": None},
    },
    "controls": {"orders": {"forks": []}, "forks": {"orders": []}},
}


def decided(given: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with what its keys leave out.

    A named network's own sections leave out what neither they nor the experiment's sections name.

    Args:
        given: keys and values as read from YAML, without the defaults; it is not changed.
    """
    found = dict(given)
    networks = given.get("networks")
    if isinstance(networks, Mapping):
        found["networks"] = {tag: _of_network(given, one) for tag, one in networks.items()}
    for section in SECTIONS.keys() & given.keys():
        for name, others in SECTIONS[section].items():
            named = given.get(name, {})
            found[name] = {**others, **named} if isinstance(named, Mapping) else named
    return {**found, **_sections(given, {})}


def _of_network(given: Mapping[str, Any], network: Any) -> Any:
    return {**network, **_sections(network, given)} if isinstance(network, Mapping) else network


def _sections(given: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that leave something out, which is not named by the same sections above."""
    found = {}
    for name, keys in COMPANIONS.items():
        section, named = given.get(name), above.get(name)
        if not isinstance(section, Mapping):
            continue
        others: dict[str, Any] = {}
        for key in keys.keys() & section.keys():
            others |= keys[key]
        kept = named.keys() if isinstance(named, Mapping) else ()
        found[name] = {**{k: v for k, v in others.items() if k not in kept}, **section}
    return found
