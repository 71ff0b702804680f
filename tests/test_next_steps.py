"""What to change next: the keys, and values that would probably decide."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drawn_experiment
import pandas as pd
import pytest

from skeletons.findings import next_steps
from skeletons.store import artifacts


def found(tmp_path: Path, **options: Any) -> dict[str, Any]:
    made = drawn_experiment.write(tmp_path, **options)
    return artifacts.read_json(made["findings"])


def steps_about(found: dict[str, Any], about: str) -> list[dict[str, Any]]:
    return [step for step in found["next"] if step["about"] == about]


def bases(*seeds: int) -> pd.DataFrame:
    names = [f"seed={seed}" for seed in seeds]
    return pd.DataFrame({"model": names, "seed": seeds, "state": "base", "threshold": math.nan})


def brought(count: int) -> pd.DataFrame:
    """A user's own models, each pruned to one density."""
    own = [f"own={k}" for k in range(count)]
    cut = [f"{name}_l1=0.001_ep=2_d=0.2" for name in own]
    state = ["base"] * count + ["pruned"] * count
    return pd.DataFrame(
        {"model": own + cut, "seed": None, "state": state, "threshold": math.nan, "epochs": 2}
    )


@pytest.mark.parametrize(
    ("seeds", "count", "expected"),
    [([1, 2], 5, [1, 2, 3, 4, 5]), ([3, 7], 4, [1, 2, 3, 7]), ([0], 2, [0, 1]), ([5], 1, [5])],
)
def test_new_seeds_are_free_numbers(seeds: list[int], count: int, expected: list[int]) -> None:
    assert next_steps.more_seeds(bases(*seeds), count) == expected


@pytest.mark.parametrize("recipes", [(0.1,), (0.1, 0.2, 0.5)])
def test_two_seeds_are_extended_to_what_a_decision_needs(
    tmp_path: Path, recipes: tuple[float, ...]
) -> None:
    """However many recipes: only the primary one decides."""
    made = found(tmp_path, seeds=2, epochs=(2,), thresholds=recipes)
    (step,) = [one for one in steps_about(made, "verdict") if "base.seeds" in one["keys"]]
    assert step["values"] == {"base.seeds": [1, 2, 3, 4, 5]}
    assert "from 2 to 5 seeds" in step["change"]


def asked(table: pd.DataFrame | None = None, **changed: Any) -> list[next_steps.Step]:
    """The steps for an undecided walk of six seeds, or of other models."""
    walk = SimpleNamespace(answer="undecided", seeds=6, asked=6, needed=12, likely="converges")
    walk.__dict__.update(changed)
    verdict = {
        "measure": "m",
        "controls": [],
        "by": {"digits": {"m": {"recipes": [SimpleNamespace(primary=True, walk=walk)]}}},
    }
    made = {"verdict": verdict, "settings": SimpleNamespace(alive=0.9)}
    return next_steps._seeds(made, bases(1, 2, 3, 4, 5, 6) if table is None else table)


def test_an_undecided_question_is_asked_again_with_new_seeds() -> None:
    (step,) = asked()
    assert step.values["base.seeds"] == list(range(7, 19))
    assert "most probably with *converges*" in step.reason
    assert step.keys == ("experiment", "base.seeds")


def test_more_seeds_are_not_asked_for_if_they_would_not_help() -> None:
    (step,) = asked(needed=None)
    assert "base.seeds" not in step.keys
    assert asked(answer="converges") == []
    assert asked(seeds=3) == []  # dead models: see the step to prune less


def test_pruned_models_that_are_no_skeletons_ask_for_another_recipe(tmp_path: Path) -> None:
    steps = [one for one in steps_about(found(tmp_path), "verdict") if "skeletons" in one["change"]]
    (step,) = steps
    assert step["reason"].startswith("0 of 3 pruned models are skeletons")


def test_bases_that_miss_their_target_come_alone(tmp_path: Path) -> None:
    made = found(tmp_path, missed=[2])
    (step,) = made["next"]
    assert step["keys"] == ["base.epochs", "base.learning_rate", "base.target"]
    assert "1 of 3 base models" in step["reason"]


@pytest.mark.parametrize("random", [(), (1,)])
def test_controls_are_asked_for_if_there_are_none(tmp_path: Path, random: tuple[int, ...]) -> None:
    (step,) = steps_about(found(tmp_path, random=random), "controls")
    assert step["values"]["controls.orders"] == [1]
    assert step["values"]["compare.states"] == ["base", "regularized", "pruned"]
    assert ("controls.random" in step["keys"]) == (not random)


