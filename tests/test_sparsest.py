"""The search for the sparsest skeleton: what it tries, what it finds, and how that is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import CHAIN, Workflow, ended
from test_findings import scores
from test_lineage import check

from skeletons import Experiment, model_ids, pruning
from skeletons.config.load import load
from skeletons.findings import gather, inspections, sparsest, stage
from skeletons.inspection import absence
from skeletons.inspection import sparsest as searching
from skeletons.inspection.sparsest import LEAST, RATIO, is_certified, search
from skeletons.model_ids import Model
from skeletons.store import artifacts, provenance
from skeletons.store.provenance import Recipe
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES

WALK = "seed=1_l1=0.0001_ep=1"
CONFIG: dict[str, Any] = {
    **CHAIN,
    "base": {**CHAIN["base"], "seeds": [1, 2], "epochs": 3},
    "prune": {"densities": [0.4], "thresholds": [], "retrain": 1},
    "inspect": {
        "variant": {"l1": 1e-4, "epochs": 1, "density": 0.4},
        "sparsest": True,
        "importance": True,
        "images": 40,
    },
    "findings": {
        "primary": {"recipe": {"l1": 1e-4, "epochs": 1, "density": 0.4}},
        "loss_rise": 0.05,
        "drop": 0.2,
    },
    "compute": {"precision": "fp32"},
}


def tried(holds: Callable[[float], bool]) -> tuple[float | None, list[float]]:
    order: list[float] = []

    def asked(density: float) -> bool:
        order.append(density)
        return holds(density)

    return search(asked), order


@pytest.mark.parametrize("truth", [0.0011, 0.0123, 0.2, 0.31, 0.95, 1.0])
def test_the_lowest_density_that_holds_is_found_to_its_resolution(truth: float) -> None:
    found, order = tried(lambda density: density >= truth)
    assert found is not None
    assert truth <= found <= truth * RATIO * 1.01  # the densities have three digits
    assert order[0] == 1
    assert len(order) == len(set(order)) <= 9
    fails = [density for density in order if density < truth]
    assert found <= RATIO * max(fails, default=LEAST) or math.isclose(found, RATIO * max(fails))


def test_nothing_is_searched_if_not_even_all_weights_hold() -> None:
    assert tried(lambda density: False) == (None, [1.0])


def test_the_search_ends_at_a_thousandth() -> None:
    found, order = tried(lambda density: True)
    assert found is not None
    assert LEAST < found <= LEAST * RATIO
    assert min(order) == found


def test_a_model_is_certified_by_both_limits() -> None:
    row = {"dead_reason": None, "bound": 0.05, "lost": 0.02}
    assert is_certified(row, 0.05, 0.02)
    assert not is_certified(row, 0.049, 0.02)
    assert not is_certified(row, 0.05, 0.019)
    assert not is_certified(row | {"bound": math.nan}, 0.05, 0.02)
    assert not is_certified({"dead_reason": "no weight is left in a"}, 1.0, 1.0)


# --- the workflow ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return ended(tmp_path_factory, "searched", CONFIG)


def of_seed(workflow: Workflow, seed: int = 1) -> dict[str, Any]:
    path = workflow / f"results/grid/sparsest/seed={seed}.json"
    return artifacts.read_json(path, ["tries", "density"])


def test_each_base_has_a_file_with_all_that_was_tried(searched: Workflow) -> None:
    for seed in (1, 2):
        found = of_seed(searched, seed)
        assert found["tries"][0]["density"] == 1
        assert (found["rise"], found["drop"], found["epochs"]) == (0.05, 0.2, 1)
        for row in found["tries"]:
            assert row["certified"] == is_certified(row, 0.05, 0.2)
            size = round(row["kept"] / (1 - row["sparsity"]))
            assert row["kept"] == round(row["density"] * size)
        holding = [row["density"] for row in found["tries"] if row["certified"]]
        assert found["density"] == min(holding, default=None)


def test_a_tried_model_is_the_one_that_the_density_would_make(
    searched: Workflow, tmp_path: Path
) -> None:
    workflow = searched.copy(tmp_path / "w")
    row = next(row for row in of_seed(searched)["tries"][1:] if row["dead_reason"] is None)
    density = row["density"]
    config = {**CONFIG, "prune": {**CONFIG["prune"], "densities": [0.4, density]}}
    jobs = workflow.jobs(config)
    assert jobs["retrain"] == 2
    assert "sparsest" not in jobs  # it does not depend on the list
    assert "regularize" not in jobs
    made = workflow / f"results/grid/models/{WALK}_d={density}"
    report = artifacts.read_json(made / "sparsity.json", ["kept", "retrained"])
    assert report["kept"] == row["kept"]
    for key in ("train_loss", "train_accuracy", "rise", "error", "bound"):
        assert report["retrained"][key] == row[key]
    accuracy = artifacts.read_json(
        workflow / f"results/grid/scores/{WALK}_d={density}.json", ["accuracy"]
    )["accuracy"]
    assert accuracy == pytest.approx(row["accuracy"])


def test_a_search_that_is_interrupted_goes_on_with_the_next_density(
    searched: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(searched)
    whole = job(tmp_path / "results/a")
    original, begun = pruning.prune_to_density, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(pruning, "prune_to_density", stopped)
    with pytest.raises(KeyboardInterrupt):
        job(tmp_path / "results/b")
    assert begun == 4
    assert job(tmp_path / "results/b") == whole
    assert begun == 4 + len(whole["tries"]) - 3
    (kept,) = (tmp_path / "results/b/unfinished").iterdir()
    kept.write_bytes(b"damaged")
    assert job(tmp_path / "results/b") == whole


def job_of(workflow: Workflow) -> Callable[[Path], dict[str, Any]]:
    """The search of the first base as a job does it, into another folder."""
    results = workflow / "results/grid"
    plan = Plan(load(CONFIG))
    chosen = STAGES["sparsest"].settings(plan, {"base_id": "seed=1"})
    recipe = Recipe("sparsest", chosen, "code", {}, {}, 1, provenance.versions())
    walk, base = results / "models" / WALK, results / "models/seed=1"

    def run(folder: Path) -> dict[str, Any]:
        found = folder / "sparsest/seed=1.json"
        with provenance.making(recipe):
            searching.sparsest_stage(
                regularized=str(walk / "weights.safetensors"),
                summary=str(walk / "model.json"),
                base=str(base / "weights.safetensors"),
                base_summary=str(base / "model.json"),
                ranks=str(results / f"ranks/magnitude/{WALK}.safetensors"),
                dataset=str(results.parent / f"data/{plan.task}/images.safetensors"),
                found=str(found),
                **chosen,
                threads=1,
            )
        return artifacts.read_json(found, ["tries"])

    return run


def test_findings_report_and_figures_show_it(searched: Workflow) -> None:
    results = searched / "results/grid"
    text = (results / "findings.md").read_text()
    assert f"## {sparsest.TITLE}" in text
    assert f"| `{WALK}` |" in text
    found = artifacts.read_json(results / "findings.json", ["inside"])
    assert [row["model"] for row in found["inside"]["sparsest"]] == [
        WALK,
        WALK.replace("=1_", "=2_", 1),
    ]
    assert sparsest.TITLE in (results / "report.html").read_text()
    assert (results / "figures/sparsest.svg").is_file()
    figure = pytest.importorskip("matplotlib.figure").Figure()
    Experiment(results).plot("sparsest", figure.subplots())


def test_each_file_has_the_lineage_of_the_plan(searched: Workflow) -> None:
    assert check(searched.folder, CONFIG) >= {"sparsest", "importance", "ranks", "cut"}


def test_the_variant_and_the_primary_recipe_have_a_density(searched: Workflow) -> None:
    results = searched / "results/grid"
    assert (results / f"importance/{WALK}_d=0.4.json").is_file()
    found = artifacts.read_json(results / "findings.json", ["verdict", "settings"])
    assert found["verdict"]["recipe"] == "λ = 0.0001, 1 epoch, density 0.4"
    assert found["verdict"]["fixed"]
    assert found["settings"]["primary"]["recipe"] == {"l1": 1e-4, "epochs": 1, "density": 0.4}


# --- in words -------------------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    numbers = {"bound": 0.01, "lost": 0.0, "dead_reason": None, "certified": True}
    return {"density": 1.0, "kept": 1000, "sparsity": 0.0, **numbers, **changes}


def file(*tries: dict[str, Any], density: float | None) -> dict[str, Any]:
    return {
        "model": WALK,
        "criterion": "magnitude",
        "epochs": 2,
        "rise": 0.05,
        "drop": 0.02,
        "ratio": 1.05,
        "density": density,
        "tries": list(tries),
    }


def walked(*losses: float) -> Any:
    """A walk whose loss rises by these numbers after one epoch each."""
    points = [0.0, *losses]
    return pd.DataFrame(
        {
            "step": range(len(points)),
            "epoch": range(len(points)),
            "loss": [0.1 + rise for rise in points],
            "accuracy": 1.0,
            "distance": [0.01 * k for k in range(len(points))],
            "step_length": 0.01,
            "norm": 1.0,
        }
    )


def test_a_row_says_what_holds_what_fails_and_why() -> None:
    fails = row(density=0.03, kept=30, bound=0.07, lost=0.034, certified=False)
    found = file(row(), row(density=0.04, kept=40), fails, density=0.04)
    text = sparsest.section([found | {"walk": True}]).text
    assert (
        f"| `{WALK}` | yes | 0.04 | 40 | 0.010 | 0.00 | 0.03 | the loss rises by 0.070 and "
        "3.4 points of accuracy are lost |"
    ) in text
    assert "each retrained for 2 epochs" in text
    assert f"| `{WALK}` | **no** |" in sparsest.section([found | {"walk": False}]).text
    assert f"| `{WALK}` | – |" in sparsest.section([found | {"walk": None}]).text


@pytest.mark.parametrize(
    ("losses", "holds"), [((0.01,), True), ((0.01, 0.5), True), ((0.5, 0.01), False)]
)
def test_the_walk_is_judged_up_to_the_model_that_is_pruned(
    losses: tuple[float, ...], holds: bool
) -> None:
    """A later epoch that leaves the ridge says nothing of the one before."""
    models = model_ids.grid([Model(1)], [1e-4], [1, 2], [0.1])
    last = str(Model(1).of(l1=1e-4, epochs=len(losses)))
    found = gather.summarize(
        "x",
        scores(models),
        {},
        [],
        walked={last: walked(*losses)},
        inside={**inspections.inspections({}), "sparsest": [file(row(), density=1.0)]},
    )
    assert [one["walk"] for one in found["inside"]["sparsest"]] == [holds]
    word = "yes" if holds else "**no**"
    assert f"| `{WALK}` | {word} | 1 |" in stage.as_markdown(found)


def test_a_walk_that_never_holds_and_a_dead_model() -> None:
    dead = {"dead_reason": "no weight is left in body.0.weight", "certified": False}
    found = file({"density": 1.0, "kept": 0, "sparsity": 1.0, **dead}, density=None)
    text = sparsest.section([found | {"walk": None}]).text
    assert "| none | – | – | – | 1 | no weight is left in body.0.weight |" in text


def test_a_search_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    path = tmp_path / "sparsest/seed=1.json"
    artifacts.write_json(path, {absence.KEY: "It cannot be."})
    rows = inspections.inspections({"sparsest": [str(path)]})["sparsest"]
    assert rows == [{"model": "seed=1", "absent": "It cannot be."}]
    assert sparsest.section(rows).text == "Not available for `seed=1`: It cannot be."
    assert "sparsest" not in inspections.inspections({})
    assert sparsest.section([]).text == ""
