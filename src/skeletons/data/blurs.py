"""Blurs and random fields of the corruptions in `data.corruptions`.

Images are float N×H×W×C in [0, 1]. Lengths are in pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.floating]


def gaussian(images: Floats, sigma: float) -> Floats:
    """A Gaussian blur; the borders are continued by their nearest pixels."""
    if sigma == 0:
        return images
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0)[: images.ndim], mode="nearest")


def defocus(images: Floats, radius: float, softness: float, reach: int) -> Floats:
    """The mean over a disc, as of a lens out of focus.

    Args:
        images: to blur.
        radius: of the disc.
        softness: standard deviation of the blur of the disc's edge.
        reach: how far that blur reaches.
    """
    size = int(radius) + reach
    line = np.arange(-size, size + 1)
    disc = (line[:, None] ** 2 + line**2 <= radius**2).astype(float)
    disc = ndimage.gaussian_filter(disc / disc.sum(), softness, mode="constant", radius=reach)
    return ndimage.convolve(images, disc[None, :, :, None], mode="mirror")


def glass(images: Floats, reach: int, times: int, draw: np.random.Generator) -> Floats:
    """Swap each pixel with a neighbour, at most `reach` away, as frosted glass does."""
    shuffled, every = images.copy(), np.arange(len(images))
    rows, columns = images.shape[1] - reach, images.shape[2] - reach
    for _ in range(times):
        for row in range(rows - 1, reach, -1):
            for column in range(columns - 1, reach, -1):
                down, right = draw.integers(-reach, reach, (2, len(images)))
                there = (every, row + down, column + right)
                here = shuffled[:, row, column].copy()
                shuffled[:, row, column] = shuffled[there]
                shuffled[there] = here
    return shuffled


def motion(images: Floats, radius: float, sigma: float, degrees: Floats) -> Floats:
    """A blur along a line that begins at each pixel, as ImageMagick's motion blur.

    Args:
        images: to blur.
        radius: half the length of the line.
        sigma: standard deviation of the half Gaussian of weights along it.
        degrees: the direction of each image's line, N.
    """
    steps = np.arange(2 * int(np.ceil(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    across = np.cos(np.deg2rad(degrees))[:, None] * steps
    down = np.sin(np.deg2rad(degrees))[:, None] * steps
    columns, rows = (np.ceil(shift - 0.5).astype(int) for shift in (across, down))
    pad, height, width = len(steps), images.shape[1], images.shape[2]
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    blurred = np.zeros_like(images)
    for k, image in enumerate(padded):
        for weight, row, column in zip(weights, rows[k], columns[k], strict=True):
            top, left = pad + row, pad + column
            blurred[k] += weight * image[top : top + height, left : left + width]
    return blurred


def zoomed(images: Floats, factor: float) -> Floats:
    """The middle of square images, enlarged by a factor ≥ 1 to their size, by linear interpolation.

    Rows and columns are interpolated one after the other, each by a product with one matrix.
    """
    side = images.shape[1]
    crop = int(np.ceil(side / factor))
    size = round(crop * factor)
    places = (np.arange(side) + (size - side) // 2) * (crop - 1) / (size - 1)
    left = np.minimum(places.astype(int), crop - 2)
    matrix = np.zeros((side, side))
    top, every = (side - crop) // 2, np.arange(side)
    matrix[every, top + left] = 1 - (places - left)
    matrix[every, top + left + 1] = places - left
    return np.moveaxis(matrix @ np.moveaxis(images, 3, 1) @ matrix.T, 1, 3)


def plasma(count: int, side: int, decay: float, draw: np.random.Generator) -> Floats:
    """Clouds: random fields N×side×side in [0, 1], by the diamond-square algorithm.

    Source: Fournier, Fussell & Carpenter 1982, Computer Rendering of Stochastic Models.

    Args:
        count: N.
        side: of the fields.
        decay: how much smaller the differences become with each halving of the distance.
        draw: the random generator.
    """
    size = 1 << (side - 1).bit_length()
    field = np.zeros((count, size, size))
    step, height = size, 1.0

    def middle(total: Floats) -> Floats:
        return total / 4 + height * draw.uniform(-1, 1, total.shape)

    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        rows = corners + np.roll(corners, -1, 1)
        field[:, half::step, half::step] = middle(rows + np.roll(rows, -1, 2))
        centres = field[:, half::step, half::step]
        beside = corners + np.roll(corners, -1, 2) + centres + np.roll(centres, 1, 1)
        field[:, ::step, half::step] = middle(beside)
        above = corners + np.roll(corners, -1, 1) + centres + np.roll(centres, 1, 2)
        field[:, half::step, ::step] = middle(above)
        step, height = half, height / decay**2
    field -= field.min(axis=(1, 2), keepdims=True)
    return (field / field.max(axis=(1, 2), keepdims=True))[:, :side, :side]
