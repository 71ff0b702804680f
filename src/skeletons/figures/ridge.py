"""Figures of the loss between models: on paths from one to another, and on a plane through three.

Each function draws into the Axes that it is given, in the style of `figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from skeletons.figures.drawn import LINES, MARKERS, PALETTE, STYLE, new_figure, save_svg
from skeletons.inspection import barriers
from skeletons.model_ids import BASE, PRUNED, Model
from skeletons.store import artifacts

Floats = npt.NDArray[np.float64]
Places = Mapping[str, tuple[float, float]]

PATHS: Mapping[str, str] = {
    "naive": "straight line, units as they are",
    "aligned": "straight line, units aligned",
    "curve": "trained curve",
}
LEVELS = 14
OUTLINE = withStroke(linewidth=2, foreground="white")


# --- paths --------------------------------------------------------------------------------------


def paths(table: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw loss and accuracy along paths between two models, and each path's barrier.

    Args:
        table: columns path (a key of `PATHS`), t, loss and accuracy.
        axes: two, for the loss and for the accuracy.
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
                linestyle=LINES[index],
                marker=MARKERS[index],
                markersize=3.5,
                linewidth=1.4,
                label=f"{PATHS[str(name)]}:\nbarrier {height:.2g} nats",
            )
    for ax, text in zip(axes, ("loss in nats", "accuracy"), strict=True):
        ax.set_xlabel("place between the two models")
        ax.set_ylabel(text)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["a", "¼", "½", "¾", "b"])
    axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), labelspacing=1)


def _mark_barrier(ax: Axes, path: pd.DataFrame, index: int) -> float:
    """The line between the ends, and an upright one from it to the highest rise over it."""
    ends = path.loss.iloc[[0, -1]].to_numpy(np.float64)
    ax.plot([0, 1], ends, color="0.6", linewidth=0.8, zorder=0)
    height, place = barriers.barrier(path.loss)
    if height > 0:
        foot = ends[0] + place * (ends[1] - ends[0])
        # Side by side, as the highest places of two paths are often the same.
        x = place + 0.012 * (index - 1)
        style: dict[str, Any] = {"color": PALETTE[index], "linewidth": 1, "linestyle": LINES[index]}
        ax.plot([x, x], [foot, foot + height], **style, marker="_", markersize=6)
    return height


def lines(groups: Mapping[str, pd.DataFrame], axes: Sequence[Axes]) -> None:
    """Draw the loss on many straight lines, by kind of pair: each thin, and their mean.

    Args:
        groups: by kind, columns pair, path (`naive` or `aligned`), t and loss; all lines of a kind
            have the same places t.
        axes: one a kind.
    """
    for ax, (kind, table) in zip(axes, groups.items(), strict=True):
        for name, path in table.groupby("path", sort=False):
            _bundle(ax, path, str(name))
        pairs = table.pair.nunique()
        ax.set_title(f"{kind} ({pairs} {'pair' if pairs == 1 else 'pairs'})")
        ax.set_xlabel("place between the two models")
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["a", "¼", "½", "¾", "b"])
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes[0].set_ylabel("loss in nats")


def _bundle(ax: Axes, table: pd.DataFrame, name: str) -> None:
    """All lines of one kind and path, their mean, and the mean and the highest barrier."""
    index = list(PATHS).index(name)
    heights = []
    for _, line in table.groupby("pair", sort=False):
        line = line.sort_values("t")
        heights.append(barriers.barrier(line.loss)[0])
        ax.plot(line.t, line.loss, LINES[index], color=PALETTE[index], linewidth=0.8, alpha=0.6)
    mean = table.groupby("t").loss.mean()
    ax.plot(
        mean.index,
        mean,
        LINES[index],
        color=PALETTE[index],
        marker=MARKERS[index],
        markersize=3.5,
        linewidth=1.8,
        label=f"{PATHS[name]}:\nbarrier {np.mean(heights):.2g} nats on average, "
        f"{np.max(heights):.2g} at most",
    )


# --- the plane ----------------------------------------------------------------------------------


def _mesh(grid: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """The x (N), y (M) and the losses M×N of a grid; a loss of 0 is made a positive one."""
    table = grid.pivot(index="y", columns="x", values="loss")
    losses = np.maximum(table.to_numpy(np.float64), 1e-6)
    return table.columns.to_numpy(np.float64), table.index.to_numpy(np.float64), losses


def _levels(losses: Floats) -> Floats:
    """Levels in equal ratios, as losses off the ridge are many times those on it."""
    low, high = float(losses.min()), float(losses.max())
    return np.geomspace(low, max(high, low * 1.001), LEVELS)


def plane(grid: pd.DataFrame, located: pd.DataFrame, ax: Axes, colormap: str = "mako") -> None:
    """Draw the loss on a plane as contours, and the models on it, or their images if they lie off.

    A base model is a filled mark and the walk of regularisation from it a line with a mark at each
    model; a pruned model is hollow, joined to the one it comes from. A model that is none of these,
    such as a curve's control point, is a cross. The title counts the models further off the
    plane than a hundredth of its width, as the loss drawn under those is not theirs.

    Args:
        grid: columns x, y and loss, of a whole grid.
        located: columns model, x, y and residual.
        ax: to draw into; its figure gets a scale beside it.
        colormap: of matplotlib or seaborn, dark for low losses.
    """
    x, y, losses = _mesh(grid)
    levels = _levels(losses)
    colours = sns.color_palette(colormap, as_cmap=True)
    norm = LogNorm(levels[0], levels[-1])
    shown = ax.contourf(x, y, losses, levels, norm=norm, cmap=colours)
    ax.contour(x, y, losses, levels, colors="white", linewidths=0.3, alpha=0.6)
    _loss_scale(ax, shown, levels)
    _draw_models(ax, located)
    off = located[located.residual > 0.01 * float(np.ptp(x))]
    if len(off):
        far = f"{off.residual.max():.2g} at the most"
        ax.set_title(f"{len(off)} of {len(located)} models lie off the plane, by {far}")
    ax.set_aspect("equal")
    ax.set_xlabel("L2 distance, towards the second model")
    ax.set_ylabel("L2 distance, across")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _loss_scale(ax: Axes, shown: ContourSet, levels: Floats) -> None:
    figure = ax.figure
    assert isinstance(figure, Figure)
    bar = figure.colorbar(shown, ax=ax, location="bottom", shrink=0.8, aspect=40)
    bar.set_ticks(list(levels[::3]), labels=[f"{level:.2g}" for level in levels[::3]])
    bar.minorticks_off()
    bar.set_label("loss in nats")


def _draw_models(ax: Axes, located: pd.DataFrame) -> None:
    columns = (located[key].tolist() for key in ("model", "x", "y"))
    place: Places = {name: (x, y) for name, x, y in zip(*columns, strict=True)}
    models = [Model.parse(name) for name in place if _is_model(name)]
    seeds = sorted({model.seed for model in models})
    for model in sorted(models, key=lambda model: model.sort_key):
        index = seeds.index(model.seed)
        colour = PALETTE[(index + 1) % len(PALETTE)]  # the first is near the map's dark blue
        marker = MARKERS[index % len(MARKERS)]
        before = _before(model, place)
        if before is not None:
            x, y = zip(place[before], place[str(model)], strict=True)
            line = ":" if model.state == PRUNED else "-"
            ax.plot(x, y, line, color=colour, linewidth=1.4, path_effects=[OUTLINE])
        base = model.state == BASE
        ax.plot(
            *place[str(model)],
            marker,
            markersize=9 if base else 5,
            color=colour,
            markerfacecolor="white" if model.state == PRUNED else colour,
            markeredgecolor=colour if model.state == PRUNED else "white",
            markeredgewidth=1,
            linestyle="none",
            label=f"seed {model.seed}" if base else None,
            zorder=4 if base else 3,
        )
    for name in (name for name in place if not _is_model(name)):
        ax.plot(*place[name], "X", markersize=9, color="black", label=name, linestyle="none")


def _is_model(name: str) -> bool:
    return name.startswith("seed=")


def _before(model: Model, place: Places) -> str | None:
    """The model that another is drawn as coming from: the nearest before it that is there."""
    if model.threshold is not None:
        parent = str(model.parent)
        return parent if parent in place else None
    if model.epochs is None:
        return None
    earlier = [Model(model.seed, model.l1, epochs) for epochs in range(model.epochs - 1, 0, -1)]
    return next((str(m) for m in (*earlier, model.base) if str(m) in place), None)


def surface(grid: pd.DataFrame, ax: Any, colormap: str = "mako") -> None:
    """Draw the loss on a plane as a surface over it, on a logarithmic height.

    Args:
        grid: columns x, y and loss, of a whole grid.
        ax: three-dimensional Axes.
        colormap: of matplotlib or seaborn, dark for low losses.
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
    # Tick labels are losses; matplotlib's own log scale does not work in three dimensions.
    ax.zaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:.2g}"))
    ax.set_xlabel("towards the second model")
    ax.set_ylabel("across")
    ax.set_zlabel("loss in nats")
    ax.view_init(elev=38, azim=-60)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.pane.set_facecolor("white")


