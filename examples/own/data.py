"""A user-defined data set: stripes, classified by their direction."""

import numpy as np


def stripes(train: int = 2_000, test: int = 500, directions: int = 4, seed: int = 0):
    """Draw stripes of random width, phase and colours; each direction is a class.

    Returns:
        train_images, train_labels, test_images, test_labels, classes: images uint8 N×3×32×32,
        labels N from 0, and the names of the classes.
    """
    random = np.random.default_rng(seed)
    classes = [f"{180 * k // directions} degrees" for k in range(directions)]
    return *draw(train, directions, random), *draw(test, directions, random), classes


def draw(count: int, directions: int, random: np.random.Generator):
    """Draw N = `count` images, uint8 N×3×32×32, and their labels N."""
    labels = random.integers(directions, size=count)
    angles = np.pi * labels / directions
    y, x = np.mgrid[:32, :32]
    across = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    width, phase = random.uniform(3, 8, (count, 1, 1)), random.uniform(0, 1, (count, 1, 1))
    on = (across / width + phase) % 1 < 0.5
    dark, light = random.integers(0, 120, (count, 3)), random.integers(136, 256, (count, 3))
    images = np.where(on[:, None], light[:, :, None, None], dark[:, :, None, None])
    return images.astype(np.uint8), labels
