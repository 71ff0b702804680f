"""Whether a small network can be laid into those of a configuration (`controls.planted`)."""

from __future__ import annotations

from collections.abc import Iterator

from skeletons.config.networks import setups
from skeletons.config.sections import Config

LAID = ("cnn", "resnet9", "resnet20")  # networks that a small one of their kind can be laid into


def problems(config: Config) -> Iterator[str]:
    """One sentence per network that none can be laid into, or not one of this width."""
    width = config.controls.planted
    if width is None:
        return
    for one in setups(config):
        if one.checkpoints:  # none is planted beside trained models
            continue
        if one.network.name not in LAID:
            yield (
                f"controls.planted: found {width}, but {one.key}.name is {one.network.name!r}; "
                f"allowed: null, or the networks {', '.join(LAID)}."
            )
        elif width >= one.network.width:
            yield (
                f"controls.planted: found {width}, but {one.key}.width is {one.network.width}; "
                "allowed: a smaller width than that of the network, in which units are left over."
            )