def weak(why: str, **scores: Any) -> list[next_steps.Step]:
    """The steps if models pruned at random take no part, for a reason."""
    walk = SimpleNamespace(missing={"random": why})
    recipes = [SimpleNamespace(primary=True, walk=walk)]
    verdict = {"measure": "m", "controls": [], "by": {"digits": {"m": {"recipes": recipes}}}}
    table = pd.DataFrame({"model": ["seed=1_l1=0.1_ep=1_d=0.1"], **scores})
    return next_steps._weak_controls(verdict, table)


def test_controls_that_are_too_weak_ask_for_retraining() -> None:
    because = "with an accuracy of 12.0%, 60 points below the pruned models, they control nothing"
    (step,) = weak(because)
    assert step.keys == ("prune.retrain",)
    assert weak("there is none") == []
    assert weak(because, loss_bound=[0.1]) == []  # they are retrained already


def test_walks_that_leave_the_ridge_name_what_is_too_large(tmp_path: Path) -> None:
    made = found(tmp_path)
    assert steps_about(made, "walks") == []
    walks = {"a": {"highest": 0.2, "deepest": 0, "longest": 0.001}, "b": {}}
    walks["b"] = {"highest": 0, "deepest": 0.3, "longest": 0.2}
    certificates = {name: Walk(**values) for name, values in walks.items()}
    steps = next_steps._walks(certificates, 0.05, 0.05, brought=False)
    assert [step.keys for step in steps] == [
        ("regularize.lambdas", "regularize.learning_rate"),
        ("base.epochs",),
        ("regularize.learning_rate",),
    ]
    assert all("1 of 2 walks" in step.reason for step in steps)
    steps = next_steps._walks(certificates, 0.05, 0.05, brought=True)
    assert ("network.checkpoints",) in [step.keys for step in steps]


class Walk:
    """The numbers of a certificate."""

    def __init__(self, **numbers: float) -> None:
        self.__dict__.update(numbers)


def test_a_single_condition_shows_no_trend(tmp_path: Path) -> None:
    steps = steps_about(found(tmp_path, epochs=(2,)), "claims")
    keys = {key for step in steps for key in step["keys"]}
    assert "regularize.epochs" in keys
    assert "prune.thresholds" not in keys


def test_only_controls_ask_for_other_images(tmp_path: Path) -> None:
    verdict = {"by": {"noise": {}}, "controls": ["noise"], "measure": "cosine_prob"}
    (step,) = next_steps._data_sets(verdict)
    assert step.keys == ("ood",)
    assert next_steps._data_sets({**verdict, "by": {}, "controls": []}) == []


def test_findings_in_words_list_the_steps(tmp_path: Path) -> None:
    made = drawn_experiment.write(tmp_path)
    steps = artifacts.read_json(made["findings"])["next"]
    text = Path(made["findings"]).with_suffix(".md").read_text()
    part = text.split("## What to change next")[1].split("\n## ")[0]
    assert part.strip().splitlines() == [
        f"- **{step['change']}.** {step['reason']}" for step in steps
    ]


def test_who_brought_models_is_asked_for_models() -> None:
    """No base is trained here, so there are no more seeds and no other orders."""
    (few,) = asked(brought(3))
    assert few.change == "Bring 2 more models: add files to `network.checkpoints`"
    (later,) = asked(brought(6))
    assert later.keys == ("experiment", "network.checkpoints")
    assert not {**few.values, **later.values}
    (claimed,) = [step for step in undecided(brought(6), pruned=2) if "models" in step.change]
    assert claimed.change == "Bring 6 more models: add files to `network.checkpoints`"
    walk = SimpleNamespace(missing=dict.fromkeys(("ceiling", "random"), "there is none"))
    pruning = SimpleNamespace(missing={})
    recipes = [SimpleNamespace(primary=True, walk=walk, pruning=pruning)]
    verdict = {"measure": "m", "controls": [], "by": {"digits": {"m": {"recipes": recipes}}}}
    (controls,) = next_steps._controls(verdict, brought=True)
    assert controls.keys == ("controls.random",)


def undecided(table: pd.DataFrame, pruned: int = 1) -> list[next_steps.Step]:
    """The steps for an undecided claim; if asked for, with models of more densities and epochs."""
    if pruned > 1:
        cut = table[table.state == "pruned"]
        more = cut.assign(model=cut.model.str.replace("d=0.2", "d=0.1"), epochs=4)
        table = pd.concat([table, more])
    return next_steps._claims({"digits": [{"holds": "undecided"}]}, table, more=False)


def test_the_key_is_that_by_which_models_are_pruned() -> None:
    steps = undecided(brought(6))
    assert [step.keys for step in steps] == [("prune.densities",), ("regularize.epochs",)]
    assert {step.reason for step in steps} == {"A trend needs two, and there is one."}
    assert next_steps.pruning_key(bases(1, 2)) == "prune.thresholds"
