"""How similar pairs of models are: to their own base, across bases, and by kind of pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from skeletons.figures.style import LINES, MARKERS, PALETTE, legend_beside, likeness, panels
from skeletons.findings import pair_kinds, pair_tables
from skeletons.findings.answer_text import WORDS
from skeletons.measures.measure import Measure
from skeletons.model_ids import spell

CUTS = {"threshold": "pruning threshold", "density": "density after pruning"}  # names of axes


def own_base_similarity(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The similarity of each model to its own base: recipe, base, state, value."""
    table = pair_tables.annotate(pairs)
    own = table[(table.base_a == table.base_b) & (table.state_a == "base")]
    keys = ("l1", "epochs", "threshold", "density", "base", "state")
    names = {f"{key}_b": key for key in keys}
    return own.rename(columns={**names, measure: "value"})[[*names.values(), "value"]]


def cuts(table: pd.DataFrame) -> list[str]:
    """How pruned models of a table are pruned: by `threshold`, to a `density`, or both.

    Args:
        table: of models or pairs, whose columns of both may end with `_b`.
    """
    ends = {name: name if name in table else f"{name}_b" for name in CUTS}
    return [name for name, column in ends.items() if table[column].notna().any()] or ["threshold"]


def similarity_to_base(pairs: pd.DataFrame, measure: Measure, axes: Sequence[Axes]) -> None:
    """Draw the similarity of pruned models to their base by threshold or density, and by epochs.

    Args:
        pairs: the table of all pairs.
        measure: a column of it.
        axes: two Axes: for the threshold or the density (replaced by two if there are both), and
            for the epochs.
    """
    own = own_base_similarity(pairs, measure.name)
    own = own[own.state == "pruned"]
    reference = pair_tables.across_bases(pairs, measure.name)[0]
    found = cuts(own)
    left = _side_by_side(axes[0], len(found))
    for ax, x, several in (
        *((ax, cut, ["epochs"]) for ax, cut in zip(left, found, strict=True)),
        (axes[1], "epochs", ["density", "threshold"]),
    ):
        lines = [(name, *found) for name in several for found in groups(own, "l1", name)]
        for index, (series, (l1, value), group) in enumerate(lines):
            _spread_line(ax, group, x, "value", f"λ={spell(l1)}, {series} {value:g}", index)
        _reference(ax, reference, "unpruned bases, with each other")
        ax.set_xlabel({**CUTS, "epochs": "epochs of regularisation"}[x])
        ax.set_ylabel(f"{likeness(measure)} to its own base")
        ax.set_title(f"against {x}")
        _ticks_at(ax, own[x])
        legend_beside(ax)


def _side_by_side(ax: Axes, count: int) -> list[Axes]:
    """Some Axes in place of one."""
    return [ax] if count == 1 else panels(ax, 1, count)


def groups(
    table: pd.DataFrame, one: str, other: str
) -> list[tuple[tuple[float, float], pd.DataFrame]]:
    """The rows of a table by the values of two numeric columns, in ascending order."""
    known = table[table[other].notna()]
    values = sorted(set(zip(known[one], known[other], strict=True)))
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
    """Draw the similarity of equally pruned models of different bases, by threshold or density.

    Args:
        pairs: the table of all pairs.
        measure: a column of it.
        ax: replaced by two Axes if there are thresholds and densities.
    """
    table = pair_tables.pruned_alike(pairs)
    found = cuts(table)
    for one, cut in zip(_side_by_side(ax, len(found)), found, strict=True):
        for index, ((l1, epochs), group) in enumerate(groups(table, "l1_b", "epochs_b")):
            name = f"λ={spell(l1)}, epochs {epochs:g}"
            _spread_line(one, group, f"{cut}_b", measure.name, name, index)
        _reference(one, pair_tables.across_bases(pairs, measure.name)[0], "the unpruned bases")
        one.set_xlabel(f"{CUTS[cut]} of both")
        one.set_ylabel(f"{likeness(measure)} of models of different bases")
        _ticks_at(one, table[f"{cut}_b"])
        legend_beside(one)


def rises(recipes: Sequence[Mapping[str, Any]], margin: float, level: float, ax: Axes) -> None:
    """Draw how much more similar pruned models of different bases are than each comparison.

    Args:
        recipes: the answers in findings.json, with their comparisons.
        margin: the smallest rise that matters, if there is no ceiling.
        level: of each one-sided test, see `Rules.level`; intervals have both sides.
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
    ax.set_xlabel(f"{what} between different bases, with {100 * (1 - 2 * level):.4g}% interval")
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
