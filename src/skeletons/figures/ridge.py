"""Figures of the loss between models: on paths from one to another, and on a plane through three.

Each drawing function draws into the Axes that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from scipy.interpolate import interpn

from skeletons.arrays import Floats
from skeletons.figures import captions
from skeletons.figures.style import LINES, MARKERS, PALETTE, new_figure, save_svg, styled
from skeletons.inspection import barriers
from skeletons.model_ids import BASE, PRUNED, Model
from skeletons.store import artifacts

Places = Mapping[str, tuple[float, float]]

PATHS: Mapping[str, str] = {
    "naive": "units as they are",
    "weights": "units aligned by weights",
    "activations": "units aligned by activations",
    "straight": "straight line",
    "curve": "trained curve",
}
COLUMNS = ("path", "repaired", "t", "loss", "accuracy")  # of tables of paths
BESIDE = 0.01  # of the plane's width: a model further away is not on the plane
LEVELS = 14
OUTLINE = withStroke(linewidth=2, foreground="white")


# --- paths --------------------------------------------------------------------------------------


def paths(table: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw loss and accuracy along paths between two models, and each path's barrier.

    Args:
        table: columns path (a key of `PATHS`), t, loss and accuracy.
        axes: two Axes, for the loss and for the accuracy.
    """
    for name, path in table.groupby("path", sort=False):
        path = path.sort_values("t")
        index = list(PATHS).index(str(name))
        height = _mark_barrier(axes[0], path, index)
        for ax, column in zip(axes, ("loss", "accuracy"), strict=True):
            ax.plot(
                path.t,
                path[column],
                color=PALETTE[index],
                linestyle=LINES[index % len(LINES)],
                marker=MARKERS[index],
                markersize=3.5,
                linewidth=1.4,
                label=f"{PATHS[str(name)]}:\nbarrier {height:.2g} nats",
            )
    for ax, text in zip(axes, ("training loss in nats", "training accuracy"), strict=True):
        ax.set_xlabel("place between the two models")
        ax.set_ylabel(text)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["a", "¼", "½", "¾", "b"])
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), labelspacing=1)


def _mark_barrier(ax: Axes, path: pd.DataFrame, index: int) -> float:
    """Draw the line between the ends and the highest rise over it; return the rise."""
    ends = path.loss.iloc[[0, -1]].to_numpy(np.float64)
    ax.plot([0, 1], ends, color="0.6", linewidth=0.8, zorder=0)
    height, place = barriers.barrier(path.loss)
    if height > 0:
        foot = ends[0] + place * (ends[1] - ends[0])
        # Side by side, because two paths often rise highest at the same place.
        x = place + 0.012 * (index - 1)
        style: dict[str, Any] = {
            "color": PALETTE[index],
            "linewidth": 1,
            "linestyle": LINES[index % len(LINES)],
        }
        ax.plot([x, x], [foot, foot + height], **style, marker="_", markersize=6)
    return height


def rows_of_lines(groups: Mapping[str, pd.DataFrame]) -> int:
    """How many rows of Axes `lines` needs: one more if a line was repaired."""
    return 2 if any(table.repaired.any() for table in groups.values()) else 1


def lines(groups: Mapping[str, pd.DataFrame], axes: Sequence[Axes]) -> None:
    """Draw the loss on many straight lines by kind of pair: thin lines, and their mean.

    Args:
        groups: by kind, columns pair, path (a key of `PATHS`), repaired, t and loss; all lines of a
            kind have the same places t.
        axes: one per kind for the lines as they are; then one per kind for repaired ones, if there
            are any (`rows_of_lines`).
    """
    for row in range(rows_of_lines(groups)):
        shown = axes[row * len(groups) : (row + 1) * len(groups)]
        for ax, (kind, table) in zip(shown, groups.items(), strict=True):
            for name, path in table[table.repaired == bool(row)].groupby("path", sort=False):
                _bundle(ax, path, str(name))
            pairs = table.pair.nunique()
            also = ", repaired" if row else f" ({pairs} {'pair' if pairs == 1 else 'pairs'})"
            ax.set_title(f"{kind}{also}")
            ax.set_xlabel("place between the two models")
            ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["a", "¼", "½", "¾", "b"])
            if ax.lines:
                ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        shown[0].set_ylabel("training loss in nats")


