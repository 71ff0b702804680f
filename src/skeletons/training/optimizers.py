"""Optimisers: which one the settings ask for, its learning rate, and its saved state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from skeletons.store import artifacts
from skeletons.store.seals import unfit
from skeletons.training.internals import PlainAdam, PlainAdamW, PlainSGD
from skeletons.training.muon import Muon
from skeletons.training.settings import BaseSettings, RegularizeSettings


class Optimizer(Protocol):
    """The part of an optimiser that training uses: groups with a learning rate, and steps."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> object: ...


def parts_of(optimizer: Optimizer) -> list[torch.optim.Optimizer]:
    """The optimisers of torch that an optimiser consists of; their state is all that it has.

    Raises:
        TypeError: it has another kind of state.
    """
    if isinstance(optimizer, Muon):
        return [optimizer.muon, optimizer.rest]
    if isinstance(optimizer, torch.optim.Optimizer):
        return [optimizer]
    raise TypeError(type(optimizer).__name__)


def scheduled_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear increase to `peak` over the share `warmup` of all steps, then linear decay to 0."""
    rise = max(1.0, warmup * steps)
    return peak * min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))


def base_optimizer(network: nn.Module, settings: BaseSettings) -> Optimizer:
    """The optimiser of a base model: weights decay; biases and normalisation do not."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return optimizer_of_groups(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1]},
        ],
        settings,
    )


def optimizer_of_groups(groups: Sequence[dict[str, Any]], settings: BaseSettings) -> Optimizer:
    """SGD with Nesterov momentum, Adam with decoupled decay (Loshchilov & Hutter 2019), or Muon.

    Only groups of parameters with a `weight_decay` decay.
    """
    rate = settings.learning_rate
    if settings.optimizer == "muon":
        return Muon(groups, rate, settings.momentum)
    if settings.optimizer == "adam":
        return PlainAdamW(groups, lr=rate, weight_decay=0.0, fused=True)
    return PlainSGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


def walk_optimizer(network: nn.Module, settings: RegularizeSettings) -> torch.optim.Optimizer:
    """The optimiser of a walk. Its rate is constant, so an epoch is independent of later ones."""
    trained = [p for p in network.parameters() if p.requires_grad]
    if settings.optimizer == "adam":
        return PlainAdam(trained, lr=settings.learning_rate, fused=True)
    return PlainSGD(trained, lr=settings.learning_rate, momentum=settings.momentum)


def save_optimizer(
    optimizer: torch.optim.Optimizer, path: str, also: Mapping[str, Tensor] | None = None
) -> None:
    """Write an optimiser's state as tensors named `<parameter number>.<quantity>`.

    Args:
        optimizer: the optimiser.
        path: the safetensors file to write.
        also: further tensors by name, without a dot.
    """
    state = optimizer.state_dict()["state"]
    tensors = {
        f"{number:04d}.{quantity}": tensor.cpu().contiguous().numpy()
        for number, quantities in state.items()
        for quantity, tensor in quantities.items()
        if tensor is not None
    }
    others = {name: tensor.cpu().numpy() for name, tensor in (also or {}).items()}
    artifacts.write_tensors(path, {**tensors, **others})


def load_optimizer(
    optimizer: torch.optim.Optimizer, path: str, also: Mapping[str, Tensor] | None = None
) -> None:
    """Load a saved state into a new optimiser over the same parameters.

    Args:
        optimizer: the optimiser.
        path: a file of `save_optimizer`.
        also: further tensors that were saved beside it, by name; changed in place.

    Raises:
        ArtifactError: the file is missing or broken, or the state is not of these parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    others = dict(also or {})
    try:
        saved = artifacts.read_tensors(path)
        for name, tensor in others.items():
            tensor.copy_(torch.from_numpy(saved.pop(name)))
        for name, array in saved.items():
            number, quantity = name.split(".")
            tensor, parameter = torch.from_numpy(array), parameters[int(number)]
            if tensor.ndim:
                if tensor.shape != parameter.shape or tensor.dtype != parameter.dtype:
                    raise ValueError(quantity)
                # In the parameter's memory format, because the fused step reads both in memory
                # order.
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            state.setdefault(int(number), {})[quantity] = tensor
    except (KeyError, ValueError, IndexError, RuntimeError):
        raise unfit(path, "holds the optimiser's state of another network") from None
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
