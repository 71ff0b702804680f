"""The bridge in the original width: do two skeletons fit side by side into one network?

A skeleton leaves units free: those that pruning made dead. If the living units of two skeletons fit
together in every layer, there is a way from base to base without a wider network: the walk of
base a to its skeleton; the skeleton of b is laid into the units that a leaves free, in any order,
because the order of units is arbitrary; a is turned off while b is turned on; then the walk of
base b, backwards. It ends at base b with its units in another order, which is the same function.

A dead unit may still have a constant output. It is added to the biases of the layers that read it,
as its mean over positions, so the unit can be emptied. That is exact but for the borders of padded
convolutions. The certificate shows whether it matters.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from skeletons.errors import ExposureError
from skeletons.inspection.absence import look
from skeletons.inspection.bridge import Crossing
from skeletons.inspection.exposure import offsets_of
from skeletons.inspection.paths import Leg, Measurer, Tensors, follow, length_of
from skeletons.networks import channels
from skeletons.networks.channels import Mask, Stream, Wiring
from skeletons.networks.image_shape import of_network
from skeletons.networks.side_by_side import Holder, Indices, demand_apart
from skeletons.networks.tensors import tensors
from skeletons.networks.trying import NORMS, effective_weight
from skeletons.prediction.inference import restore
from skeletons.store import artifacts
from skeletons.training.images import Images
from skeletons.training.job import start
from skeletons.training.ridge import Gauge

PRUNE_A = "the small weights of a become zero"
EMPTY_A = "the dead units of a become empty"
FILL_B = "the dead units of b get their weights"
UNPRUNE_B = "the small weights of b come back"


@dataclass(frozen=True)
class Skeleton:
    """A pruned network and its living units.

    Attributes:
        network: the pruned network.
        wires: its channels.
        alive: the living units, for each stream of `wires.streams` in their order.
    """

    network: nn.Sequential
    wires: Wiring
    alive: Sequence[Mask]

    @classmethod
    def of(cls, network: nn.Sequential) -> Skeleton:
        """The skeleton of a pruned network.

        Raises:
            WiringError: the channels cannot be followed.
            ExposureError: every image gets the same logits.
        """
        given = copy.deepcopy(network).cpu().double().eval()
        wires = channels.trace(given.get_submodule("body"), of_network(given))
        demand_apart(wires)
        weights = {
            name: effective_weight(module).detach().numpy()
            for name, module in wires.modules.items()
            if isinstance(module, nn.Conv2d | nn.Linear)
        }
        ties = channels.nonzero(wires, weights)
        if not channels.changing(wires, ties)[wires.of[wires.logits()]].any():
            raise ExposureError(
                "a skeleton that gives every image the same logits cannot be laid into a network; "
                "allowed: a network with a way from image to logits."
            )
        alive = channels.live(wires, ties)
        return cls(given, wires, [alive[stream] for stream in wires.streams])

    def emptied(self) -> nn.Sequential:
        """A copy of the network in which the constants of dead units are part of biases."""
        units = dict(zip(self.wires.streams, self.alive, strict=True))
        constants = offsets_of(self.network, self.wires, units)
        changed = copy.deepcopy(self.network)
        with torch.no_grad():
            for layer, constant in constants.items():
                module = changed.get_submodule(f"body.{layer}")
                own = getattr(module, "bias", None)
                mean = torch.from_numpy(constant.reshape(len(constant), -1).mean(1))
                norm = _norm_after(self.wires, layer)
                if own is not None:
                    own.copy_(mean)
                elif norm and mean.any():
                    _shift(changed.get_submodule(f"body.{norm}"), mean)
        return changed.float()


def _norm_after(wires: Wiring, layer: str) -> str:
    """The norm that a layer's output enters, perhaps after a pooling; empty for none."""
    node: fx.Node = wires.node(layer)
    while len(node.users) == 1:
        node = next(iter(node.users))
        module = wires.modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, NORMS):
            return str(node.target)
        if not isinstance(module, nn.MaxPool2d):
            return ""
    return ""


def _shift(norm: nn.Module, amount: torch.Tensor) -> None:
    """Add a constant to what a norm in evaluation mode gets, by its bias."""
    bias, variance = getattr(norm, "bias", None), getattr(norm, "running_var", None)
    if bias is not None and variance is not None and len(bias) == len(amount):
        bias += norm.get_parameter("weight") * amount / torch.sqrt(variance + norm.eps)


# --- do they fit? ---------------------------------------------------------------------------------


def fit(a: Skeleton, b: Skeleton) -> list[dict[str, Any]]:
    """For each hidden stream of units: the units that there are, and the living ones of a and b.

    Units that must keep their number count as living in both: those of streams that are padded with
    further channels, and of layers that no training changes.

    Returns:
        Rows layer (the first that writes the stream), units, a and b.
    """
    wires = a.wires
    logits = wires.of[wires.logits()]
    rows = []
    for stream, one, other in zip(wires.streams, a.alive, b.alive, strict=True):
        if stream.given or stream is logits:
            continue
        fixed = stream.whole or any(_is_fixed(wires.modules[name]) for name in stream.writers)
        counts = [stream.size if fixed else int(mask.sum()) for mask in (one, other)]
        name = stream.writers[0] if stream.writers else "padded"
        rows.append({"layer": name, "units": stream.size, "a": counts[0], "b": counts[1]})
    return rows