# --- the stages ---------------------------------------------------------------------------------


def paths_figure_stage(output: str, title: str, *tables: str) -> None:
    """Draw the paths between one pair of models, from the tables of `ridge`'s line and curve."""
    columns = ("path", "t", "loss", "accuracy")
    table = artifacts.read_tables(tables, columns)
    with mpl.rc_context(dict(STYLE)):  # type: ignore[arg-type]
        figure, axes = new_figure(9, 3.2, 1, 2)
        paths(table, axes)
        figure.suptitle(title, fontsize=10)
        save_svg(figure, Path(output))


def lines_figure_stage(kinds: Mapping[str, str], order: Sequence[str], output: str) -> None:
    """Draw `lines` from tables of `ridge.line_stage`.

    Args:
        kinds: the kind of pair of each table, by path.
        order: the kinds in the order to draw them; one of which there is no table is left out.
        output: the SVG file to write.
    """
    tables = {
        kind: [
            artifacts.read_table(path, ["path", "t", "loss"]).assign(pair=path)
            for path, own in kinds.items()
            if own == kind
        ]
        for kind in order
    }
    groups = {kind: pd.concat(found) for kind, found in tables.items() if found}
    with mpl.rc_context(dict(STYLE)):  # type: ignore[arg-type]
        figure, axes = new_figure(3.4 * len(groups) + 0.4, 3.9, 1, len(groups))
        lines(groups, axes)
        save_svg(figure, output)


def plane_figure_stage(grid: str, located: str, output: str, output_3d: str, colormap: str) -> None:
    """Draw a plane's contours with the models on it, and its surface, as two figures."""
    table = artifacts.read_table(grid, ["x", "y", "loss"])
    models = artifacts.read_table(located, ["model", "x", "y", "residual"])
    with mpl.rc_context(dict(STYLE)):  # type: ignore[arg-type]
        figure, axes = new_figure(7, 5)
        plane(table, models, axes[0], colormap)
        save_svg(figure, output)
        figure = Figure(figsize=(6, 5))
        surface(table, figure.add_subplot(projection="3d"), colormap)
        save_svg(figure, output_3d)
