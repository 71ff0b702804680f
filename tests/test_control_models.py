"""Which controls a configuration asks for, and that asking for more renames nothing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from skeletons.config.load import load
from skeletons.errors import ConfigError
from skeletons.workflow.hooks import Hooks
from skeletons.workflow.internals import PlannedJob
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.targets import Targets

SMALL: dict[str, Any] = {
    "base": {"seeds": [1, 2, 3]},
    "regularize": {"lambdas": [1e-4], "epochs": [1, 2]},
    "prune": {"thresholds": [0.1, 0.2]},
    "network": {"name": "cnn", "width": 8},
}
GRID = 3 * (1 + 2 + 4)


def models(**controls: Any) -> list[str]:
    config = {**SMALL, "controls": {"orders": [], **controls}}
    return [str(model) for model in Plan(load(config)).models]


def added(**controls: Any) -> list[str]:
    before = models()
    assert len(before) == GRID
    found = models(**controls)
    assert [name for name in found if name in before] == before
    return [name for name in found if name not in before]


def test_a_walk_without_a_penalty_has_the_epochs_of_the_others() -> None:
    assert added(plain=True) == [f"seed={s}_l1=0_ep={e}" for s in (1, 2, 3) for e in (1, 2)]


def test_a_grid_that_has_a_walk_without_a_penalty_keeps_it() -> None:
    walks = {"lambdas": [0, 1e-4], "epochs": [1]}
    config = {**SMALL, "regularize": walks, "controls": {"orders": []}}
    with_it = {**config, "controls": {"orders": [], "plain": True}}
    plans = [Plan(load(one)).models for one in (config, with_it)]
    assert plans[0] == plans[1]
    assert len(plans[0]) == 3 * (1 + 2 + 4)


def test_forks_are_children_of_the_first_base_and_the_latest_walk() -> None:
    found = added(forks=[0, 0.3, 0.9, 1])
    roots = [name for name in found if "_l1=" not in name]
    assert roots == [
        *("seed=1_order=1", "seed=1_order=2"),
        *("seed=1_fork=0.3_order=1", "seed=1_fork=0.3_order=2"),
        *("seed=1_fork=0.9_order=1", "seed=1_fork=0.9_order=2"),
    ]
    walked = [name for name in found if "_l1=" in name]
    assert len(walked) == 2 * (2 + 4)
    assert all(name.startswith("seed=1_fork=0.9_order=") for name in walked)


def test_a_fork_of_nothing_is_another_order_and_not_trained_twice() -> None:
    assert "seed=1_order=1" in models(orders=[1], forks=[0])
    assert len(added(orders=[1], forks=[0])) == 3 + 1
    assert added(forks=[1]) == []


@pytest.mark.parametrize("family", ["labels", "planted"])
def test_families_have_the_grid_of_the_bases(family: str) -> None:
    found = added(**{family: 4 if family == "planted" else True})
    assert len(found) == GRID
    assert found[0] == f"seed=1_{family}"


def test_each_pruned_model_has_its_stopped_base() -> None:
    found = added(stopped=True)
    assert len(found) == 3 * 4
    assert found[0] == "seed=1_l1=0.0001_ep=1_t=0.1_stopped"


def test_of_a_primary_recipe_that_is_named_controls_have_no_other() -> None:
    recipe = {"l1": 1e-4, "epochs": 2, "threshold": 0.2}
    every = {"plain": True, "labels": True, "stopped": True, "forks": [0.5]}
    config = {
        **SMALL,
        "controls": {"orders": [], **every},
        "findings": {"primary": {"recipe": recipe}},
    }
    names = [str(model) for model in Plan(load(config)).models]
    assert [name for name in names if name.startswith("seed=2_") and "_ep=1" in name] == [
        "seed=2_l1=0.0001_ep=1",
        "seed=2_l1=0.0001_ep=1_t=0.1",
        "seed=2_l1=0.0001_ep=1_t=0.2",
    ]
    assert [name for name in names if "labels" in name and "seed=2" in name] == [
        "seed=2_labels",
        "seed=2_labels_l1=0.0001_ep=2",
        "seed=2_labels_l1=0.0001_ep=2_t=0.2",
    ]
    assert [name for name in names if name.endswith("_stopped")] == [
        f"seed={s}_l1=0.0001_ep=2_t=0.2_stopped" for s in (1, 2, 3)
    ]


def test_models_before_pruning_are_compared_only_if_asked_for() -> None:
    config = {**SMALL, "controls": {"orders": [], "labels": True, "plain": True}}
    for states in (["base", "pruned"], ["base", "regularized", "pruned"]):
        plan = Plan(load({**config, "compare": {"states": states}}))
        compared = {str(model) for model in plan.compared}
        assert ("seed=1_labels_l1=0.0001_ep=1" in compared) == ("regularized" in states)
        assert {
            "seed=1_l1=0_ep=1",
            "seed=1_labels",
            "seed=1_labels_l1=0.0001_ep=1_t=0.1",
        } <= compared


def test_a_shorter_walk_without_a_penalty_is_judged_as_well() -> None:
    """With a primary recipe, it may end before the other walks do."""
    recipe = {"l1": 1e-4, "epochs": 1, "threshold": 0.1}
    config = {
        **SMALL,
        "controls": {"orders": [], "plain": True},
        "findings": {"primary": {"recipe": recipe}},
    }
    found = Targets(Plan(load(config))).longest_walks("walk.parquet")
    assert [Path(path).parent.name for path in found] == [
        f"seed={seed}_l1={walk}" for seed in (1, 2, 3) for walk in ("0_ep=1", "0.0001_ep=2")
    ]


@pytest.mark.parametrize("seeds", [[1, 2], [2, 3], [0, 1, 2, 3]])
def test_no_seed_decides_about_the_small_network(seeds: list[int]) -> None:
    """So adding or removing one trains nothing again."""
    both = [
        Lineages(
            Targets(Plan(load({**SMALL, "base": {"seeds": some}, "controls": {"planted": 2}})))
        )
        for some in ([2], seeds)
    ]
    path = "results/demo/models/seed=2_planted/weights.safetensors"
    assert both[0].of(path) == both[1].of(path)


def test_what_is_not_inspected_or_planted_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is transferred, searched for or planted where there are trained models alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").touch()
    (tmp_path / "mine.py").write_text("def score(weights, threshold):\n    return weights\n")
    inspect = {"variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.1}}
    own = {
        "name": "speednet",
        "checkpoints": {"a": "a.pt"},
        "regularize": {"lambdas": []},
        "prune": {"criterion": "mine.py:score"},
    }
    config = {
        **SMALL,
        "networks": {"own": own},
        "controls": {"planted": 2},
        "inspect": {**inspect, "transfer": True, "sparsest": True},
    }
    assert load(config).controls.planted == 2
    own["regularize"] = {"lambdas": [1e-4]}
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert "inspect.transfer: found true, but networks.own.checkpoints has" in str(caught.value)
    assert "the criterion 'mine.py:score' is user-defined" in str(caught.value)


@pytest.mark.parametrize("rule", ["stop", "stop_at_density"])
def test_the_epochs_of_a_stopped_base_are_known(rule: str) -> None:
    plan = Plan(load({**SMALL, "base": {"seeds": [1], "epochs": 7}}))
    job = PlannedJob(1, rule, 1, {"base_id": "seed=1"}, True, False, "", ())
    hooks = SimpleNamespace(_plan=plan)
    assert Hooks._epochs(hooks, job) == (1, 7)  # type: ignore[arg-type]
