"""Figures of bridges between bases, and of masks that are transferred between them.

Each drawing function draws into the Axes that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from skeletons.figures.captions import Drawn
from skeletons.figures.style import PALETTE, new_figure, save_svg, styled
from skeletons.findings.transfers import OWN, RANDOM, SEPARATOR
from skeletons.store import artifacts

Points = pd.DataFrame  # of one bridge
OTHERS = "other"  # the mask of another base
TURNED = "turned"  # a word of the part on which the function changes


def bridges(tables: Sequence[pd.DataFrame], title: str, ax: Axes) -> None:
    """Draw the rise of the loss along bridges, one line each.

    Args:
        tables: of the points of each bridge, columns part, rise (nats) and step_length.
        title: of the Axes.
        ax: to draw into.
    """
    for k, table in enumerate(tables):
        place = table.step_length.cumsum() / table.step_length.sum()
        ax.plot(place, table.rise, color=PALETTE[k % len(PALETTE)], linewidth=1.2, alpha=0.8)
        turned = place[table.part.str.contains(TURNED)]
        if len(turned):
            ax.axvspan(turned.iloc[0], turned.iloc[-1], color="0.9", zorder=0, linewidth=0)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_title(f"{title} ({len(tables)} {'pair' if len(tables) == 1 else 'pairs'})")
    ax.set_xlabel("place on the path")
    ax.set_xticks([0, 1], ["a", "b"])
    ax.set_ylabel("rise of the training loss in nats")


def transfers(pairs: Sequence[Mapping[str, float]], ax: Axes) -> None:
    """Draw the accuracy of each pair of bases by the mask, and the means.

    Args:
        pairs: for each pair, the test accuracy by the name of the mask.
        ax: to draw into.
    """
    names = [OTHERS, OWN, RANDOM]
    values = np.array([[pair[name] for name in names] for pair in pairs], dtype=np.float64)
    for row in values:
        ax.plot(range(3), row, color="0.7", linewidth=0.8, marker="o", markersize=3)
    if len(values):
        mean = values.mean(axis=0)
        ax.plot(range(3), mean, color=PALETTE[0], linewidth=1.6, marker="s", label="mean")
    ax.set_xticks(range(3), ["another base's mask", "own mask", "random mask"])
    ax.set_xlim(-0.3, 2.3)
    ax.set_ylabel("test accuracy")


# --- files --------------------------------------------------------------------------------------


def read_bridges(doubled: Sequence[Path], original: Sequence[Path]) -> Mapping[str, list[Points]]:
    """The tables of bridges by the width that they are in, in words.

    Args:
        doubled: files of bridges in twice the width.
        original: files of paths in the original width; a path that does not exist has one point.
    """
    groups = {"twice the width": doubled, "the original width": original}
    tables = {
        name: [table for file in files if len(table := artifacts.read_table(file)) > 1]
        for name, files in groups.items()
    }
    return {name: found for name, found in tables.items() if found}


def read_transfers(files: Sequence[Path]) -> list[dict[str, float]]:
    """The pairs that `transfers` draws; a pair without one of its three masks is left out."""
    found: dict[tuple[str, str], float] = {}
    for file in files:
        base, _, mask = file.stem.partition(SEPARATOR)
        found[base, mask] = artifacts.read_json(file, ["test_accuracy"])["test_accuracy"]
    return [
        {OTHERS: value, OWN: found[base, OWN], RANDOM: found[base, RANDOM]}
        for (base, mask), value in found.items()
        if mask not in (OWN, RANDOM) and (base, OWN) in found and (base, RANDOM) in found
    ]


def save_bridges(doubled: Sequence[str], original: Sequence[str], path: Path, about: Drawn) -> None:
    """Draw the bridges in twice the width, and those in the original width, if there are any.

    Args:
        doubled: the tables of the former.
        original: the tables of the latter.
        path: the SVG file to write.
        about: what it shows.
    """
    groups = read_bridges(list(map(Path, doubled)), list(map(Path, original)))
    with styled():
        figure, axes = new_figure(4 * len(groups), 3.4, 1, len(groups))
        for ax, (name, tables) in zip(axes, groups.items(), strict=True):
            bridges(tables, name, ax)
        save_svg(figure, path, about)


def save_transfers(pairs: Sequence[Mapping[str, float]], path: Path, about: Drawn) -> None:
    """Draw the pairs that `read_transfers` returns into an SVG file."""
    with styled():
        figure, axes = new_figure(4.6, 3.4)
        transfers(pairs, axes[0])
        save_svg(figure, path, about)
