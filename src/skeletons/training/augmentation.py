"""Augmentation: random changes to all images of a batch at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _draw(high: int, shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    # Drawn on the CPU, so that all devices see the same images.
    return torch.randint(high, shape, generator=generator).to(like.device, non_blocking=True)


def augment(
    images: Tensor, generator: torch.Generator, *, flip: bool, shift: int, cutout: int
) -> Tensor:
    """Change each image of a batch at random.

    Args:
        images: uint8 N×3×H×W.
        generator: a CPU generator; the same state gives the same images on all devices.
        flip: mirror horizontally with probability 1/2.
        shift: move by up to this many pixels in each direction, borders reflected; 0 for none.
        cutout: side of a square to blacken at random (DeVries & Taylor 2017); 0 for none.

    Returns:
        uint8 N×3×H×W.
    """
    if not (flip or shift or cutout):
        return images
    count, _, height, width = images.shape
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, width)
    if flip:
        mirrored = _draw(2, (count, 1), generator, images).bool()
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if shift:
        padded = F.pad(images.float(), (shift,) * 4, mode="reflect").to(images.dtype)
        dy, dx = _draw(2 * shift + 1, (2, count, 1), generator, images)
        rows_of, columns = rows + dy, columns + dx
    else:
        padded, rows_of = images, rows.expand(count, height)
    each = torch.arange(count, device=images.device)
    # Advanced indices around a slice put the channel last, so the permuted batch is channels_last.
    images = padded[each[:, None, None], :, rows_of[:, :, None], columns[:, None, :]]
    images = images.permute(0, 3, 1, 2)
    if cutout:
        top, left = (_draw(n - cutout + 1, (count, 1), generator, images) for n in (height, width))
        hit_rows = (rows >= top) & (rows < top + cutout)
        line = torch.arange(width, device=images.device)
        hit_columns = (line >= left) & (line < left + cutout)
        images = images.masked_fill((hit_rows[:, :, None] & hit_columns[:, None, :])[:, None], 0)
    return images
