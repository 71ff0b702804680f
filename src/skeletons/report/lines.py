"""The lines of the report's charts: the training of each base, and each walk, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.figures import labels
from skeletons.model_ids import Model
from skeletons.report import html
from skeletons.store import artifacts

TRAINED = {  # columns of a base's history, with their labels on the page
    "train_loss": "training loss in nats",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss in nats",
    "test_accuracy": "test accuracy",
    "learning_rate": "learning rate",
}
WALKED = {  # columns of a walk's history
    "train_loss": "training loss in nats, without the penalty",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss in nats",
    "test_accuracy": "test accuracy",
    "distance": "L2 distance to the base",
    "step": "L2 length of the epoch's step",
    "penalty": "penalty in nats",
}
CERTIFIED = "certified_loss"  # the loss that the certificates are about
CERTIFIED_LABEL = "training loss of the certificate, in nats"


def training(paths: Sequence[str], target: Mapping[str, float]) -> dict[str, Any]:
    """The chart of the bases.

    Args:
        paths: history.parquet of each base.
        target: what a base must reach to count as optimal, by columns of `TRAINED`.

    Returns:
        `lines`, `labels` of what they show, `first` (what is shown at first, in both panels), `x`
        (the label of the epochs) and `targets`. A line has its model, base, walk, name and epochs,
        and a list of values for each of `labels`.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    lines = [_line(path, TRAINED) for path in paths]
    return {
        "lines": lines,
        "labels": TRAINED,
        "first": ["train_loss", "test_accuracy"],
        "x": "epoch of training",
        "targets": {name: value for name, value in target.items() if name in TRAINED},
    }


def walks(paths: Sequence[str], certificates: Mapping[str, Any]) -> dict[str, Any]:
    """The chart of the walks, as `training`.

    Args:
        paths: history.parquet of the longest checkpoint of each walk.
        certificates: by model, as in findings.json.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    lines = [_line(path, WALKED) for path in paths]
    for line in lines:
        if line["model"] in certificates:
            by_epoch = dict(enumerate(certificates[line["model"]]["losses"]))
            line[CERTIFIED] = html.rounded([by_epoch.get(epoch) for epoch in line["epoch"]])
    return {
        "lines": lines,
        "labels": {CERTIFIED: CERTIFIED_LABEL, **WALKED} if certificates else WALKED,
        "first": [CERTIFIED if certificates else "train_loss", "distance"],
        "x": "epoch of regularisation",
        "targets": {},
    }


def _line(path: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """A history as a line, with the model that its folder is named after."""
    table = artifacts.read_table(path, ["epoch", *columns])
    model = Model.parse(Path(path).parent.name)
    base, walk = labels.base(model), labels.penalty(model)
    return {
        "model": str(model),
        "base": base,
        "walk": walk,
        "name": ", ".join(part for part in (base, walk) if part),
        "epoch": table.epoch.tolist(),
        **{name: html.rounded(table[name].tolist()) for name in columns},
    }
