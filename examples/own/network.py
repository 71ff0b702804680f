"""A user-defined network."""

from torch import nn


def strided(width: int, classes: int) -> nn.Module:
    """Three convolutions that each halve the image, followed by a linear layer."""
    w = width
    return nn.Sequential(
        *(nn.Conv2d(3, w, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(64 * w, classes),
    )
