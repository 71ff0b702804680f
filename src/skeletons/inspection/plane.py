"""The loss on the plane through three models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons.alignment import permutations
from skeletons.arrays import Floats
from skeletons.inspection.absence import look
from skeletons.inspection.landscape import (
    Landscape,
    Measured,
    Weights,
    check_alike,
    mix,
    naming,
)
from skeletons.store import artifacts
from skeletons.store.artifacts import Array


class Plane:
    """The plane through three models, with orthonormal axes.

    The first model is the origin, the second lies on the x axis, and the third has a positive y.
    The space is that of all parameters, so distances on the plane are L2 distances of weights.

    Source: Garipov et al. 2018, section 3 and appendix A.1.

    Attributes:
        corners: coordinates of the three models, 3×2.

    Raises:
        ValueError: the three lie on one line, or are not of one network.
    """

    def __init__(self, models: Sequence[Weights], parameters: Sequence[str]) -> None:
        self.models, self.parameters = list(models), list(parameters)
        origin, second, third = models
        check_alike(models)
        along, away = self._difference(second, origin), self._difference(third, origin)
        length, reach = np.linalg.norm(along), np.linalg.norm(away)
        self._u = along / length if length else along
        foot = float(away @ self._u)
        # Twice: the rounding that one subtraction leaves along u is large next to a small height.
        across = away - foot * self._u
        across -= (across @ self._u) * self._u
        height = np.linalg.norm(across)
        if not length or height <= 1e-6 * reach:
            raise ValueError("the three models lie on one line, so they do not define a plane")
        self._v = across / height
        self.corners: Floats = np.array([[0, 0], [length, 0], [foot, height]], dtype=np.float64)

    def _difference(self, one: Weights, other: Weights) -> Floats:
        return np.concatenate(
            [
                one[name].ravel().astype(np.float64) - other[name].ravel().astype(np.float64)
                for name in self.parameters
            ]
        )

    def at(self, x: float, y: float) -> dict[str, Array]:
        """The tensors at the point (x, y); at a corner, exactly those of the model."""
        (_, _), (length, _), (foot, height) = self.corners
        third = y / height
        second = (x - foot * third) / length
        return mix(self.models, [1 - second - third, second, third])

    def project(self, model: Weights) -> tuple[float, float, float]:
        """Coordinates (x, y) of the nearest point to a model, and the model's distance from it."""
        away = self._difference(model, self.models[0])
        x, y = float(away @ self._u), float(away @ self._v)
        return x, y, float(np.linalg.norm(away - x * self._u - y * self._v))


def span(coordinates: Floats, margin: float, points: int) -> tuple[Floats, Floats]:
    """The x and the y of a grid that covers given points of a plane, with a margin around them.

    The shorter side is at least half as long as the longer one, so models that lie almost on a line
    do not reduce the grid to a strip.

    Args:
        coordinates: of the points, N×2.
        margin: the room on each side, as a share of the larger of the two extents, ≥ 0.
        points: number of points of the grid on each axis, ≥ 2.
    """
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extents = (high - low) + 2 * margin * (high - low).max()
    half = np.maximum(extents, extents.max() / 2) / 2
    middle = (low + high) / 2
    x, y = (np.linspace(middle[k] - half[k], middle[k] + half[k], points) for k in range(2))
    return x, y


def losses_on(
    landscape: Landscape, plane: Plane, xs: Iterable[float], ys: Iterable[float]
) -> pd.DataFrame:
    """Loss and accuracy at every point of a grid on a plane.

    Returns:
        One row per point: x, y (L2 distances along the axes of the plane), loss (nats) and accuracy
        (0..1), by y and then x.
    """
    columns = list(xs)
    rows = []
    for y in ys:
        for x in columns:
            loss, accuracy = landscape.measure(plane.at(x, y))
            rows.append({"x": x, "y": y, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


def locate(landscape: Landscape, plane: Plane, models: Mapping[str, Weights]) -> pd.DataFrame:
    """The nearest points of a plane to models, and the models' loss and accuracy.

    Returns:
        One row per model: model, x, y, residual (L2 distance to the plane; 0 up to rounding for its
        corners), and loss and accuracy of the model itself, not of its nearest point.
    """
    rows = []
    for name, weights in models.items():
        x, y, residual = plane.project(weights)
        loss, accuracy = landscape.measure(weights)
        row = {"model": name, "x": x, "y": y, "residual": residual}
        rows.append({**row, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


# --- the stage ----------------------------------------------------------------------------------


@look("grid", "located")
def plane_stage(
    *,
    weights: Sequence[str],
    summary: str,
    dataset: str,
    matched: str | None = None,
    symmetries: str | None = None,
    grid: str,
    located: str,
    models: Sequence[str],
    aligned: Sequence[str],
    points: int,
    margin: float,
    measured: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Write the losses on the plane through three models, and the nearest points to models.

    Args:
        weights: weights.safetensors of each model, in the order of `models`; the first three models
            span the plane, the others are projected onto it.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        matched: the permutations that align the second base to the first.
        symmetries: the symmetries.json of their network, if `matched` is given.
        grid: the parquet file to write, with the columns of `losses_on`.
        located: the parquet file to write, with the columns of `locate`.
        models: the ids of the models.
        aligned: the ids of the models that `matched` aligns to the first.
        points: number of points of the grid on each axis, ≥ 2.
        margin: the room around the models, as a share of the larger extent.
        measured: the fields of `Measured` without the device and the threads.
        device: `auto`, `cpu` or `cuda`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, the models are not of one network, or the first
            three lie on one line.
    """
    landscape = Measured(**measured, device=device, threads=threads).landscape(
        weights[0], summary, dataset
    )
    tensors = {
        model: permutations.read_aligned(path, symmetries, matched if model in aligned else None)
        for model, path in zip(models, weights, strict=True)
    }
    with naming(*weights):
        check_alike(list(tensors.values()))
    with naming(*weights[:3]):
        plane = Plane(list(tensors.values())[:3], landscape.parameters)
    found = locate(landscape, plane, tensors)
    xs, ys = span(found[["x", "y"]].to_numpy(np.float64), margin, points)
    artifacts.write_table(grid, losses_on(landscape, plane, xs, ys))
    artifacts.write_table(located, found)
