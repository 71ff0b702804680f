"""What is odd about the images of a data set: copies in both splits, and images of one colour."""

from __future__ import annotations

import hashlib

import numpy as np

from skeletons.data.files import Dataset, Pixels
from skeletons.errors import DataError

LEVELS = 16  # of 256 that the images of a split must span in a channel, at least


def copies(dataset: Dataset) -> list[str]:
    """A sentence if images are in both splits, pixel for pixel."""
    training = {_digest(image) for image in dataset.train_images}
    found = sum(_digest(image) in training for image in dataset.test_images) if training else 0
    if not found:
        return []
    side = dataset.test_images.shape[2]
    return [
        f"{found:,} of {len(dataset.test_images):,} test images are exact copies of training "
        f"images (at {side}×{side} pixels), so the accuracy on the test set says too much."
    ]


def _digest(image: Pixels) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def check_colours(dataset: Dataset, name: str) -> None:
    """Check that the images of each split are not all of (nearly) one colour.

    Args:
        dataset: the data set.
        name: what it is called in the error.

    Raises:
        DataError: those of a split are.
    """
    for split, images in (("training", dataset.train_images), ("test", dataset.test_images)):
        if not len(images):
            continue
        low, high = images.min(axis=(0, 2, 3)), images.max(axis=(0, 2, 3))
        if np.max(high.astype(int) - low) + 1 < LEVELS:
            spans = ", ".join(f"{a} to {b}" for a, b in zip(low, high, strict=True))
            named = "grey is" if len(low) == 1 else "red, green and blue are"
            raise DataError(
                f"{name}: found {split} images that are all of nearly one colour "
                f"({named} {spans} of 255); allowed: images that span at least {LEVELS} levels."
            )
