"""The activations of a network's units, by which the units of two networks can be matched.

Which values of a network belong to which unit follows from running it once (`networks.following`),
as for the symmetries. So this needs no description of the network's layers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.arrays import Floats
from skeletons.data.files import read_split
from skeletons.errors import WiringError
from skeletons.networks.following import Follower
from skeletons.networks.image_shape import of_network
from skeletons.networks.internals import TorchDispatchMode
from skeletons.networks.labels import Labels
from skeletons.networks.operations import CONVOLUTIONS, LINEAR, base_of, several
from skeletons.networks.symmetries import Content, decode
from skeletons.networks.tied import Tied
from skeletons.networks.trying import evaluating
from skeletons.prediction.device import pick_device, use_one_thread
from skeletons.prediction.inference import restore
from skeletons.store import artifacts

FOLLOWED = 3  # images of the run in which values are followed
BATCH = 100
POSITIONS = 8  # of each unit and image, over all values of a group


@dataclass(frozen=True)
class Value:
    """A value of a network in which all units of a group lie.

    Attributes:
        call: which of torch's operations makes or reads it, counted from 0.
        given: whether the operation reads it; otherwise it is its result.
        index: among the operation's results.
        batch: the axis of the images.
        shape: of the value for `FOLLOWED` images.
        places: G×P, the places of each unit in the value of one image, flattened.
    """

    call: int
    given: bool
    index: int
    batch: int
    shape: tuple[int, ...]
    places: Labels


@torch.no_grad()
def activations(network: nn.Module, symmetries: Content, images: Tensor) -> dict[str, Floats]:
    """The activations of all units that can change places, by group.

    They are taken where a convolution or a linear layer writes a unit, and where one reads it:
    before and after the activation function. Units that are silent after it, as all dead ones are,
    still differ before it. Each unit has the mean 0 and the length 1 in each of these values, so
    that inner products are correlations.

    Source: Li et al. 2015, Convergent learning, section 3; Ainsworth et al. 2022, section 3.1.

    Args:
        network: on any device; its mode does not matter.
        symmetries: what `networks.symmetries.find` finds in it.
        images: uint8 N×C×H×W, N ≥ 2.

    Returns:
        For each group float64 G×S. In each of the group's values, an image gives a few positions,
        which differ from image to image. A row's length is 1, and less if the unit is constant in
        some of the values.

    Raises:
        WiringError: a group's units lie in no value together.
    """
    values = find_values(network, symmetries)
    wanted = {(v.call, v.given, v.index): v.shape for own in values.values() for v in own}
    device = next(network.parameters()).device
    parts: dict[str, list[list[Floats]]] = {
        group: [[] for _ in own] for group, own in values.items()
    }
    done = 0
    for batch in torch.split(images, BATCH):
        taken, shown = _Taking(wanted), batch.to(device).float()
        with evaluating(network), taken:
            network(shown)
        for group, own in values.items():
            for k, value in enumerate(own):
                found = taken.found.get((value.call, value.given, value.index))
                parts[group][k].append(_rows(value, found, len(batch), done, len(own)))
        done += len(batch)
    return {
        group: np.concatenate([_standardised(np.concatenate(p, axis=1)) for p in own], axis=1)
        / np.sqrt(len(own))
        for group, own in parts.items()
    }


def find_values(network: nn.Module, symmetries: Content) -> dict[str, list[Value]]:
    """The values of a network in which the units of each group can be seen.

    Raises:
        WiringError: a group's units lie in no value together.
    """
    device = next(network.parameters()).device
    images = torch.zeros(FOLLOWED, *of_network(network), device=device)
    noting = _Noting(network)
    noting.begin(images)
    with torch.no_grad(), evaluating(network), noting:
        network(images)
    units = {group["name"]: noting.units_of(group) for group in symmetries["groups"]}
    by_layers: dict[str, list[Value]] = {group: [] for group in units}
    last: dict[str, Value] = {}
    for note in noting.noted:
        for group, value in _values(note, units, noting).items():
            if note.layer:
                by_layers[group].append(value)
            last[group] = value
    unseen = [group for group in units if group not in last]
    if unseen:
        raise WiringError(
            f"The activations of the units of {unseen[0]} cannot be seen in one place; allowed for "
            "aligning by activations: networks in which all units of a layer are in one result of "
            "an operation."
        )
    return {group: own or [last[group]] for group, own in by_layers.items()}


def try_on_blank_images(network: nn.Module, symmetries: Content) -> None:
    """Check that the activations of a network's units can be seen.

    Raises:
        WiringError: they cannot.
    """
    blank = torch.zeros(FOLLOWED + 2, *of_network(network), dtype=torch.uint8)
    activations(network, symmetries, blank)


@dataclass(frozen=True)
class _Note:
    """A value and its units, as in `Value`; `layer` if a layer with weights makes or reads it."""

    call: int
    given: bool
    index: int
    labels: Labels
    layer: bool


class _Noting(Follower):  # type: ignore[no-untyped-call]
    """A block in which a network runs once, and which values it has is noted.

    Attributes:
        noted: the values with units.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.noted: list[_Note] = []
        self._call = -1

    def units_of(self, group: Mapping[str, Any]) -> Labels:
        """The number of each unit of a group, in the group's order."""
        part = group["parts"][0]
        units = self.units.of((part["tensor"], part["axis"]))
        found: Labels = self.units.roots(units[decode(part["places"])[:, 0]])
        return found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._call += 1
        base = base_of(func._schema.name.partition("::")[2])
        layer = base in CONVOLUTIONS | LINEAR
        if layer:
            self._note(_read(base, args), given=True, index=0, layer=True)
        found = super().__torch_dispatch__(func, types, args, kwargs)
        for index, value in enumerate(several(found)):
            self._note(value, given=False, index=index, layer=layer)
        return found

    def _note(self, value: Any, *, given: bool, index: int, layer: bool) -> None:
        state = self._state(value)
        if state is not None and not isinstance(state, Tied):
            self.noted.append(_Note(self._call, given, index, state, layer))


