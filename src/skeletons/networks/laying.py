"""Lay a small network into a wider one of the same architecture, among units that hardly matter.

The units of the small network take random places among those of the wide one, and bring the weights
between them. All other units are *inert*: they see what the others see through random weights, and
are heard only as loudly as a factor says. At a factor of 0, the wide network computes the same as
the small one. So it is known which subnetwork of the wide network does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.errors import WiringError
from skeletons.networks import symmetries
from skeletons.networks.applied import factors
from skeletons.networks.labels import Labels
from skeletons.networks.tensors import tensors

CLOSE = 1e-3  # of the range of the logits: how exactly the wide network must repeat the small one


@dataclass(frozen=True)
class Place:
    """Where a tensor of the small network lies in that of the wide one.

    Attributes:
        axes: for each axis, the index in the wide tensor of each index in the small one.
        factor: by which the small network's values are multiplied, because a layer may scale its
            stored weights by its width.
        inert: the axes other than the first along which there are inert units.
    """

    axes: tuple[Labels, ...]
    factor: float
    inert: tuple[int, ...]


def places(small: nn.Module, wide: nn.Module, generator: np.random.Generator) -> dict[str, Place]:
    """Draw a place for each unit of the small network.

    Args:
        small: a network.
        wide: the same architecture with more units.
        generator: draws the places.

    Returns:
        By the name of each tensor that both have.

    Raises:
        WiringError: the units of the two do not correspond.
    """
    groups = [symmetries.find(network)["groups"] for network in (small, wide)]
    if [one["name"] for one in groups[0]] != [one["name"] for one in groups[1]]:
        raise WiringError("The groups of units of the small and the wide network differ.")
    own, others = tensors(small), tensors(wide)
    found = {name: [np.full(n, -1) for n in tensor.shape] for name, tensor in own.items()}
    for narrow, broad in zip(*groups, strict=True):
        if narrow["blocks"] > 1 or broad["blocks"] > 1:
            raise WiringError("Some units of the network only change places in blocks.")
        parts = [
            {(p["tensor"], p["axis"]): symmetries.decode(p["places"]) for p in one["parts"]}
            for one in (narrow, broad)
        ]
        units = [len(next(iter(part.values()))) for part in parts]
        if parts[0].keys() != parts[1].keys() or units[0] > units[1]:
            raise WiringError("A group of units of the wide network has fewer units or parts.")
        chosen = np.sort(generator.permutation(units[1])[: units[0]])
        chosen = generator.permutation(chosen)
        for (name, axis), where in parts[0].items():
            found[name][axis][where] = parts[1][name, axis][chosen]
    applied = [factors(network) for network in (small, wide)]
    return {
        name: _place(name, axes, own[name], others[name], applied) for name, axes in found.items()
    }


def _place(
    name: str,
    axes: list[Labels],
    small: Tensor,
    wide: Tensor,
    applied: list[dict[str, float]],
) -> Place:
    """The place of one tensor; axes without units that change places, such as classes, are equal.

    Raises:
        WiringError: such an axis has another length.
    """
    for axis, index in enumerate(axes):
        known = index >= 0
        if not known.all():
            if known.any() or small.shape[axis] != wide.shape[axis]:
                raise WiringError(f"Axis {axis} of {name} does not correspond.")
            index[:] = np.arange(len(index))
    factor = applied[0][name] / applied[1][name] if name in applied[0] else 1.0
    inert = tuple(axis for axis in range(1, small.ndim) if small.shape[axis] < wide.shape[axis])
    return Place(tuple(axes), factor, inert)


@torch.no_grad()
def lay(small: nn.Module, wide: nn.Module, found: Mapping[str, Place]) -> dict[str, Tensor]:
    """The tensors of the wide network with the small one laid in it; inert units are heard fully.

    Args:
        small: a network.
        wide: gives the weights of inert units; is not changed.
        found: the places, see `places`.
    """
    own = tensors(small)
    laid = {}
    for name, tensor in tensors(wide).items():
        laid[name] = tensor.detach().clone()
        laid[name][_block(found[name])] = own[name] * found[name].factor
    return laid


@torch.no_grad()
def softened(
    laid: Mapping[str, Tensor], found: Mapping[str, Place], loudness: float
) -> dict[str, Tensor]:
    """The same with a factor on the weights through which inert units are heard.

    These are the weights from inert units to the small network's units and to the classes.

    Args:
        laid: what `lay` returns; is not changed.
        found: the places.
        loudness: the factor; 0 for silent inert units.
    """
    soft = {}
    for name, tensor in laid.items():
        place = found[name]
        soft[name] = tensor.clone()
        if place.inert:
            soft[name][torch.from_numpy(place.axes[0])] *= loudness
            soft[name][_block(place)] = tensor[_block(place)]
    return soft


def _block(place: Place) -> tuple[Tensor, ...]:
    """The index of the small network's values in a tensor."""
    return tuple(torch.from_numpy(axis) for axis in np.ix_(*place.axes))
