"""The images that a network takes: their channels, height and width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

Shape = tuple[int, int, int]  # channels, height, width
USUAL: Shape = (3, 32, 32)


def of_network(network: nn.Module) -> Shape:
    """The shape of the images that a built network takes; `USUAL` if it does not say."""
    found = getattr(getattr(network, "standardize", None), "image_shape", USUAL)
    return tuple(found)


def of_summary(about: Mapping[str, Any]) -> Shape:
    """The shape in a description of a network or a data set, which omits `USUAL`."""
    channels, height, width = about.get("image_shape", USUAL)
    return int(channels), int(height), int(width)


def described(shape: Shape) -> dict[str, list[int]]:
    """The entry of a description that `of_summary` reads; nothing for `USUAL`."""
    return {} if shape == USUAL else {"image_shape": list(shape)}
