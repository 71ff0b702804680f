"""Which units of a network can change places without changing its function.

The order of the units in a hidden layer is arbitrary: if its channels and the inputs of all layers
that read them are permuted, the function stays the same (Ainsworth et al. 2022, section 2). A
*group* is a set of units that are permuted together. Which units are the same, and where they lie
in the network's tensors, follows from running the network once (see `following`).

Some units change places only within blocks, and blocks only as wholes: the channels of a group
norm, and the units of attention heads (Verma & Elbayad 2024, section 3.2: heads are matched as
wholes, and the units within each).
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skeletons.data.files import read_info
from skeletons.errors import WiringError
from skeletons.networks.applied import factors
from skeletons.networks.build import rebuild
from skeletons.networks.following import Follower
from skeletons.networks.generators import generator_for
from skeletons.networks.image_shape import described, of_network, of_summary
from skeletons.networks.labels import Axis, Blocks, Labels
from skeletons.networks.tensors import tensors
from skeletons.networks.trying import evaluating
from skeletons.store import artifacts

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
Content = dict[str, Any]
Key = tuple[Any, ...]  # equal for units of one group
CHECKED = 4  # random images
SMALLEST = 1e-3  # size of weights that are drawn as they are; a layer may start as nothing
PRIME = np.uint64(1_099_511_628_211)  # of the FNV hash
CLOSE, CLOSE_SINGLE = 1e-5, 1e-2  # of the range of the logits, in double and single precision


def find(network: nn.Module) -> Content:
    """The groups of a network, in the order in which its input reaches them.

    Args:
        network: as `networks.build.build` makes it. Its weights do not matter, and do not change.

    Returns:
        `factors`, by the name of a weight the factor that it is multiplied by when its layer runs,
        without those of 1; and `groups`, a list of `name`; `blocks`, the number of blocks that its
        units fall into in equal shares, 1 if they are all exchanged; `heads`, the name of the group
        whose blocks only change places together with its own, None for none; and `parts`, a list of
        `tensor`, `axis` and `places`, the indices of each unit along this axis.

    Raises:
        WiringError: the units of an operation cannot be followed, or no unit can be permuted.
    """
    follower = _followed(network)
    groups = _Grouping(follower).groups()
    if not groups:
        raise WiringError(
            "The network has no units that can change places, so it cannot be aligned; allowed: a "
            "network with a hidden layer."
        )
    _demand_unchanged(network, groups)
    applied = {name: factor for name, factor in factors(network).items() if factor != 1}
    return {"groups": groups, "factors": applied}


def of(about: Mapping[str, Any]) -> Content:
    """The groups of the network that `network` in a model.json describes; see `find`."""
    return find(rebuild(about))


@torch.no_grad()
def _followed(network: nn.Module) -> Follower:
    device = next(network.parameters()).device
    images = torch.zeros(1, *of_network(network), device=device)
    follower = Follower(network)
    follower.begin(images)
    with evaluating(network), follower:
        logits = network(images)
    follower.end(logits)
    return follower


class _Grouping:
    """Sorts the units of a network into groups."""

    def __init__(self, follower: Follower) -> None:
        self.follower, self.units = follower, follower.units
        for axis in self.units.first:
            if axis not in follower.order:  # nothing uses it, or not by the numbers of units
                self.units.keep(self.units.of(axis))
        self.roots = self.units.roots(np.arange(self.units.count))
        self.kept = np.zeros(self.units.count, dtype=bool)
        self.kept[self.roots[[0, *self.units.kept]]] = True
        self.marks = self._marks()
        self.limits = _Limits(self.follower.blocks, self.roots, self.kept, self.marks)

    def _marks(self) -> npt.NDArray[np.uint64]:
        """A number for each unit, equal for units that take part in the same in the same way."""
        marks = np.zeros(self.units.count, dtype=np.uint64)
        axes = (self.units.of(axis) for axis in self.units.first)
        results = ((labels, np.ones(len(labels), dtype=np.int64)) for labels in axes)
        for labels, counts in itertools.chain(results, self.follower.places):
            total = np.bincount(self.roots[labels], weights=counts, minlength=len(marks))
            marks = marks * PRIME + total.astype(np.uint64)
        return marks

    def groups(self) -> list[Content]:
        """The groups as `find` returns them."""
        places, members = self._places()
        names: dict[Key, str] = {}
        found = []
        for key, parts in places.items():
            names[key] = _name(parts, self.units.sizes, members[key], self.limits, names.values())
            root = members[key][0]
            partner = self.limits.partner(root, [members[k][0] for k in names])
            found.append(
                {
                    "name": names[key],
                    "blocks": self.limits.count(root),
                    "heads": None if partner is None else names[self._key(partner)],
                    "parts": [
                        {"tensor": tensor, "axis": axis, "places": encode(where)}
                        for (tensor, axis), where in parts.items()
                    ],
                }
            )
        return found

    def _places(self) -> tuple[dict[Key, dict[Axis, Labels]], dict[Key, list[int]]]:
        """The places of each group by axis, in the order of use, and the units of each group."""
        places: dict[Key, dict[Axis, Labels]] = {}
        members: dict[Key, list[int]] = {}
        for axis in self.follower.order:
            found: dict[Key, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
            for index, root in enumerate(self.roots[self.units.of(axis)].tolist()):
                if not self.kept[root]:
                    found[self._key(root)][root].append(index)
            # Groups that are known come first, so that all are in the order of use.
            for key in sorted(found, key=lambda key: key not in places):
                units = members.setdefault(key, self.limits.ordered(list(found[key])))
                rows = [found[key][unit] for unit in units]
                places.setdefault(key, {})[axis] = np.array(rows, dtype=np.int64)
        return places, members

    def _key(self, root: int) -> Key:
        return self.limits.key(root)


class _Limits:
    """What blocks of units (`labels.Blocks`) mean for the exchange of units.

    The blocks of one restriction change places as wholes if they are all alike, and if no other
    restriction concerns their units. Otherwise units are exchanged within their blocks only.
    """

    def __init__(
        self,
        restrictions: Sequence[Blocks],
        roots: Labels,
        kept: npt.NDArray[np.bool_],
        marks: npt.NDArray[np.uint64],
    ) -> None:
        self.marks = marks
        # For each unit and restriction: its part, and the blocks that it is in.
        self.of: dict[int, dict[int, tuple[int, set[int]]]] = defaultdict(dict)
        self.blocks: dict[int, int] = {}  # of restrictions whose blocks change places
        seen: set[Any] = set()
        for number, restriction in enumerate(restrictions):
            parts = [[np.unique(roots[part]) for part in block] for block in restriction.blocks]
            same = frozenset(tuple(part.tobytes() for part in block) for block in parts)
            if same in seen:
                continue
            seen.add(same)
            for block, several in enumerate(parts):
                for part, units in enumerate(several):
                    for unit in units.tolist():
                        self.of[unit].setdefault(number, (part, set()))[1].add(block)
            if restriction.exchanged and not any(kept[p].any() for b in parts for p in b):
                self.blocks[number] = len(parts)
        self.of = {unit: known for unit, known in self.of.items() if not kept[unit]}
        while odd := self._not_alike():
            del self.blocks[odd.pop()]

    def _not_alike(self) -> set[int]:
        """The restrictions whose blocks differ, or of whose units another one has some."""
        odd: set[int] = set()
        sizes: dict[tuple[int, Any], Counter[int]] = defaultdict(Counter)
        for unit, known in self.of.items():
            for number, (_, blocks) in known.items():
                if number in self.blocks and (len(known) > 1 or len(blocks) > 1):
                    odd.add(number)
                sizes[number, self._kind(unit)].update(blocks)
        for (number, _), counts in sizes.items():
            if number in self.blocks:
                alike = len(set(counts.values())) == 1 and len(counts) == self.blocks[number]
                odd |= set() if alike else {number}
        return odd

    def _kind(self, unit: int) -> Key:
        parts = ((number, part) for number, (part, _) in sorted(self.of.get(unit, {}).items()))
        return (int(self.marks[unit]), *parts)

    def key(self, unit: int) -> Key:
        """Equal for units of one group."""
        cells = (
            (number, *sorted(blocks))
            for number, (_, blocks) in sorted(self.of.get(unit, {}).items())
            if number not in self.blocks
        )
        return (self._kind(unit), *cells)

    def count(self, unit: int) -> int:
        """The number of blocks of a unit's group; 1 if all units are exchanged."""
        return next((self.blocks[n] for n in self.of.get(unit, {}) if n in self.blocks), 1)

    def part(self, unit: int) -> int | None:
        """Which part of its block a unit is in; None without blocks."""
        return next((part for part, _ in self.of.get(unit, {}).values()), None)

    def partner(self, unit: int, others: Sequence[int]) -> int | None:
        """The first of other units whose blocks change places only with those of a unit."""
        numbers = [number for number in self.of.get(unit, {}) if number in self.blocks]
        for other in others:
            if other != unit and any(number in self.of.get(other, {}) for number in numbers):
                return other
        return None

    def ordered(self, units: list[int]) -> list[int]:
        """Units by their block, else in the order given."""
        if self.count(units[0]) == 1:
            return units
        return sorted(units, key=lambda unit: min(next(iter(self.of[unit].values()))[1]))


