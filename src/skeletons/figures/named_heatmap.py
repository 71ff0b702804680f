"""A heatmap of models that are known by any names, such as those of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from skeletons.errors import SavedOutputError
from skeletons.figures.heatmaps import similarity_matrix
from skeletons.figures.style import described, styled
from skeletons.measures.measure import Measure
from skeletons.store import artifacts

LONGEST = 24  # letters of a label


def save(table: pd.DataFrame, measure: Measure, path: str | Path) -> None:
    """Draw a measure of every pair of models.

    Args:
        table: one row per pair, with columns a, b and the measure.
        measure: one of its columns.
        path: of the image to write; its ending decides the format, such as `.svg` or `.png`.

    Raises:
        ArtifactError: the file cannot be written.
        SavedOutputError: its ending is none of an image.
    """
    ending = Path(path).suffix.removeprefix(".") or "svg"
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise SavedOutputError(
            f"{path}: found the ending {ending!r}; allowed: {', '.join(sorted(known))}."
        )
    names = list(dict.fromkeys([*table.a, *table.b]))
    cut = [name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}" for name in names]
    short = [name.replace("$", r"\$") for name in cut]  # or matplotlib sets a formula
    side = float(np.clip(0.45 * len(names), 3, 12))
    with styled():
        figure = Figure(figsize=(side + 3, side + 1.6), layout="constrained")
        sns.heatmap(
            similarity_matrix(table, names, measure),
            ax=figure.add_subplot(),
            square=True,
            cmap="viridis" if measure.higher_is_alike else "viridis_r",
            xticklabels=short,
            yticklabels=short,
            annot=len(names) <= 12,
            fmt=".2f",
            cbar_kws={"label": described(measure)},
        )
        with artifacts.atomic(path) as temporary:
            figure.savefig(temporary, format=ending, dpi=150)
