"""A user-defined network, and its trial: everything that a run will do with it, on blank images.

A mistake is found before anything trains. The trial uses a network of its own, once per process,
so it changes neither the network that is trained nor torch's generators.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.numpy import save as to_bytes
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from skeletons.errors import ExtensionError
from skeletons.networks import library
from skeletons.networks.describe import describe, runs_of
from skeletons.networks.generators import drawing_from, generator_for
from skeletons.networks.image_shape import USUAL, Shape
from skeletons.networks.tensors import tensors
from skeletons.user_code import load as user_code
from skeletons.user_code.load import call, load, refusal

CPU = torch.device("cpu")
# Old ways to compute a weight from other tensors keep a hook of one of these modules.
OLD_UTILITIES = ("weight_norm", "spectral_norm", "prune")


@dataclass(frozen=True)
class Manner:
    """How a network takes its images.

    Attributes:
        contiguous: in rows, for a network that fails with torch's faster channels_last format.
        single: whether it trains on a batch of one image, as the last of an epoch can be.
    """

    contiguous: bool = False
    single: bool = True

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of its weights and images."""
        return torch.contiguous_format if self.contiguous else torch.channels_last


def guarded(reference: str, event: str = "failed") -> AbstractContextManager[None]:
    """A block that runs a user-defined network, or one of a package; errors become a sentence."""
    if library.is_package(reference):
        return library.guarded(reference, event)
    return user_code.guarded(reference, event)


def make(
    reference: str,
    width: int | None,
    classes: int,
    options: Mapping[str, Any] | None = None,
    image_shape: Shape = USUAL,
) -> tuple[nn.Module, Manner]:
    """The network that a user-defined function or a package makes, after a trial.

    Args:
        reference: to the function, or the name of a network of a package.
        width: for the function; a package's network has none.
        classes: number of logits.
        options: further arguments, by keyword.
        image_shape: channels, height and width of the images.

    If the function has a parameter `image_shape`, it gets the shape of the images. If it has one
    `channels`, it gets their number of channels, unless that is the usual one.

    Raises:
        ConfigError: the package has no such network, or it does not take the options.
        ExtensionError: the function cannot be used, or the network is not one that can be trained,
            pruned and written.
    """
    further = tuple((options or {}).items())
    manner = _trial(reference, width, classes, further, image_shape, Path.cwd())
    body = _returned(reference, width, classes, dict(further), image_shape)
    if any(isinstance(p, UninitializedParameter) for p in body.parameters()):
        with guarded(reference), torch.no_grad():  # a lazy layer gets its weights as it runs
            body.eval()(torch.zeros(2, *image_shape))
    return body.train(), manner


@functools.cache
def _trial(
    reference: str,
    width: int | None,
    classes: int,
    options: tuple[tuple[str, Any], ...],
    image_shape: Shape,
    _: Path,
) -> Manner:
    """Try all that a run does with such a network, as seen from the working folder.

    Raises:
        ExtensionError: see `make`.
    """
    if not library.is_package(reference):
        _check_factory(reference)
    with drawing_from(generator_for("trial"), CPU), CPU:
        body = _returned(reference, width, classes, dict(options), image_shape)
        _demand_own_weights(reference, body)
        with guarded(reference, _event(reference, image_shape)):
            logits, runs = runs_of(body, 2, image_shape)
        _demand_logits(reference, logits, classes)
        _demand_layers(reference, body, runs)
        _demand_written(reference, body)
        manner = _manner(reference, body, image_shape)
        with guarded(reference):
            describe(nn.Sequential(body), image_shape)
    return manner


def _event(reference: str, image_shape: Shape) -> str:
    """What to say of a network that fails on blank images; that of a package says it itself."""
    shown = "×".join(map(str, image_shape))
    return (
        "failed"
        if library.is_package(reference)
        else f"failed on images of {shown}, see images.size"
    )


def _returned(
    reference: str,
    width: int | None,
    classes: int,
    options: Mapping[str, Any],
    image_shape: Shape,
) -> nn.Module:
    if library.is_package(reference):
        return library.create(reference, classes, options, image_shape)
    known: dict[str, Any] = {"image_shape": image_shape}
    if image_shape[0] != USUAL[0]:
        known["channels"] = image_shape[0]
    body = call(reference, width, classes, **{**_taken(load(reference), known), **options})
    if not isinstance(body, nn.Module):
        found = f"a value of type {type(body).__name__}"
        raise refusal(reference, found, "a torch.nn.Module")
    return body