def _bundle(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """Draw all lines of one kind and path and their mean, labelled with the barriers."""
    index = list(PATHS).index(name)
    heights = []
    for _, line in table.groupby("pair", sort=False):
        line = line.sort_values("t")
        heights.append(barriers.barrier(line.loss)[0])
        ax.plot(
            line.t,
            line.loss,
            LINES[index % len(LINES)],
            color=PALETTE[index],
            linewidth=0.8,
            alpha=0.4,
        )
    mean = table.groupby("t").loss.mean()
    ax.plot(
        mean.index,
        mean,
        LINES[index % len(LINES)],
        color=PALETTE[index],
        marker=MARKERS[index],
        markersize=3.5,
        linewidth=1.8,
        label=f"{PATHS[name]}:\nbarrier {np.mean(heights):.2g} nats on average, "
        f"{np.max(heights):.2g} at most",
    )


# --- the plane ----------------------------------------------------------------------------------


def _mesh(grid: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """The x (N), the y (M) and the losses (M×N, all made positive) of a grid."""
    table = grid.pivot(index="y", columns="x", values="loss")
    losses = np.maximum(table.to_numpy(np.float64), 1e-6)
    return table.columns.to_numpy(np.float64), table.index.to_numpy(np.float64), losses


def _levels(losses: Floats) -> Floats:
    """Levels in equal ratios, because losses off the ridge are many times those on it."""
    low, high = float(losses.min()), float(losses.max())
    return np.geomspace(low, max(high, low * 1.001), LEVELS)


def plane(grid: pd.DataFrame, located: pd.DataFrame, ax: Axes, colormap: str = "mako") -> None:
    """Draw the loss on a plane as contours, and models at their nearest points on the plane.

    A base model is a filled mark; the walk of regularisation from it is a line with a mark at each
    model. A pruned model is a hollow mark, joined to the model that it comes from. Anything else,
    such as the control point of a curve, is a cross. The title says how high the loss is at the
    first two models and between them, and how many models are not on the plane.

    Args:
        grid: columns x, y and loss of a complete grid.
        located: columns model, x, y, residual and loss; first the three models that span the plane.
        ax: the Axes to draw into; a colour scale is added beside them.
        colormap: a colour map of matplotlib or seaborn, dark for low losses.
    """
    x, y, losses = _mesh(grid)
    levels = _levels(losses)
    colours = sns.color_palette(colormap, as_cmap=True)
    norm = LogNorm(levels[0], levels[-1])
    shown = ax.contourf(x, y, losses, levels, norm=norm, cmap=colours)
    ax.contour(x, y, losses, levels, colors="white", linewidths=0.3, alpha=0.6)
    _loss_scale(ax, shown, levels)
    _draw_models(ax, located)
    ax.set_title(_seen(x, y, losses, located))
    ax.set_aspect("equal")
    ax.set_xlabel("L2 distance, towards the second model")
    ax.set_ylabel("L2 distance, across")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _seen(x: Floats, y: Floats, losses: Floats, located: pd.DataFrame) -> str:
    """What a plane shows, in words."""
    first, second = located.iloc[0], located.iloc[1]
    along = np.linspace([first.y, first.x], [second.y, second.x], 2 * len(x))
    top = float(interpn((y, x), losses, along, bounds_error=False, fill_value=None).max())
    between = max(top, float(first.loss), float(second.loss))
    names = (Model.parse(str(m)).title if _is_model(str(m)) else m for m in located.model[:2])
    text = (
        f"Training loss {first.loss:.2g} at {next(names)} and {second.loss:.2g} at {next(names)}, "
        f"up to {between:.2g} nats between them"
    )
    beside = int((located.residual > BESIDE * float(np.ptp(x))).sum())
    if not beside:
        return text
    return (
        f"{text}\n{beside} of {len(located)} models {'lies' if beside == 1 else 'lie'} beside this "
        "plane: the colour at "
        f"{'its mark is not its' if beside == 1 else 'their marks is not their'} loss"
    )


def _loss_scale(ax: Axes, shown: ContourSet, levels: Floats) -> None:
    figure = ax.figure
    assert isinstance(figure, Figure)
    bar = figure.colorbar(shown, ax=ax, location="bottom", shrink=0.8, aspect=40)
    bar.set_ticks(list(levels[::3]), labels=[f"{level:.2g}" for level in levels[::3]])
    bar.minorticks_off()
    bar.set_label("training loss in nats")


def _draw_models(ax: Axes, located: pd.DataFrame) -> None:
    columns = (located[key].tolist() for key in ("model", "x", "y"))
    at: Places = {name: (x, y) for name, x, y in zip(*columns, strict=True)}
    models = [Model.parse(name) for name in at if _is_model(name)]
    seeds = list(dict.fromkeys(model.base for model in sorted(models, key=lambda m: m.sort_key)))
    for model in sorted(models, key=lambda model: model.sort_key):
        index = seeds.index(model.base)
        colour = PALETTE[
            (index + 1) % len(PALETTE)
        ]  # the first colour is too close to the dark blue of the map
        marker = MARKERS[index % len(MARKERS)]
        before = _before(model, at)
        if before is not None:
            x, y = zip(at[before], at[str(model)], strict=True)
            line = ":" if model.state == PRUNED else "-"
            ax.plot(x, y, line, color=colour, linewidth=1.4, path_effects=[OUTLINE])
        base = model.state == BASE
        ax.plot(
            *at[str(model)],
            marker,
            markersize=9 if base else 5,
            color=colour,
            markerfacecolor="white" if model.state == PRUNED else colour,
            markeredgecolor=colour if model.state == PRUNED else "white",
            markeredgewidth=1,
            linestyle="none",
            label=model.title if base else None,
            zorder=4 if base else 3,
        )
    for name in (name for name in at if not _is_model(name)):
        ax.plot(*at[name], "X", markersize=9, color="black", label=name, linestyle="none")


def _is_model(name: str) -> bool:
    return "=" in name


def _before(model: Model, at: Places) -> str | None:
    """The nearest ancestor of a model that is on the plane, if there is one."""
    if model.is_cut:
        parent = str(model.parent)
        return parent if parent in at else None
    if model.epochs is None:
        return None
    earlier = [model.of(l1=model.l1, epochs=epochs) for epochs in range(model.epochs - 1, 0, -1)]
    return next((str(m) for m in (*earlier, model.base) if str(m) in at), None)


def surface(grid: pd.DataFrame, ax: Any, colormap: str = "mako") -> None:
    """Draw the loss on a plane as a surface; the height is the logarithm of the loss.

    Args:
        grid: columns x, y and loss of a complete grid.
        ax: three-dimensional Axes.
        colormap: a colour map of matplotlib or seaborn, dark for low losses.
    """
    x, y, losses = _mesh(grid)
    height = np.log10(losses)
    ax.plot_surface(
        *np.meshgrid(x, y),
        height,
        cmap=sns.color_palette(colormap, as_cmap=True),
        rstride=1,
        cstride=1,
        linewidth=0.2,
        edgecolor=(1, 1, 1, 0.35),
        antialiased=True,
    )
    # Tick labels show losses; before 3.11, matplotlib has no log scale in three dimensions:
    # https://github.com/matplotlib/matplotlib/issues/209
    ax.zaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.2g}"))
    ax.set_xlabel("towards the second model")
    ax.set_ylabel("across")
    ax.set_zlabel("training loss in nats")
    ax.view_init(elev=38, azim=-60)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.pane.set_facecolor("white")


# --- files --------------------------------------------------------------------------------------


def save_paths(tables: Sequence[str], path: Path, title: str) -> None:
    """Draw the paths between one pair of models, from their tables."""
    table = artifacts.read_tables(tables, COLUMNS)
    with styled():
        figure, axes = new_figure(9, 3.2, 1, 2)
        paths(table, axes)
        figure.suptitle(title, fontsize=10)
        save_svg(figure, path, captions.drawn("curve"))


def save_lines(
    kinds: Mapping[str, str], order: Sequence[str], path: Path, about: captions.Drawn
) -> None:
    """Draw `lines` from the tables of a line between each pair of models.

    Args:
        kinds: the kind of pair of each table, by the table's file.
        order: the kinds in the order to draw them; a kind without a table is left out.
        path: the SVG file to write.
        about: what it shows.
    """
    tables = {
        kind: [
            artifacts.read_table(file, COLUMNS).assign(pair=file)
            for file, own in kinds.items()
            if own == kind
        ]
        for kind in order
    }
    groups = {kind: pd.concat(found) for kind, found in tables.items() if found}
    with styled():
        rows = rows_of_lines(groups)
        figure, axes = new_figure(3.4 * len(groups) + 0.4, 4.2 * rows, rows, len(groups))
        lines(groups, axes)
        save_svg(figure, path, about)


def save_plane(grid: str, located: str, flat: Path, solid: Path, colormap: str) -> None:
    """Draw a plane as two figures: contours with the models on it, and a surface.

    Args:
        grid: the table of losses on the plane.
        located: the table of models on the plane.
        flat: the SVG file to write the contours to.
        solid: the SVG file to write the surface to.
        colormap: a colour map of matplotlib or seaborn, dark for low losses.
    """
    table = artifacts.read_table(grid, ["x", "y", "loss"])
    models = artifacts.read_table(located, ["model", "x", "y", "residual", "loss"])
    with styled():
        figure, axes = new_figure(7, 5)
        plane(table, models, axes[0], colormap)
        save_svg(figure, flat, captions.drawn("plane"))
        figure = Figure(figsize=(6, 5))
        surface(table, figure.add_subplot(projection="3d"), colormap)
        save_svg(figure, solid, captions.drawn("plane", "surface"))