def _is_fixed(module: nn.Module) -> bool:
    return not module.get_parameter("weight").requires_grad


def places_beside(a: Mask, b: Mask) -> Indices:
    """A place for each unit of b, so that no living one gets that of a living unit of a.

    Units keep their number where they can.

    Args:
        a: which units of a live, n.
        b: the same for b; both together at most n.
    """
    places = np.full(len(b), -1, dtype=np.int64)
    open_ones = ~a
    for units in (np.flatnonzero(b), np.flatnonzero(~b)):
        stay = units[open_ones[units]]
        places[stay] = stay
        open_ones[stay] = False
        moving = units[places[units] < 0]
        # Living units of b leave those of a alone; the dead units of b take what is left.
        places[moving] = np.flatnonzero(open_ones)[: len(moving)]
        open_ones[places[moving]] = False
        open_ones |= a
        open_ones[places[places >= 0]] = False
    return places


# --- the path -------------------------------------------------------------------------------------


def legs(a: Sequence[nn.Sequential], b: Sequence[nn.Sequential]) -> tuple[Tensors, list[Leg]]:
    """The path from the end of the walk of a to the end of the walk of b.

    Args:
        a: the regularised and the pruned model of base a.
        b: the same of base b; the two skeletons must fit (`fit`).

    Returns:
        The network's tensors at the beginning, and the legs.
    """
    one, other = Skeleton.of(a[1]), Skeleton.of(b[1])
    streams = one.wires.streams
    holder = Holder(a[1], one.wires)
    logits = one.wires.of[one.wires.logits()]
    own: dict[Stream, Indices] = {}
    laid: dict[Stream, Indices] = {}
    whole: dict[Stream, Indices] = {}
    for stream, living, others in zip(streams, one.alive, other.alive, strict=True):
        kept = np.arange(stream.size)
        shared = stream.given or stream is logits
        own[stream] = kept if shared else np.where(living, kept, -1)
        whole[stream] = kept if shared else places_beside(living, others)
        laid[stream] = kept if shared else np.where(others, whole[stream], -1)
    crossing = Crossing(
        holder,
        [
            _with_fixed(holder, holder.hold(one.emptied(), own), 1.0),
            _with_fixed(holder, holder.hold(other.emptied(), laid), 0.0),
        ],
    )
    return (
        _copied(a[0]),
        [
            Leg(PRUNE_A, _copied(a[1])),
            Leg(EMPTY_A, crossing.at((1, 0), (1, 0))),
            *crossing.legs(),
            Leg(FILL_B, _with_fixed(holder, holder.hold(b[1], whole), 1.0)),
            Leg(UNPRUNE_B, _with_fixed(holder, holder.hold(b[0], whole), 1.0)),
        ],
    )


def _with_fixed(holder: Holder, laid: Tensors, factor: float) -> Tensors:
    """Tensors with a share of the network's own values for what no training changes."""
    given = tensors(holder.network)
    return {**laid, **{name: given[name].detach() * factor for name in holder.fixed}}


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors(network).items()}


# --- the stage ------------------------------------------------------------------------------------


@look("points", "units")
def original_width_stage(
    *,
    a: Sequence[str],
    b: Sequence[str],
    summary: str,
    dataset: str,
    points: str,
    units: str,
    stride: float,
    device: str,
    threads: int,
) -> None:
    """Write whether two skeletons fit into one network, and the path between their walks.

    Args:
        a: weights.safetensors of base a, its regularised model, and its pruned model.
        b: the same of base b.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        points: the parquet file to write, see `paths.follow`; only the start if they do not fit.
        units: the JSON file to write: `fits`, `times`, the width that it takes as a multiple of the
            network's, and `layers`, see `fit`.
        stride: the longest step, as a share of the norm of base a's weights.
        device: `auto`, `cpu` or `cuda`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, or the models are not of one network.
    """
    place = start(0, threads, device)
    about: Mapping[str, Any] = artifacts.read_json(summary, ["network"])
    models = [[restore(path, about) for path in paths] for paths in (a, b)]
    rows = fit(Skeleton.of(models[0][2]), Skeleton.of(models[1][2]))
    times = max(((row["a"] + row["b"]) / row["units"] for row in rows), default=0.0)
    artifacts.write_json(units, {"fits": times <= 1, "times": times, "layers": rows})
    print(f"Living units of both take {times:.3f} times the units of the network.", flush=True)
    whole: tuple[Tensors, list[Leg]] = (_copied(models[0][1]), [])
    begin, path = legs(models[0][1:], models[1][1:]) if times <= 1 else whole
    base = models[0][0]
    norm = length_of(tensors(base), [name for name, _ in base.named_parameters()])
    gauge = Gauge(base.to(place), Images.read(dataset, "train", place), "fp32")
    measurer = Measurer(copy.deepcopy(models[0][2]).to(place), gauge)
    artifacts.write_table(points, follow(measurer, begin, path, stride, norm))
