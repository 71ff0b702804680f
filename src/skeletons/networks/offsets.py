"""Layers that hold what dead units added to their outputs: the same for every image.

A channel that never changes still adds something to each channel that reads it. In a convolution
with zero padding that is one number in the middle of the image and others along its borders, so
it is a map. It has few distinct rows and columns, and is kept as these and how often each
repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Floats = npt.NDArray[np.float64]

NOISE = 1e-9  # of the largest value: what sums in double precision differ by from place to place


class Offset(nn.Module):
    """Outputs that are the same for every image; as a layer, it reads nothing.

    Args:
        outputs: channels or units.
        rows: how often each row of the kept map repeats; empty for units without a place.
        columns: the same for its columns.
    """

    def __init__(self, outputs: int, rows: Sequence[int], columns: Sequence[int]) -> None:
        super().__init__()
        self.rows, self.columns = tuple(rows), tuple(columns)
        shape = (len(self.rows), len(self.columns)) if self.rows else ()
        self.values = nn.Parameter(torch.zeros(outputs, *shape))

    def forward(self) -> Tensor:
        """Values 1×outputs×height×width, or 1×outputs."""
        found: Tensor = self.values
        for axis, runs in ((1, self.rows), (2, self.columns)):
            if runs:
                repeats = torch.tensor(runs, device=found.device)
                found = found.repeat_interleave(repeats, dim=axis, output_size=sum(runs))
        return found.unsqueeze(0)


class OffsetConv(nn.Conv2d):
    """A convolution that adds an `Offset` to what it gives."""

    offset: Offset

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.offset()


def conv(
    like: nn.Conv2d,
    inputs: int,
    outputs: int,
    rows: Sequence[int],
    columns: Sequence[int],
    *,
    bias: bool,
) -> nn.Conv2d:
    """A convolution of another's kernel, stride and padding.

    Args:
        like: the other.
        inputs: channels.
        outputs: channels.
        rows: of its `Offset`; empty if it has none.
        columns: the same.
        bias: whether it has one.
    """
    kernel, stride, padding = like.kernel_size, like.stride, like.padding
    kind = OffsetConv if rows else nn.Conv2d
    made = kind(inputs, outputs, kernel, stride, padding, bias=bias)  # type: ignore[arg-type]
    if isinstance(made, OffsetConv):
        made.offset = Offset(outputs, rows, columns)
    return made


def runs(values: Floats) -> tuple[Floats, list[int], list[int]]:
    """The distinct neighbouring rows and columns of maps, and how often each repeats.

    Args:
        values: maps channels×height×width.

    Returns:
        The kept rows and columns, channels×r×c; repeats of the r rows; repeats of the c columns.
    """
    rows, columns = (_starts(np.moveaxis(values, axis, 0)) for axis in (1, 2))
    kept = values[:, rows][:, :, columns]
    return kept, _lengths(rows, values.shape[1]), _lengths(columns, values.shape[2])


def _starts(slices: Floats) -> npt.NDArray[np.int64]:
    """Where a slice differs from the one before."""
    close = NOISE * max(float(np.abs(slices).max(initial=0.0)), np.finfo(np.float64).tiny)
    differs = np.abs(np.diff(slices, axis=0)).max(axis=(1, 2), initial=0.0) > close
    return np.concatenate([[0], np.flatnonzero(differs) + 1])


def _lengths(starts: npt.NDArray[np.int64], size: int) -> list[int]:
    return [int(n) for n in np.diff([*starts, size])]
