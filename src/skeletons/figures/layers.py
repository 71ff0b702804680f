"""Maps of the similarity of every layer of one model to every layer of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from skeletons.figures import captions
from skeletons.figures.style import MISSING, described, new_figure, save_svg, styled
from skeletons.findings import inspections
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.layers import COLUMNS, mean_map
from skeletons.measures.measure import Measure
from skeletons.model_ids import suffix
from skeletons.store import artifacts

ENDS = {  # the two models of each kind of pair
    inspections.BASES: ("a base", "another base"),
    inspections.OWN: ("a base", "its variant"),
    inspections.VARIANTS: ("a variant", "a variant of another base"),
}


def maps(kinds: Mapping[str, Sequence[pd.DataFrame]], axes: Sequence[Axes], colormap: str) -> None:
    """Draw the mean scores of every two layers, one map per kind of pair.

    A cell holds the mean score over the pairs of models. It is in brackets if in some pair the two
    layers are not more alike than with shuffled images (p > 0.05).

    Args:
        kinds: by kind of pair, the tables of `layers.layer_map`.
        axes: to draw into, one for each kind.
        colormap: a colour map of matplotlib or seaborn.
    """
    colours = sns.color_palette(colormap, as_cmap=True).with_extremes(bad=MISSING)
    for ax, (kind, tables) in zip(axes, kinds.items(), strict=True):
        rows, columns, scores, above = mean_map(tables)
        ax.imshow(scores, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        for (row, column), score in np.ndenumerate(scores):
            if np.isnan(score):
                continue
            known = f"{score:.2f}" if above[row, column] == 1 else f"({score:.2f})"
            ink = "black" if sum(colours(float(np.clip(score, 0, 1)))[:3]) > 1.5 else "white"
            ax.text(column, row, known, ha="center", va="center", fontsize=7, color=ink)
        one, other = ENDS[kind]
        ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
        ax.set_yticks(range(len(rows)), rows, fontsize=7)
        ax.set_xlabel(f"layers of {other}")
        ax.set_ylabel(f"layers of {one}")
        count = len(tables)
        ax.set_title(f"{kind} ({count} pair{'s' if count > 1 else ''})")
        ax.tick_params(length=0)


def by_kind(tables: Mapping[str, pd.DataFrame]) -> dict[str, list[pd.DataFrame]]:
    """Tables of layers by the kind of their pair, in the order of `inspections.KINDS`.

    Args:
        tables: by the name of the pair, `A--B`.
    """
    found: dict[str, list[pd.DataFrame]] = {kind: [] for kind in inspections.KINDS}
    for name, table in tables.items():
        found[inspections.kind_of(*name.split("--"))].append(table)
    return {kind: some for kind, some in found.items() if some}


def label(measure: Measure) -> str:
    """What a map of layers shows, in words; the measure is of any layer here."""
    return described(measure).replace(" of penultimate features", "")


def save_maps(files: Sequence[str], folder: Path, tag: str | None, colormap: str) -> None:
    """Draw one figure for each measure and data set from the tables of all pairs of a network.

    Args:
        files: `…/MEASURE/DATASET/A--B.parquet`.
        folder: the folder that the SVG files are written to.
        tag: of the network; None for the unnamed one.
        colormap: a colour map of matplotlib or seaborn.
    """
    groups: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for path in map(Path, files):
        table = artifacts.read_table(path, COLUMNS)
        groups.setdefault((path.parent.parent.name, path.parent.name), {})[path.stem] = table
    for (name, ood), tables in groups.items():
        kinds, measure = by_kind(tables), MEASURES[name]
        with styled():
            figure, axes = new_figure(3.6 * len(kinds) + 0.4, 4.0, 1, len(kinds))
            maps(kinds, axes, colormap)
            of = ood if tag is None else f"{ood}, {tag}"
            title = f"{label(measure)} beyond shuffled images, on {of}"
            figure.suptitle(title, fontsize=10)
            about = captions.drawn("layers", of, measure)
            save_svg(figure, folder / f"layers_{ood}_{name}{suffix(tag)}.svg", about)
