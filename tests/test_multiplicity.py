"""The multiplicity of a set of models, from predictions whose multiplicity is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from skeletons.findings import multiplicity
from skeletons.measures.predictions import Predictions


def certain(*tops: list[int]) -> list[Predictions]:
    """Models that are certain of the given classes, of four."""
    return [
        Predictions(1000 * np.eye(4)[np.array(top)], np.zeros(len(top), dtype=np.int64))
        for top in tops
    ]


def named(models: list[Predictions]) -> dict[str, Predictions]:
    return {f"seed={k + 1}": model for k, model in enumerate(models)}


def scores(**losses: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": [f"seed={name[1:]}" for name in losses],
            "state": "base",
            "loss": list(losses.values()),
            "dead": False,
        }
    )


def test_models_that_agree_have_no_multiplicity() -> None:
    found = multiplicity.measured("seed=1", named(certain([0, 1, 2], [0, 1, 2], [0, 1, 2])))
    assert (found.ambiguity, found.discrepancy) == (0, 0)
    assert (found.capacity, found.capacity_max) == (1, 1)


def test_ambiguity_counts_images_and_discrepancy_the_worst_model() -> None:
    models = certain([0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 2, 0])
    found = multiplicity.measured("seed=1", named(models))
    assert found.ambiguity == 3 / 4  # the first three images
    assert found.discrepancy == 2 / 4  # by the third model
    assert found.capacity == pytest.approx((2 + 2 + 2 + 1) / 4, abs=2e-3)
    swapped = multiplicity.measured("seed=3", named(models))
    assert (swapped.ambiguity, swapped.discrepancy) == (3 / 4, 3 / 4)


def test_models_that_are_certain_of_k_classes_have_a_capacity_of_k() -> None:
    found = 2 ** multiplicity.capacity([m.probabilities for m in certain([0], [1], [2], [2], [3])])
    assert found == pytest.approx([4], abs=4e-3)


def test_the_capacity_of_a_binary_symmetric_channel_is_known() -> None:
    for flip in (0.01, 0.11, 0.3, 0.5):
        entropy = -(flip * np.log2(flip) + (1 - flip) * np.log2(1 - flip))
        rows = [np.array([[1 - flip, flip]]), np.array([[flip, 1 - flip]])]
        assert multiplicity.capacity(rows)[0] == pytest.approx(1 - entropy, abs=1e-3)


def mutual_information(weights: Any, channel: Any) -> float:
    mixture = weights @ channel
    return float((weights[:, None] * channel * np.log2(channel / mixture)).sum())


def test_the_capacity_agrees_with_a_general_optimiser() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 6, 4)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    found = multiplicity.capacity(list(p))
    for image in range(6):

        def lost(free: Any, channel: Any = p[:, image]) -> float:
            weights = np.exp(free) / np.exp(free).sum()
            return -mutual_information(weights, channel)

        best = -min(minimize(lost, rng.normal(size=5)).fun for _ in range(3))
        assert found[image] == pytest.approx(best, abs=2e-3)


def test_images_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros(50, dtype=np.int64)
    models = named([Predictions(rng.normal(size=(50, 3)), labels) for _ in range(4)])
    whole = multiplicity.measured("seed=1", models)
    monkeypatch.setattr(multiplicity, "AT_ONCE", 100)
    assert multiplicity.measured("seed=1", models) == whole
    by_hand = 2 ** multiplicity.capacity([model.probabilities for model in models.values()])
    assert whole.capacity == pytest.approx(by_hand.mean(), abs=1e-12)


def test_the_set_holds_living_models_near_the_best_base() -> None:
    table = scores(s1=0.5, s2=0.54, s3=0.56, s4=0.1, s5=0.2)
    table.loc[3, "dead"] = True
    table.loc[4, "state"] = "pruned"
    assert multiplicity.members(table, 0.05) == ("seed=1", ["seed=1", "seed=2", "seed=5"])
    assert multiplicity.members(table[table.state != "base"], 0.05) == ("", [])


def test_models_of_permuted_labels_are_of_another_task() -> None:
    """Their loss is low, and they answer almost no image as the task does."""
    table = scores(s1=0.5, s2=0.5, s3=0.4)
    table.loc[2, "state"] = "labels"
    assert multiplicity.members(table, 0.05) == ("seed=1", ["seed=1", "seed=2"])


def test_sets_without_predictions_of_two_models_are_left_out() -> None:
    table = scores(s1=0.5, s2=0.5, s3=0.5)
    one, two, _ = named(certain([0, 1], [0, 2], [0, 0])).items()
    known = {"digits": dict([one, two]), "noise": dict([one]), "mnist": dict([two])}
    found = multiplicity.by_set(table, known, 0.05)
    assert list(found) == ["digits"]
    assert found["digits"].models == ("seed=1", "seed=2")
    section = multiplicity.section(found, 0.05)
    assert "| `digits` | 2 | 50.0% | 50.0% |" in section.text
    assert "`seed=1`" in section.text
    assert multiplicity.section({}, 0.05).text == ""
