"""Muon: weights move by orthogonalised steps, all other parameters by AdamW's steps.

A step of equal length in all directions of a layer, instead of mostly in the steepest few, reaches
an accuracy in fewer epochs. torch implements Muon for matrices. Here a convolution is a matrix with
one row per filter, and one learning rate serves both kinds of parameters.

Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks; Liu et al.
2025, Muon is scalable for LLM training, section 2.2 (a rate that fits AdamW as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.training.internals import PlainAdamW, PlainMuon

Group = dict[str, Any]


class Muon:
    """Optimises parameters of two or more dimensions by Muon, and the others by AdamW.

    It has the part of torch's interface that training uses: steps, and groups whose rate can change
    between steps. Both methods use decoupled weight decay.
    """

    def __init__(self, groups: Sequence[Group], rate: float, momentum: float) -> None:
        """Create the optimiser of groups of parameters.

        Args:
            groups: each with `params`, and with `weight_decay` if the parameters decay.
            rate: learning rate, > 0.
            momentum: Muon's, in [0, 1).
        """
        self.weights: list[nn.Parameter] = []
        self.matrices: list[nn.Parameter] = []
        several, single = [], []
        for group in groups:
            decay = group.get("weight_decay", 0.0)
            weights = [p for p in group["params"] if p.ndim > 1]
            matrices = [nn.Parameter(_matrix(w.detach()).clone()) for w in weights]
            self.weights += weights
            self.matrices += matrices
            several.append({"params": matrices, "weight_decay": decay})
            others = [p for p in group["params"] if p.ndim <= 1]
            single.append({"params": others, "weight_decay": decay})
        self.muon = PlainMuon(several, lr=rate, momentum=momentum, adjust_lr_fn="match_rms_adamw")
        self.rest = PlainAdamW(single, lr=rate, fused=True)
        self.param_groups = [*self.muon.param_groups, *self.rest.param_groups]

    @torch.no_grad()
    def step(self) -> None:
        """Update all parameters that have a gradient."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            matrix.copy_(_matrix(weight))
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        self.muon.step()  # type: ignore[no-untyped-call]
        self.rest.step()
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.copy_(matrix.view(weight.shape))


def _matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix with one row per output."""
    return weight.flatten(1)