class _Taking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A block in which a network runs, and some of its values are kept.

    Attributes:
        found: the values, by call, whether the operation reads it, and index.
    """

    def __init__(self, wanted: Mapping[tuple[int, bool, int], tuple[int, ...]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[tuple[int, bool, int], Floats] = {}
        self._wanted = wanted
        self._call = -1

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._call += 1
        if (self._call, True, 0) in self._wanted:
            base = base_of(func._schema.name.partition("::")[2])
            self._keep((self._call, True, 0), _read(base, args))
        found = func(*args, **(kwargs or {}))
        for index, value in enumerate(several(found)):
            if (self._call, False, index) in self._wanted:
                self._keep((self._call, False, index), value)
        return found

    def _keep(self, key: tuple[int, bool, int], value: Any) -> None:
        if isinstance(value, Tensor):
            self.found[key] = value.detach().float().cpu().numpy()


for _mode in (_Noting, _Taking):  # as for `Follower`, see there
    _mode.__torch_dispatch__ = inspect.unwrap(_mode.__torch_dispatch__)  # type: ignore[method-assign]


def _read(base: str, args: Sequence[Any]) -> Any:
    """What a convolution or a linear layer reads."""
    return args[1] if base == "addmm" else args[0]


def _values(note: _Note, units: Mapping[str, Labels], noting: _Noting) -> dict[str, Value]:
    """A value, for the groups of which each unit has as many places in it."""
    shape = note.labels.shape
    batch = next((k for k, size in enumerate(shape) if size == FOLLOWED), None)
    if batch is None:
        return {}
    one = noting.units.roots(np.take(note.labels, [0], axis=batch)).ravel()
    order = np.argsort(one, kind="stable")
    ranked = one[order]
    found = {}
    for group, own in units.items():
        first, end = (np.searchsorted(ranked, own, side) for side in ("left", "right"))
        count = int(end[0] - first[0])
        if count and (end - first == count).all():
            places = order[first[:, None] + np.arange(count)]
            found[group] = Value(note.call, note.given, note.index, batch, shape, places)
    return found


def _rows(value: Value, found: Floats | None, count: int, done: int, values: int) -> Floats:
    """Some positions of each unit in a value of `count` images, G×(images · positions)."""
    shape = list(value.shape)
    shape[value.batch] = count
    if found is None or list(found.shape) != shape:
        raise WiringError(
            "The operations of the network depend on the number of images, so the activations of "
            "its units cannot be seen; allowed for aligning by activations: networks that treat "
            "each image alike."
        )
    rows = np.moveaxis(found, value.batch, 0).reshape(count, -1)
    here = value.places.shape[1]
    some = min(here, max(1, POSITIONS // values))
    # Spread over the map, and moved on from image to image.
    slots = (np.arange(some) * here // some + np.arange(done, done + count)[:, None]) % here
    taken = rows[np.arange(count)[:, None], value.places[:, slots]]
    return taken.reshape(len(value.places), -1).astype(np.float64)


def _standardised(rows: Floats) -> Floats:
    """Rows of mean 0 and length 1; 0 where a row is constant."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    scale = np.abs(rows).max(axis=1, keepdims=True) * np.sqrt(rows.shape[1])
    flat = lengths <= 1e-6 * scale  # constant up to rounding
    standard: Floats = np.where(flat, 0, centred / np.where(flat, 1, lengths))
    return standard


def activations_stage(
    *,
    weights: str,
    summary: str,
    dataset: str,
    symmetries: str,
    units: str,
    images: int,
    device: str,
) -> None:
    """Write the activations of a model's units on training images: float32, by group.

    Args:
        weights: the model's weights.safetensors.
        summary: the model.json of its network.
        dataset: the data set's images.safetensors.
        symmetries: the symmetries.json of its network.
        units: the safetensors file to write, see `activations`.
        images: how many training images, from the first.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ArtifactError: a file is missing or broken.
        WiringError: the activations cannot be seen.
    """
    use_one_thread()
    network = restore(weights, artifacts.read_json(summary, ["network"])).to(pick_device(device))
    pixels, _ = read_split(dataset, "train")
    shown = torch.from_numpy(np.ascontiguousarray(pixels[:images]))
    found = activations(network, artifacts.read_json(symmetries, ["groups"]), shown)
    artifacts.write_tensors(units, {name: rows.astype(np.float32) for name, rows in found.items()})
