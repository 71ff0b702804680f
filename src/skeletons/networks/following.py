"""Follows the units of a network through its operations, for `symmetries`.

The network runs once on blank images, and each operation of torch (below its modules and
functions) is looked at as it runs. So modules need no description: a layer that multiplies its
weights by a factor, or attention, is seen as what it computes. In contrast to torch.fx, this runs a
network as it is, and changes nothing for other threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.errors import WiringError
from skeletons.networks.internals import TorchDispatchMode
from skeletons.networks.labels import (
    Axis,
    Blocks,
    Labels,
    Units,
    broadcast,
    columns,
    one_each,
    side_by_side,
    varies,
)
from skeletons.networks.operations import (
    ATTENTION,
    BATCH_NORMS,
    CONVOLUTIONS,
    JOINS,
    LAYER_NORMS,
    LINEAR,
    MOVES,
    POOLS,
    REDUCTIONS,
    RESHAPES,
    SAME,
    SPREAD,
    axes_of,
    base_of,
    first,
    flat,
    is_pointwise,
    several,
)
from skeletons.networks.tensors import tensors
from skeletons.networks.tied import Tied, move


class Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A block in which a network runs once.

    Attributes:
        units: which of its units are the same.
        order: the axes of its tensors in the order in which they are used.
        blocks: the restrictions of normalisation and attention.
        places: which units each result has, with the number of their values.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        held = tensors(network)
        self.units = Units({name: tuple(t.shape) for name, t in held.items()})
        self.order: dict[Axis, None] = {}
        self.blocks: list[Blocks] = []
        self.places: list[tuple[Labels, Labels]] = []
        self._fixed = {name for name, t in held.items() if not t.requires_grad}
        self._known: dict[int, Labels | Tied] = {
            id(t): Tied(name, tuple((axis, 0) for axis in range(t.ndim)))
            for name, t in held.items()
        }
        self._alive: list[Tensor] = []

    def begin(self, images: Tensor) -> None:
        """Let each channel of images N×C×H×W be a unit that keeps its place."""
        channels = self.units.more(images.shape[1])
        self.units.keep(channels)
        self._put(images, broadcast(channels, tuple(images.shape), 1))

    def end(self, logits: Any) -> None:
        """Let the logits keep their places."""
        if not isinstance(logits, Tensor) or id(logits) not in self._known:
            raise WiringError("The network's logits cannot be followed to its images.")
        self.units.keep(self._labels(logits))

    # --- what is known of a value -----------------------------------------------------------------

    def _put(self, value: Tensor, found: Labels | Tied) -> None:
        self._alive.append(value)  # so that no other value gets its id
        self._known[id(value)] = found
        if not isinstance(found, Tied):
            counts = np.bincount(found.ravel())
            self.places.append((counts.nonzero()[0], counts[counts.nonzero()]))

    def _state(self, value: Any) -> Labels | Tied | None:
        return self._known.get(id(value)) if isinstance(value, Tensor) else None

    def _labels(self, value: Tensor) -> Labels:
        """The units of a value that depends on the images; 0 for a constant."""
        found = self._state(value)
        if found is None:
            return np.zeros(tuple(value.shape), dtype=np.int64)
        assert not isinstance(found, Tied)
        return self.units.roots(found)

    def _axis(self, tied: Tied, axis: int, size: int) -> Labels:
        """The units of one axis of a tied tensor, by index; noted as used."""
        known = tied.axes[axis]
        if known is None:
            return np.zeros(size, dtype=np.int64)
        of, start = known
        self.order.setdefault((tied.name, of))
        return self.units.of((tied.name, of))[start : start + size]

    # --- operations -------------------------------------------------------------------------------

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        found = func(*args, **named)
        given = [v for v in flat([*args, *named.values()]) if self._state(v) is not None]
        if given:
            self._follow(func, args, named, found)
        return found

    def _follow(self, func: Any, args: Sequence[Any], named: Mapping[str, Any], found: Any) -> None:
        name = func._schema.name.partition("::")[2]
        base = base_of(name)
        if base == "as_strided" and found.shape == args[0].shape:
            return  # in another order in memory, and in place
        if base in SAME:
            self._put(found, self._known[id(args[0])])
        elif base in JOINS:
            self._cat(base, func, args, named, found)
        elif base in MOVES:
            self._move(base, func, args, named, found)
        elif base in CONVOLUTIONS:
            self._convolution(args, found)
        elif base in LINEAR:
            self._linear(base, args, found)
        elif base in BATCH_NORMS:
            self._norm(args[0], args[1:5], first(found))
        elif base == "native_group_norm":
            self._group_norm(args, first(found))
        elif base in LAYER_NORMS:
            self._layer_norm(args, first(found))
        elif base in ATTENTION:
            self._attention(args, named, first(found))
        elif base in POOLS:
            self._pool(args[0], first(found))
        elif base in SPREAD:
            self._depends(self._data(args[0]), [args[1]])
            self._put(found, self._data(args[0]))
        elif base in REDUCTIONS:
            self._reduction(base, args, named, found)
        elif base == "glu":
            self._gated(args, found)
        elif is_pointwise(func, base):
            self._pointwise(name, args, named, found)
        else:
            self._unknown(name)

    def _unknown(self, name: str) -> Any:
        raise WiringError(
            f"The network has an operation, {name}, through which its units cannot be followed; "
            "allowed for aligning units: convolutions without groups or with one for each channel, "
            "linear layers, norms, torch's scaled_dot_product_attention, pooling, operations on "
            "single values such as activations and sums, and those that move values."
        )

    def _move(
        self, base: str, func: Any, args: Sequence[Any], named: Mapping[str, Any], found: Any
    ) -> None:
        state = self._state(args[0])
        if isinstance(state, Tied):
            moved: Any = move(base, state, args, named, found)
            if moved is None:
                self._unknown(f"{base} of {state.name}")
        elif base in RESHAPES:
            moved = torch.from_numpy(self._labels(args[0])).reshape(tuple(found.shape))
        else:
            # Padding with any number is padding with a constant.
            given = [0 if isinstance(a, float) else a for a in args[1:]]
            moved = func(torch.from_numpy(self._labels(args[0])), *given, **named)
        for value, units in zip(several(found), several(moved), strict=True):
            self._put(value, units if isinstance(units, Tied) else units.numpy().copy())

    def _cat(
        self,
        base: str,
        func: Any,
        args: Sequence[Any],
        named: Mapping[str, Any],
        found: Tensor,
    ) -> None:
        values = list(args[0])
        axis = (args[1] if len(args) > 1 else named.get("dim", 0)) % values[0].ndim
        tied = [isinstance(self._state(value), Tied) for value in values]
        others = (self._labels(v) for v, is_tied in zip(values, tied, strict=True) if not is_tied)
        like = next((labels for labels in others if labels.any()), None)
        parts = [self._data(value, like, axis) for value in values]
        if base != "stack" and side_by_side(parts, axis):
            for part in parts[1:]:  # such as tokens, whose units are the same
                self.units.join(parts[0].take([0], axis), part.take([0], axis))
        moved = func([torch.from_numpy(p.copy()) for p in parts], *args[1:], **named)
        self._put(found, self.units.roots(moved.numpy()))

    def _as_labels(self, tied: Tied, value: Tensor, like: Labels | None, beside: int) -> Labels:
        """A tied tensor as a value, whose units lie along one axis.

        It is that along which the units of a value beside it lie, else the last.
        """
        shape = tuple(value.shape)
        axes = [k for k in range(value.ndim) if tied.axes[k] is not None and shape[k] > 1]
        if like is not None and like.ndim == value.ndim:
            axes = [k for k in axes if k == beside or varies(like, k)] or axes
            axes = [k for k in axes if varies(like, k)] or axes
        for k in range(value.ndim):
            if k not in axes[-1:]:
                self.units.keep(self._axis(tied, k, shape[k]))
        if not axes:
            return np.zeros(shape, dtype=np.int64)
        return broadcast(self._axis(tied, axes[-1], shape[axes[-1]]), shape, axes[-1])

    def _data(self, value: Tensor, like: Labels | None = None, beside: int = -1) -> Labels:
        """The units of a value; see `_as_labels` for a tied tensor."""
        state = self._state(value)
        if isinstance(state, Tied):
            return self._as_labels(state, value, like, beside % value.ndim)
        return self._labels(value)

    def _convolution(self, args: Sequence[Any], found: Tensor) -> None:
        given, weight, bias = args[:3]
        transposed, groups = bool(args[6]), int(args[8])
        tied = self._tied(weight, "a convolution")
        inputs = self._collapsed(self._data(given), 1)
        into, out = (0, 1) if transposed else (1, 0)
        if groups == 1:
            self._read(tied, into, inputs, weight)
            outputs = self._written(tied, out, weight)
        elif groups == given.shape[1] == found.shape[1]:  # of each channel by itself
            outputs = self._axis(tied, 0, weight.shape[0])
            self.units.join(inputs, outputs)
            self.units.keep(outputs[inputs == 0])
        else:
            self._unknown("a convolution with groups of several channels")
        self._add_bias(bias, outputs)
        self._put(found, broadcast(outputs, tuple(found.shape), 1))

    def _linear(self, base: str, args: Sequence[Any], found: Tensor) -> None:
        given, weight, bias = [*args, None][:3]
        if base == "addmm":
            bias, given, weight = args[:3]
        tied = self._tied(weight, "a product of two results")
        into, out = (1, 0) if base == "linear" else (0, 1)
        self._read(tied, into, self._collapsed(self._data(given), given.ndim - 1), weight)
        outputs = self._written(tied, out, weight)
        self._add_bias(bias, outputs)
        self._put(found, broadcast(outputs, tuple(found.shape), found.ndim - 1))

    def _tied(self, weight: Any, what: str) -> Tied:
        state = self._state(weight)
        if not isinstance(state, Tied):
            self._unknown(f"{what} without weights of its own")
        assert isinstance(state, Tied)
        return state

    def _collapsed(self, labels: Labels, axis: int) -> Labels:
        """The unit of each index of an axis: all of the values there become one."""
        rows = columns(labels, axis)
        units = one_each(rows)
        self.units.join(rows, units[:, None])
        return units

    def _read(self, tied: Tied, axis: int, inputs: Labels, weight: Tensor) -> None:
        own = self._axis(tied, axis, weight.shape[axis])
        self.units.join(inputs, own)
        self.units.keep(own[inputs == 0])  # positions, whose number has a meaning

    def _written(self, tied: Tied, axis: int, weight: Tensor) -> Labels:
        own = self._axis(tied, axis, weight.shape[axis])
        if tied.name in self._fixed:  # filters that are the same in all models
            self.units.keep(own)
        return own

    def _add_bias(self, bias: Any, outputs: Labels) -> None:
        state = self._state(bias)
        if isinstance(state, Tied):
            self.units.join(self._axis(state, len(state.axes) - 1, len(outputs)), outputs)
        elif isinstance(bias, Tensor) and bool((bias != bias.flatten()[0]).any()):
            self.units.keep(outputs)

    def _norm(self, given: Tensor, own: Iterable[Any], found: Tensor) -> None:
        labels = self._data(given)
        units = self._collapsed(labels, 1)
        for tensor in own:
            self._add_bias(tensor, units)
        self._put(found, labels)

    def _group_norm(self, args: Sequence[Any], found: Tensor) -> None:
        given, weight, bias, groups = args[0], args[1], args[2], int(args[6])
        self._norm(given, (weight, bias), found)
        units = self._collapsed(self._labels(given), 1)
        self._restrict([(block,) for block in np.split(units, groups)])

    def _layer_norm(self, args: Sequence[Any], found: Tensor) -> None:
        given, shape = args[0], args[1]
        over = list(range(given.ndim - len(shape), given.ndim))
        labels = self._data(given)
        for tensor in args[2:4]:
            state = self._state(tensor)
            if isinstance(state, Tied):
                self._join_tied(state, tensor, labels, given.ndim - len(shape))
        self._depends(labels, over)
        self._put(found, labels)

    def _depends(self, labels: Labels, over: Sequence[int], *, exchanged: bool = True) -> bool:
        """Note that results depend on all units along some axes; whether there are several."""
        axes = [axis % labels.ndim for axis in over]
        if not any(varies(labels, axis) for axis in axes):
            return False
        others = [axis for axis in range(labels.ndim) if axis not in axes]
        rows = columns(labels, *others)
        rows = np.unique(np.sort(rows.reshape(-1, rows.shape[-1]), axis=1), axis=0)
        self._restrict([(row,) for row in rows], exchanged=exchanged)
        return True

    def _restrict(self, blocks: Sequence[tuple[Labels, ...]], *, exchanged: bool = True) -> None:
        if len(blocks) > 1:
            self.blocks.append(Blocks(tuple(blocks), exchanged))

    def _reduction(
        self, base: str, args: Sequence[Any], named: Mapping[str, Any], found: Any
    ) -> None:
        labels = self._data(args[0])
        skipped = 2 if "norm" in base else 1  # a norm's order comes before its axes
        axes = [axis % labels.ndim for axis in axes_of(args[skipped:], named, labels.ndim)]
        # What is left of blocks has an order, so they keep theirs.
        if self._depends(labels, axes, exchanged=False):
            labels = np.zeros_like(labels)
        units = labels.max(axis=tuple(axes))
        for value in several(found):
            self._put(value, units.reshape(tuple(value.shape)))

    def _attention(self, args: Sequence[Any], named: Mapping[str, Any], found: Tensor) -> None:
        query, key, value = args[:3]
        masks = [v for v in [*args[3:], *named.values()] if self._state(v) is not None]
        if query.shape[1] != key.shape[1] or query.ndim != 4:
            self._unknown("attention whose queries have other heads than its keys")
        if masks:
            self._unknown("attention with a bias that is trained")
        one, other, out = (
            columns(self._data(v), 1, 3) for v in (query, key, value)
        )  # heads × units × the rest
        asked, values = one_each(one), one_each(out)
        self.units.join(one, asked[..., None])
        self.units.join(other, asked[..., None])
        self.units.join(out, values[..., None])
        self._restrict(list(zip(asked, values, strict=True)))
        self._put(found, broadcast(values, tuple(found.shape), 1, 3))

    def _gated(self, args: Sequence[Any], found: Tensor) -> None:
        """Note that each unit of one half is multiplied by one of the other half."""
        one, other = np.split(self._data(args[0]), 2, axis=args[1] if len(args) > 1 else -1)
        self.units.join(one, other)
        self._put(found, self.units.roots(one))

    def _pool(self, given: Tensor, found: Tensor) -> None:
        labels = self._data(given)
        before = tuple(range(labels.ndim - 2))
        rows = columns(labels, *before)
        units = one_each(rows)
        self.units.join(rows, units[..., None])
        self._put(found, broadcast(units, tuple(found.shape), *before))

    def _pointwise(
        self, name: str, args: Sequence[Any], named: Mapping[str, Any], found: Tensor
    ) -> None:
        given = [v for v in flat([*args, *named.values()]) if isinstance(v, Tensor)]
        states = [self._state(value) for value in given]
        pairs = list(zip(given, states, strict=True))
        tied = [v for v, state in pairs if isinstance(state, Tied)]
        data = [v for v, state in pairs if state is not None and not isinstance(state, Tied)]
        if not data:
            self._scaled(name, tied, given, found)
            return
        shape = tuple(found.shape)
        labels = np.zeros(shape, dtype=np.int64)
        for value in data:
            other = np.broadcast_to(self._labels(value), shape)
            self.units.join(labels, other)
            labels = np.maximum(labels, other)
        labels = self.units.roots(labels)
        for value in tied:
            state = self._state(value)
            assert isinstance(state, Tied)
            self._join_tied(state, value, labels, len(shape) - value.ndim)
        for value in given:
            if self._state(value) is None:
                self._join_constant(value, labels)
        self._put(found, labels)

    def _scaled(
        self, name: str, tied: Sequence[Tensor], given: Sequence[Tensor], found: Tensor
    ) -> None:
        """Note that weights are those of one tensor, after an operation on single values."""
        state = self._state(tied[0])
        others = [v for v in given if v is not tied[0]]
        if len(tied) > 1 or any(v.numel() > 1 for v in others) or found.shape != tied[0].shape:
            self._unknown(f"{name} of several tensors of weights")
        assert isinstance(state, Tied)
        self._put(found, state)

    def _join_tied(self, tied: Tied, value: Tensor, labels: Labels, skipped: int) -> None:
        """Join a tensor of the network, of which each value meets one or more of a result's."""
        for k in range(value.ndim):
            own = self._axis(tied, k, value.shape[k])
            if len(own) == 1 and labels.shape[k + skipped] > 1:
                self.units.keep(own)
            elif varies(labels, k + skipped) or (len(own) == 1 and labels.min() == labels.max()):
                self.units.join(columns(labels, k + skipped), own[:, None])
            else:
                self.units.keep(own)

    def _join_constant(self, value: Tensor, labels: Labels) -> None:
        """Let units keep their places if a constant treats them differently."""
        if value.numel() == 1:
            return
        numbers = value.detach().cpu().double().numpy()
        for k in range(value.ndim):
            axis = labels.ndim - value.ndim + k
            differs = bool((numbers != numbers.take([0], k)).any())
            if differs and varies(labels, axis):
                self.units.keep(labels)


# torch wraps the method so that its compiler leaves it alone, which imports the compiler:
# https://github.com/pytorch/pytorch/pull/127325
Follower.__torch_dispatch__ = inspect.unwrap(Follower.__torch_dispatch__)  # type: ignore[method-assign]
