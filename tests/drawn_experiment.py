"""The files of a finished experiment, with random numbers, as inputs of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from skeletons import model_ids
from skeletons.figures import captions, style
from skeletons.findings import gather, stage
from skeletons.measures import behaviour
from skeletons.measures.catalogue import MEASURES
from skeletons.model_ids import BASE, MASKED, REGULARIZED, Model
from skeletons.store import artifacts

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><path d="M0 0h9v9"/></svg>'
BENCHMARK = "s\th:m:s\tmax_rss\tcpu_time\n{wall}\t0:00:01\t{mb}\t{cpu}\n"
TARGET = {"train_loss": 0.1, "train_accuracy": 0.97}
DEAD = "seed=1_l1=0.0001_ep=1_t=0.5"


def write(
    folder: Path,
    name: str = "drawn",
    *,
    seeds: int = 3,
    epochs: Sequence[int] = (1, 2),
    thresholds: Sequence[float] = (0.1, 0.5),
    ood: Sequence[str] = ("digits",),
    random: Sequence[int] = (),
    measures: Sequence[str] = ("cosine_prob",),
    missed: Sequence[int] = (),
    colormap: str = "viridis",
) -> dict[str, Any]:
    """Write an experiment into `folder/results/drawn`; return the arguments of `report_stage`.

    The model `DEAD` is dead, and pairs with it have no similarity; the bases of the seeds `missed`
    are not optimal.
    """
    place = folder / "results/drawn"
    grid = model_ids.grid(map(Model, range(1, seeds + 1)), [1e-4], epochs, thresholds)
    grid += model_ids.controls(grid, False, [], random)
    rng = np.random.default_rng(0)
    table = _scores(grid, rng)
    missing = (table.state == BASE) & table.seed.isin(missed)
    table.loc[missing, ["optimal", "optimal_reason"]] = [False, "training loss 2 is above 0.1"]
    artifacts.write_table(place / "scores.parquet", table)
    compared = [model for model in grid if model.state != REGULARIZED]
    pairs = {data: _pairs(compared, data, rng) for data in ood}
    for data, found in pairs.items():
        artifacts.write_table(place / f"similarity/{data}.parquet", found)
    overlap = _overlap([model for model in grid if model.state in MASKED], rng)
    artifacts.write_table(place / "weights/mask_overlap.parquet", overlap)
    walks = {
        str(model): _walk(max(epochs), rng)
        for model in grid
        if model.state == REGULARIZED and model.epochs == max(epochs)
    }
    found = gather.summarize(name, table, pairs, measures, walked=walks)
    artifacts.write_json(place / "findings.json", stage.as_json(found))
    artifacts.write_text(place / "findings.md", stage.as_markdown(found))
    config = {
        "experiment": name,
        "base": {"target": TARGET},
        "figures": {"measures": [*measures], "colormap": colormap},
    }
    artifacts.write_text(place / "config.yaml", yaml.safe_dump(config, allow_unicode=True))
    artifacts.write_json(place / "versions.json", {"python": "3.11.7"})
    for model, walk in walks.items():
        artifacts.write_table(place / f"models/{model}/history.parquet", _history(walk, rng))
    bases = [str(model) for model in grid if model.state == BASE]
    for base in bases:
        artifacts.write_table(place / f"models/{base}/history.parquet", _training(rng))
    shown = {
        f"heatmap_{data}_{measure}": captions.drawn("heatmap", data, MEASURES[measure])
        for data in ood
        for measure in measures
    }
    shown["heatmap_mask_overlap"] = captions.drawn("heatmap", "", MEASURES["mask_overlap"])
    shown["ridge_walk"] = captions.drawn("ridge_walk")
    figures = [place / f"figures/{kind}.svg" for kind in shown]
    for figure, about in zip(figures, shown.values(), strict=True):
        with style.styled():
            picture, axes = style.new_figure(3, 2)
            axes[0].plot([0, 1])
            style.save_svg(picture, figure, about)
    for k, base in enumerate(model_ids.grid(map(Model, range(1, seeds + 1)), [], [], [])):
        text = BENCHMARK.format(wall=10 + k, mb=100 * (k + 1), cpu=5 + k)
        artifacts.write_text(place / f"benchmarks/train_base/{base}.tsv", text)
    tables = [place / f"similarity/{data}.parquet" for data in ood]
    return {
        "html": str(place / "report.html"),
        "config": str(place / "config.yaml"),
        "versions": str(place / "versions.json"),
        "findings": str(place / "findings.json"),
        "scores": str(place / "scores.parquet"),
        "pairs": [str(path) for path in (*tables, place / "weights/mask_overlap.parquet")],
        "trained": [str(place / f"models/{base}/history.parquet") for base in bases],
        "histories": [str(place / f"models/{model}/history.parquet") for model in walks],
        "figures": [str(path) for path in figures],
    }


def _scores(grid: Sequence[Model], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for model in grid:
        sparsity = 0.0 if model.threshold is None else float(rng.uniform(0.1, 0.95))
        is_dead = str(model) == DEAD
        rows.append(
            {
                "model": str(model),
                "state": model.state,
                "seed": model.seed,
                "l1": model.l1,
                "epochs": model.epochs,
                "threshold": model.threshold,
                "loss": float(rng.uniform(0.01, 0.5)),
                "accuracy": 0.1 if is_dead else float(rng.uniform(0.8, 0.99)),
                "train_loss": 0.01,
                "train_accuracy": 0.99,
                "kept": int(10_000 * (1 - sparsity)),
                "sparsity": sparsity,
                "dead": is_dead,
                "dead_reason": "it answers every image alike" if is_dead else None,
                "optimal": True if model.state == BASE else None,
                "optimal_reason": None,
            }
        )
    return pd.DataFrame(rows)


def _pairs(compared: Sequence[Model], ood: str, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for a, b in model_ids.pairs(compared):
        silent = DEAD in (str(a), str(b))
        low = 0.7 if a.seed == b.seed else 0.3
        values = {
            measure.name: np.nan if silent else float(rng.uniform(low, low + 0.25))
            for measure in behaviour.DECLARED
        }
        reason = "a model answers every image alike" if silent else None
        rows.append({"a": str(a), "b": str(b), "ood": ood, "reason": reason, **values})
    return pd.DataFrame(rows)


def _overlap(masked: Sequence[Model], rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {"a": str(a), "b": str(b), "reason": None, "mask_overlap": float(rng.uniform(-0.1, 0.9))}
        for a, b in model_ids.pairs(masked)
    ]
    return pd.DataFrame(rows)


def _walk(epochs: int, rng: np.random.Generator) -> pd.DataFrame:
    steps = np.arange(epochs + 1)
    return pd.DataFrame(
        {
            "step": steps,
            "epoch": steps,
            "loss": rng.uniform(0.01, 0.03, len(steps)),
            "accuracy": rng.uniform(0.98, 0.99, len(steps)),
            "distance": 1.0 * steps,
            "step_length": np.minimum(steps, 1.0),
            "norm": 100.0,
        }
    )


def _training(rng: np.random.Generator) -> pd.DataFrame:
    """The history of a base."""
    epochs = np.arange(1, 5)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "learning_rate": 0.1 / epochs,
            "train_loss": rng.uniform(0.01, 2, 4),
            "train_accuracy": rng.uniform(0.1, 1, 4),
            "test_loss": rng.uniform(0.01, 2, 4),
            "test_accuracy": rng.uniform(0.1, 1, 4),
        }
    )


def _history(walk: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": walk.epoch,
            "train_loss": walk.loss,
            "train_accuracy": walk.accuracy,
            "test_loss": rng.uniform(0.02, 0.06, len(walk)),
            "test_accuracy": walk.accuracy,
            "penalty": 1 / (1 + walk.epoch),
            "distance": walk.distance,
            "step": walk.step_length,
        }
    )
