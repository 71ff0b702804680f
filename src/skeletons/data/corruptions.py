"""Corruptions of images, with five severities: near out-of-distribution data.

They are those of CIFAR-10-C, with its strengths (Hendrycks & Dietterich 2019, Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations). Frost and spatter are left out: frost
needs photographs. Lengths are those for 32×32 pixels, and grow with the size of the images. The
random numbers are not those of the published files, so the images are not the same.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from skeletons.data import blurs
from skeletons.data.blurs import Floats
from skeletons.data.files import Pixels
from skeletons.store import memory

CHUNK = 500  # images that are corrupted at a time
USUAL_SIDE = 32
# A corruption of images N×H×W×C in [0, 1]: given these, its strength, the random generator, and how
# much larger than 32×32 they are.
Corruption = Callable[[Floats, Any, np.random.Generator, float], Floats]


def apply(images: Pixels, name: str, severity: int, seed: int) -> Pixels:
    """Corrupt each of some images.

    Args:
        images: uint8 N×C×S×S.
        name: a key of `CORRUPTIONS`.
        severity: 1 (weak) to 5 (strong).
        seed: of what is random. An image's corruption does not depend on how many follow it.

    Returns:
        uint8 N×C×S×S.
    """
    change, strengths = CORRUPTIONS[name]
    larger = images.shape[2] / USUAL_SIDE
    corrupted = memory.array(images.shape)
    for start in range(0, len(images), CHUNK):
        draw = np.random.default_rng((seed, severity, start))
        some = np.zeros((CHUNK, *images.shape[1:]), dtype=np.uint8)  # always as many are drawn for
        given = images[start : start + CHUNK]
        some[: len(given)] = given
        pixels = some.transpose(0, 2, 3, 1) / 255
        changed = np.clip(change(pixels, strengths[severity - 1], draw, larger), 0, 1)
        whole = np.rint(changed[: len(given)] * 255).astype(np.uint8)
        corrupted[start : start + CHUNK] = whole.transpose(0, 3, 1, 2)
    return corrupted


# --- noise ----------------------------------------------------------------------------------------


def _gaussian_noise(x: Floats, scale: float, draw: np.random.Generator, larger: float) -> Floats:
    return x + draw.normal(scale=scale, size=x.shape)


def _shot_noise(x: Floats, photons: int, draw: np.random.Generator, larger: float) -> Floats:
    return draw.poisson(x * photons) / photons


def _impulse_noise(x: Floats, share: float, draw: np.random.Generator, larger: float) -> Floats:
    hit, white = draw.random(x.shape) < share, draw.random(x.shape) < 0.5
    return np.where(hit, white, x)


def _speckle_noise(x: Floats, scale: float, draw: np.random.Generator, larger: float) -> Floats:
    return x + x * draw.normal(scale=scale, size=x.shape)


# --- blur -----------------------------------------------------------------------------------------


def _gaussian_blur(x: Floats, sigma: float, draw: np.random.Generator, larger: float) -> Floats:
    return blurs.gaussian(x, sigma * larger)


def _defocus_blur(
    x: Floats, strength: tuple[float, float], draw: np.random.Generator, larger: float
) -> Floats:
    radius, softness = strength
    return blurs.defocus(x, radius * larger, softness * larger, int(np.ceil(larger)))


def _glass_blur(
    x: Floats, strength: tuple[float, int, int], draw: np.random.Generator, larger: float
) -> Floats:
    sigma, reach, times = strength
    blurred = blurs.gaussian(x, sigma * larger)
    shuffled = blurs.glass(blurred, max(1, round(reach * larger)), times, draw)
    return blurs.gaussian(shuffled, sigma * larger)


def _motion_blur(
    x: Floats, strength: tuple[float, float], draw: np.random.Generator, larger: float
) -> Floats:
    radius, sigma = strength
    return blurs.motion(x, radius * larger, sigma * larger, draw.uniform(-45, 45, len(x)))


def _zoom_blur(x: Floats, most: float, draw: np.random.Generator, larger: float) -> Floats:
    factors = np.arange(1, most, 0.01)
    return (x + sum(blurs.zoomed(x, factor) for factor in factors)) / (len(factors) + 1)


# --- weather --------------------------------------------------------------------------------------


def _snow(x: Floats, strength: Sequence[float], draw: np.random.Generator, larger: float) -> Floats:
    mean, deviation, zoom, least, radius, sigma, kept = strength
    flakes = blurs.zoomed(draw.normal(mean, deviation, (*x.shape[:3], 1)), max(1.0, zoom * larger))
    flakes = np.where(flakes < least, 0, np.clip(flakes, 0, 1))
    flakes = blurs.motion(flakes, radius * larger, sigma * larger, draw.uniform(-135, -45, len(x)))
    weights = [0.299, 0.587, 0.114] if x.shape[3] == 3 else [1.0]
    grey = (x * np.array(weights)).sum(axis=3, keepdims=True)
    whitened = kept * x + (1 - kept) * np.maximum(x, grey * 1.5 + 0.5)
    return whitened + flakes + flakes[:, ::-1, ::-1]


def _fog(
    x: Floats, strength: tuple[float, float], draw: np.random.Generator, larger: float
) -> Floats:
    density, decay = strength
    lightest = x.max(axis=(1, 2, 3), keepdims=True)
    clouds = blurs.plasma(len(x), x.shape[1], decay, draw)[..., None]
    return (x + density * clouds) * lightest / (lightest + density)


def _brightness(x: Floats, rise: float, draw: np.random.Generator, larger: float) -> Floats:
    value = x.max(axis=3, keepdims=True)  # of hue, saturation and value, which alone changes
    raised = np.clip(value + rise, 0, 1)
    return np.where(value > 0, x * raised / np.where(value > 0, value, 1), raised)


# --- digital --------------------------------------------------------------------------------------


def _contrast(x: Floats, factor: float, draw: np.random.Generator, larger: float) -> Floats:
    mean = x.mean(axis=(1, 2), keepdims=True)
    return (x - mean) * factor + mean


def _saturate(
    x: Floats, strength: tuple[float, float], draw: np.random.Generator, larger: float
) -> Floats:
    factor, rise = strength
    value, least = x.max(axis=3, keepdims=True), x.min(axis=3, keepdims=True)
    spread = value - least
    saturation = spread / np.where(value > 0, value, 1)
    changed = np.clip(saturation * factor + rise, 0, 1)
    # How far each channel lies below the value, as a share of the spread. A grey pixel has hue 0,
    # which is red.
    grey = np.broadcast_to(np.array([0.0, 1.0, 1.0])[-x.shape[3] :], x.shape)
    below = np.where(spread > 0, (value - x) / np.where(spread > 0, spread, 1), grey)
    return value * (1 - changed * below)


def _elastic_transform(
    x: Floats, strength: tuple[float, float, float], draw: np.random.Generator, larger: float
) -> Floats:
    """A random affine map and a smooth random displacement, as one resampling."""
    count, side = x.shape[:2]
    length, smoothness, tilt = (part * side for part in strength)
    shifts = [
        ndimage.gaussian_filter(
            draw.uniform(-1, 1, (count, side, side)), (0, smoothness, smoothness), truncate=3
        )
        for _ in range(2)
    ]
    middle, arm = side // 2, side // 3
    corners = np.array([[arm, arm], [arm, -arm], [-arm, -arm]]) + middle
    moved = corners + draw.uniform(-tilt, tilt, (count, 3, 2))
    back = np.linalg.solve(
        np.concatenate([moved, np.ones((count, 3, 1))], axis=2),
        np.broadcast_to(corners.astype(float), (count, 3, 2)),
    )
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1)
    found = np.empty_like(x)
    for k in range(count):
        places = grid + length * np.stack([shifts[0][k], shifts[1][k]], axis=-1)
        rows, columns = np.moveaxis(places @ back[k, :2] + back[k, 2], -1, 0)
        for c in range(x.shape[3]):
            where = [rows, columns]
            found[k, :, :, c] = ndimage.map_coordinates(
                x[k, :, :, c], where, order=1, mode="mirror"
            )
    return found


def _one_by_one(x: Floats, change: Callable[[Image.Image], Image.Image]) -> Floats:
    """Images changed as pictures of 8 bits."""
    bytes_of = np.rint(x * 255).astype(np.uint8)
    pictures = [Image.fromarray(b[..., 0] if b.shape[2] == 1 else b) for b in bytes_of]
    return np.stack([np.asarray(change(p)) for p in pictures]).reshape(x.shape) / 255


def _pixelate(x: Floats, share: float, draw: np.random.Generator, larger: float) -> Floats:
    side, box = x.shape[1], Image.Resampling.BOX
    small = int(side * share)
    return _one_by_one(x, lambda p: p.resize((small, small), box).resize((side, side), box))


def _jpeg_compression(x: Floats, quality: int, draw: np.random.Generator, larger: float) -> Floats:
    def compressed(picture: Image.Image) -> Image.Image:
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=quality)
        return Image.open(content)

    return _one_by_one(x, compressed)


# Each corruption with its strengths at severities 1 to 5.
CORRUPTIONS: Mapping[str, tuple[Corruption, Sequence[Any]]] = {
    "gaussian_noise": (_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (_shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "speckle_noise": (_speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "defocus_blur": (_defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": (
        _glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": (_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": (_zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
    "snow": (
        _snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "fog": (_fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "saturate": (_saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
    "elastic_transform": (
        _elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": (_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (_jpeg_compression, (80, 65, 58, 50, 40)),
}
