"""A tensor of a network as an operation uses it: transposed, in another shape, or in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from skeletons.networks.operations import RESHAPES


@dataclass(frozen=True)
class Tied:
    """A tensor of the network as it is used, perhaps transposed or in part.

    Attributes:
        name: of the tensor.
        axes: for each axis of the value, that of the tensor and the first of its indices; None for
            one that the tensor does not have.
    """

    name: str
    axes: tuple[tuple[int, int] | None, ...]


WHOLE = {"t", "permute", "transpose", "unsqueeze", "squeeze", "expand"}  # they keep each axis whole
SPLITS = {"split", "chunk", "split_with_sizes"}


def move(
    base: str, tied: Tied, args: Sequence[Any], named: Mapping[str, Any], found: Any
) -> Tied | list[Tied] | None:
    """A tensor of the network after an operation that moves its values.

    Args:
        base: the operation.
        tied: what its first argument is.
        args: the arguments.
        named: those by keyword.
        found: the result.

    Returns:
        The result, in a list if there are several; None if its axes can no longer be distinguished.
    """
    value: Tensor = args[0]
    if base in WHOLE:
        return _rearranged(base, tied, value, args[1:], found)
    if base in ("slice", "narrow"):
        return _sliced(tied, value, args)
    if base in SPLITS:
        axis = (args[2] if len(args) > 2 else named.get("dim", 0)) % value.ndim
        starts = [sum(part.shape[axis] for part in found[:k]) for k in range(len(found))]
        return [_shifted(tied, axis, start) for start in starts]
    if base in RESHAPES:
        return _viewed(tied, tuple(value.shape), tuple(found.shape))
    return None


def _shifted(tied: Tied, axis: int, start: int) -> Tied:
    axes = list(tied.axes)
    known = axes[axis]
    axes[axis] = None if known is None else (known[0], known[1] + start)
    return Tied(tied.name, tuple(axes))


def _sliced(tied: Tied, value: Tensor, args: Sequence[Any]) -> Tied | None:
    given: list[Any] = [*args[1:], *(0, 0, None, 1)[len(args) - 1 :]]
    axis, start, _, step = given
    return _shifted(tied, axis % value.ndim, start or 0) if step == 1 else None


def _viewed(tied: Tied, before: tuple[int, ...], after: tuple[int, ...]) -> Tied | None:
    """A tensor in another shape that differs in axes of length 1 alone."""
    if [n for n in before if n > 1] != [n for n in after if n > 1]:
        return None
    left = [known for n, known in zip(before, tied.axes, strict=True) if n > 1]
    return Tied(tied.name, tuple(left.pop(0) if n > 1 else None for n in after))


def _rearranged(
    base: str, tied: Tied, value: Tensor, options: Sequence[Any], found: Tensor
) -> Tied | None:
    axes, ndim = list(tied.axes), value.ndim
    if base == "t":
        axes.reverse()
    elif base == "permute":
        axes = [axes[k] for k in options[0]]
    elif base == "transpose":
        one, other = options[0] % ndim, options[1] % ndim
        axes[one], axes[other] = axes[other], axes[one]
    elif base == "unsqueeze":
        axes.insert(options[0] % (ndim + 1), None)
    elif base == "squeeze":
        return _viewed(tied, tuple(value.shape), tuple(found.shape))
    else:  # expand
        new = found.ndim - ndim
        kept = zip(axes, value.shape, found.shape[new:], strict=True)
        axes = [*([None] * new), *(axis if n == m else None for axis, n, m in kept)]
    return Tied(tied.name, tuple(axes))
