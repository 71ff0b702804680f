"""The two ways to apply the penalty λ‖w‖₁: as a subgradient, or as a proximal step.

`unit_penalties` has the same for the penalty on units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.networks.describe import prunable
from skeletons.training.internals import add_signs


@torch.no_grad()
def add_subgradient(weights: Sequence[Tensor], l1: float) -> None:
    """Add the subgradient of λ‖w‖₁, λ·sign(w), to the gradients."""
    used = [w for w in weights if w.grad is not None]  # without layers that a step left out
    add_signs([w.grad for w in used if w.grad is not None], used, l1)


@torch.no_grad()
def shrink(weights: Sequence[Tensor], amount: float | Tensor) -> None:
    """Soft threshold, the proximal step of ‖w‖₁: |w| falls by `amount`, but not below 0.

    Source: Parikh & Boyd 2014, Proximal Algorithms, section 6.5.2.

    Args:
        weights: changed in place.
        amount: ≥ 0; one number, or one for each weight.
    """
    for w in weights:
        if isinstance(amount, Tensor):
            w.copy_(torch.where(w.abs() > amount, w - w.sign() * amount, 0.0))
        else:
            w.copy_(F.softshrink(w, amount))


@torch.no_grad()
def proximal_amount(optimizer: torch.optim.Optimizer, weight: Tensor, l1: float) -> float | Tensor:
    """By how much the proximal step of λ‖w‖₁ shrinks a weight after a step of an optimiser.

    The step of the data and the proximal step must have the same metric, or their fixed point does
    not minimise L + λ‖w‖₁ (Parikh & Boyd 2014, section 4.3; Becker & Fadili 2012 for a diagonal
    metric). So λ is multiplied by the factor that the optimiser multiplies a constant gradient
    with: the learning rate η for SGD, η / (1 − momentum) with momentum, and η / (√v̂ + ε) for each
    weight with Adam (Kingma & Ba 2015, algorithm 1).

    Args:
        optimizer: SGD or Adam; it has made its step.
        weight: one of its parameters, which had a gradient.
        l1: λ ≥ 0.

    Returns:
        The amount in units of the weights; with Adam, one for each element.
    """
    group = optimizer.param_groups[0]
    rate = group["lr"]
    if "betas" not in group:
        return float(l1 * rate / (1 - group["momentum"]))
    state = optimizer.state[weight]
    corrected = state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"])
    amount: Tensor = l1 * rate / (corrected.sqrt() + group["eps"])
    return amount


def shrink_proximally(
    optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], l1: float
) -> None:
    """The proximal step of λ‖w‖₁ after a step of an optimiser, see `proximal_amount`."""
    for w in weights:
        if w.grad is not None:
            shrink([w], proximal_amount(optimizer, w, l1))


class Penalty(Protocol):
    """A penalty on the prunable weights of a network, and the ways to make it smaller."""

    def penalty(self) -> float:
        """The penalty at the current weights, without λ."""

    def add_subgradient(self, l1: float) -> None:
        """Add the subgradient of λ times the penalty to the gradients."""

    def shrink_proximally(self, optimizer: torch.optim.Optimizer, l1: float) -> None:
        """The proximal step of λ times the penalty after a step of an optimiser."""

    def shrink_by_share(self, share: float, sizes: Mapping[str, float]) -> None:
        """Shrink the weights by a share of their layer's size, of `sizes` by name."""


class Weights:
    """‖w‖₁ over the prunable weights."""

    def __init__(self, network: nn.Module) -> None:
        self.weights = prunable(network)

    @torch.no_grad()
    def penalty(self) -> float:
        """‖w‖₁."""
        found = (w.abs().double().cpu().numpy().ravel().sum() for w in self.weights.values())
        return float(sum(found))

    def add_subgradient(self, l1: float) -> None:
        """See `add_subgradient`."""
        add_subgradient(list(self.weights.values()), l1)

    def shrink_proximally(self, optimizer: torch.optim.Optimizer, l1: float) -> None:
        """See `shrink_proximally`."""
        shrink_proximally(optimizer, list(self.weights.values()), l1)

    def shrink_by_share(self, share: float, sizes: Mapping[str, float]) -> None:
        """Soft threshold: each weight falls by the share of its layer's size."""
        for name, w in self.weights.items():
            shrink([w], share * sizes[name])
