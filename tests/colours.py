"""A task that any network learns at once, for tests of training and of later stages."""

import torch

from skeletons.training.images import Images

PLAIN = {"flip": False, "shift": 0, "cutout": 0}


def images(count: int = 96, seed: int = 0) -> Images:
    """Three classes that differ in colour."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, 3, 32, 32), generator=draw, dtype=torch.uint8)
    pixels[torch.arange(count), labels] += 120
    return Images(pixels, labels)
