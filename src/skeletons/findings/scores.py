"""How well a model does on its own task, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from skeletons.measures import predictions
from skeletons.model_ids import BASE, Model
from skeletons.store import artifacts


def score(
    model: Model,
    on_test: predictions.Predictions,
    summary: Mapping[str, Any],
    sparsity: Mapping[str, Any] | None,
    target: Mapping[str, float],
) -> dict[str, Any]:
    """A model's scores.

    Args:
        model: whose they are.
        on_test: its predictions on the test set of its task.
        summary: its model.json; a pruned model's is its regularised parent's.
        sparsity: its sparsity.json, if it is pruned.
        target: what a base model must reach to count as optimal: `train_loss` (nats, at most) and
            `train_accuracy` (0..1, at least).

    Returns:
        model, state, seed, l1, epochs, threshold; loss (nats) and accuracy (0..1) on the test set;
        train_loss and train_accuracy (unpruned models); parameters, prunable, kept, density,
        sparsity, flops (an image, zero weights costing nothing); dead and dead_reason; and for a
        base model optimal, with optimal_reason if it is not.
    """
    kept = summary["prunable"] if sparsity is None else sparsity["kept"]
    dead_reason = sparsity["dead_reason"] if sparsity else None
    if dead_reason is None and on_test.constant:
        dead_reason = "it answers every image alike"
    short = _short_of(target, summary) if model.state == BASE else None
    return {
        "model": str(model),
        "state": model.state,
        "seed": model.seed,
        "l1": model.l1,
        "epochs": model.epochs,
        "threshold": model.threshold,
        "loss": on_test.loss,
        "accuracy": on_test.accuracy,
        "train_loss": None if sparsity else summary["train_loss"],
        "train_accuracy": None if sparsity else summary["train_accuracy"],
        "parameters": summary["parameters"],
        "prunable": summary["prunable"],
        "kept": kept,
        "density": kept / summary["prunable"],
        "sparsity": 1 - kept / summary["prunable"],
        "flops": summary["flops"] if sparsity is None else sparsity["flops"],
        "dead": dead_reason is not None,
        "dead_reason": dead_reason,
        "optimal": None if short is None else not short,
        "optimal_reason": short or None,
    }


def _short_of(target: Mapping[str, float], summary: Mapping[str, Any]) -> str:
    """What a base model misses of its target, in words; nothing if it reaches it."""
    misses = []
    if summary["train_loss"] > target["train_loss"]:
        misses.append(
            f"training loss {summary['train_loss']:.4f} is above {target['train_loss']:g}"
        )
    if summary["train_accuracy"] < target["train_accuracy"]:
        misses.append(
            f"training accuracy {summary['train_accuracy']:.4f} is below "
            f"{target['train_accuracy']:g}"
        )
    return " and ".join(misses)


def score_stage(
    output: str,
    model: str,
    target: Mapping[str, float],
    on_test: str,
    summary: str,
    sparsity: str | None = None,
) -> None:
    """Write a model's scores as JSON."""
    artifacts.write_json(
        output,
        score(
            Model.parse(model),
            predictions.read(on_test),
            artifacts.read_json(summary, ["prunable", "train_loss", "train_accuracy"]),
            None if sparsity is None else artifacts.read_json(sparsity, ["kept", "dead_reason"]),
            target,
        ),
    )


def read_all(paths: Iterable[str]) -> pd.DataFrame:
    """All models' scores as a table, one row a model, in the order given."""
    table = pd.DataFrame([artifacts.read_json(path, ["model", "accuracy"]) for path in paths])
    return table.astype({"l1": float, "epochs": float, "threshold": float})
