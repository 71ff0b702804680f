"""Trained models that users bring: from a file to the tensors of a network.

A file is read as data alone: a pickle that would run code is refused.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from skeletons import text
from skeletons.errors import CheckpointError
from skeletons.networks.architectures import REGISTRY

Tensors = dict[str, Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
BODY, MEAN, STD = "body.", "standardize.mean", "standardize.std"  # of this package's own files
SHOWN = 3  # keys that a sentence names
SAVE = "torch.save(model.state_dict(), path)"


def read(path: str | Path) -> Tensors:
    """The state dict of a file, without wrappers and the prefixes of its keys.

    Raises:
        CheckpointError: the file cannot be read, would run code, or holds no state dict; a weight
            is NaN or infinite.
    """
    tensors = _without_prefixes(_unwrapped(path, _content(Path(path))))
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: found NaN or infinite values in {name!r}; allowed: finite weights."
            )
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _content(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: found a pickle that would run code when it is read ({_class_in(error)}); "
            f"allowed: a state dict, written by {SAVE} or as safetensors."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError):
        raise CheckpointError(
            f"{path}: found a file that torch and safetensors cannot read; allowed: a state dict, "
            f"written by {SAVE} or as safetensors."
        ) from None


def _class_in(error: Exception) -> str:
    """The class that torch does not read as data, from its message."""
    _, found, rest = str(error).partition("GLOBAL ")
    return f"it holds {rest.split()[0]}" if found and rest.split() else "it holds other objects"


def _unwrapped(path: str | Path, found: object) -> Tensors:
    """The mapping of names to tensors in a file's content."""
    for _ in range(len(WRAPPERS)):
        if isinstance(found, Mapping) and found and all(map(_is_entry, found.items())):
            return dict(found)
        inner = _inner(found)
        if inner is None:
            break
        found = inner
    held = type(found).__name__ if not isinstance(found, Mapping) else _keys(map(str, found))
    raise CheckpointError(
        f"{path}: found {held} and no state dict; allowed: a mapping of names to tensors, or one "
        f"under one of the keys {text.listed(list(WRAPPERS), len(WRAPPERS))}."
    )


def _is_entry(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _inner(found: object) -> object:
    if not isinstance(found, Mapping):
        return None
    return next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)


def _without_prefixes(tensors: Tensors) -> Tensors:
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def standardization(tensors: Tensors) -> tuple[list[float], list[float]] | None:
    """The channel means and deviations, in [0, 1], that only a file of this package holds."""
    if MEAN not in tensors or STD not in tensors:
        return None
    mean, std = (tensors[key].flatten().div(255).tolist() for key in (MEAN, STD))
    return mean, std


def outputs(tensors: Tensors) -> list[int]:
    """The numbers of outputs that the last layer in a state dict may have; the likeliest first.

    Files do not always keep the order of layers, so every matrix is a candidate.
    """
    sizes = [tensor.shape[0] for tensor in tensors.values() if tensor.ndim == 2]
    return list(dict.fromkeys(reversed(sizes))) or [1]


def fit(body: nn.Module, tensors: Tensors, path: str | Path, network: str) -> Tensors:
    """The tensors of a file as the state dict of a network.

    Args:
        body: the network.
        tensors: of the file, see `read`.
        path: of the file, for sentences.
        network: what the configuration calls the network, for sentences.

    Raises:
        CheckpointError: keys are missing or left over, or a shape differs.
    """
    if all(key.startswith((BODY, "standardize.")) for key in tensors):
        tensors = {k.removeprefix(BODY): t for k, t in tensors.items() if k.startswith(BODY)}
    wanted = body.state_dict()
    problems = list(_differences(wanted, tensors))
    if problems:
        near = _registered(tensors)
        hint = f"; the file fits network {near}" if near else ""
        raise CheckpointError(
            f"{path}: found weights of another network than {network}: "
            f"{text.listed(problems)}; allowed: a state dict of this network{hint}."
        )
    return {key: tensors.get(key, value) for key, value in wanted.items()}


def _differences(wanted: Mapping[str, Tensor], found: Tensors) -> Iterator[str]:
    # A counter of batches, which older files lack, changes no prediction.
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    over = [key for key in found if key not in wanted]
    shapes = [k for k in wanted if k in found and wanted[k].shape != found[k].shape]
    if missing:
        yield f"{_keys(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if over:
        yield f"{_keys(over)} {'is' if len(over) == 1 else 'are'} left over"
    if shapes:
        key = shapes[0]
        more = f" (and {len(shapes) - 1} more)" if len(shapes) > 1 else ""
        yield f"{key!r} has shape {_shape(found[key])}, not {_shape(wanted[key])}{more}"


def _keys(names: Any) -> str:
    """Some of the keys, and how many more there are."""
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:SHOWN])
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return f"{shown}{more}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _registered(tensors: Tensors) -> str | None:
    """A built-in network whose state dict has these keys and shapes, in words, if there is one."""
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    widths = sorted({tensor.shape[0] for tensor in tensors.values() if tensor.ndim > 1})
    for name, width, classes in itertools.product(REGISTRY, widths, outputs(tensors)):
        with torch.device("meta"):
            state = REGISTRY[name](width, classes).state_dict()
        if {key: tensor.shape for key, tensor in state.items()} == shapes:
            return f"{{name: {name}, width: {width}}}"
    return None
