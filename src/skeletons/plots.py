"""The report's figures of an experiment, each drawn into given Axes.

The keys of `PLOTS` are the names of the files in `figures/`. Each function takes an `Experiment`,
the Axes, and options: `dataset` and `measure` choose a table of pairs, `network` chooses a network
by its tag, `model` a model, and `colormap` the colours. The defaults are the only data set,
`findings.primary.measure`, the only network, and `figures.colormap`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.axes import Axes

from skeletons.errors import SkeletonsError
from skeletons.figures import exchange, heatmaps, models, pairs, ridge, units
from skeletons.figures import layers as layer_maps
from skeletons.figures import sparsest as searches
from skeletons.figures.style import panels
from skeletons.findings import inspections
from skeletons.findings.rules import level_in
from skeletons.inspection import absence
from skeletons.measures.layers import COLUMNS
from skeletons.measures.measure import Measure
from skeletons.model_ids import REGULARIZED, Model, net_of
from skeletons.report import settings
from skeletons.store import artifacts
from skeletons.user_code import references

PRUNED_ID = re.compile(r"_ep=.*_[td]=")  # in the id of a pruned model


class Experiment(Protocol):
    """The parts of `skeletons.Experiment` that the figures need."""

    path: Path

    @property
    def findings(self) -> dict[str, Any]: ...

    @property
    def first_measure(self) -> str: ...

    @property
    def colormap(self) -> str: ...

    def dataset(self, name: str | None = None) -> str: ...

    def models(self, *states: str) -> pd.DataFrame: ...

    def similarity(self, dataset: str | None = None) -> pd.DataFrame: ...

    def history(self, model: str) -> pd.DataFrame: ...

    def declared(self, name: str) -> Measure: ...


# --- pairs --------------------------------------------------------------------------------------


def heatmap(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    colormap: str | None = None,
) -> None:
    """Every pair of models, of any measure that was computed for all of them."""
    table, chosen = _with_value(experiment, dataset, measure)
    colours = colormap or experiment.colormap
    heatmaps.heatmap(table, experiment.models(), chosen, ax, colours)


def similarity_to_base(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    network: str | None = None,
) -> None:
    """The similarity of pruned models to their base, by threshold or density, and by epochs."""
    table, chosen = _with_value(experiment, dataset, measure)
    pairs.similarity_to_base(_within(table, network), chosen, panels(ax, 1, 2))


def cross_base(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    network: str | None = None,
) -> None:
    """The similarity of models of different bases that were pruned in the same way."""
    table, chosen = _with_value(experiment, dataset, measure)
    pairs.cross_base(_within(table, network), chosen, ax)


def kinds_of_pairs(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    network: str | None = None,
) -> None:
    """The similarity of every pair, by kind of pair."""
    table, chosen = _with_value(experiment, dataset, measure)
    pairs.kinds_of_pairs(_within(table, network), chosen, ax)


def rises(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    network: str | None = None,
) -> None:
    """How much more similar pruned models of different bases are than each comparison."""
    found, name = experiment.findings, experiment.dataset(dataset)
    answers = {part["title"]: part["verdict"] for part in found.get("networks", [])}
    of = answers[_chosen(answers, network)] if answers else found["verdict"]
    judged = of["by"][name]
    chosen = references.name_of(measure or experiment.first_measure)
    if chosen not in judged:
        raise SkeletonsError(
            f"There is no verdict by {chosen!r} here; there is one by: {', '.join(judged)}."
        )
    limits = found["settings"]
    pairs.rises(judged[chosen]["recipes"], limits["margin"], level_in(limits), ax)


def _with_value(
    experiment: Experiment, dataset: str | None, measure: str | None
) -> tuple[pd.DataFrame, Measure]:
    """One row per pair, with a column of the measure, cheap or costly; and the measure."""
    name = references.name_of(measure or experiment.first_measure)
    table = experiment.similarity(dataset)
    found = table[table.measure == name]
    if found.empty:
        have = ", ".join(table.measure.unique())
        raise SkeletonsError(f"Pairs were not compared by {name!r} here, but by: {have}.")
    return found[["a", "b", "value"]].rename(columns={"value": name}), experiment.declared(name)


def _within(table: pd.DataFrame, network: str | None) -> pd.DataFrame:
    """The pairs of models of one network."""
    titles = {end: table[end].map(lambda model: _title(Model.parse(model).net)) for end in "ab"}
    within = table[titles["a"] == titles["b"]]
    return within[titles["a"][within.index] == _chosen(titles["a"].unique(), network)]


def _title(tag: str | None) -> str:
    """What a network is called here and in the findings."""
    return tag or "network"


def _chosen(titles: Iterable[str], network: str | None) -> str:
    """The network that is asked for, or the only one.

    Raises:
        SkeletonsError: the network is not here; or several are, and the caller names none.
    """
    have = list(titles)
    if network in have or (network is None and len(have) == 1):
        return network or have[0]
    asked = "are several networks" if network is None else f"is no network {network!r}"
    raise SkeletonsError(f"There {asked} here; `network` is one of: {', '.join(have)}.")


# --- models -------------------------------------------------------------------------------------


def accuracy_vs_sparsity(experiment: Experiment, ax: Axes) -> None:
    """Test accuracy of every model against its sparsity."""
    drop = experiment.findings["settings"]["drop"]
    models.accuracy_vs_sparsity(experiment.models(), drop, ax)


def ridge_walk(experiment: Experiment, ax: Axes) -> None:
    """Loss, accuracy, distance and step along every walk of regularisation."""
    longest: dict[tuple[str, float | None], Model] = {}
    for model in map(Model.parse, experiment.models(REGULARIZED).model):
        before = longest.setdefault((str(model.base), model.l1), model)
        if (model.epochs or 0) > (before.epochs or 0):
            longest[str(model.base), model.l1] = model
    walks = [
        experiment.history(str(model)).assign(base=model.title, l1=model.l1)
        for model in longest.values()
    ]
    models.ridge_walk(pd.concat(walks, ignore_index=True), panels(ax, 2, 2))


# --- inspections --------------------------------------------------------------------------------


def lines(experiment: Experiment, ax: Axes, network: str | None = None) -> None:
    """The loss on the lines between pairs of models, by kind of pair."""
    by_kind: dict[str, list[pd.DataFrame]] = {kind: [] for kind in inspections.KINDS}
    for path in _of(_made(experiment, "lines/*.parquet", "lines"), network):
        table = artifacts.read_table(path, ridge.COLUMNS).assign(pair=path.stem)
        by_kind[inspections.kind_of(*path.stem.split("--"))].append(table)
    groups = {kind: pd.concat(found) for kind, found in by_kind.items() if found}
    ridge.lines(groups, panels(ax, ridge.rows_of_lines(groups), len(groups)))


def curve(experiment: Experiment, ax: Axes) -> None:
    """Loss and accuracy between two bases, on the trained curve and on the straight line."""
    path = _made(experiment, "curve/*.parquet", "curve")[0]
    ridge.paths(artifacts.read_table(path, ridge.COLUMNS), panels(ax, 1, 2))


def bridge(experiment: Experiment, ax: Axes, network: str | None = None) -> None:
    """The rise of the loss on the bridges between bases, in twice the width and in the original."""
    doubled = _of(_made(experiment, "bridge/*.parquet", "bridge"), network)
    every = [path.parent / "original_width" / path.name for path in doubled]
    original = [path for path in every if path.is_file() and _is_there(path)]
    groups = exchange.read_bridges(doubled, original)
    for part, (name, tables) in zip(panels(ax, 1, len(groups)), groups.items(), strict=True):
        exchange.bridges(tables, name, part)


def transfer(experiment: Experiment, ax: Axes, network: str | None = None) -> None:
    """The accuracy of bases that were trained again with another's, their own or a random mask."""
    files = _of(_made(experiment, "transfer/*.json", "transfer"), network)
    exchange.transfers(exchange.read_transfers(files), ax)