PARTS = ("queries", "values")  # of the blocks of attention


def _name(
    parts: Mapping[Axis, Labels],
    sizes: Mapping[Axis, int],
    units: Sequence[int],
    limits: _Limits,
    taken: Collection[str],
) -> str:
    """The name of a group: that of the layer that writes it, or of the block that contains it."""
    (tensor, axis), places = next(iter(parts.items()))
    layer, _, last = tensor.rpartition(".")
    name = layer
    if places.size < sizes[tensor, axis]:  # only a part of what the layer writes
        outer = layer.rpartition(".")[0] if last == "weight" else layer
        part = limits.part(units[0])
        heads = part is not None and limits.count(units[0]) > 1
        name = f"{outer}.{PARTS[part] if heads and part is not None else 'padding'}"
    numbered = (f"{name}.{k}" for k in itertools.count(2))
    return name if name not in taken else next(n for n in numbered if n not in taken)


# --- as JSON --------------------------------------------------------------------------------------


def encode(places: Labels) -> Content:
    """Places of units, G×B, in few numbers: runs of [first, count, step]."""
    offsets = places - places[:, :1]
    if (offsets == offsets[0]).all():
        return {"units": _runs(places[:, 0]), "within": _runs(offsets[0])}
    return {"units": _runs(places.ravel()), "each": places.shape[1]}


