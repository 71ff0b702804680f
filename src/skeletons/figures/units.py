"""Figures of units and skeletons: importance, the probe for a second skeleton, exposure.

Each drawing function draws into the Axes that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, PercentFormatter

from skeletons import text
from skeletons.arrays import Floats
from skeletons.figures import captions
from skeletons.figures.style import MARKERS, PALETTE, new_figure, save_svg, styled
from skeletons.inspection import unit_ranks
from skeletons.store import artifacts

DECADES = 4  # of losses below the largest; losses nearer to zero are on a linear scale
COLUMNS = 4


def short(layer: str) -> str:
    """A layer's name without the parts that all layers share."""
    return layer.removeprefix("body.").removesuffix(".weight")


# --- importance ---------------------------------------------------------------------------------


# What happens to the answers when a unit is silenced, by `inspect.importance_by`.
IMPORTANCE = {"loss": "rise of the loss", "divergence": "divergence of the answers"}


def importance_scatter(table: pd.DataFrame, by: str, axes: Sequence[Axes]) -> None:
    """Draw the units of each layer: the rise of the loss without them against their weight.

    Args:
        table: see `importance.importance_table`.
        by: what the importance is, a key of `IMPORTANCE`.
        axes: at least one per layer, in rows of `COLUMNS` if there are more; Axes that are not
            needed are removed.
    """
    ranks = unit_ranks.by_layer(table).to_dict("records")
    shown = list(axes[: len(ranks)])
    for ax, row in zip(shown, ranks, strict=True):
        group = table[table.layer == row["layer"]]
        _units(ax, group[~group.dead], "alive", 0)
        _units(ax, group[group.dead], "dead", 1)
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        ax.set_title(_rank_text(row), fontsize=8, fontweight="normal")
        ax.xaxis.set_major_locator(MaxNLocator(4))
    _common_losses(shown, table.loss_change.to_numpy())
    for ax in axes[len(ranks) :]:
        ax.remove()
    for index, ax in enumerate(shown):
        if index % COLUMNS == 0:
            ax.set_ylabel(f"{IMPORTANCE[by]} in nats\nwhen silenced", fontsize=8)
        if index >= len(shown) - COLUMNS:
            ax.set_xlabel("Σ|w| into the unit, before pruning", fontsize=8)
    shown[:COLUMNS][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _rank_text(row: Mapping[Any, Any]) -> str:
    rho = "ρ undefined" if pd.isna(row["spearman"]) else f"ρ = {row['spearman']:.2f}"
    shared = f"{row['shared']} of the top {row['k']} shared"
    return f"{short(row['layer'])}: {rho}\n{shared}, by chance {row['expected']:.1f}"


def _units(ax: Axes, units: pd.DataFrame, name: str, index: int) -> None:
    colour = PALETTE[index]
    ax.scatter(
        units[unit_ranks.MAGNITUDE],
        units.loss_change,
        marker=MARKERS[index],
        s=18,
        facecolor=(*colour, 0.5) if index == 0 else "none",
        edgecolor=[colour],
        linewidth=0.9,
        label=name,
    )


def _common_losses(axes: Sequence[Axes], changes: Floats) -> None:
    """Give all Axes one scale of losses, logarithmic on both sides of zero.

    A few units carry most of the loss; on a linear scale the others would lie on the axis.
    """
    largest = float(np.abs(changes).max()) or 1.0
    top = int(np.ceil(np.log10(largest)))
    decades = [10.0**k for k in range(top, top - DECADES, -1)]
    ticks = [*(-d for d in decades), 0.0, *reversed(decades)]
    low, high = float(changes.min()) * 3, float(changes.max()) * 3
    for ax in axes:
        ax.set_yscale("symlog", linthresh=decades[-1])
        ax.set_ylim(min(low, -2 * decades[-1]), max(high, 2 * decades[-1]))
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.set_ylim(min(low, -2 * decades[-1]), max(high, 2 * decades[-1]))
    for index, ax in enumerate(axes):
        if index % COLUMNS:
            ax.set_yticklabels([])


# --- the probe ----------------------------------------------------------------------------------


def probe_curve(rows: pd.DataFrame, verdict: Mapping[str, Any], axes: Sequence[Axes]) -> None:
    """Draw a probe: accuracy (left) and loss (right) against the skeleton's weight that is left.

    Time runs from left, where all of the weight is left, to right. If the skeleton has no weight,
    the axis shows epochs instead.

    Args:
        rows: see `second_skeleton.probe`.
        verdict: see `second_skeleton.probe_verdict`.
        axes: two Axes.
    """
    parts = (
        ("test_{}", "the whole network", "-"),
        ("skeleton_{}", "the skeleton alone", "--"),
        ("others_{}", "all but the skeleton", ":"),
    )
    empty = bool(rows.skeleton_left.isna().all())
    for ax, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        for index, (column, name, line) in enumerate(parts):
            ax.plot(
                rows.epoch if empty else rows.skeleton_left,
                rows[column.format(quantity)],
                line,
                label=name,
                **_mark(index),
            )
        if empty:
            ax.set_xlabel("epoch; the skeleton has no weight")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            continue
        ax.set_xlabel("Σ|w| of the skeleton, share left")
        ax.set_xlim(max(1.0, float(rows.skeleton_left.max())) + 0.03, -0.03)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    least = verdict["start_accuracy"] - verdict["tolerance"]
    axes[0].axhline(
        least,
        color="0.5",
        linewidth=0.8,
        linestyle="-.",
        zorder=0,
        label=f"{text.points(verdict['tolerance'], 0)} points below the start",
    )
    axes[0].set_ylabel("test accuracy")
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].set_ylabel("test loss in nats")
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_major_formatter("{x:g}")
    axes[1].minorticks_off()
    axes[1].legend(*axes[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1, 0.5))


