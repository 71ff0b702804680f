"""All undocumented parts of torch that training uses; no other module of training uses any.

Optimisers: torch imports its compiler when an optimiser is created and makes its first step, only
to exclude the optimiser from compilation. The import takes about as long as importing torch, in
each training job, and nothing here is compiled. The optimisers below are torch's own without the
wrappers that import the compiler (`_disable_dynamo`):
https://github.com/pytorch/pytorch/pull/127325

Lists of tensors: a `_foreach` function does one operation on all tensors of a list. On a GPU this
takes one kernel launch instead of one per tensor, and the walk does it at every step.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Muon, Optimizer

Kind = TypeVar("Kind", bound=Optimizer)
WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def _plain(kind: type[Kind]) -> type[Kind]:
    """The same optimiser, with its methods as they are written, without wrappers."""
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in WRAPPED}
    # The wrapper of `step` also turns gradients off, which must stay.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast("type[Kind]", type(kind.__name__, (kind,), methods))


PlainSGD, PlainAdam, PlainAdamW = _plain(SGD), _plain(Adam), _plain(AdamW)
PlainMuon = _plain(Muon)


def add_signs(targets: Sequence[Tensor], tensors: Sequence[Tensor], factor: float) -> None:
    """Add `factor` times the sign of each tensor to its target, in place."""
    torch._foreach_add_(list(targets), torch._foreach_sign(list(tensors)), alpha=factor)


def differences(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> list[Tensor]:
    """Each tensor minus its counterpart."""
    return list(torch._foreach_sub(list(tensors), list(others)))


def copy(targets: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    """Copy each tensor into its target, in place."""
    torch._foreach_copy_(list(targets), list(tensors))
