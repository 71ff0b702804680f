"""The tables of the report: the columns of each, and how their values are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeletons.model_ids import MASKED, UNTRAINED, Model


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        key: the key of its values in a row.
        kind: how a value is shown: `text`, `number` (by `spec`), `points` (a share in percentage
            points), `badge` (a word that says good or bad), `model` (a link to its row in the grid)
            or `files` (links).
        spec: the format of numbers.
        note: the key of a remark that is shown below the value, if it is not empty.
    """

    title: str
    key: str
    kind: str = "text"
    spec: str = "{}"
    note: str = ""


def _number(title: str, key: str, spec: str) -> Column:
    return Column(title, key, "number", spec)


_COSTS = (
    _number("CPU, s", "cpu_s", "{:,.1f}"),
    _number("Wall, s", "wall_s", "{:,.1f}"),
    _number("Largest memory, MB", "peak_mb", "{:,.0f}"),
)
COLUMNS: Mapping[str, Sequence[Column]] = {
    "bases": (
        Column("Base", "model", "model"),
        _number("Test accuracy", "accuracy", "{:.2%}"),
        _number("Training loss", "train_loss", "{:.4f}"),
        Column("Target", "target", "badge", note="optimal_reason"),
        Column("Alive", "alive", "badge", note="dead_reason"),
    ),
    "models": (
        Column("Model", "model", "model", note="note"),
        Column("State", "state"),
        _number("λ", "l1", "{:g}"),
        _number("Epochs", "epochs", "{:g}"),
        _number("Threshold", "threshold", "{:g}"),
        _number("Density", "asked_density", "{:g}"),
        _number("Accuracy", "accuracy", "{:.2%}"),
        Column("Lost, points", "drop", "points"),
        _number("Loss", "loss", "{:.4f}"),
        _number("Sparsity", "sparsity", "{:.2%}"),
        _number("Weights", "kept", "{:,}"),
        Column("Files", "files", "files"),
    ),
    "certificates": (
        Column("Walk to", "model", "model"),
        Column("Holds", "answer", "badge"),
        _number("Highest rise of the training loss", "rise", "{:.4f}"),
        _number("Deepest fall of the training loss", "descent", "{:.4f}"),
        _number("Longest step", "longest", "{:.3%}"),
        Column("Accuracy lost, points", "fall", "points"),
        _number("Path", "path", "{:.2f}"),
        _number("Distance", "distance", "{:.2f}"),
    ),
    "bridges": (
        Column("From", "a", "model"),
        Column("To", "b", "model"),
        Column("Width", "place"),
        Column("Certified", "answer", "badge"),
        _number("Points", "points", "{:,}"),
        _number("Highest rise of the training loss", "highest_rise", "{:.4f}"),
        _number("Deepest fall of the training loss", "deepest_fall", "{:.4f}"),
        _number("Longest step", "longest_step", "{:.3%}"),
    ),
    "stages": (Column("Stage", "stage"), _number("Jobs", "jobs", "{:,}"), *_COSTS),
    "jobs": (Column("Stage", "stage"), Column("Job", "job"), *_COSTS),
    "versions": (Column("Package", "name"), Column("Version", "version")),
}


def filled(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns without those of numbers that no row has."""
    return [
        column
        for column in columns
        if column.kind != "number" or any(row[column.key] is not None for row in rows)
    ]


def bases(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per base: its accuracy and loss, and whether it reaches its target and is alive.

    Args:
        found: findings.json.
    """
    dead = {row["model"]: row["dead_reason"] for row in found["dead"]}
    return [
        {
            **base,
            "target": "reached" if base["optimal"] else "missed",
            "alive": "no" if base["model"] in dead else "yes",
            "dead_reason": dead.get(base["model"]),
        }
        for base in found["bases"]
    ]


def certificates(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per walk, with its answer in a word.

    Args:
        found: findings.json.
    """
    return [
        {**one, "model": model, "answer": "yes" if one["holds"] else "no"}
        for model, one in found["walks"].items()
    ]


def bridges(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per bridge in twice the width, and per path in the original width that there is.

    Args:
        found: findings.json.
    """
    parts = found.get("networks", [found])
    rows = [row for part in parts for row in part.get("inside", {}).get("bridge", [])]
    ends = [{"a": row["a"], "b": row["b"]} for row in rows]
    paths = [
        {**both, **path, "place": place}
        for row, both in zip(rows, ends, strict=True)
        for place, path in (("twice", row), ("original", row["original"]))
        if "points" in path
    ]
    return [{**path, "answer": "yes" if path["certified"] else "no"} for path in paths]


def models(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per model, in the order seed, λ, epochs, threshold; None for a missing value.

    Args:
        table: all scores, with `drop`, see `pair_tables.with_base_accuracy`.
    """
    plain = table.astype(object).where(table.notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
    rows.sort(key=lambda row: Model.parse(row["model"]).sort_key)
    return [{**row, "note": _note(row), **_named(Model.parse(row["model"]))} for row in rows]


def _named(model: Model) -> dict[str, Any]:
    """The base of a model in words, the density it is pruned to, and its files."""
    return {"base": model.title, "asked_density": model.density, "files": _files(model)}


def _note(row: Mapping[str, Any]) -> str:
    """Why a model is dead or not optimal; empty if it is neither."""
    if row["dead"]:
        return f"dead: {row['dead_reason']}"
    return f"not optimal: {row['optimal_reason']}" if row["optimal"] is False else ""


def _files(model: Model) -> dict[str, str]:
    """The paths of a model's files, relative to the report, by what they contain."""
    name, stage = str(model), model.stage
    files = {"weights": f"models/{name}/weights.safetensors", "scores": f"scores/{name}.json"}
    if stage in MASKED:
        files["sparsity"] = f"models/{name}/sparsity.json"
    else:
        files["network"] = f"models/{name}/model.json"
        if stage != UNTRAINED and not model.is_own_base:
            files["history"] = f"models/{name}/history.parquet"
    return files
