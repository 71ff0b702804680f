"""Layers that add the constant contribution of removed dead units, the same for every image.

A channel that never changes still contributes to each channel that reads it. In a convolution with
zero padding the contribution is one number in the middle of the image and others along its borders,
so it is a map. The map has few distinct rows and columns; only these are kept, with the number of
times that each repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skeletons.arrays import Floats

NOISE = 1e-9  # relative to the largest value: rounding differences of sums in double precision


class Offset(nn.Module):
    """A layer without input, whose output is the same for every image.

    Args:
        outputs: channels or units.
        rows: how often each row of the kept map repeats; empty for units without positions.
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
    """A convolution that adds an `Offset` to its output."""

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
    """A convolution with the kernel and the options of another one, without groups.

    Args:
        like: the other convolution.
        inputs: number of input channels.
        outputs: number of output channels.
        rows: see `Offset`; empty for a convolution without one.
        columns: see `Offset`.
        bias: whether it has a bias.
    """
    kind = OffsetConv if rows else nn.Conv2d
    made = kind(
        inputs,
        outputs,
        like.kernel_size,  # type: ignore[arg-type]
        like.stride,  # type: ignore[arg-type]
        like.padding,  # type: ignore[arg-type]
        like.dilation,  # type: ignore[arg-type]
        bias=bias,
        padding_mode=like.padding_mode,
    )
    if isinstance(made, OffsetConv):
        made.offset = Offset(outputs, rows, columns)
    return made


def runs(values: Floats) -> tuple[Floats, list[int], list[int]]:
    """Merge equal neighbouring rows and columns of maps, and count how often each repeats.

    Args:
        values: maps channels×height×width.

    Returns:
        The kept rows and columns, channels×r×c; repeats of the r rows; repeats of the c columns.
    """
    rows, columns = (_starts(np.moveaxis(values, axis, 0)) for axis in (1, 2))
    kept = values[:, rows][:, :, columns]
    return kept, _lengths(rows, values.shape[1]), _lengths(columns, values.shape[2])


def _starts(slices: Floats) -> npt.NDArray[np.int64]:
    """The indices of slices that differ from the slice before."""
    close = NOISE * max(float(np.abs(slices).max(initial=0.0)), np.finfo(np.float64).tiny)
    differs = np.abs(np.diff(slices, axis=0)).max(axis=(1, 2), initial=0.0) > close
    return np.concatenate([[0], np.flatnonzero(differs) + 1])


def _lengths(starts: npt.NDArray[np.int64], size: int) -> list[int]:
    return [int(n) for n in np.diff([*starts, size])]
