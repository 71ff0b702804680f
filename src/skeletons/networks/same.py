"""Whether a file computes the same logits as the network that it was made from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skeletons.errors import DifferenceError
from skeletons.networks.build import manner_of

TOLERANCE = 1e-4  # of the largest logit


def demand_same(network: nn.Module, images: Tensor, logits: Tensor, file: str) -> float:
    """The largest difference of logits from those of a network.

    Args:
        network: the network; it is put into evaluation mode.
        images: uint8, N×channels×height×width.
        logits: of the file, N×classes.
        file: its name, for a sentence.

    Raises:
        DifferenceError: the difference is more than rounding.
    """
    with torch.inference_mode():
        layout = manner_of(network).layout
        own = network.eval()(images.contiguous(memory_format=layout)).float()
    largest, scale = float((own - logits).abs().max()), float(own.abs().max())
    if not largest <= TOLERANCE * max(scale, 1.0):
        raise DifferenceError(
            f"{file} computes logits that differ from the network's by {largest:.2g}, where the "
            f"largest is {scale:.2g}; nothing was written."
        )
    return largest
