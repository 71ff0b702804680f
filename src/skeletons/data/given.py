"""Images that are passed from Python, in the form that networks take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skeletons.data.files import CHANNELS, SIDE, Pixels
from skeletons.errors import DataError


def as_pixels(
    images: npt.ArrayLike, shape: tuple[int, int, int] = (CHANNELS, SIDE, SIDE)
) -> Pixels:
    """Images as uint8 N×C×H×W.

    Args:
        images: uint8 with values in 0..255, or floats with values in 0..1, which are multiplied by
            255 and rounded; N×C×H×W, N ≥ 1.
        shape: C, H and W.

    Raises:
        DataError: they have another shape, type or range.
    """
    found = np.asarray(images)
    form = f"{found.dtype} {'×'.join(map(str, found.shape)) or 'number'}"
    fits = found.ndim == 4 and found.shape[1:] == tuple(shape) and len(found) > 0
    if fits and found.dtype.kind == "f":
        low, high = float(found.min()), float(found.max())
        form += f" from {low:.3g} to {high:.3g}"
        if 0 <= low <= high <= 1:
            return np.rint(np.asarray(found, dtype=np.float64) * 255).astype(np.uint8)
    if not fits or found.dtype != np.uint8:
        raise DataError(
            f"images: found {form}; allowed: uint8 N×{'×'.join(map(str, shape))} with values from "
            "0 to 255, or floats from 0 to 1."
        )
    return np.ascontiguousarray(found)
