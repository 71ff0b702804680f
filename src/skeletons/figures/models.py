"""Figures of single models: what pruning costs, and the walks along the ridge."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from skeletons.figures.style import MARKERS, PALETTE, legend_beside
from skeletons.model_ids import Model, spell


def accuracy_vs_sparsity(scores: pd.DataFrame, drop: float, ax: Axes) -> None:
    """Draw test accuracy against sparsity: markers show epochs, fill shows λ, crosses are dead.

    Args:
        scores: one row per model, see `experiment.Experiment.models`.
        drop: the accuracy that a skeleton may lose, 0..1.
        ax: the Axes to draw into.
    """
    pruned = scores[scores.state == "pruned"]
    lambdas = sorted(pruned.l1.unique())
    for index, (epochs, group) in enumerate(pruned.groupby("epochs")):
        for l1 in lambdas:
            some = group[group.l1 == l1]
            colour = PALETTE[index % len(PALETTE)]
            ax.scatter(
                some.sparsity,
                some.accuracy,
                marker=MARKERS[index % len(MARKERS)],
                s=26,
                facecolor=(*colour, (lambdas.index(l1) + 1) / len(lambdas)),
                edgecolor=[colour],
                linewidth=0.9,
                label=f"λ={spell(l1)}, epochs {epochs:g}",
            )
    dead = scores[scores.dead & scores.state.isin(["pruned", "base"])]  # that have a mark
    if len(dead):
        ax.scatter(dead.sparsity, dead.accuracy, marker="x", s=60, color="black", label="dead")
    bases = scores[scores.state == "base"]
    ax.scatter(
        bases.sparsity, bases.accuracy, marker="*", s=110, color="black", label="base", zorder=3
    )
    if len({Model.parse(name).net for name in bases.model}) == 1:  # else the mean is of no network
        _bases_mean(bases.accuracy.mean(), drop, ax)
    ax.set_xlabel("sparsity (share of prunable weights that are zero)")
    ax.set_ylabel("test accuracy")
    ax.set_xlim(-0.03, 1.03)
    legend_beside(ax)


def _bases_mean(mean: float, drop: float, ax: Axes) -> None:
    """Draw the mean accuracy of the bases, and what a skeleton keeps of it."""
    ax.axhline(mean, color="0.5", linewidth=0.8, linestyle="--", zorder=0, label="the bases' mean")
    ax.axhline(
        mean - drop,
        color="0.5",
        linewidth=0.8,
        linestyle=":",
        zorder=0,
        label=f"{100 * drop:.3g} points below the bases' mean",
    )


def ridge_walk(walks: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw each walk of regularisation: loss, accuracy, distance to the base, and step.

    Args:
        walks: the histories of regularised models, with columns base and l1.
        axes: four Axes.
    """
    panels = (
        ("data loss in nats", (("train_loss", "-"), ("test_loss", "--"))),
        ("accuracy", (("train_accuracy", "-"), ("test_accuracy", "--"))),
        ("L2 distance to the base", (("distance", "-"),)),
        ("L2 step of the epoch", (("step", "-"),)),
    )
    lambdas, bases = sorted(walks.l1.unique()), list(walks.base.unique())
    for ax, (name_of_y, columns) in zip(axes, panels, strict=True):
        for l1, base in itertools.product(lambdas, bases):
            walk = walks[(walks.l1 == l1) & (walks.base == base)]
            for column, line in columns:
                seen = walk[walk.epoch > 0] if column == "step" else walk
                ax.plot(
                    seen.epoch,
                    seen[column],
                    line,
                    marker=MARKERS[bases.index(base) % len(MARKERS)],
                    markersize=3.5,
                    linewidth=1.2,
                    color=PALETTE[lambdas.index(l1) % len(PALETTE)],
                )
        ax.set_xlabel("epochs of regularisation")
        ax.set_ylabel(name_of_y)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles = _walk_handles(lambdas, bases)
    axes[1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))


def _walk_handles(lambdas: Sequence[float], bases: Sequence[str]) -> list[Line2D]:
    """The meaning of each colour, line style and marker; an entry per walk would be too many.

    Bases are left out if there are more of them than markers.
    """
    colours = [
        Line2D([], [], color=PALETTE[k % len(PALETTE)], label=f"λ={spell(l1)}")
        for k, l1 in enumerate(lambdas)
    ]
    styles = [
        Line2D([], [], linestyle="-", color="0.3", label="training"),
        Line2D([], [], linestyle="--", color="0.3", label="test"),
    ]
    markers = [
        Line2D([], [], linestyle="", marker=MARKERS[k], markersize=4, color="0.3", label=name)
        for k, name in enumerate(bases)
        if len(bases) <= len(MARKERS)
    ]
    return [*colours, *styles, *markers]
