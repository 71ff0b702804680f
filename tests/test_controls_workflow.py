"""All controls that walk, by the whole workflow at a small size."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Workflow, ended
from test_lineage import check

from skeletons.config.load import load
from skeletons.findings import judged
from skeletons.findings.plain import plain
from skeletons.inspection.recovery import main, recovery
from skeletons.store import artifacts
from skeletons.workflow.plan import Plan

CONFIG: dict[str, Any] = {
    "experiment": "controls",
    "dataset": {"kind": "shapes", "train": 300, "test": 100},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 4},
    "base": {"seeds": [1, 2], "epochs": 4, "batch_size": 25, "learning_rate": 0.3},
    "regularize": {"lambdas": [0.001], "epochs": [1], "batch_size": 25, "room": 0.1},
    "prune": {"thresholds": [], "densities": [0.3]},
    "compare": {"states": ["base", "pruned"], "ood_images": 50},
    "controls": {
        "orders": [],
        "plain": True,
        "forks": [0, 0.6, 1],
        "labels": True,
        "planted": 2,
        "stopped": True,
    },
    "compute": {"precision": "fp32"},
}
WALKED = "_l1=0.001_ep=1"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return ended(tmp_path_factory, "controls", CONFIG)


@pytest.fixture
def models(made: Workflow) -> Path:
    return made / "results/controls/models"


def summary(models: Path, name: str) -> dict[str, Any]:
    return artifacts.read_json(models / name / "model.json")


def test_every_control_has_the_lineage_of_the_plan(made: Workflow) -> None:
    assert check(made.folder, CONFIG) >= {"models", "trunks", "planted", "scores", "similarity"}


def test_a_deleted_trunk_is_made_again_and_nothing_else(made: Workflow, tmp_path: Path) -> None:
    copy = made.copy(tmp_path / "w")
    (copy / "results/controls/trunks/seed=1_ep=2.safetensors").unlink()
    assert copy.planned(CONFIG)["trunk"] == 1
    assert "train_base" not in copy.planned(CONFIG)


def test_a_walk_without_a_penalty_shrinks_no_weight(models: Path) -> None:
    history = artifacts.read_table(models / "seed=1_l1=0_ep=1/history.parquet")
    assert (history.shrinkage == 0).all()
    assert (history.penalty == 0).all()


def test_permuted_labels_are_learnt_and_scored_as_such(made: Workflow, models: Path) -> None:
    orders = [summary(models, f"seed={seed}_labels")["network"]["labels"] for seed in (1, 2)]
    task = Plan(load(CONFIG)).task
    assert orders[0] != orders[1]
    scores = artifacts.read_table(made / "results/controls/scores.parquet").set_index("model")
    for seed, order in zip((1, 2), orders, strict=True):
        labels = summary(models, f"seed={seed}_labels")
        assert scores.accuracy[f"seed={seed}_labels"] == pytest.approx(labels["test_accuracy"])
        path = made / f"results/controls/predictions/{task}/seed={seed}_labels.parquet"
        table = artifacts.read_table(path)
        top = table.filter(like="logit").to_numpy().argmax(1)
        right = (top == np.array(order)[table.label]).mean()
        assert right == pytest.approx(labels["test_accuracy"])
        assert right != (top == table.label).mean()
    assert summary(models, f"seed=1_labels{WALKED}")["network"]["labels"] == orders[0]


def test_children_begin_at_the_trunk(models: Path) -> None:
    base, child = (
        artifacts.read_table(models / name / "history.parquet")
        for name in ("seed=1", "seed=1_fork=0.6_order=1")
    )
    pd.testing.assert_frame_equal(base.head(2), child.head(2))
    assert not base.equals(child)


def test_planted_networks_say_how_they_were_laid(models: Path) -> None:
    found = summary(models, "seed=1_planted")
    assert found["planted"]["laid_loss"] <= found["planted"]["small_loss"] + 0.02
    assert len(artifacts.read_table(models / "seed=1_planted/history.parquet")) == 1


def test_it_is_known_which_planted_weights_survive(
    made: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made / "results/controls"
    name = f"seed=2_planted{WALKED}_d=0.3"
    found = recovery(folder, name)
    assert found.kept == pytest.approx(0.3, abs=0.01)
    assert 0 < found.planted < 0.5
    assert found.kept_planted > found.kept  # more than by chance
    main([str(folder)])
    assert capsys.readouterr().out.count("`seed=") == 2


def test_stopped_bases_say_how_near_they_came(models: Path) -> None:
    for seed in (1, 2):
        found = summary(models, f"seed={seed}{WALKED}_d=0.3_stopped")["stopped"]
        assert found["steps"] >= 0
        assert np.isfinite(found["target"])
        base = summary(models, f"seed={seed}")
        if found["target"] > base["train_loss"] + 0.1:
            assert found["reached"] <= found["target"]


def test_the_findings_have_the_answers_and_the_doses(made: Workflow) -> None:
    found = artifacts.read_json(made / "results/controls/findings.json")
    families = {one["family"] for one in found["known_controls"]["answers"]}
    assert families == {"planted", "forked", "labels"}
    doses = found["known_controls"]["doses"]["digits"]
    assert [row["share"] for row in doses] == [None, 0.0, 0.6]
    assert found["verdict"]["answer"].startswith("not tested")  # two seeds decide nothing
    names = {row["kind"] for row in found["kinds"]["digits"]["kappa"]}
    assert {
        "walked without a penalty, different bases",
        "stopped at the loss of pruned models, different bases",
    } <= names
    report = (made / "results/controls/report.html").read_text()
    assert "Does the method find what is there, and only that?" in report


def test_the_answers_are_read_as_they_were_given(made: Workflow) -> None:
    """Those of the verdict and of controls, with dataclasses, tuples and numbers that are NaN."""
    folder = made / "results/controls"
    found = artifacts.read_json(folder / "verdict.json", ["networks"])["networks"]
    read = judged.read(str(folder / "verdict.json"))
    assert plain(read) == found
    assert {one.family for one in read[0]["known_controls"]["answers"]} == {
        *("planted", "forked", "labels"),
    }
    (recipe,) = read[0]["verdict"]["by"]["digits"]["kappa"]["recipes"]
    assert np.isnan(recipe.walk.low)  # two seeds have no interval
    assert isinstance(recipe.walk.limits, tuple)
    whole = artifacts.read_json(folder / "findings.json")
    assert {key: whole[key] for key in found[0]} == found[0]
