"""The networks of an experiment, each with the settings of its own models."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeletons.config import layers
from skeletons.config.pruning import Prune
from skeletons.config.sections import Base, Config, Network, Regularize

OVERRIDDEN = ("base", "regularize", "prune")  # sections that a network may have its own keys of
STATE_DICTS = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class Setup:
    """One network, and the settings that its models are made with.

    Attributes:
        tag: a part of its models' ids; None for the unnamed network.
        network: its architecture.
        base: the training of its base models.
        regularize: their walks.
        prune: their pruning.
    """

    tag: str | None
    network: Network
    base: Base
    regularize: Regularize
    prune: Prune

    @property
    def key(self) -> str:
        """The key of the configuration that describes it."""
        return "network" if self.tag is None else f"networks.{self.tag}"

    @property
    def title(self) -> str:
        """What it is called in words: its tag, or the name of its architecture."""
        return self.tag or self.network.name

    @functools.cached_property
    def checkpoints(self) -> dict[str, str]:
        """The files of its trained models by name, sorted; empty if its bases are trained here."""
        given = self.network.checkpoints
        if isinstance(given, Mapping):
            return dict(sorted(given.items()))
        if given is None:
            return {}
        files = (path for path in Path(given).glob("*") if path.suffix in STATE_DICTS)
        return {path.stem: str(path) for path in sorted(files)}


def setups(config: Config) -> Iterator[Setup]:
    """All networks in canonical order: the unnamed one, then the others by their tags."""
    if config.network is not None:
        yield Setup(None, config.network, config.base, config.regularize, config.prune)
    for tag, network in sorted(config.networks.items()):
        yield Setup(
            tag,
            network,
            network.base or config.base,
            network.regularize or config.regularize,
            network.prune or config.prune,
        )


def completed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as read from YAML, with each network's own sections completed.

    A network names the keys that differ; all others are those of the experiment.
    """
    networks = raw.get("networks")
    if not isinstance(networks, Mapping):
        return dict(raw)
    return {**raw, "networks": {tag: _completed(raw, one) for tag, one in networks.items()}}


def _completed(raw: Mapping[str, Any], network: Any) -> Any:
    if not isinstance(network, Mapping):
        return network
    return {
        **network,
        **{
            key: layers.merged([raw[key], network[key]])
            for key in OVERRIDDEN
            if isinstance(network.get(key), Mapping) and isinstance(raw.get(key), Mapping)
        },
    }


def as_they_are(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Sections that leave out the walks of trained models, unless their network asks for walks.

    The walks of networks that are trained here stay as they are. So adding a network does not
    change what is made of another.

    Args:
        raw: a configuration as read from YAML, of which nothing but defaults speaks of walks.
    """
    walks, named = raw.get("regularize"), raw.get("networks")
    if not isinstance(walks, Mapping):
        return {}
    brought = _brings(raw.get("network"))
    networks = named if isinstance(named, Mapping) else {}
    changed: dict[str, Any] = {
        tag: {**one, **_own_walks(one, walks, brought)} if isinstance(one, Mapping) else one
        for tag, one in networks.items()
    }
    found = {"networks": changed} if changed else {}
    return {**found, **({"regularize": {**walks, "lambdas": []}} if brought else {})}


def _brings(network: Any) -> bool:
    """Whether a network consists of trained models."""
    return isinstance(network, Mapping) and bool(network.get("checkpoints"))


def _own_walks(
    network: Mapping[str, Any], walks: Mapping[str, Any], brought: bool
) -> dict[str, Any]:
    """The walks of a named network, if they are not those of the experiment."""
    if network.get("regularize"):
        return {}
    if _brings(network) and not network.get("prune"):
        return {"regularize": {"lambdas": []}}
    return {"regularize": dict(walks)} if brought else {}
