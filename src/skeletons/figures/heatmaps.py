"""The heatmap: a measure of every pair of models."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from skeletons.arrays import Floats
from skeletons.figures import labels
from skeletons.figures.style import MISSING, described
from skeletons.measures.measure import Measure
from skeletons.model_ids import Model

SMALLEST = 6  # points: the size of a label that can be read
LINE = 0.85  # the size of a label in a row of size 1
LEAST = 0.1  # of the range that the scale of a strip shows


def ordered(names: Sequence[str]) -> list[str]:
    """Model ids in canonical order: by seed, λ, epochs and threshold as numbers."""
    return sorted(set(names), key=lambda name: Model.parse(name).sort_key)


def similarity_matrix(pairs: pd.DataFrame, models: Sequence[str], measure: Measure) -> Floats:
    """The N×N values of a measure: symmetric, NaN if a pair has no value.

    The diagonal holds the value of a model with itself, if all models have the same one.
    """
    position = {name: k for k, name in enumerate(models)}
    matrix = np.full((len(models), len(models)), np.nan)
    rows, columns = pairs.a.map(position).to_numpy(), pairs.b.map(position).to_numpy()
    matrix[rows, columns] = matrix[columns, rows] = pairs[measure.name].to_numpy(np.float64)
    np.fill_diagonal(matrix, measure.itself if measure.reflexive else np.nan)
    return matrix


def heatmap(
    pairs: pd.DataFrame, scores: pd.DataFrame, measure: Measure, ax: Axes, colormap: str = "viridis"
) -> None:
    """Draw the similarity of every pair of models as an N×N heatmap.

    Labels say in words what each model is, and the base stands above its group. If labels would be
    too small, only the bases are named. Two strips on the
    left show the accuracy and sparsity of each model; the colour scales are below the labels.
    Everything is placed for the present size of the Axes, and moves with them.

    Args:
        pairs: the table of all pairs on one OOD set.
        scores: the scores of all models.
        measure: the measure to draw; its name is a column of `pairs`.
        ax: the Axes to draw into; they become square.
        colormap: a colour map of matplotlib or seaborn.
    """
    models = ordered([*pairs.a.unique(), *pairs.b.unique()])
    matrix = similarity_matrix(pairs, models, measure)
    about = scores.set_index("model").loc[models]
    side = _square(ax)

    def inset(x: float, y: float, w: float, h: float) -> Axes:
        """Axes at a distance, in inches, from the lower left corner of the heatmap."""
        return ax.inset_axes((x / side, y / side, w / side, h / side))

    known = matrix[~np.eye(len(models), dtype=bool) & ~np.isnan(matrix)]
    colours, norm = _colours(measure, known, colormap)
    image = ax.imshow(matrix, cmap=colours, norm=norm, interpolation="nearest")
    _label_models(ax, models, side)
    _mark_bases(ax, models, side)
    strips = {
        name: _strip(inset(-0.55 + 0.26 * k, 0, 0.22, side), name, about[name], cmap)
        for k, (name, cmap) in enumerate((("accuracy", "mako"), ("sparsity", "rocket_r")))
    }
    shown = {
        described(measure): image,
        "test accuracy": strips["accuracy"],
        "sparsity": strips["sparsity"],
    }
    below = max(map(_depth, (ax, *(strip.axes for strip in strips.values())))) + 0.2
    third = (side + 0.6) / 3.5
    scales = [inset(-0.55 + k * 1.25 * third, -below - 0.12, third, 0.12) for k in range(3)]
    for scale, (name, values) in zip(scales, shown.items(), strict=True):
        _scale(values, scale, name, third)
    if np.isnan(matrix).any():
        lowest = max(_depth(scale) for scale in scales)
        ax.legend(
            handles=[Patch(facecolor=MISSING, label="grey: no value; see the table")],
            loc="upper left",
            bbox_to_anchor=(-0.55 / side, (-below - 0.12 - lowest - 0.05) / side),
            borderaxespad=0,
            borderpad=0,
        )


def top_of(ax: Axes) -> float:
    """The upper end of the names above a heatmap, in inches from the lower edge of the figure."""
    boxes = [ax.get_window_extent(), *(text.get_window_extent() for text in ax.texts)]
    return float(max(_inches(ax, box).y1 for box in boxes))


def _inches(ax: Axes, box: Bbox) -> Bbox:
    """A box on the screen in inches."""
    return box.transformed(ax.figure.dpi_scale_trans.inverted())


def _depth(ax: Axes) -> float:
    """How far the labels below the Axes extend, in inches."""
    box = ax.xaxis.get_tightbbox()
    return (
        0.0 if box is None else float(_inches(ax, ax.get_window_extent()).y0 - _inches(ax, box).y0)
    )


def _square(ax: Axes) -> float:
    """Make Axes square in their place, and return the length of a side in inches."""
    ax.set_box_aspect(1)
    ax.apply_aspect()
    return float(_inches(ax, ax.get_window_extent()).width)


def _colours(measure: Measure, known: Floats, colormap: str) -> tuple[Colormap, Normalize]:
    """The colours of a heatmap: the similar end has the same colour for every measure."""
    colours = sns.color_palette(colormap, as_cmap=True)
    itself = measure.itself
    values = known if len(known) else np.array([0.0, 1.0])
    if measure.higher_is_alike:
        low = float(np.floor(values.min() * 10) / 10)
        high = itself if np.isfinite(itself) else float(values.max())
        low = low if low < high else high - 0.1  # where all are alike, they have the similar end
        return colours.with_extremes(bad=MISSING), Normalize(low, high)
    low = itself if np.isfinite(itself) else float(values.min())
    high = float(np.ceil(values.max() * 10) / 10)
    return colours.reversed().with_extremes(bad=MISSING), Normalize(low, high or 1)


def _label_models(ax: Axes, models: Sequence[str], side: float) -> None:
    """Name each model, or only each base if names of models would be too small to read."""
    cell = 72 * side / len(models)  # in points
    found = labels.groups(models)
    ax.yaxis.tick_right()
    if LINE * cell >= SMALLEST or len(found) == len(models):
        names, places, room = labels.recipes(models), [float(k) for k in range(len(models))], cell
    else:
        names = [group.name for group in found]
        places = [(group.start + group.end - 1) / 2 for group in found]
        room = cell * min(group.end - group.start for group in found)
    step = max(1, math.ceil(SMALLEST / LINE / room))  # more labels would overlap
    size = float(np.clip(LINE * step * room, SMALLEST, 8))
    shown = slice(None, None, step)
    ax.set_yticks(places[shown], names[shown], fontsize=size)
    if len(places) == len(models):
        ax.set_xticks(places[shown], names[shown], rotation=90, fontsize=size)
    else:
        ax.set_xticks([])  # the bases stand above
    ax.tick_params(length=0, pad=2)
    ax.yaxis.set_tick_params(labelright=True)
    if shared := labels.shared(models):
        ax.set_xlabel(f"all regularised with {shared}", fontsize=8)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _mark_bases(ax: Axes, models: Sequence[str], side: float) -> None:
    """Draw white lines between the bases, and the name of each above its group."""
    found = labels.groups(models)
    names = [
        ax.text(
            (group.start + group.end - 1) / 2,
            1 + 0.05 / side,
            group.name,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            fontweight="bold",
        )
        for group in found
    ]
    for group in found[1:]:
        ax.axhline(group.start - 0.5, color="white", linewidth=1.5)
        ax.axvline(group.start - 0.5, color="white", linewidth=1.5)
    room = [(group.end - group.start) * side / len(models) for group in found]
    widths = [_inches(ax, name.get_window_extent()).width for name in names]
    if any(width + 0.05 > space for width, space in zip(widths, room, strict=True)):
        for name, space in zip(names, room, strict=True):
            name.set(rotation=90, fontsize=float(np.clip(72 * space * 0.85, 4, 8)))


def _strip(ax: Axes, name: str, scores: pd.Series[float], cmap: str) -> AxesImage:
    """Draw a column beside the heatmap that shows one score of each model, 0..1."""
    colours = sns.color_palette(cmap, as_cmap=True)
    values = scores.to_numpy(np.float64)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if high == low:  # matplotlib's own scale would leave the range of the score
        low, high = max(0.0, low - LEAST / 2), min(1.0, high + LEAST / 2)
    image = ax.imshow(
        values[:, None],
        cmap=colours,
        norm=Normalize(low, high),
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_xticks([0], [name], rotation=90, fontsize=7)
    ax.set_yticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _scale(image: AxesImage, ax: Axes, name: str, width: float) -> None:
    """Draw a colour scale of a width in inches, with its name wrapped to it."""
    bar = ax.figure.colorbar(image, cax=ax, orientation="horizontal")
    bar.set_label(textwrap.fill(name, max(12, int(17 * width))), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.ax.xaxis.set_major_locator(MaxNLocator(max(2, int(3.5 * width))))
