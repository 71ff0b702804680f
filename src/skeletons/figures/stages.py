"""The stages that draw an experiment's figures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skeletons.figures import captions, heatmaps, models, pairs
from skeletons.figures.absence import save_absent
from skeletons.figures.captions import Drawn
from skeletons.figures.style import described, new_figure, save_svg, styled
from skeletons.findings import networks, pair_kinds, pair_tables
from skeletons.findings.rules import level_in
from skeletons.measures.catalogue import MEASURES, resolve
from skeletons.measures.measure import Measure
from skeletons.model_ids import PRUNED, Model, suffix
from skeletons.store import artifacts

ROW = 0.145  # inches of a heatmap for each model, so that labels of 8 points fit


def figures_stage(
    *,
    scores: str,
    similarity: Sequence[str],
    histories: Sequence[str],
    verdict: str,
    ood: Sequence[str],
    measures: Sequence[str],
    folder: str,
    colormap: str,
) -> None:
    """Draw every figure of an experiment into a folder.

    Args:
        scores: scores.parquet.
        similarity: the tables of all pairs, in the order of `ood`.
        histories: the histories of regularised models, each in the folder of its model.
        verdict: verdict.json.
        ood: the names of the data sets.
        measures: built-in names or references to user-defined measures.
        folder: the folder that the SVG files are written to.
        colormap: the colour map of heatmaps, of matplotlib or seaborn.

    Raises:
        ArtifactError: a file is missing or broken.
        ExtensionError: a reference does not name a measure.
    """
    chosen = resolve(measures)
    found = artifacts.read_json(verdict, ["networks", "settings"])
    table = artifacts.read_table(scores, ["model", "accuracy", "sparsity", "dead"])
    target = Path(folder)
    columns = ["a", "b", *chosen]
    compared = {
        name: artifacts.read_table(path, columns)
        for name, path in zip(ood, similarity, strict=True)
    }
    parts = networks.split(table, compared)
    with styled():
        for name, measure in itertools.product(ood, chosen.values()):
            title = f"Every pair of models on {name}"
            path = target / f"heatmap_{name}_{measure.name}.svg"
            about = captions.drawn("heatmap", name, measure)
            save_heatmap(compared[name], table, measure, title, path, colormap, about)
            for part, one in zip(parts, found["networks"], strict=True):
                shown = _Shown(name, measure, target, part.tag)
                _save_similarity(part.similarity[name], shown)
                _save_verdict(part.similarity[name], one["verdict"], found["settings"], shown)
        figure, axes = new_figure(6.5, 3.8)
        models.accuracy_vs_sparsity(table, found["settings"]["drop"], axes[0])
        about = captions.drawn("accuracy_vs_sparsity")
        save_svg(figure, target / "accuracy_vs_sparsity.svg", about)
        _save_walks(histories, target / "ridge_walk.svg")


def _save_walks(histories: Sequence[str], path: Path) -> None:
    about = captions.drawn("ridge_walk")
    if not histories:
        save_absent(about, "The configuration asks for no walk.", path)
        return
    figure, axes = new_figure(9, 6, 2, 2)
    models.ridge_walk(read_walks(histories), axes)
    save_svg(figure, path, about)


def read_walks(histories: Sequence[str]) -> pd.DataFrame:
    """The histories of regularised models as one table, with the base and λ of each model.

    Args:
        histories: files, each in the folder of its model.
    """
    walks = []
    for path in histories:
        model = Model.parse(Path(path).parent.name)
        walks.append(artifacts.read_table(path).assign(base=model.title, l1=model.l1))
    return pd.concat(walks, ignore_index=True)


@dataclass(frozen=True)
class _Shown:
    """What a figure shows: a measure on a data set, of the models of one network."""

    ood: str
    measure: Measure
    folder: Path
    tag: str | None

    @property
    def of(self) -> str:
        """The data set and the network."""
        return self.ood if self.tag is None else f"{self.ood}, {self.tag}"

    def save(self, figure: Figure, kind: str) -> None:
        """Save a figure under a title that names all of it."""
        figure.suptitle(f"{described(self.measure)}, on {self.of}", fontsize=10)
        save_svg(figure, self._path(kind), captions.drawn(kind, self.of, self.measure))

    def lack(self, kind: str, because: str) -> None:
        """Save a figure that explains why the usual one is missing."""
        save_absent(captions.drawn(kind, self.of, self.measure), because, self._path(kind))

    def _path(self, kind: str) -> Path:
        return self.folder / f"{kind}_{self.ood}_{self.measure.name}{suffix(self.tag)}.svg"


def _save_verdict(
    compared: pd.DataFrame, found: Mapping[str, Any], settings: Mapping[str, Any], shown: _Shown
) -> None:
    recipes = found["by"][shown.ood][shown.measure.name]["recipes"]
    first = recipes[0] if recipes else None
    kinds = [*first["walk"]["comparisons"], *first["pruning"]["comparisons"]] if first else []
    comparisons = max(1, len(kinds))
    if recipes:
        figure, axes = new_figure(8.5, 1.5 + len(recipes) * (0.16 + 0.13 * comparisons))
        pairs.rises(recipes, settings["margin"], level_in(settings), axes[0])
        shown.save(figure, "rises")
    else:
        shown.lack("rises", "No pruned models of different bases were compared.")
    figure, axes = new_figure(8.5, 1.3 + 0.42 * max(1, len(pair_kinds.by_kind(compared))))
    pairs.kinds_of_pairs(compared, shown.measure, axes[0])
    shown.save(figure, "kinds_of_pairs")


def _save_similarity(compared: pd.DataFrame, shown: _Shown) -> None:
    compared = pair_tables.annotate(compared)
    if not {PRUNED} & {*compared.state_a, *compared.state_b}:
        for kind in ("similarity_to_base", "cross_base"):
            shown.lack(kind, "No pruned models were compared.")
        return
    both = len(pairs.cuts(compared)) > 1
    figure, axes = new_figure(15 if both else 10, 3.6, 1, 2)
    pairs.similarity_to_base(compared, shown.measure, axes)
    shown.save(figure, "similarity_to_base")
    figure, axes = new_figure(11 if both else 6.5, 3.6)
    pairs.cross_base(compared, shown.measure, axes[0])
    shown.save(figure, "cross_base")


def save_heatmap(
    compared: pd.DataFrame,
    scores: pd.DataFrame,
    measure: Measure,
    title: str,
    path: Path,
    colormap: str,
    about: Drawn,
) -> None:
    """Draw a heatmap with its title and save it; its size follows from the number of models.

    Args:
        compared: the table of all pairs.
        scores: the scores of all models.
        measure: the measure to draw, a column of `compared`.
        title: the line above the heatmap.
        path: the SVG file to write.
        colormap: a colour map of matplotlib or seaborn.
        about: what the figure shows.
    """
    side = float(np.clip(ROW * len({*compared.a, *compared.b}), 3, 9))
    width, height = side + 2.1, side + 2.7  # room for the labels, strips and scales
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0.7 / width, 2 / height, side / width, side / height))
    heatmaps.heatmap(compared, scores, measure, ax, colormap)
    top = heatmaps.top_of(ax)
    figure.text(0.7 / width, (top + 0.15) / height, title, fontsize=11, fontweight="bold")
    save_svg(figure, path, about)


def heatmap_stage(
    *, table: str, scores: str, heatmap: str, measure: str, title: str, colormap: str
) -> None:
    """Draw the heatmap of one costly measure.

    Args:
        table: the parquet file of all pairs; a column `ood` names the data set, if there is one.
        scores: scores.parquet.
        heatmap: the SVG file to write.
        measure: the name of a built-in measure, which is a column of the table.
        title: the title above the heatmap.
        colormap: a colour map of matplotlib or seaborn.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    compared = artifacts.read_table(table, ["a", "b", measure])
    about = artifacts.read_table(scores, ["model", "accuracy", "sparsity"])
    chosen = MEASURES[measure]
    ood = str(compared.ood.iloc[0]) if "ood" in compared else ""
    shown = captions.drawn("heatmap", ood, chosen)
    with styled():
        save_heatmap(compared, about, chosen, title, Path(heatmap), colormap, shown)
