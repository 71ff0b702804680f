"""A synthetic task: ten classes of shapes, which a network learns and a linear model does not.

Outline, fill and texture define the class. Colour, position, size, rotation, background and noise
are random and independent of it, so a single pixel carries no information about the class.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skeletons.store import memory

Floats32 = npt.NDArray[np.float32]

USUAL_SIDE = 32
CHUNK = 1_000  # images drawn at a time, which bounds the memory
CLASSES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "triangle outline",
    "cross",
    "crescent",
    "striped disc",
    "chequered square",
)
THICKNESS = 0.3  # of an outline, in units of the shape's radius


def draw(
    count: int, *seed: int, side: int = USUAL_SIDE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Draw labelled images; the same arguments always give the same images.

    Args:
        count: number of images; the classes are as balanced as possible, in random order.
        seed: one or more integers.
        side: height and width of the images in pixels. The shapes are as large in proportion.

    Returns:
        Images uint8 count×3×side×side and labels int64 count, indices into `CLASSES`.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(CLASSES)).astype(np.int64)
    images = memory.array((count, 3, side, side))
    for start in range(0, count, CHUNK):
        images[start : start + CHUNK] = _draw(labels[start : start + CHUNK], random, side)
    return images, labels


def _draw(
    labels: npt.NDArray[np.int64], random: np.random.Generator, side: int
) -> npt.NDArray[np.uint8]:
    count, larger = len(labels), side / USUAL_SIDE
    radius = random.uniform(9 * larger, 13 * larger, (count, 1, 1)).astype(np.float32)
    u, v = _shape_coordinates(radius, random, side)
    inside = np.empty_like(u)
    for label in range(len(CLASSES)):
        chosen = labels == label
        inside[chosen] = _distance_inside(label, u[chosen], v[chosen])
    # A pixel on an edge is covered in proportion to how far the shape reaches into it.
    cover = np.clip(inside * radius + 0.5, 0, 1)[:, None]
    background, foreground = _colours(count, random, side)
    noise = random.normal(size=(count, 3, side, side)).astype(np.float32)
    noise *= random.uniform(0, 12, (count, 1, 1, 1)).astype(np.float32)
    pixels = background + cover * (foreground - background) + noise
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _shape_coordinates(
    radius: Floats32, random: np.random.Generator, side: int
) -> tuple[Floats32, Floats32]:
    """Each pixel's position relative to the shape: centred, rotated, in units of its radius."""
    count = len(radius)
    angle = random.uniform(0, 2 * np.pi, (count, 1, 1)).astype(np.float32)
    # The whole shape stays in the image.
    room = np.maximum(0, side / 2 - radius - 1)
    centre = random.uniform(-1, 1, (2, count, 1, 1)).astype(np.float32) * room
    line = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = line[None, None, :] - centre[0], line[None, :, None] - centre[1]
    cos, sin = np.cos(angle), np.sin(angle)
    return (x * cos + y * sin) / radius, (y * cos - x * sin) / radius


def _colours(count: int, random: np.random.Generator, side: int) -> tuple[Floats32, Floats32]:
    """A background with a colour gradient, and a foreground colour that contrasts with it."""
    ends = random.uniform(0, 255, (2, count, 3, 1, 1)).astype(np.float32)
    line = np.linspace(0, 1, side, dtype=np.float32)
    along = np.where(random.random((count, 1, 1, 1)) < 0.5, line, line[:, None])
    background = ends[0] + (ends[1] - ends[0]) * 0.5 * along.astype(np.float32)
    candidates = random.uniform(0, 255, (8, count, 3, 1, 1)).astype(np.float32)
    middle = background.mean(axis=(2, 3), keepdims=True)
    far = np.abs(candidates - middle).sum(axis=2).argmax(axis=0).reshape(-1)
    return background, candidates[far, np.arange(count)]


def _distance_inside(label: int, u: Floats32, v: Floats32) -> Floats32:
    """Distance of a position to the edge, in units of the shape's radius; negative outside."""
    disc = 1 - np.hypot(u, v)
    square = 0.8 - np.maximum(np.abs(u), np.abs(v))
    sides = (np.pi / 2, np.pi * 7 / 6, np.pi * 11 / 6)
    triangle = np.minimum.reduce([0.5 - np.cos(a) * u - np.sin(a) * v for a in sides])
    a, b = np.abs(u), np.abs(v)
    cross = np.maximum(np.minimum(0.95 - a, 0.28 - b), np.minimum(0.95 - b, 0.28 - a))
    crescent = np.minimum(disc, np.hypot(u - 0.5, v) - 0.75)
    shape = (disc, disc, square, square, triangle, triangle, cross, crescent, disc, square)[label]
    name = CLASSES[label]
    if name in ("ring", "frame", "triangle outline"):
        shape = np.minimum(shape, THICKNESS * (0.7 if "tri" in name else 1) - shape)
    elif name == "striped disc":
        shape = np.minimum(shape, np.sin(u * 2.5 * np.pi) / (2.5 * np.pi))
    elif name == "chequered square":
        waves = np.sin(u * 2.5 * np.pi) * np.sin(v * 2.5 * np.pi)
        shape = np.minimum(shape, waves / (2.5 * np.pi))
    return np.asarray(shape, dtype=np.float32)
