"""Weights whose scale does not matter, because a normalisation divides by it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from skeletons.networks.describe import prunable
from skeletons.networks.generators import drawing_from, generator_for

TOLERANCE = 0.01  # of the logits' root mean square; without normalisation, they change by about 1


@torch.no_grad()
def scale_free(network: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    """Find the prunable weights whose scale does not change what a network computes.

    Each weight is doubled in turn, in training mode, where batch norm divides by the deviation of
    the batch: every other filter alone, then the others (filters of dead units change nothing), and
    all together. Doubling is exact in floating point, so the logits change only where the scale
    matters (and by the small ε in a normalisation). This works for any network, because it needs
    no knowledge of its layers.

    Args:
        network: is not changed.
        images: uint8 N×C×H×W, N ≥ 2, on any device.

    Returns:
        By the name of the weight, the axes over which its norm is free: all but the first if each
        filter has a free scale of its own (batch norm), all axes if only their common scale is free
        (layer norm). Other weights are left out.
    """
    probe = copy.deepcopy(network).train()
    start = _logits(probe, images)
    allowed = TOLERANCE * start.square().mean().sqrt()
    found: dict[str, tuple[int, ...]] = {}
    for name, weight in prunable(probe).items():
        axes = tuple(range(weight.ndim))

        def is_free(filters: slice, weight: Tensor = weight) -> bool:
            weight[filters] *= 2
            moved = (_logits(probe, images) - start).square().mean().sqrt()
            weight[filters] /= 2
            return bool(moved <= allowed)

        if is_free(slice(None)):
            each = is_free(slice(None, None, 2)) and is_free(slice(1, None, 2))
            found[name] = axes[1:] if each else axes
    return found


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits in training mode, with the same random draws each time."""
    shown = images.to(next(network.parameters()).device)
    with drawing_from(generator_for("scale_free"), shown.device):
        logits: Tensor = network(shown.contiguous(memory_format=torch.channels_last))
    return logits.double()
