"""The scores of a model on its own task, and the number of its remaining weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons.measures.predictions import Predictions
from skeletons.measures.predictions import read as read_predictions
from skeletons.model_ids import BASE, FAMILIES, Model
from skeletons.store import artifacts

TYPES: Mapping[str, str] = {
    "network": "object",
    "seed": "Int64",
    "own": "object",
    **dict.fromkeys(("l1", "epochs", "threshold"), "float"),
    "near_chance": "boolean",
}


def score(
    model: Model,
    on_test: Predictions,
    summary: Mapping[str, Any],
    sparsity: Mapping[str, Any] | None,
    target: Mapping[str, float],
) -> dict[str, Any]:
    """A model's scores.

    Args:
        model: the model.
        on_test: its predictions on the test set of its task.
        summary: its model.json; a pruned model's is its regularised parent's.
        sparsity: its sparsity.json, if it is pruned.
        target: what a base model must reach to count as optimal: at most `train_loss` (nats) and
            at least `train_accuracy` (0..1).

    Returns:
        model, state, network (its tag), seed or own (the name of a user's model), l1, epochs,
        threshold; loss (nats) and accuracy (0..1) on the test set; train_loss and train_accuracy
        (models that were trained last); parameters, prunable, kept, density, sparsity, flops (per
        image, without zero weights); dead and dead_reason; and for a base model optimal, with
        optimal_reason if it is not; near_chance (true) for a model that a user brings if it hardly
        does better than guessing. For a retrained model also loss_bound, the upper 95 % bound of
        the rise of its training loss above the base's, in nats.
    """
    kept = summary["prunable"] if sparsity is None else sparsity["kept"]
    dead_reason = sparsity["dead_reason"] if sparsity else None
    if dead_reason is None and on_test.constant:
        dead_reason = "it answers every image alike"
    on_test = _of_task(on_test, summary)
    trained = summary if sparsity is None else sparsity.get("retrained", {})
    roots = (BASE, *FAMILIES)  # which must reach the target before they are walked
    short = _short_of(target, summary) if model.stage in roots else None
    doubtful = short is not None and "doubt" in summary
    if doubtful:
        short = summary["doubt"]
    return {
        "model": str(model),
        "state": model.state,
        "network": model.net,
        "seed": model.seed,
        "own": model.own,
        "l1": model.l1,
        "epochs": model.epochs,
        "threshold": model.threshold,
        "loss": on_test.loss,
        "accuracy": on_test.accuracy,
        "train_loss": trained.get("train_loss"),
        "train_accuracy": trained.get("train_accuracy"),
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
        **({"near_chance": True} if doubtful else {}),
        **({"loss_bound": trained["bound"]} if sparsity and trained else {}),
    }


def _of_task(on_test: Predictions, summary: Mapping[str, Any]) -> Predictions:
    """Predictions with the labels of the model's task, if its classes are permuted."""
    labels = summary.get("network", {}).get("labels")
    if labels is None:
        return on_test
    return Predictions(on_test.logits, np.array(labels)[on_test.labels])


def _short_of(target: Mapping[str, float], summary: Mapping[str, Any]) -> str:
    """How a base model misses its target, in words; empty if it reaches it."""
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
    *,
    predictions: str,
    summary: str,
    sparsity: str | None = None,
    scores: str,
    model: str,
    target: Mapping[str, float],
) -> None:
    """Write the scores of a model.

    Args:
        predictions: parquet, of the model on the test set.
        summary: model.json; for a pruned model, that of its regularised parent.
        sparsity: sparsity.json of a pruned model.
        scores: JSON to write.
        model: the model id.
        target: see `score`.

    Raises:
        ArtifactError: a file is missing or broken, or lacks a key.
    """
    artifacts.write_json(
        scores,
        score(
            Model.parse(model),
            read_predictions(predictions),
            artifacts.read_json(summary, ["prunable", "train_loss", "train_accuracy"]),
            None if sparsity is None else artifacts.read_json(sparsity, ["kept", "dead_reason"]),
            target,
        ),
    )


def read_all(paths: Iterable[str]) -> pd.DataFrame:
    """The scores of all models as a table, one row per model, in the given order."""
    table = pd.DataFrame([artifacts.read_json(path, ["model", "accuracy"]) for path in paths])
    return table.astype({name: kind for name, kind in TYPES.items() if name in table})


def collect_scores_stage(*, scored: Sequence[str], table: str) -> None:
    """Write the scores of all models as one table.

    Args:
        scored: scores/*.json, one per model.
        table: scores.parquet to write.

    Raises:
        ArtifactError: a file is missing or broken, or cannot be written.
    """
    artifacts.write_table(table, read_all(scored))
