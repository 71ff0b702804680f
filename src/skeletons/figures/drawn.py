"""The figures. Each function draws into the Axes that it is given.

Colours are safe for the colour-blind, and what a colour says is also said by a marker, a line
style or a number, so that a print in grey keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from skeletons import text as prose
from skeletons.findings import pair_kinds, pair_tables
from skeletons.measures.behaviour import admit
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.model_ids import Model, spell
from skeletons.store import artifacts

Floats = npt.NDArray[np.float64]

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
    "svg.fonttype": "none",  # text stays text: searchable, and small
    "svg.hashsalt": "skeletons",  # ids from content, so that equal figures are equal bytes
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
    "linear_cka": "linear CKA of penultimate features",
    "linear_cka_debiased": "linear CKA (debiased) of penultimate features",
    "mask_overlap": "overlap beyond chance of masks",
    "mask_overlap_aligned": "overlap beyond chance of aligned masks",
}


def described(measure: Measure) -> str:
    """A measure in words; one of the user's has the label that it declares."""
    return LABELS.get(measure.name) or measure.label


def save_svg(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG; the same figure always gives the same bytes."""
    with artifacts.atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None}, bbox_inches="tight")


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """A figure, in inches, that no global state knows of, and its Axes as a flat list."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def panels(ax: Axes, rows: int, columns: int, **options: Any) -> list[Axes]:
    """A grid of Axes in the place of one, for a figure of several panels.

    The one stays where it is and shows nothing.

    Args:
        ax: whose place is taken.
        rows: of the grid.
        columns: of the grid.
        options: of each of its Axes, such as `projection`.
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
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return [figure.add_subplot(grid[place], **options) for place in places]


# --- the heatmap --------------------------------------------------------------------------------


def ordered(names: Sequence[str]) -> list[str]:
    """Model ids in canonical order: by seed, λ, epochs and threshold as numbers."""
    return sorted(set(names), key=lambda name: Model.parse(name).sort_key)


def similarity_matrix(pairs: pd.DataFrame, models: Sequence[str], measure: Measure) -> Floats:
    """N×N values of a measure: symmetric, NaN where there is none; each model is like itself."""
    place = {name: k for k, name in enumerate(models)}
    matrix = np.full((len(models), len(models)), np.nan)
    rows, columns = pairs.a.map(place).to_numpy(), pairs.b.map(place).to_numpy()
    matrix[rows, columns] = matrix[columns, rows] = pairs[measure.name].to_numpy(np.float64)
    np.fill_diagonal(matrix, measure.itself)
    return matrix


def label(name: str) -> str:
    """A model's short label; its seed stands beside its block, and a control below its model."""
    model = Model.parse(name)
    if model.state == "base":
        return "base"
    if model.state == "untrained":
        return "untrained"
    if model.state == "reordered":
        return f"order {model.order}"
    text = f"λ{spell(model.l1 or 0)} ·{model.epochs}"
    if model.threshold is not None:
        text += f" <{spell(model.threshold)}"
    return text if model.draw is None else f"{text} random {model.draw}"


def heatmap(
    pairs: pd.DataFrame, scores: pd.DataFrame, measure: Measure, ax: Axes, colormap: str = "viridis"
) -> None:
    """Draw the similarity of every pair of models as an N×N heatmap.

    Two strips to its left show each model's accuracy and sparsity; the scales are below. All of
    that is placed by the size that the Axes have now, and moves with them.

    Args:
        pairs: the table of all pairs on one OOD set.
        scores: all models' scores.
        measure: its name is a column of `pairs`.
        ax: to draw into; they become square.
        colormap: of matplotlib or seaborn.
    """
    models = ordered([*pairs.a, *pairs.b])
    matrix = similarity_matrix(pairs, models, measure)
    about = scores.set_index("model").loc[models]
    side = _square(ax)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """Axes at inches from the heatmap's lower left corner."""
        return ax.inset_axes((x / side, y / side, w / side, h / side))

    known = matrix[~np.eye(len(models), dtype=bool) & ~np.isnan(matrix)]
    colours, norm = _colours(measure, known, colormap)
    image = ax.imshow(matrix, cmap=colours, norm=norm, interpolation="nearest")
    _label_models(ax, models)
    _mark_bases(ax, models)
    third = (side + 0.6) / 3.5
    scales = [place(-0.55 + k * 1.25 * third, -1.7, third, 0.12) for k in range(3)]
    _scale(image, scales[0], described(measure).replace(" of ", "\nof ", 1))
    for k, (column, cmap) in enumerate((("accuracy", "mako"), ("sparsity", "rocket_r"))):
        beside = place(-0.55 + 0.26 * k, 0, 0.22, side)
        strip = _strip(beside, column, about[column].to_numpy(np.float64), cmap)
        _scale(strip, scales[k + 1], {"accuracy": "test accuracy"}.get(column, column))
    if np.isnan(matrix).any():
        dead = measure.kind == "behaviour"
        why = "no similarity, as a model is dead" if dead else "no value; the table says why"
        ax.legend(
            handles=[Patch(facecolor=MISSING, label=f"grey: {why}")],
            loc="lower right",
            bbox_to_anchor=(1 + 1.3 / side, 1 + 0.16 / side),  # above the numbers of the seeds
            borderaxespad=0,
        )


def _square(ax: Axes) -> float:
    """Make Axes square where they are; their side in inches."""
    ax.set_box_aspect(1)
    ax.apply_aspect()
    return float(ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted()).width)


