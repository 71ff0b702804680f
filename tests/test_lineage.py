"""The lineage computed from the plan equals the one in the seal of each artifact."""

from pathlib import Path
from typing import Any

import pytest
from conftest import SCIENCE, Workflow

from skeletons.config.load import load
from skeletons.store import artifacts
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets


def lineages(config: dict[str, Any]) -> Lineages:
    return Lineages(Targets(Plan(load(config))))


def sealed(folder: Path) -> dict[str, str]:
    """The lineage of every artifact by its path."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        if path.suffix in (".parquet", ".json", ".safetensors") and ".cache" not in path.parts:
            seal = artifacts.read_seal(path)
            if seal and "lineage" in seal:
                found[str(path.relative_to(folder))] = seal["lineage"]
    return found


def check(folder: Path, config: dict[str, Any]) -> set[str]:
    """Compare all lineages of an experiment; the first folder of each artifact."""
    plan = lineages(config)
    found = sealed(folder)
    wrong = {path for path, line in found.items() if plan.of(path) != line}
    assert not wrong
    return {path.split("/")[2] for path in found}


def test_every_artifact_has_the_lineage_of_the_plan(science: Workflow) -> None:
    kinds = check(science.folder, SCIENCE)
    assert kinds >= {
        *("models", "predictions", "features", "scores", "similarity", "representations"),
        *("weights", "alignment", "lines", "plane", "curve", "exposed", "importance", "probe"),
        "takeover",
    }


def test_so_has_a_block_of_pairs(finished: Workflow, tmp_path: Path) -> None:
    from conftest import TINY

    blocks = {**TINY, "compare": {**TINY["compare"], "blocks_beyond": 2}}
    copy = finished.copy(tmp_path / "copy")
    assert copy.jobs(blocks)["compare_bases"] == 6
    check(copy.folder, blocks)


@pytest.mark.parametrize(
    ("section", "change", "same"),
    [
        ("base", {"learning_rate": 0.2}, []),
        ("regularize", {"learning_rate": 0.02}, ["models/seed=1/weights.safetensors"]),
        (
            "prune",
            {"scale": "layer_rms"},
            ["models/seed=1/weights.safetensors", "models/seed=1_l1=0.0001_ep=1/history.parquet"],
        ),
    ],
)
def test_a_setting_changes_the_lineage_of_what_it_shapes(
    section: str, change: dict[str, Any], same: list[str]
) -> None:
    pruned = "models/seed=1_l1=0.0001_ep=1_t=0.2/weights.safetensors"
    before = lineages(SCIENCE)
    after = lineages({**SCIENCE, section: {**SCIENCE[section], **change}})
    for path in [pruned, *same]:
        place = f"results/science/{path}"
        assert (before.of(place) == after.of(place)) == (path in same)


def test_no_wildcard_hides_a_setting() -> None:
    """A wildcard and a setting of one name are one value, or the other would be in no lineage."""
    plan = Plan(load(SCIENCE))
    made = lineages(SCIENCE)
    for path in Targets(plan).artifacts():
        making = made.making(path)
        assert making is not None
        settings = STAGES[making.stage].settings(plan, making.wildcards)
        for name in settings.keys() & making.wildcards.keys():
            assert str(settings[name]) == str(making.wildcards[name]) or isinstance(
                settings[name], float
            ), (path, name)