def takeover_curve(rows: pd.DataFrame, verdict: Mapping[str, Any], axes: Sequence[Axes]) -> None:
    """Draw a takeover: accuracy (left) and the rise of the training loss (right) as it fades.

    Time runs from left, where the whole skeleton is there, to right.

    Args:
        rows: see `takeover.takeover`.
        verdict: see `takeover.takeover_verdict`.
        axes: two Axes.
    """
    parts = (
        ("test_accuracy", "the whole network", "-"),
        ("skeleton_accuracy", "the skeleton alone", "--"),
        ("others_accuracy", "all but the skeleton", ":"),
    )
    for index, (column, name, line) in enumerate(parts):
        axes[0].plot(rows.left, rows[column], line, label=name, **_mark(index))
    axes[0].set_ylabel("test accuracy")
    axes[0].set_ylim(-0.03, 1.03)
    axes[1].plot(rows.left, rows.rise, "-", **_mark(0))
    room = verdict["room"]
    axes[1].axhline(room, color="0.5", linewidth=0.8, linestyle="-.", label="the room")
    axes[1].set_ylabel("rise of the training loss in nats")
    axes[1].set_ylim(min(-0.1 * room, 1.2 * float(rows.rise.min())), 1.2 * room)
    for ax in axes:
        ax.set_xlabel("factor on the skeleton's weights")
        ax.set_xlim(1.03, -0.03)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles = [ax.get_legend_handles_labels() for ax in axes]
    axes[1].legend(
        [h for each, _ in handles for h in each],
        [label for _, each in handles for label in each],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )


def _mark(index: int) -> dict[str, Any]:
    """The style of a line of epochs."""
    return {
        "marker": MARKERS[index],
        "markersize": 4,
        "linewidth": 1.3,
        "color": PALETTE[index],
    }


# --- exposure -----------------------------------------------------------------------------------


