"""Muon: weights move by orthogonalised steps, and all else by AdamW's.

A step along all of a layer's directions alike, instead of mostly along the steepest few, reaches an
accuracy in fewer epochs. torch has the method for matrices; here a convolution is one too, with a
row a filter, and one learning rate serves both kinds of parameters.

Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks; Liu et al.
2025, Muon is scalable for LLM training, section 2.2 (the rate that fits AdamW's as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.training.eager import PlainAdamW, PlainMuon

Group = dict[str, Any]


class Muon:
    """An optimiser of weights of two and more dimensions by Muon, and of the others by AdamW.

    What it has of torch's optimisers is what training needs: groups, whose rate can be changed
    between steps, and steps. Decay is decoupled in both kinds.
    """

    def __init__(self, groups: Sequence[Group], rate: float, momentum: float) -> None:
        """Begin with parameters that have no gradient yet.

        Args:
            groups: each with `params`, and `weight_decay` if they decay.
            rate: learning rate, > 0.
            momentum: of Muon, in [0, 1).
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
        """Move every parameter that has a gradient."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            matrix.copy_(_matrix(weight))
            matrix.grad = None if weight.grad is None else _matrix(weight.grad)
        self.muon.step()  # type: ignore[no-untyped-call]
        self.rest.step()
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.copy_(matrix.view(weight.shape))


def _matrix(weight: Tensor) -> Tensor:
    """A weight as a matrix with a row an output."""
    return weight.flatten(1)
