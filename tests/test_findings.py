from typing import Any

import numpy as np
import pandas as pd
import pytest

from skeletons import findings, models
from skeletons.predictions import Predictions
from skeletons.scores import score

GRID = ([1, 2, 3], [1e-4], [1, 2], [0.02, 0.05])


def scores() -> pd.DataFrame:
    rows = []
    for model in models.grid(*GRID):
        threshold = model.threshold or 0.0
        rows.append(
            {
                "model": str(model),
                "state": model.state,
                "seed": model.seed,
                "l1": model.l1,
                "epochs": model.epochs,
                "threshold": model.threshold,
                "accuracy": 0.7 - 0.005 * (model.epochs or 0) - (0.02 if threshold > 0.03 else 0),
                "loss": 1.0,
                "train_loss": None if threshold else 0.2,
                "train_accuracy": None if threshold else 0.9,
                "sparsity": 0.9 if threshold else 0.0,
                "dead": False,
                "dead_reason": None,
                "optimal": model.state == "base" or None,
                "optimal_reason": None,
            }
        )
    return pd.DataFrame(rows).astype({"l1": float, "epochs": float, "threshold": float})


def pairs() -> pd.DataFrame:
    """Bases are alike by 0.5; pruned models of two bases by 0.5 plus their threshold."""
    rows = []
    for a, b in models.pairs(models.grid(*GRID, states=["base", "pruned"])):
        value = 0.9 if a.seed == b.seed else 0.5 + (a.threshold or 0)
        rows.append({"a": str(a), "b": str(b), "cosine_prob": value})
    return pd.DataFrame(rows)


def test_skeletons_are_sparse_and_as_good_as_their_base() -> None:
    found = findings.skeletons(scores())
    assert list(found.model) == [
        f"seed={s}_l1=0.0001_ep={e}_t=0.02" for s in (1, 2, 3) for e in (1, 2)
    ]
    assert (found["drop"] <= 0.02).all()


def test_models_of_different_bases_are_compared_when_made_the_same_way() -> None:
    unpruned, low, high = findings.across_bases(pairs(), "cosine_prob")
    assert unpruned == {
        "threshold": None,
        "pairs": 3,
        "undefined": 0,
        "mean": 0.5,
        "min": 0.5,
        "max": 0.5,
    }
    assert (low["threshold"], low["pairs"]) == (0.02, 6)
    assert low["mean"] == pytest.approx(0.52)
    assert high["mean"] == pytest.approx(0.55)


def test_undefined_pairs_are_counted_and_not_averaged() -> None:
    table = pairs()
    table.loc[table.a == "seed=1", "cosine_prob"] = np.nan
    unpruned = findings.across_bases(table, "cosine_prob")[0]
    assert (unpruned["pairs"], unpruned["undefined"]) == (3, 2)
    assert unpruned["mean"] == 0.5


def test_the_page_says_what_was_found() -> None:
    found = findings.summarize("x", scores(), {"mnist": pairs()}, ["cosine_prob"])
    assert found["models"] == 21
    assert found["compared_models"] == 15
    assert found["pairs"] == 15 * 14 // 2
    text = findings.to_markdown(found)
    assert "15 are compared in 105 pairs" in text
    assert "| unpruned bases | 3 | 0.500 |" in text
    assert "<table>" in findings.to_html(text)


def test_a_hostile_name_stays_text() -> None:
    table = scores()
    table.loc[0, "model"] = "<script>alert(1)</script>"
    page = findings.to_html(findings.to_markdown(findings.summarize("x", table, {}, [])))
    assert "<script>" not in page


def summary(loss: float, accuracy: float) -> dict[str, Any]:
    size = {"parameters": 110, "prunable": 100, "flops": 1000}
    return {**size, "train_loss": loss, "train_accuracy": accuracy}


TARGET = {"train_loss": 0.1, "train_accuracy": 0.97}
GOOD = Predictions(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
DEAD = Predictions(np.ones((5, 2)), np.zeros(5, dtype=np.int64))


def test_a_base_is_held_against_its_target() -> None:
    reached = score(models.Model(1), GOOD, summary(0.05, 0.99), None, TARGET)
    assert reached["optimal"] is True
    assert reached["accuracy"] == 0.5
    missed = score(models.Model(1), GOOD, summary(0.3, 0.9), None, TARGET)
    assert missed["optimal"] is False
    assert missed["optimal_reason"] == (
        "training loss 0.3000 is above 0.1 and training accuracy 0.9000 is below 0.97"
    )


def test_a_pruned_model_is_scored_by_what_is_left() -> None:
    sparsity = {"kept": 25, "flops": 400, "dead_reason": None}
    found = score(models.Model(1, 0.1, 1, 0.5), GOOD, summary(0.3, 0.9), sparsity, TARGET)
    assert (found["density"], found["sparsity"], found["flops"]) == (0.25, 0.75, 400)
    assert found["optimal"] is None
    assert not found["dead"]


def test_constant_output_is_dead() -> None:
    found = score(models.Model(1, 0.1, 1), DEAD, summary(0.3, 0.9), None, TARGET)
    assert found["dead"]
    assert found["dead_reason"] == "it answers every image alike"
