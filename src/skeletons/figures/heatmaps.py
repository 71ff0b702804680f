"""The heatmap: a measure of every pair of models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from skeletons.arrays import Floats
from skeletons.figures.style import MISSING, described
from skeletons.measures.measure import Measure
from skeletons.model_ids import Model, spell


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


def label(name: str) -> str:
    """A model's short label; the seed is not part of it, because it labels the whole block."""
    model = Model.parse(name)
    if model.state == "base":
        return "base"
    if model.state == "untrained":
        return "untrained"
    if model.state == "reordered":
        return f"order {model.order}"
    text = f"λ{spell(model.l1 or 0)} ·{model.epochs}"
    if model.threshold is not None:
        text += f" <{spell(model.threshold)}"
    return text if model.draw is None else f"{text} random {model.draw}"


def heatmap(
    pairs: pd.DataFrame, scores: pd.DataFrame, measure: Measure, ax: Axes, colormap: str = "viridis"
) -> None:
    """Draw the similarity of every pair of models as an N×N heatmap.

    Two strips on the left show the accuracy and sparsity of each model; the colour scales are
    below. Strips and scales are placed for the present size of the Axes, and move with them.

    Args:
        pairs: the table of all pairs on one OOD set.
        scores: the scores of all models.
        measure: the measure to draw; its name is a column of `pairs`.
        ax: the Axes to draw into; they become square.
        colormap: a colour map of matplotlib or seaborn.
    """
    models = ordered([*pairs.a, *pairs.b])
    matrix = similarity_matrix(pairs, models, measure)
    about = scores.set_index("model").loc[models]
    side = _square(ax)

    def inset(x: float, y: float, w: float, h: float) -> Axes:
        """Axes at a distance, in inches, from the lower left corner of the heatmap."""
        return ax.inset_axes((x / side, y / side, w / side, h / side))

    known = matrix[~np.eye(len(models), dtype=bool) & ~np.isnan(matrix)]
    colours, norm = _colours(measure, known, colormap)
    image = ax.imshow(matrix, cmap=colours, norm=norm, interpolation="nearest")
    _label_models(ax, models)
    _mark_bases(ax, models)
    third = (side + 0.6) / 3.5
    scales = [inset(-0.55 + k * 1.25 * third, -1.7, third, 0.12) for k in range(3)]
    _scale(image, scales[0], described(measure).replace(" of ", "\nof ", 1))
    for k, (column, cmap) in enumerate((("accuracy", "mako"), ("sparsity", "rocket_r"))):
        beside = inset(-0.55 + 0.26 * k, 0, 0.22, side)
        strip = _strip(beside, column, about[column].to_numpy(np.float64), cmap)
        _scale(strip, scales[k + 1], {"accuracy": "test accuracy"}.get(column, column))
    if np.isnan(matrix).any():
        ax.legend(
            handles=[Patch(facecolor=MISSING, label="grey: no value; see the table")],
            loc="lower right",
            bbox_to_anchor=(1 + 1.3 / side, 1 + 0.16 / side),  # above the numbers of the seeds
            borderaxespad=0,
        )


def _square(ax: Axes) -> float:
    """Make Axes square in their place, and return the length of a side in inches."""
    ax.set_box_aspect(1)
    ax.apply_aspect()
    return float(ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted()).width)


def _colours(measure: Measure, known: Floats, colormap: str) -> tuple[Colormap, Normalize]:
    """The colours of a heatmap: the similar end has the same colour for every measure."""
    colours = sns.color_palette(colormap, as_cmap=True)
    itself = measure.itself
    values = known if len(known) else np.array([0.0, 1.0])
    if measure.higher_is_alike:
        low = float(np.floor(values.min() * 10) / 10)
        high = itself if np.isfinite(itself) else float(values.max())
        return colours.with_extremes(bad=MISSING), Normalize(low, high)
    low = itself if np.isfinite(itself) else float(values.min())
    high = float(np.ceil(values.max() * 10) / 10)
    return colours.reversed().with_extremes(bad=MISSING), Normalize(low, high or 1)


def _label_models(ax: Axes, models: Sequence[str]) -> None:
    step = max(1, -(-len(models) // 110))  # more labels would overlap
    ticks = range(0, len(models), step)
    size = float(np.clip(400 / len(models), 4, 8))
    names = [label(models[k]) for k in ticks]
    ax.set_xticks(ticks, names, rotation=90, fontsize=size)
    ax.yaxis.tick_right()
    ax.set_yticks(ticks, names, fontsize=size)
    ax.tick_params(length=0, pad=2)
    ax.yaxis.set_tick_params(labelright=True)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _mark_bases(ax: Axes, models: Sequence[str]) -> None:
    """Draw white lines between the bases, and the seed above each block."""
    seeds = [Model.parse(name).seed for name in models]
    starts = [k for k in range(len(seeds)) if k == 0 or seeds[k] != seeds[k - 1]]
    for start, end in zip(starts, [*starts[1:], len(seeds)], strict=True):
        if start:
            ax.axhline(start - 0.5, color="white", linewidth=1.5)
            ax.axvline(start - 0.5, color="white", linewidth=1.5)
        ax.text(
            (start + end - 1) / 2,
            1.005,
            f"seed {seeds[start]}",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            fontweight="bold",
        )


def _strip(ax: Axes, name: str, values: Floats, cmap: str) -> AxesImage:
    """Draw a column beside the heatmap that shows one score of each model."""
    colours = sns.color_palette(cmap, as_cmap=True)
    image = ax.imshow(values[:, None], cmap=colours, aspect="auto", interpolation="nearest")
    ax.set_xticks([0], [name], rotation=90, fontsize=7)
    ax.set_yticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _scale(image: AxesImage, ax: Axes, name: str) -> None:
    bar = ax.figure.colorbar(image, cax=ax, orientation="horizontal")
    bar.set_label(name, fontsize=8)
    bar.ax.tick_params(labelsize=7)
