"""A guard of what a network is given from Python: values from 0 to 255."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skeletons.errors import DataError

# Images in 0..1, and those standardised by their mean and deviation, stay within this of 0.
SCALED = 4.0


def guard(network: nn.Sequential) -> nn.Sequential:
    """Let a network refuse floats that were scaled: it standardises values from 0 to 255 itself."""
    network.register_forward_pre_hook(_check)
    return network


def _check(_: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Refuse a batch of floats that are all near 0.

    Raises:
        DataError: they are, and they are not all 0.
    """
    images = inputs[0] if inputs else None
    if not isinstance(images, Tensor) or not images.is_floating_point() or not images.numel():
        return
    # No value may decide while a graph is recorded.
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if tracing or torch.compiler.is_compiling():
        return
    low, high = (float(value) for value in torch.aminmax(images.detach()))
    if 0 < max(-low, high) < SCALED:
        raise DataError(
            f"images: found floats from {low:.3g} to {high:.3g}; allowed: values from 0 to 255, as "
            "uint8 or floats, because the network standardises them itself; multiply images in "
            "0..1 by 255."
        )
