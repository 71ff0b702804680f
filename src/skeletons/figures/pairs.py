"""How similar pairs of models are: to their own base, across bases, and by kind of pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from skeletons.figures.style import LINES, MARKERS, PALETTE, legend_beside, likeness
from skeletons.findings import pair_kinds, pair_tables
from skeletons.findings.answer_text import WORDS
from skeletons.measures.measure import Measure
from skeletons.model_ids import spell


def own_base_similarity(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The similarity of each model to its own base: l1, epochs, threshold, base, state, value."""
    table = pair_tables.annotate(pairs)
    own = table[(table.base_a == table.base_b) & (table.state_a == "base")]
    names = {f"{key}_b": key for key in ("l1", "epochs", "threshold", "base", "state")}
    return own.rename(columns={**names, measure: "value"})[[*names.values(), "value"]]


def similarity_to_base(pairs: pd.DataFrame, measure: Measure, axes: Sequence[Axes]) -> None:
    """Draw the similarity of pruned models to their base by threshold (left), epochs (right)."""
    own = own_base_similarity(pairs, measure.name)
    own = own[own.state == "pruned"]
    reference = pair_tables.across_bases(pairs, measure.name)[0]
    for ax, x, series in ((axes[0], "threshold", "epochs"), (axes[1], "epochs", "threshold")):
        for index, ((l1, value), group) in enumerate(groups(own, "l1", series)):
            _spread_line(ax, group, x, "value", f"λ={spell(l1)}, {series} {value:g}", index)
        _reference(ax, reference, "unpruned bases, with each other")
        ax.set_xlabel({"threshold": "pruning threshold", "epochs": "epochs of regularisation"}[x])
        ax.set_ylabel(f"{likeness(measure)} to its own base")
        ax.set_title(f"against {x}")
        _ticks_at(ax, own[x])
    legend_beside(axes[0])
    legend_beside(axes[1])


def groups(
    table: pd.DataFrame, one: str, other: str
) -> list[tuple[tuple[float, float], pd.DataFrame]]:
    """The rows of a table by the values of two numeric columns, in ascending order."""
    values = sorted(set(zip(table[one], table[other], strict=True)))
    return [((x, y), table[(table[one] == x) & (table[other] == y)]) for x, y in values]