def _colours(measure: Measure, known: Floats, colormap: str) -> tuple[Colormap, Normalize]:
    """The scale of a heatmap, in which alike has the same colour whatever the measure."""
    colours = sns.color_palette(colormap, as_cmap=True)
    itself = measure.itself
    values = known if len(known) else np.array([0.0, 1.0])
    if measure.higher_is_alike:
        low = float(np.floor(values.min() * 10) / 10)
        high = itself if np.isfinite(itself) else float(values.max())
        return colours.with_extremes(bad=MISSING), Normalize(low, high)
    low = itself if np.isfinite(itself) else float(values.min())
    high = float(np.ceil(values.max() * 10) / 10)
    return colours.reversed().with_extremes(bad=MISSING), Normalize(low, high or 1)


def _likeness(measure: Measure) -> str:
    return "similarity" if measure.higher_is_alike else "dissimilarity"


def _label_models(ax: Axes, models: Sequence[str]) -> None:
    step = max(1, -(-len(models) // 110))  # more labels than this run into each other
    ticks = range(0, len(models), step)
    size = float(np.clip(400 / len(models), 4, 8))
    names = [label(models[k]) for k in ticks]
    ax.set_xticks(ticks, names, rotation=90, fontsize=size)
    ax.yaxis.tick_right()
    ax.set_yticks(ticks, names, fontsize=size)
    ax.tick_params(length=0, pad=2)
    ax.yaxis.set_tick_params(labelright=True)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _mark_bases(ax: Axes, models: Sequence[str]) -> None:
    """White lines between the models of different bases, and each block's seed above it."""
    seeds = [Model.parse(name).seed for name in models]
    starts = [k for k in range(len(seeds)) if k == 0 or seeds[k] != seeds[k - 1]]
    for start, end in zip(starts, [*starts[1:], len(seeds)], strict=True):
        if start:
            ax.axhline(start - 0.5, color="white", linewidth=1.5)
            ax.axvline(start - 0.5, color="white", linewidth=1.5)
        ax.text(
            (start + end - 1) / 2,
            1.005,
            f"seed {seeds[start]}",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
            fontweight="bold",
        )


def _strip(ax: Axes, name: str, values: Floats, cmap: str) -> AxesImage:
    """A column beside the heatmap that shows one score of each model."""
    colours = sns.color_palette(cmap, as_cmap=True)
    image = ax.imshow(values[:, None], cmap=colours, aspect="auto", interpolation="nearest")
    ax.set_xticks([0], [name], rotation=90, fontsize=7)
    ax.set_yticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _scale(image: AxesImage, ax: Axes, name: str) -> None:
    bar = ax.figure.colorbar(image, cax=ax, orientation="horizontal")
    bar.set_label(name, fontsize=8)
    bar.ax.tick_params(labelsize=7)


# --- lines and points ---------------------------------------------------------------------------


def own_base_similarity(pairs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Similarity to their own base of all others: l1, epochs, threshold, seed, state, value."""
    table = pair_tables.annotate(pairs)
    own = table[(table.seed_a == table.seed_b) & (table.state_a == "base")]
    names = {f"{key}_b": key for key in ("l1", "epochs", "threshold", "seed", "state")}
    return own.rename(columns={**names, measure: "value"})[[*names.values(), "value"]]


def similarity_to_base(pairs: pd.DataFrame, measure: Measure, axes: Sequence[Axes]) -> None:
    """Draw how like its own base a pruned model is, against threshold (left) and epochs (right)."""
    own = own_base_similarity(pairs, measure.name)
    own = own[own.state == "pruned"]
    reference = pair_tables.across_bases(pairs, measure.name)[0]
    for ax, x, series in ((axes[0], "threshold", "epochs"), (axes[1], "epochs", "threshold")):
        for index, ((l1, value), group) in enumerate(_groups(own, "l1", series)):
            _spread_line(ax, group, x, "value", f"λ={spell(l1)}, {series} {value:g}", index)
        _reference(ax, reference, "unpruned bases, one with another")
        ax.set_xlabel({"threshold": "pruning threshold", "epochs": "epochs of regularisation"}[x])
        ax.set_ylabel(f"{_likeness(measure)} to the own base")
        ax.set_title(f"against {x}")
        _ticks_at(ax, own[x])
    _legend(axes[0])
    _legend(axes[1])


def _groups(
    table: pd.DataFrame, one: str, other: str
) -> list[tuple[tuple[float, float], pd.DataFrame]]:
    """The rows of a table by the values of two numeric columns, in ascending order."""
    values = sorted(set(zip(table[one], table[other], strict=True)))
    return [((x, y), table[(table[one] == x) & (table[other] == y)]) for x, y in values]


def _spread_line(ax: Axes, table: pd.DataFrame, x: str, y: str, name: str, index: int) -> None:
    """A line through the means over seeds, with bars from the least to the largest."""
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
    """Ticks at the values of the grid, on a logarithmic axis where they span a decade."""
    found = sorted({float(v) for v in values.dropna()})
    if not found:
        return
    if found[0] > 0 and found[-1] / found[0] >= 8:
        ax.set_xscale("log")
    ax.set_xticks(found, [spell(v) for v in found])
    ax.minorticks_off()


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def cross_base(pairs: pd.DataFrame, measure: Measure, ax: Axes) -> None:
    """Draw the similarity of models of different bases, pruned the same way, against threshold."""
    table = pair_tables.annotate(pairs)
    table = table[(table.seed_a != table.seed_b) & (table.state_b == "pruned")]
    for key in ("l1", "epochs", "threshold"):
        table = table[table[f"{key}_a"] == table[f"{key}_b"]]
    for index, ((l1, epochs), group) in enumerate(_groups(table, "l1_b", "epochs_b")):
        name = f"λ={spell(l1)}, epochs {epochs:g}"
        _spread_line(ax, group, "threshold_b", measure.name, name, index)
    _reference(ax, pair_tables.across_bases(pairs, measure.name)[0], "the unpruned bases")
    ax.set_xlabel("pruning threshold of both")
    ax.set_ylabel(f"{_likeness(measure)} of models of different bases")
    _ticks_at(ax, table.threshold_b)
    _legend(ax)


def rises(recipes: Sequence[Mapping[str, Any]], margin: float, alpha: float, ax: Axes) -> None:
    """Draw how much more alike pruned models of different bases are than those held against.

    Args:
        recipes: verdicts as findings.json has them, with their rises beyond each comparison.
        margin: the smallest rise that matters.
        alpha: of the intervals.
        ax: to draw into; a row a recipe, from the top.
    """
    names = list(dict.fromkeys(r["against"] for v in recipes for r in v["rises"]))
    for index, name in enumerate(names):
        shown = [
            (row + 0.7 * ((index + 0.5) / len(names) - 0.5), r)
            for row, v in enumerate(recipes)
            for r in v["rises"]
            if r["against"] == name and r["effect"] is not None
        ]
        reach = [
            [0.0 if r[end] is None else abs(r["effect"] - r[end]) for _, r in shown]
            for end in ("low", "high")
        ]
        ax.errorbar(
            [r["effect"] for _, r in shown],
            [y for y, _ in shown],
            xerr=np.array(reach) if shown else None,
            fmt=MARKERS[index % len(MARKERS)],
            color=PALETTE[index % len(PALETTE)],
            markersize=4.5,
            linewidth=1.2,
            capsize=2,
            label=f"beyond {name}",
        )
    ax.axvline(0, color="0.3", linewidth=0.9, zorder=0)
    ax.axvline(
        margin, color="0.3", linewidth=0.9, linestyle="--", zorder=0, label=f"margin, {margin:g}"
    )
    ax.set_yticks(range(len(recipes)), [f"{v['question']}: {_short(v['answer'])}" for v in recipes])
    ax.set_ylim(len(recipes) - 0.4, -0.6)
    ax.set_xlabel(f"rise of similarity between different bases, with {1 - alpha:.0%} interval")
    _legend(ax)


def _short(answer: str) -> str:
    """An answer as it fits beside a row."""
    return answer.removesuffix(" with this many seeds").replace("cannot be decided", "undecided")


def kinds_of_pairs(pairs: pd.DataFrame, measure: Measure, ax: Axes) -> None:
    """Draw every pair's similarity by kind of pair: a point each, quartiles as a box."""
    groups = {
        name: table[measure.name].dropna() for name, table in pair_kinds.by_kind(pairs).items()
    }
    for row, values in enumerate(groups.values()):
        colour = PALETTE[row % len(PALETTE)]
        spread = ((np.arange(len(values)) * 0.618034) % 1 - 0.5) * 0.5  # even, and always the same
        ax.scatter(
            values,
            row + spread,
            s=12,
            color=[colour],
            zorder=3,
            marker=MARKERS[row % len(MARKERS)],
            linewidth=0,
            rasterized=len(values) > 2000,  # so many would make the page slow
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
    ax.set_yticks(range(len(groups)), [f"{name} ({len(v)})" for name, v in groups.items()])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(f"{_likeness(measure)} of the two models of a pair")


def accuracy_vs_sparsity(scores: pd.DataFrame, ax: Axes) -> None:
    """Draw test accuracy against sparsity: marker for epochs, fill for λ, a cross if dead."""
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
    dead = scores[scores.dead]
    if len(dead):
        ax.scatter(dead.sparsity, dead.accuracy, marker="x", s=60, color="black", label="dead")
    bases = scores[scores.state == "base"]
    ax.scatter(
        bases.sparsity, bases.accuracy, marker="*", s=110, color="black", label="base", zorder=3
    )
    ax.axhline(bases.accuracy.mean(), color="0.5", linewidth=0.8, linestyle="--", zorder=0)
    ax.axhline(
        bases.accuracy.mean() - pair_tables.SLACK,
        color="0.5",
        linewidth=0.8,
        linestyle=":",
        zorder=0,
        label=f"{prose.points(pair_tables.SLACK, 0)} points under the bases' mean",
    )
    ax.set_xlabel("sparsity (share of prunable weights that are zero)")
    ax.set_ylabel("test accuracy")
    ax.set_xlim(-0.03, 1.03)
    _legend(ax)


def ridge_walk(walks: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """Draw each walk along regularisation: loss, accuracy, distance to the base, and step.

    Args:
        walks: the histories of regularised models, with columns seed and l1.
        axes: four.
    """
    panels = (
        ("data loss in nats", (("train_loss", "-"), ("test_loss", "--"))),
        ("accuracy", (("train_accuracy", "-"), ("test_accuracy", "--"))),
        ("L2 distance to the base", (("distance", "-"),)),
        ("L2 step of the epoch", (("step", "-"),)),
    )
    lambdas = sorted(walks.l1.unique())
    for ax, (text, columns) in zip(axes, panels, strict=True):
        for (l1, seed), walk in _groups(walks, "l1", "seed"):
            for column, line in columns:
                name = f"λ={spell(l1)}, seed {seed:g}"
                kind = "" if len(columns) == 1 else ", test" if "test" in column else ", training"
                seen = walk[walk.epoch > 0] if column == "step" else walk
                ax.plot(
                    seen.epoch,
                    seen[column],
                    line,
                    marker=MARKERS[sorted(walks.seed.unique()).index(seed) % len(MARKERS)],
                    markersize=3.5,
                    linewidth=1.2,
                    color=PALETTE[lambdas.index(l1) % len(PALETTE)],
                    label=name + kind,
                )
        ax.set_xlabel("epochs of regularisation")
        ax.set_ylabel(text)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes[1])
    _legend(axes[3])


# --- the stage ----------------------------------------------------------------------------------


def read_walks(histories: Sequence[str]) -> pd.DataFrame:
    """The histories of regularised models, named by the folders they are in, as one table."""
    walks = []
    for path in histories:
        model = Model.parse(Path(path).parent.name)
        walks.append(artifacts.read_table(path).assign(seed=model.seed, l1=model.l1))
    return pd.concat(walks, ignore_index=True)


def figures_stage(
    scores: str,
    similarity: Mapping[str, str],
    histories: Sequence[str],
    folder: str,
    measures: Sequence[str],
    colormap: str,
    found: str,
) -> None:
    """Draw every figure of an experiment into a folder."""
    names = admit(measures)
    verdict = artifacts.read_json(found, ["verdict", "settings"])
    table = artifacts.read_table(scores, ["model", "accuracy", "sparsity", "dead"])
    place = Path(folder)
    with mpl.rc_context(dict(STYLE)):  # type: ignore[arg-type]
        for ood, path in similarity.items():
            pairs = artifacts.read_table(path, ["a", "b", *names])
            for measure in map(MEASURES.__getitem__, names):
                _draw_similarity(pairs, table, ood, measure, place, colormap)
                _draw_verdict(pairs, verdict, ood, measure, place)
        figure, axes = new_figure(6.5, 3.8)
        accuracy_vs_sparsity(table, axes[0])
        save_svg(figure, place / "accuracy_vs_sparsity.svg")
        figure, axes = new_figure(9, 6, 2, 2)
        ridge_walk(read_walks(histories), axes)
        save_svg(figure, place / "ridge_walk.svg")


def _draw_verdict(
    pairs: pd.DataFrame, found: Mapping[str, Any], ood: str, measure: Measure, place: Path
) -> None:
    recipes = found["verdict"]["by"][ood][measure.name]["recipes"]
    margin = found["settings"]["margin"]
    comparisons = len(recipes[0]["rises"]) if recipes else 1
    figure, axes = new_figure(8.5, 1.5 + len(recipes) * (0.16 + 0.13 * comparisons))
    rises(recipes, margin, found["settings"]["alpha"], axes[0])
    figure.suptitle(f"{described(measure)}, on {ood}", fontsize=10)
    save_svg(figure, place / f"rises_{ood}_{measure.name}.svg")
    figure, axes = new_figure(8.5, 1.3 + 0.42 * max(1, len(pair_kinds.by_kind(pairs))))
    kinds_of_pairs(pairs, measure, axes[0])
    figure.suptitle(f"{described(measure)}, on {ood}", fontsize=10)
    save_svg(figure, place / f"kinds_of_pairs_{ood}_{measure.name}.svg")


def _draw_similarity(
    pairs: pd.DataFrame,
    scores: pd.DataFrame,
    ood: str,
    measure: Measure,
    place: Path,
    colormap: str,
) -> None:
    title = f"Every pair of models on {ood}"
    path = place / f"heatmap_{ood}_{measure.name}.svg"
    _draw_heatmap(pairs, scores, measure, title, path, colormap)
    figure, axes = new_figure(10, 3.6, 1, 2)
    similarity_to_base(pairs, measure, axes)
    figure.suptitle(f"{described(measure)}, on {ood}", fontsize=10)
    save_svg(figure, place / f"similarity_to_base_{ood}_{measure.name}.svg")
    figure, axes = new_figure(6.5, 3.6)
    cross_base(pairs, measure, axes[0])
    figure.suptitle(f"{described(measure)}, on {ood}", fontsize=10)
    save_svg(figure, place / f"cross_base_{ood}_{measure.name}.svg")


def _draw_heatmap(
    pairs: pd.DataFrame,
    scores: pd.DataFrame,
    measure: Measure,
    title: str,
    path: Path,
    colormap: str,
) -> None:
    side = float(np.clip(0.11 * len({*pairs.a, *pairs.b}), 3, 9))
    width, height = side + 2.1, side + 2.7  # labels, strips and scales are around it
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0.7 / width, 2 / height, side / width, side / height))
    heatmap(pairs, scores, measure, ax, colormap)
    figure.suptitle(title, fontsize=11, fontweight="bold")
    save_svg(figure, path)


def heatmap_stage(
    table: str, scores: str, output: str, measure: str, title: str, colormap: str
) -> None:
    """Draw the heatmap of one costly measure.

    Args:
        table: the parquet file of all its pairs.
        scores: the parquet file of all models' scores.
        output: the SVG file to write.
        measure: its name, a column of the table.
        title: above the heatmap.
        colormap: of matplotlib or seaborn.
    """
    pairs = artifacts.read_table(table, ["a", "b", measure])
    about = artifacts.read_table(scores, ["model", "accuracy", "sparsity"])
    with mpl.rc_context(dict(STYLE)):  # type: ignore[arg-type]
        _draw_heatmap(pairs, about, MEASURES[measure], title, Path(output), colormap)