def exposure_bars(reports: Mapping[str, Mapping[str, Any]], axes: Sequence[Axes]) -> None:
    """Draw parameters (left) and FLOPs (right) of pruned models, before and after exposure.

    Args:
        reports: the content of exposed.json by model; a dead model has no bars.
        axes: two Axes.
    """
    names = list(reports)
    alive = [k for k, name in enumerate(names) if not reports[name]["dead_reason"]]
    for ax, (key, label) in zip(
        axes, (("parameters", "parameters"), ("flops", "FLOPs per image")), strict=True
    ):
        for index, when in enumerate(("before", "after")):
            places = np.array(alive) + (index - 0.5) * 0.38
            values = [reports[names[k]][when][key] for k in alive]
            bars = ax.barh(
                places,
                values,
                0.36,
                color="0.85" if when == "before" else PALETTE[0],
                edgecolor="0.4",
                linewidth=0.6,
                label=when,
            )
            if when == "after":
                whole = [reports[names[k]]["before"][key] for k in alive]
                shares = [f"{v / w:.1%}" for v, w in zip(values, whole, strict=True)]
                ax.bar_label(bars, shares, padding=3, fontsize=7)
        for k in set(range(len(names))) - set(alive):
            ax.text(0, k, " dead", va="center", fontsize=8)
        ax.set_xlabel(label)
        ax.set_yticks(range(len(names)), names, fontsize=7)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes[1].set_yticklabels([])
    axes[1].legend(loc="center left", bbox_to_anchor=(1.1, 0.5))  # beyond the shares


# --- files --------------------------------------------------------------------------------------


def save_importance(table: str, path: Path, model: str) -> None:
    """Draw the `importance_scatter` of a model into an SVG file."""
    found = artifacts.read_table(table, ["layer", "unit", "loss_change", "dead"])
    by = artifacts.read_json(Path(table).with_suffix(".json"), ["by"])["by"]
    count = found.layer.nunique()
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    with styled():
        figure, axes = new_figure(2.5 * columns + 0.8, 2.1 * rows + 0.7, rows, columns)
        importance_scatter(found, by, axes)
        figure.suptitle(model, fontsize=11, fontweight="bold")
        save_svg(figure, path, captions.drawn("importance", model))


def save_probe(rows: str, verdict: str, path: Path, name: str) -> None:
    """Draw a `probe_curve` into an SVG file.

    Args:
        rows: the table of epochs.
        verdict: the JSON file of the verdict.
        path: the SVG file to write.
        name: the base model and λ, such as `seed=1_l1=0.001`.
    """
    table = artifacts.read_table(rows, ["skeleton_left", "test_accuracy", "others_accuracy"])
    found = artifacts.read_json(verdict, ["verdict", "start_accuracy", "tolerance"])
    model, _, l1 = name.rpartition("_l1=")
    title = f"{model}, skeleton penalised by λ = {l1}: {found['verdict']}"
    with styled():
        figure, axes = new_figure(9, 3.3, 1, 2)
        probe_curve(table, found, axes)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        save_svg(figure, path, captions.drawn("probe", name))


def save_takeover(rows: str, verdict: str, path: Path, model: str) -> None:
    """Draw a `takeover_curve` into an SVG file.

    Args:
        rows: the table of epochs.
        verdict: the JSON file of the verdict.
        path: the SVG file to write.
        model: whose skeleton is scaled to zero.
    """
    table = artifacts.read_table(rows, ["left", "rise", "test_accuracy", "others_accuracy"])
    found = artifacts.read_json(verdict, ["verdict", "room"])
    with styled():
        figure, axes = new_figure(9, 3.3, 1, 2)
        takeover_curve(table, found, axes)
        figure.suptitle(f"{model}: {found['verdict']}", fontsize=11, fontweight="bold")
        save_svg(figure, path, captions.drawn("takeover", model))


def save_exposure(structures: Mapping[str, str], path: Path) -> None:
    """Draw the `exposure_bars` of models into an SVG file.

    Args:
        structures: the exposed.json of each model.
        path: the SVG file to write.
    """
    reports = {
        name: artifacts.read_json(file, ["dead_reason"]) for name, file in structures.items()
    }
    with styled():
        figure, axes = new_figure(9, 0.42 * len(reports) + 1.4, 1, 2)
        exposure_bars(reports, axes)
        figure.suptitle("The exposed skeletons", fontsize=11, fontweight="bold")
        save_svg(figure, path, captions.drawn("exposure"))