def layers(
    experiment: Experiment,
    ax: Axes,
    dataset: str | None = None,
    measure: str | None = None,
    network: str | None = None,
    colormap: str | None = None,
) -> None:
    """Every layer of a model against every layer of another, by kind of pair.

    The default measure is the first one that was computed, in the order of the alphabet.
    """
    name = f"{measure or '*'}/{experiment.dataset(dataset)}"
    files = _of(_made(experiment, f"layer_maps/{name}/*.parquet", "layers"), network)
    chosen = [path for path in files if path.parent == files[0].parent]
    tables = {path.stem: artifacts.read_table(path, COLUMNS) for path in chosen}
    kinds = layer_maps.by_kind(tables)
    layer_maps.maps(kinds, panels(ax, 1, len(kinds)), colormap or experiment.colormap)


def plane(experiment: Experiment, ax: Axes, colormap: str | None = None) -> None:
    """The loss on the plane through two bases and a variant, as contours, with the models."""
    grid, located = (
        artifacts.read_table(_made(experiment, f"plane/{name}.parquet", "plane")[0])
        for name in ("plane", "located")
    )
    ridge.plane(grid, located, ax, colormap or experiment.colormap)


def plane_surface(experiment: Experiment, ax: Axes, colormap: str | None = None) -> None:
    """The loss on the plane as a surface."""
    grid = artifacts.read_table(_made(experiment, "plane/plane.parquet", "plane")[0])
    (solid,) = panels(ax, 1, 1, projection="3d")
    ridge.surface(grid, solid, colormap or experiment.colormap)


