"""The figure of the search for the sparsest skeleton of each base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from skeletons.figures import captions
from skeletons.figures.style import (
    MARKERS,
    PALETTE,
    legend_beside,
    new_figure,
    save_svg,
    styled,
)
from skeletons.model_ids import Model
from skeletons.store import artifacts


def searches(found: Mapping[str, Mapping[str, Any]], axes: Sequence[Axes]) -> None:
    """Draw loss (left) and accuracy (right) against the densities that were tried.

    Args:
        found: what `sparsest.sparsest_stage` wrote, by the walk; filled marks are certified.
        axes: two Axes.
    """
    for ax, column, factor, label in (
        (axes[0], "bound", 1.0, "upper 95 % bound of the rise of the loss, nats"),
        (axes[1], "lost", 100.0, "accuracy lost, points"),
    ):
        for index, (name, one) in enumerate(found.items()):
            tries = sorted(
                (row for row in one["tries"] if column in row), key=lambda row: row["density"]
            )
            colour, marker = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
            values = [row[column] * factor for row in tries]
            densities = [row["density"] for row in tries]
            ax.plot(densities, values, color=colour, linewidth=0.9)
            ax.scatter(
                densities,
                values,
                marker=marker,
                s=26,
                facecolor=[colour if row["certified"] else "white" for row in tries],
                edgecolor=[colour],
                linewidth=1,
                zorder=3,
                label=Model.parse(name).title,
            )
        limit = next(iter(found.values()))["rise" if column == "bound" else "drop"] * factor
        ax.axhline(limit, color="0.35", linewidth=0.9, linestyle="--", zorder=0, label="limit")
        ax.set_xscale("log")
        ax.set_xlabel("density, the share of weights that are left")
        ax.set_ylabel(label)
    axes[0].set_yscale("symlog", linthresh=0.1)
    legend_beside(axes[1])


def save_searches(files: Sequence[str], path: Path) -> None:
    """Draw the `searches` of walks into an SVG file.

    Args:
        files: the JSON file of each base.
        path: the SVG file to write.
    """
    found = [artifacts.read_json(file, ["model", "tries", "rise", "drop"]) for file in files]
    with styled():
        figure, axes = new_figure(10, 3.6, 1, 2)
        searches({one["model"]: one for one in found}, axes)
        figure.suptitle("The sparsest skeletons", fontsize=11, fontweight="bold")
        save_svg(figure, path, captions.drawn("sparsest"))