def _runs(numbers: Labels) -> list[list[int]]:
    found: list[list[int]] = []
    for number in numbers.tolist():
        if found:
            first, count, step = found[-1]
            if count == 1 or number == first + count * step:
                found[-1] = [first, count + 1, number - first if count == 1 else step]
                continue
        found.append([number, 1, 1])
    return found


# --- checks and files -----------------------------------------------------------------------------


@torch.no_grad()
def _demand_unchanged(network: nn.Module, groups: Sequence[Content]) -> None:
    """Check on random weights and images that an exchange of units leaves the function unchanged.

    Raises:
        WiringError: it does not.
    """
    drawn = copy.deepcopy(network).cpu().eval()
    draw = generator_for("symmetries")
    for name, tensor in tensors(drawn).items():
        if name.startswith("body.") and tensor.is_floating_point():
            tensor.copy_(_random(name, tensor, draw))
    shape = of_network(network)
    colours = torch.rand(CHECKED, shape[0], 1, 1, generator=draw)
    images = 128 * (colours + torch.rand(CHECKED, *shape, generator=draw))
    _fit_norms(drawn, images)
    moved = copy.deepcopy(drawn)
    _exchange(tensors(moved), groups)
    try:
        # Random weights can make logits of images nearly equal, so that rounding matters.
        before, after, close = drawn.double()(images), moved.double()(images), CLOSE
    except Exception:  # of a network that makes single precision of its values
        before, after, close = drawn.float()(images), moved.float()(images), CLOSE_SINGLE
    scale = float((before - before.mean(0)).abs().max())
    if not float((before - after).abs().max()) <= close * scale:
        raise WiringError(
            "The units of the network were followed wrongly: an exchange of units that should keep "
            "its function changes it; allowed for aligning units: layers as torch has them."
        )


def _fit_norms(network: nn.Module, images: Tensor) -> None:
    """Give batch norms the statistics of images, so that what follows depends on the images."""
    norms = [module for module in network.modules() if isinstance(module, NORMS)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    network(images)
    network.eval()


def _random(name: str, tensor: Tensor, draw: torch.Generator) -> Tensor:
    """Random values of a tensor of weights, biases or statistics, about as large as they are."""
    values = torch.randn(tensor.shape, generator=draw)
    if tensor.ndim > 1:
        size = float(tensor.square().mean().sqrt())
        return values * (size if size > SMALLEST else 0.1)
    if name.endswith(("var", "weight")):  # of a norm
        return 1 + 0.1 * values.abs()
    return 0.1 * values


def _exchange(own: Mapping[str, Tensor], groups: Sequence[Content]) -> None:
    """Reverse the order of the blocks of each group, and of the units in each block, in place."""
    for group in groups:
        for part in group["parts"]:
            places = decode(part["places"])
            blocks = places.reshape(group["blocks"], -1, places.shape[1])
            order = torch.arange(own[part["tensor"]].shape[part["axis"]])
            order[places] = torch.from_numpy(blocks[::-1, ::-1].reshape(places.shape).copy())
            tensor = own[part["tensor"]]
            tensor.copy_(tensor.index_select(part["axis"], order))


def decode(places: Mapping[str, Any]) -> Labels:
    """The places that `encode` was given."""

    def listed(runs: Sequence[Sequence[int]]) -> Labels:
        parts = [first + step * np.arange(count) for first, count, step in runs]
        return np.concatenate(parts).astype(np.int64)

    units = listed(places["units"])
    if "each" in places:
        return units.reshape(-1, places["each"])
    return units[:, None] + listed(places["within"])


def symmetries_stage(*, info: str, symmetries: str, network: Mapping[str, Any]) -> None:
    """Write which units of a network can change places: the content of `find`.

    Args:
        info: the data set's info.json.
        symmetries: the JSON file to write.
        network: name, width and options of the network, see `build`.

    Raises:
        WiringError: the units of an operation cannot be followed, or no unit can be permuted.
    """
    torch.set_num_threads(1)  # it runs beside other stages
    data = read_info(info)
    about = {**network, "classes": len(data["classes"]), **described(of_summary(data))}
    artifacts.write_json(symmetries, of(about))
