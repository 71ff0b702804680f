"""The two ways to apply the penalty λ‖w‖₁: as a subgradient, or as a proximal step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skeletons.training.internals import add_signs


@torch.no_grad()
def add_subgradient(weights: Sequence[Tensor], l1: float) -> None:
    """Add the subgradient of λ‖w‖₁, λ·sign(w), to the gradients."""
    gradients = [w.grad for w in weights if w.grad is not None]
    add_signs(gradients, weights, l1)


@torch.no_grad()
def shrink(weights: Sequence[Tensor], amount: float) -> None:
    """Soft threshold, the proximal step of ‖w‖₁: |w| falls by `amount`, but not below 0.

    Source: Parikh & Boyd 2014, Proximal Algorithms, section 6.5.2.
    """
    for w in weights:
        w.copy_(F.softshrink(w, amount))
