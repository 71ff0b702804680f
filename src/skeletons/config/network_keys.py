"""Checks of a network's name, width, channels, options and weights against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from skeletons.config.names import DEFAULT_WIDTH
from skeletons.config.networks import setups
from skeletons.config.sections import Config, Network
from skeletons.config.sentences import PATTERNS
from skeletons.config.types import NAME_PATTERN
from skeletons.user_code import packages
from skeletons.user_code.references import PACKAGES, is_reference


def problems(config: Config) -> Iterator[str]:
    """One sentence per problem."""
    for setup in setups(config):
        if "--" in (setup.tag or ""):
            yield (
                f"networks: found the key {setup.tag!r}; allowed: keys of "
                f"{PATTERNS[NAME_PATTERN]}, without '--', which separates the models of a pair."
            )
        yield from _of_network(setup.key, setup.network)


def _of_network(key: str, network: Network) -> Iterator[str]:
    package = network.name.partition(":")[0] if network.name.startswith(PACKAGES) else None
    if package:
        problem = packages.problem_with(network.name)
        if problem:
            yield f"{key}.name: found {network.name!r}, {problem}."
        if network.width != DEFAULT_WIDTH:
            yield (
                f"{key}.width: found {network.width}, but the width of {network.name!r} is part "
                "of its name; allowed: no width (some networks have an option for it)."
            )
        if package == "torchvision" and network.channels != 3:
            yield (
                f"{key}.channels: found {network.channels}, but the networks of torchvision take "
                "colour images; allowed: 3, or a network of timm."
            )
    elif network.weights is not None:
        yield (
            f"{key}.weights: found {network.weights!r}, but {network.name!r} has no pretrained "
            "weights; allowed: nothing, or a network of torchvision or timm."
        )
    elif network.options and not is_reference(network.name):
        yield (
            f"{key}.options: found {', '.join(network.options)}, but {network.name!r} has no "
            "options; allowed: an empty mapping."
        )
    if packages.is_file(network.weights) and not Path(str(network.weights)).is_file():
        yield (
            f"{key}.weights: found {network.weights!r}, which is not a file; allowed: a file of "
            "weights (.pt, .pth or .safetensors), or a name of weights without a slash."
        )