def exposure(experiment: Experiment, ax: Axes) -> None:
    """Parameters and FLOPs of the inspected variants, before and after exposure."""
    found = _made(experiment, "exposed/*/exposed.json", "expose")
    reports = {path.parent.name: artifacts.read_json(path, ["dead_reason"]) for path in found}
    units.exposure_bars(reports, panels(ax, 1, 2))


def importance(experiment: Experiment, ax: Axes, model: str | None = None) -> None:
    """The importance of each unit of an inspected variant, against the size of its weights."""
    path = _one(experiment, "importance/*.parquet", "importance", model)
    table = artifacts.read_table(path)
    by = artifacts.read_json(path.with_suffix(".json"), ["by"])["by"]
    count = table.layer.nunique()
    columns = min(count, units.COLUMNS)
    units.importance_scatter(table, by, panels(ax, -(-count // columns), columns))


def sparsest(experiment: Experiment, ax: Axes) -> None:
    """Loss and accuracy at the densities that were tried for the sparsest skeleton of each base."""
    files = _made(experiment, "sparsest/*.json", "sparsest")
    found = [artifacts.read_json(path, ["model", "tries", "rise", "drop"]) for path in files]
    searches.searches({one["model"]: one for one in found}, panels(ax, 1, 2))


def probe(experiment: Experiment, ax: Axes, model: str | None = None) -> None:
    """Accuracy and loss while a skeleton is penalised, of a `model` such as `seed=1_l1=0.001`."""
    path = _one(experiment, "probe/*.parquet", "probe", model)
    found = artifacts.read_json(path.with_suffix(".json"), ["start_accuracy", "tolerance"])
    units.probe_curve(artifacts.read_table(path), found, panels(ax, 1, 2))


def takeover(experiment: Experiment, ax: Axes, model: str | None = None) -> None:
    """Accuracy and loss while the skeleton of a pruned `model` is scaled to zero."""
    path = _one(experiment, "takeover/*.parquet", "takeover", model)
    found = artifacts.read_json(path.with_suffix(".json"), ["room"])
    units.takeover_curve(artifacts.read_table(path), found, panels(ax, 1, 2))


def _made(experiment: Experiment, pattern: str, key: str) -> list[Path]:
    """The files of an inspection that could be had, at least one.

    Raises:
        SkeletonsError: there are none.
    """
    variant = settings.variant_in(experiment.path / "config.yaml")
    found = [path for path in sorted(experiment.path.glob(pattern)) if _is_of(path, variant)]
    if not found:
        raise SkeletonsError(
            f"{experiment.path} holds no {pattern}; inspect.{key} in its configuration makes it."
        )
    there = list(filter(_is_there, found))
    if not there:
        because = absence.first_reason(*map(str, found))
        raise SkeletonsError(f"inspect.{key} is not available here: {because}")
    return there


def _is_of(path: Path, variant: Mapping[str, float]) -> bool:
    """Whether the pruned models of a file are of a variant; others are left from earlier runs."""
    named = path.parent.name if path.stem == "exposed" else path.stem
    parts = [part for part in named.split("--") if PRUNED_ID.search(part)]
    models = map(Model.parse, parts)
    return all(getattr(model, key) == variant[key] for model in models for key in variant)


def _of(files: Sequence[Path], network: str | None) -> list[Path]:
    """The files of one network."""
    titles = {path: _title(net_of(path)) for path in files}
    chosen = _chosen(dict.fromkeys(titles.values()), network)
    return [path for path, title in titles.items() if title == chosen]


def _is_there(path: Path) -> bool:
    """Whether a look could be had."""
    return not absence.reason(path)


def _one(experiment: Experiment, pattern: str, key: str, model: str | None) -> Path:
    """The file of one model; None for the first.

    Raises:
        SkeletonsError: there is none of that model.
    """
    found = {path.stem: path for path in _made(experiment, pattern, key)}
    if model is None:
        return next(iter(found.values()))
    if model not in found:
        have = ", ".join(found)
        raise SkeletonsError(f"inspect.{key} has no results of {model!r} here, but of: {have}.")
    return found[model]


PLOTS: Mapping[str, Callable[..., None]] = {
    plot.__name__: plot
    for plot in (
        heatmap,
        similarity_to_base,
        cross_base,
        kinds_of_pairs,
        rises,
        accuracy_vs_sparsity,
        ridge_walk,
        lines,
        curve,
        bridge,
        transfer,
        layers,
        plane,
        plane_surface,
        exposure,
        importance,
        probe,
        takeover,
        sparsest,
    )
}
