"""torch's optimisers without torch's compiler, which nothing here uses.

torch imports its compiler when an optimiser is made and makes its first step, only to tell it to
leave the optimiser alone. It takes about as long as importing torch, in each training job.
"""

from __future__ import annotations

import inspect
from typing import TypeVar, cast

import torch
from torch.optim import SGD, Adam, AdamW, Muon, Optimizer

Kind = TypeVar("Kind", bound=Optimizer)
MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def _plain(kind: type[Kind]) -> type[Kind]:
    """The same optimiser with its methods as they are written, unmarked."""
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    # What torch wraps around a step turns gradients off as well, and that must stay.
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast("type[Kind]", type(kind.__name__, (kind,), methods))


PlainSGD, PlainAdam, PlainAdamW = _plain(SGD), _plain(Adam), _plain(AdamW)
PlainMuon = _plain(Muon)
