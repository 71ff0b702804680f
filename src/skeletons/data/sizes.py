"""Bring images to one size and number of channels.

Resizing is that of `ImageOps.fit`: bicubic and antialiased, so that the shorter side has the wanted
length, then cropped to the centre. RGB becomes grey by its luma (ITU-R 601-2), and grey becomes RGB
by repeating its one channel.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from skeletons.data.files import Form, Pixels
from skeletons.errors import DataError
from skeletons.store import memory

BORDERED = (28, 32)  # grey images of this side get a black border to that side, as is usual


def fit_picture(picture: Image.Image, side: int) -> Image.Image:
    """A picture of any size as a square."""
    if picture.size == (side, side):
        return picture
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)


def fit(images: Pixels, side: int) -> Pixels:
    """Images N×C×H×W, of one size, as N×C×S×S."""
    if images.shape[2:] == (side, side):
        return images
    fitted = memory.array((*images.shape[:2], side, side))

    def one(k: int) -> None:
        image = images[k]
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        pixels = np.asarray(fit_picture(picture, side))
        fitted[k] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(len(images))))
    return fitted


def fit_published(images: Pixels, form: Form, what: str) -> Pixels:
    """The same for a published set, whose grey images of 28×28 get a black border at 32×32.

    Raises:
        DataError: see `demand_size`; without a border.
    """
    if images.shape[1] == 1 and (images.shape[2], form.side) == BORDERED:
        border = (form.side - images.shape[2]) // 2
        return np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)))
    demand_size((images.shape[3], images.shape[2]), form, what)
    return fit(images, form.side)


def to_channels(images: Pixels, channels: int) -> Pixels:
    """Images N×1×H×W or N×3×H×W with 1 or 3 channels."""
    if images.shape[1] == channels:
        return images
    changed = memory.array((len(images), channels, *images.shape[2:]))
    if channels == 3:
        changed[:] = images
        return changed
    for part in memory.chunks(images):
        red, green, blue = images[part].astype(np.uint32).swapaxes(0, 1)
        luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # as Pillow rounds it
        changed[part, 0] = luma.astype(np.uint8)
    return changed


def demand_size(size: tuple[int, int], form: Form, what: str) -> None:
    """Check the width and height of an image that must not be resized.

    Raises:
        DataError: the form is exact, and the image has another size.
    """
    if form.exact and size != (form.side, form.side):
        raise DataError(
            f"{what} has {size[0]}×{size[1]} pixels, but images.size is not set and others have "
            f"{form.side}×{form.side}; set images.size to bring all images to one size."
        )
