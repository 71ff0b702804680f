"""Paths of straight legs through weight space, with the training loss at every point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from skeletons.networks.tensors import put
from skeletons.training.ridge import Gauge

Tensors = Mapping[str, Tensor]  # of a network, by name


@dataclass(frozen=True)
class Leg:
    """One straight leg of a path.

    Attributes:
        part: what happens on it.
        end: the network's tensors at its end.
        least: the number of its points, if no shorter step is needed.
    """

    part: str
    end: Tensors
    least: int = 1


@dataclass(frozen=True)
class Measurer:
    """Measures points of a path.

    Attributes:
        network: whose tensors those of a path are; its weights are overwritten.
        gauge: measures by how much the loss has risen since the base.
    """

    network: nn.Module
    gauge: Gauge

    @property
    def parameters(self) -> list[str]:
        """The names of the coordinates of weight space: all parameters, without statistics."""
        return [name for name, _ in self.network.named_parameters()]


def follow(
    measurer: Measurer, start: Tensors, legs: Sequence[Leg], stride: float, norm: float
) -> pd.DataFrame:
    """Follow a path, and measure the loss at each of its points.

    Args:
        measurer: measures the points.
        start: the network's tensors at the beginning.
        legs: of the path, each from the end of the one before. A leg of no length is left out.
        stride: the longest step, as a share of `norm`, > 0.
        norm: of the weights at the beginning of the walk, > 0.

    Returns:
        The table of a walk (see `findings.walk_certificates.certify`), one row per point: part (of
        the leg; `start` in the first row), step, epoch (0), loss, accuracy, rise and error (see
        `ridge.Reading`), distance, step_length and norm.
    """
    names = measurer.parameters
    rows = [_point(measurer, "start", start, 0.0, 0.0)]
    before = start
    for leg in legs:
        length = apart(before, leg.end, names)
        if not length:
            before = leg.end
            continue
        count = max(leg.least, math.ceil(length / (stride * norm)))
        for k in range(1, count + 1):
            place = leg.end if k == count else between(before, leg.end, k / count)
            distance = apart(place, start, names)
            rows.append(_point(measurer, leg.part, place, distance, length / count))
        before = leg.end
    return pd.DataFrame(rows).assign(step=range(len(rows)), epoch=0)


def _point(
    measurer: Measurer, part: str, place: Tensors, distance: float, step: float
) -> dict[str, str | float]:
    put(measurer.network, place)
    reading = measurer.gauge.read(measurer.network)
    return {
        "part": part,
        "loss": reading.loss,
        "accuracy": reading.accuracy,
        "rise": reading.rise,
        "error": reading.error,
        "distance": distance,
        "step_length": step,
        "norm": length_of(place, measurer.parameters),
    }


def between(one: Tensors, other: Tensors, share: float) -> dict[str, Tensor]:
    """A network's tensors at a place on the line from `one` (0) to `other` (1).

    Tensors of integers (counters) are those of `other`.
    """
    return {
        name: (
            torch.lerp(tensor.double(), other[name].double(), share).to(tensor.dtype)
            if tensor.is_floating_point()
            else other[name]
        )
        for name, tensor in one.items()
    }


def apart(one: Tensors, other: Tensors, names: Iterable[str]) -> float:
    """The L2 distance between two networks' tensors of the given names."""
    return math.sqrt(
        sum(float((one[n].double() - other[n].double()).square().sum()) for n in names)
    )


def length_of(tensors: Tensors, names: Iterable[str]) -> float:
    """The L2 norm of a network's tensors of the given names."""
    return math.sqrt(sum(float(tensors[name].detach().double().square().sum()) for name in names))
