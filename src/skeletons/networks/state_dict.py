"""Files of weights that users bring, as tensors by name: trained models, and pretrained weights.

A file is read as data alone: a pickle that would run code is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from skeletons.errors import CheckpointError

Tensors = dict[str, Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
SHOWN = 3  # keys that a sentence names
SAVE = "torch.save(model.state_dict(), path)"


def read(path: str | Path) -> Tensors:
    """The state dict of a file, without wrappers and the prefixes of its keys.

    Returns:
        The tensors by name; floating-point ones in single precision.

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


def some_keys(names: Iterable[str]) -> str:
    """Some of the keys of a state dict, and how many more there are."""
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:SHOWN])
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return f"{shown}{more}"


def _content(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        made = _class_in(error)
        if not made:
            raise _unreadable(path) from None
        raise CheckpointError(
            f"{path}: found a pickle that would run code when it is read (it holds {made}); "
            f"allowed: a state dict, written by {SAVE} or as safetensors."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError):
        raise _unreadable(path) from None


def _unreadable(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path}: found a file that torch and safetensors cannot read; allowed: a state dict, "
        f"written by {SAVE} or as safetensors."
    )


def _class_in(error: Exception) -> str:
    """The class or function that torch does not read as data, from its message; empty for none."""
    _, found, rest = str(error).partition("GLOBAL ")
    return rest.split()[0] if found and rest.split() else ""


def _unwrapped(path: str | Path, found: object) -> Tensors:
    """The mapping of names to tensors in a file's content."""
    for _ in range(len(WRAPPERS)):
        if isinstance(found, Mapping) and found and all(map(_is_entry, found.items())):
            return dict(found)
        inner = _inner(found)
        if inner is None:
            break
        found = inner
    held = some_keys(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
    raise CheckpointError(
        f"{path}: found {held} and no state dict; allowed: a mapping of names to tensors, or one "
        f"under one of the keys {', '.join(WRAPPERS)}."
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