def _spread_line(ax: Axes, table: pd.DataFrame, x: str, y: str, name: str, index: int) -> None:
    """Draw the means over seeds as a line, with bars from the smallest to the largest value."""
    by_x = table.dropna(subset=[y]).groupby(x)[y]
    if not len(by_x):
        return
    middle, low, high = by_x.mean(), by_x.min(), by_x.max()
    ax.errorbar(
        middle.index.to_numpy(np.float64),
        middle.to_numpy(),
        yerr=np.stack([(middle - low).to_numpy(), (high - middle).to_numpy()]),
        label=name,
        color=PALETTE[index % len(PALETTE)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle=LINES[index // len(PALETTE) % len(LINES)],
        markersize=4.5,
        linewidth=1.3,
        capsize=2,
    )


def _reference(ax: Axes, spread: Mapping[str, Any], name: str) -> None:
    if spread["mean"] is None:
        return
    ax.axhspan(spread["min"], spread["max"], color="0.85", zorder=0)
    ax.axhline(spread["mean"], color="0.35", linewidth=1, linestyle="--", zorder=0, label=name)


def _ticks_at(ax: Axes, values: pd.Series[Any]) -> None:
    """Put ticks at the values of the grid; if they span a wide range, the axis is logarithmic."""
    found = sorted({float(v) for v in values.dropna()})
    if not found:
        return
    if found[0] > 0 and found[-1] / found[0] >= 8:
        ax.set_xscale("log")
    ax.set_xticks(found, [spell(v) for v in found])
    ax.minorticks_off()


def cross_base(pairs: pd.DataFrame, measure: Measure, ax: Axes) -> None:
    """Draw the similarity of equally pruned models of different bases, against the threshold."""
    table = pair_tables.annotate(pairs)
    table = table[(table.base_a != table.base_b) & (table.state_b == "pruned")]
    for key in ("l1", "epochs", "threshold"):
        table = table[table[f"{key}_a"] == table[f"{key}_b"]]
    for index, ((l1, epochs), group) in enumerate(groups(table, "l1_b", "epochs_b")):
        name = f"λ={spell(l1)}, epochs {epochs:g}"
        _spread_line(ax, group, "threshold_b", measure.name, name, index)
    _reference(ax, pair_tables.across_bases(pairs, measure.name)[0], "the unpruned bases")
    ax.set_xlabel("pruning threshold of both")
    ax.set_ylabel(f"{likeness(measure)} of models of different bases")
    _ticks_at(ax, table.threshold_b)
    legend_beside(ax)


def rises(recipes: Sequence[Mapping[str, Any]], margin: float, alpha: float, ax: Axes) -> None:
    """Draw how much more similar pruned models of different bases are than each comparison.

    Args:
        recipes: the answers in findings.json, with their comparisons.
        margin: the smallest rise that matters, if there is no ceiling.
        alpha: the level of the confidence intervals is 1 − alpha.
        ax: the Axes to draw into; one row per recipe, from the top. Recipes that are measured in
            another unit than the first one are left out.
    """
    unit = recipes[0]["walk"]["unit"] if recipes else "rise"
    recipes = [one for one in recipes if one["walk"]["unit"] == unit]
    found = [[*one["walk"]["comparisons"], *one["pruning"]["comparisons"]] for one in recipes]
    names = list(dict.fromkeys(row["against"] for rows in found for row in rows))
    for index, name in enumerate(names):
        shown = [
            (place + 0.7 * ((index + 0.5) / len(names) - 0.5), row)
            for place, rows in enumerate(found)
            for row in rows
            if row["against"] == name and row["effect"] is not None
        ]
        reach = [
            [0.0 if row[end] is None else abs(row["effect"] - row[end]) for _, row in shown]
            for end in ("low", "high")
        ]
        ax.errorbar(
            [row["effect"] for _, row in shown],
            [y for y, _ in shown],
            xerr=np.array(reach) if shown else None,
            fmt=MARKERS[index % len(MARKERS)],
            color=PALETTE[index % len(PALETTE)],
            markersize=4.5,
            linewidth=1.2,
            capsize=2,
            label=f"beyond {WORDS[name]}",
        )
    ax.axvline(0, color="0.3", linewidth=0.9, zorder=0)
    upper, lower = recipes[0]["walk"]["limits"] if recipes else (margin, margin)
    for limit, style in ((upper, "--"), (lower, ":")) if upper != lower else ((upper, "--"),):
        ax.axvline(
            limit, color="0.3", linewidth=0.9, linestyle=style, zorder=0, label=f"limit, {limit:g}"
        )
    ax.set_yticks(
        range(len(recipes)), [f"{one['recipe']}: {one['walk']['answer']}" for one in recipes]
    )
    ax.set_ylim(len(recipes) - 0.4, -0.6)
    what = "share of the gap closed" if unit == "share" else "rise of similarity"
    ax.set_xlabel(f"{what} between different bases, with {1 - alpha:.0%} interval")
    legend_beside(ax)


def kinds_of_pairs(pairs: pd.DataFrame, measure: Measure, ax: Axes) -> None:
    """Draw the similarity of every pair by kind of pair: points, and boxes of quartiles."""
    kinds = {
        name: table[measure.name].dropna() for name, table in pair_kinds.by_kind(pairs).items()
    }
    for row, values in enumerate(kinds.values()):
        colour = PALETTE[row % len(PALETTE)]
        spread = (
            (np.arange(len(values)) * 0.618034) % 1 - 0.5
        ) * 0.5  # evenly spread, and always the same
        ax.scatter(
            values,
            row + spread,
            s=12,
            color=[colour],
            zorder=3,
            marker=MARKERS[row % len(MARKERS)],
            linewidth=0,
            rasterized=len(values) > 2000,  # more vector points would make the page slow
        )
        if len(values) > 4:
            ax.boxplot(
                values,
                positions=[row],
                orientation="horizontal",
                widths=0.62,
                showfliers=False,
                boxprops={"color": "0.6"},
                whiskerprops={"color": "0.6"},
                capprops={"color": "0.6"},
                medianprops={"color": "black", "linewidth": 1.6},
            )
    ax.set_yticks(range(len(kinds)), [f"{name} ({len(v)})" for name, v in kinds.items()])
    ax.set_ylim(len(kinds) - 0.4, -0.6)
    ax.set_xlabel(f"{likeness(measure)} of the two models of a pair")
