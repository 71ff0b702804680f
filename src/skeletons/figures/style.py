"""What all figures share: colours and markers, Axes, legends, and how a figure is saved.

Colours are safe for colour-blind readers. Whatever a colour shows is also shown by a marker, a line
style or a number, so it survives a print in grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skeletons.figures.captions import Drawn, metadata
from skeletons.measures.measure import Measure
from skeletons.store import artifacts

STYLE: Mapping[str, Any] = {
    **sns.axes_style("ticks"),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and it is small
    "svg.hashsalt": "skeletons",  # ids from the content: equal figures have equal bytes
}
PALETTE = sns.color_palette("colorblind")
MARKERS = "osD^vP*X"
LINES = ("-", "--", ":", "-.")
MISSING = "#d9d9d9"

LABELS = {
    "cosine_prob": "cosine similarity of probabilities",
    "cosine_prob_flat": "cosine similarity of probabilities, all images as one vector",
    "cosine_logit": "cosine similarity of logits",
    "cosine_logit_flat": "cosine similarity of logits, all images as one vector",
    "agreement": "agreement of the top class",
    "disagreement": "disagreement of the top class",
    "jensen_shannon": "Jensen–Shannon divergence of probabilities",
    "kappa": "Cohen's κ of the top class",
    "cosine_logit_centred": "cosine similarity of centred logits",
    "jensen_shannon_matched": "Jensen–Shannon divergence of probabilities at equal entropy",
    "error_consistency": "error consistency",
    "capa": "chance adjusted probabilistic agreement",
    "capa_top": "agreement of the top class beyond the accuracies",
    "linear_cka": "linear CKA of penultimate features",
    "linear_cka_debiased": "linear CKA (debiased) of penultimate features",
    "procrustes": "Procrustes similarity of penultimate features",
    "mutual_knn": "mutual nearest neighbours of penultimate features",
    "mask_overlap": "overlap beyond chance of masks",
    "mask_overlap_aligned": "overlap beyond chance of aligned masks",
}


def described(measure: Measure) -> str:
    """A measure in words; a user-defined measure has the label that it declares."""
    return LABELS.get(measure.name) or measure.label


def likeness(measure: Measure) -> str:
    """The word for the values of a measure: `similarity` or `dissimilarity`."""
    return "similarity" if measure.higher_is_alike else "dissimilarity"


def styled() -> Any:
    """A context in which matplotlib draws in the style of this package."""
    return mpl.rc_context(dict(STYLE))  # type: ignore[arg-type]


def save_svg(figure: Figure, path: str | Path, drawn: Drawn | None = None) -> None:
    """Write a figure as SVG; the same figure always gives the same bytes.

    Args:
        figure: the figure.
        path: the SVG file to write.
        drawn: what the figure shows; it is written into the file's metadata.
    """
    about = {} if drawn is None else metadata(drawn)
    if mark := artifacts.mark_of_origin():
        about["Source"] = mark
    with artifacts.atomic(path) as temporary:
        figure.savefig(
            temporary, format="svg", metadata={"Date": None, **about}, bbox_inches="tight"
        )


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """A figure (size in inches) that pyplot does not manage, and its Axes as a flat list."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def panels(ax: Axes, rows: int, columns: int, **options: Any) -> list[Axes]:
    """A grid of Axes in place of one, for a figure of several panels.

    The given Axes stay where they are and show nothing.

    Args:
        ax: the Axes to replace.
        rows: of the grid.
        columns: of the grid.
        options: of each Axes of the grid, such as `projection`.
    """
    figure = ax.figure
    spec = ax.get_subplotspec()
    if spec is None:
        box = ax.get_position()
        grid: Any = figure.add_gridspec(
            rows, columns, left=box.x0, right=box.x1, bottom=box.y0, top=box.y1
        )
    else:
        grid = spec.subgridspec(rows, columns)
    ax.set_axis_off()
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return [figure.add_subplot(grid[cell], **options) for cell in cells]


def legend_beside(ax: Axes) -> None:
    """Put the legend to the right of the Axes, if there is anything to list."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
