"""Trained models that users bring: from the tensors of a file to those of a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from skeletons import text
from skeletons.errors import CheckpointError
from skeletons.networks.architectures import REGISTRY
from skeletons.networks.image_shape import USUAL, Shape
from skeletons.networks.state_dict import Tensors, some_keys

SIDES = (32, 28, 48, 64, 96, 128, 224)  # of images, in pixels, that a file is compared with
CHANNELS = USUAL[0]
BODY, MEAN, STD = "body.", "standardize.mean", "standardize.std"  # of this package's own files


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


def fit(
    body: nn.Module,
    tensors: Tensors,
    path: str | Path,
    network: str,
    image_shape: Shape = USUAL,
) -> Tensors:
    """The tensors of a file as the state dict of a network.

    Args:
        body: the network.
        tensors: of the file, see `state_dict.read`.
        path: of the file, for sentences.
        network: what the configuration calls the network, for sentences.
        image_shape: channels, height and width of the images that the network was built for.

    Raises:
        CheckpointError: keys are missing or left over, or a shape differs.
    """
    if all(key.startswith((BODY, "standardize.")) for key in tensors):
        tensors = {k.removeprefix(BODY): t for k, t in tensors.items() if k.startswith(BODY)}
    wanted = body.state_dict()
    problems = list(_differences(wanted, tensors))
    if problems:
        near = _registered(tensors, image_shape)
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
        yield f"{some_keys(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if over:
        yield f"{some_keys(over)} {'is' if len(over) == 1 else 'are'} left over"
    if shapes:
        key = shapes[0]
        more = f" (and {len(shapes) - 1} more)" if len(shapes) > 1 else ""
        yield f"{key!r} has shape {_shape(found[key])}, not {_shape(wanted[key])}{more}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _registered(tensors: Tensors, image_shape: Shape) -> str | None:
    """The keys of a built-in network with these tensors, if there is one.

    Images of other sizes than the experiment's are tried too, because the first linear layer of
    `cnn` grows with them.
    """
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    names = [
        name
        for name in REGISTRY
        if _shapes_of(name, 1, 1, *image_shape[:2]).keys() == shapes.keys()
    ]
    widths = sorted({shape[0] for shape in shapes.values() if len(shape) > 1})
    channels, side, _ = image_shape
    colours = dict.fromkeys((channels, CHANNELS, 1))
    sides = dict.fromkeys((side, *SIDES))
    every = itertools.product(sides, colours, names, widths, outputs(tensors))
    for size, colour, name, width, classes in every:
        if _shapes_of(name, width, classes, colour, size) == shapes:
            more = f", channels: {colour}" if colour != channels else ""
            images = f" with images: {{size: {size}}}" if size != side else ""
            return f"{{name: {name}, width: {width}{more}}}{images}"
    return None


def _shapes_of(name: str, *sizes: int) -> dict[str, torch.Size]:
    """The shapes of a built-in network's tensors, which are not made."""
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in REGISTRY[name](*sizes).state_dict().items()}