def _taken(function: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments that a function takes by name."""
    try:
        named = inspect.signature(function).parameters
    except (TypeError, ValueError):  # not a function, which calling it reports
        return {}
    return {name: value for name, value in known.items() if name in named}


def _check_factory(reference: str) -> None:
    """Check that a reference names a function that makes networks.

    Calling a network, or a class without width and classes, fails as well, but with an error about
    code that the user did not write.

    Raises:
        ExtensionError: it names a network, or a class that does not take width and classes.
    """
    named = load(reference)
    found = ""
    if isinstance(named, nn.Module):
        found = f"an instance of {type(named).__name__}"
    elif isinstance(named, type) and issubclass(named, nn.Module):
        owner = next(kind for kind in named.__mro__ if "__init__" in vars(kind))
        if owner.__module__.startswith("torch."):
            found = f"the class {named.__name__}, whose __init__ does not take width and classes"
    if found:
        raise ExtensionError(
            f"{reference} cannot be used: found {found}; allowed: a function of width and classes "
            "that returns a network."
        )


# --- what the network is --------------------------------------------------------------------------


def _demand_own_weights(reference: str, body: nn.Module) -> None:
    """Refuse weights that are computed from other tensors whenever a layer runs."""
    for name, module in body.named_modules():
        hooks = (type(hook).__module__ for hook in module._forward_pre_hooks.values())
        old = next((h.rpartition(".")[2] for h in hooks if h.startswith("torch.nn.utils")), "")
        layer = f"layer {name}" if name else "network itself"
        if parametrize.is_parametrized(module):
            undo = "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"
            found = f"a network whose {layer} is parametrized, so it has no weight of its own"
        elif old in OLD_UTILITIES:
            remove = "prune.remove(layer, 'weight')" if old == "prune" else f"remove_{old}(layer)"
            undo = f"torch.nn.utils.{remove}"
            found = f"a network whose {layer} has no weight of its own after {old}"
        elif isinstance(module, nn.Conv2d | nn.Linear) and "weight" not in module._parameters:
            undo = "a torch.nn.Parameter named weight"
            found = f"a network whose {layer} has no weight of its own"
        else:
            continue
        wanted = f"layers with weights that can be penalised and pruned (leave it out, or: {undo})"
        raise refusal(reference, found, wanted)


def _demand_logits(reference: str, logits: Any, classes: int) -> None:
    found = f"a network whose output for two images is {_shape(logits)}"
    if _shape(logits) != f"2×{classes}":
        raise refusal(reference, found, f"logits, 2×{classes}")


def _shape(found: object) -> str:
    if not isinstance(found, Tensor):
        return f"a value of type {type(found).__name__}"
    return "×".join(map(str, found.shape)) or "a single number"


def _demand_layers(reference: str, body: nn.Module, runs: Counter[str]) -> None:
    """Check that there is something to prune, and that each weight is applied by its layer."""
    if not runs:
        wanted = "a network with a trained convolution or linear layer"
        raise refusal(reference, "a network in which nothing can be pruned", wanted)
    unused = next((name for name, times in runs.items() if not times), None)
    if unused is not None:
        found = f"a network that does not run its layer {unused.rpartition('.')[0]}"
        wanted = "a network that calls each convolution and linear layer, like layer(x)"
        raise refusal(reference, found, wanted)
    for names in _in_one_memory(body):
        if set(runs).intersection(names):
            found = f"a network in which {' and '.join(names)} share their memory"
            wanted = "a network with a weight of its own, under one name, for each layer"
            raise refusal(reference, found, wanted)


def _in_one_memory(body: nn.Module) -> list[list[str]]:
    """The names of different tensors that share memory, such as a part of a parameter."""
    found: dict[int, list[str]] = defaultdict(list)
    for name, tensor in tensors(body).items():
        if isinstance(tensor, Tensor) and tensor.numel():
            found[tensor.untyped_storage().data_ptr()].append(name)
    return [names for names in found.values() if len(names) > 1]


def _demand_written(reference: str, body: nn.Module) -> None:
    """Check that all tensors of the network can be written and read again."""
    for name, tensor in body.state_dict().items():
        kind = tensor.dtype if isinstance(tensor, Tensor) else f"type {type(tensor).__name__}"
        try:
            to_bytes({"tensor": tensor.detach().contiguous().numpy()})
        except Exception:  # torch, numpy and safetensors have their own errors for it
            found = f"a network whose tensor {name} of {kind} cannot be written"
            wanted = "a network with tensors of a type that numpy has, such as torch.float32"
            raise refusal(reference, found, wanted) from None
        if tensor.is_floating_point() and not tensor.isfinite().all():
            found = f"a network whose tensor {name} holds a value that is not finite"
            wanted = "finite tensors (register a constant mask with persistent=False)"
            raise refusal(reference, found, wanted)


# --- what is done with it -------------------------------------------------------------------------


def _manner(reference: str, body: nn.Module, shape: Shape) -> Manner:
    """Predict and train on blank images, in channels_last if the network runs with it."""
    manner = Manner()
    try:
        _predict_and_train(body, manner, shape)
    except Exception:  # such as that of x.view(…), which needs images in rows
        manner = Manner(contiguous=True)
        with guarded(reference, "failed on one image"):
            _predict(body.to(memory_format=manner.layout), 1, manner, shape)
        with guarded(reference, "failed in training"):
            _predict_and_train(body, manner, shape)
    try:
        _train(body, 1, manner, shape)
    except Exception:  # such as that of a batch norm of features, which needs two images
        return Manner(manner.contiguous, single=False)
    return manner


def _predict_and_train(body: nn.Module, manner: Manner, shape: Shape) -> None:
    body.to(memory_format=manner.layout)
    for count in (2, 1):
        _predict(body, count, manner, shape)
    _train(body, 2, manner, shape)


def _blank(count: int, manner: Manner, shape: Shape) -> Tensor:
    return torch.zeros(count, *shape).contiguous(memory_format=manner.layout)


@torch.inference_mode()
def _predict(body: nn.Module, count: int, manner: Manner, shape: Shape) -> None:
    body.eval()(_blank(count, manner, shape))


def _train(body: nn.Module, count: int, manner: Manner, shape: Shape) -> None:
    logits = body.train()(_blank(count, manner, shape))
    loss = F.cross_entropy(logits.float(), torch.zeros(count, dtype=torch.int64))
    body.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
