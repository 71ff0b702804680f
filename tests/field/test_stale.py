"""Results without Snakemake's records: what is current stays, and what is stale is made again."""

from __future__ import annotations

import copy
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CHAIN, SCIENCE, Workflow
from test_caching import CHAIN_PREDICTED, SCORED, TRAINED

from skeletons.config.load import load
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.stale import _all
from skeletons.workflow.targets import Targets

Change = Callable[[dict[str, Any]], None]
RECORDED = {"record": 1, "report": 1}


def setting(section: str, **values: Any) -> Change:
    return lambda config: config.update({section: {**config.get(section, {}), **values}})


@pytest.fixture
def moved(chain: Workflow, tmp_path: Path) -> Workflow:
    """The results in another folder, with their times and without `.snakemake`."""
    workflow = chain.copy(tmp_path / "elsewhere")
    shutil.rmtree(workflow / ".snakemake")
    return workflow


def test_results_that_were_moved_are_current(moved: Workflow) -> None:
    assert moved.planned(CHAIN) == {}
    assert moved.jobs(CHAIN) == {}


CHANGES: dict[str, tuple[Change, dict[str, int]]] = {
    "the learning rate": (setting("base", learning_rate=0.2), {**TRAINED, "record": 1}),
    "the images, which no rule reads": (
        setting("dataset", train=90),
        {"dataset": 1, **TRAINED, "record": 1},
    ),
    "the scale of thresholds": (
        setting("prune", scale="layer_rms"),
        {
            "prune": 1,
            "predict": 2,
            "score": 1,
            "compare": 1,
            "similarity": 1,
            **SCORED,
            "record": 1,
        },
    ),
    "the target, which only scores and the page show": (
        setting("base", target={"train_loss": 0.2, "train_accuracy": 0.9}),
        {"score": 3, **SCORED, "record": 1},
    ),
    "a colour, which only figures show": (
        setting("figures", colormap="magma"),
        {"figures": 1, **RECORDED},
    ),
    "nothing but the record": (lambda config: config.update(cache="other/cache"), RECORDED),
}


@pytest.mark.parametrize("row", CHANGES)
def test_a_setting_changed_after_the_move_reruns_what_it_must(row: str, moved: Workflow) -> None:
    change, expected = CHANGES[row]
    config = copy.deepcopy(CHAIN)
    change(config)
    if "dataset" in expected:
        expected = {**expected, "dataset": 1}
    assert moved.planned(config) == Counter(expected)
    assert moved.jobs(config) == Counter(expected)
    assert moved.planned(config) == {}


def test_code_changed_after_the_move_reruns_what_it_must(moved: Workflow) -> None:
    path = moved / "src/skeletons/prediction/inference.py"
    path.write_text(f"{path.read_text()}\nANOTHER = 1\n")
    planned = moved.planned(CHAIN)
    assert planned == Counter({**TRAINED, **CHAIN_PREDICTED})


def test_inspections_that_were_moved_are_current(science: Workflow, tmp_path: Path) -> None:
    workflow = science.copy(tmp_path / "elsewhere")
    shutil.rmtree(workflow / ".snakemake")
    assert workflow.planned(SCIENCE) == {}
    changed = {**SCIENCE, "inspect": {**SCIENCE["inspect"], "points": 7, "grid": 7}}
    planned = workflow.planned(changed)
    assert planned["line"] == 4
    assert planned["curve"] == planned["plane"] == planned["inspection_figures"] == 1
    assert not {"train_base", "regularize", "expose", "probe", "importance"} & set(planned)


def test_what_jobs_read_on_the_way_is_known(tmp_path: Path) -> None:
    """Alignments, and checkpoints that a walk passes; code that changed makes them again."""
    config = {**SCIENCE, "regularize": {**SCIENCE["regularize"], "epochs": [1, 8]}}
    targets = Targets(Plan(load(config)))
    known = set(_all(targets, Lineages(targets)))
    assert not {path for path in known if path.endswith("seed=1_l1=0.0001_ep=2/model.json")}
    assert known >= {
        f"results/science/{path}"
        for path in (
            "alignment/symmetries.json",
            "alignment/seed=1--seed=2.safetensors",
            "alignment/units/seed=1.safetensors",
            "alignment/activations/seed=1--seed=2.safetensors",
            "models/seed=1_l1=0.0001_ep=4/weights.safetensors",
        )
    }


def test_an_alignment_by_other_code_is_made_again(tmp_path: Path) -> None:
    config = copy.deepcopy(CHAIN)
    setting("base", seeds=[1, 2])(config)
    setting("compare", weights=["mask_overlap_aligned"])(config)
    setting("inspect", variant={"l1": 1e-4, "epochs": 1, "threshold": 0.05}, lines=True)(config)
    (tmp_path / "w").mkdir()
    workflow = Workflow(tmp_path / "w", library=True)
    assert workflow.jobs(config)["activations"] == 2
    shutil.rmtree(workflow / ".snakemake")
    path = workflow / "src/skeletons/prediction/units.py"
    path.write_text(f"{path.read_text()}\nANOTHER = 1\n")
    planned = workflow.planned(config)
    assert planned["activations"] == 2
    assert planned["align_activations"] == 1


def test_show_never_calls_stale_what_is_current_nor_current_what_is_stale(
    moved: Workflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from skeletons.commands import cli

    config = copy.deepcopy(CHAIN)
    setting("base", learning_rate=0.2)(config)
    moved.write(config, "changed.yaml")
    monkeypatch.chdir(moved.folder)
    monkeypatch.setenv("PYTHONPATH", str(moved.library))
    assert cli.main(["show", "seed=1"]) == 0
    assert "current   yes" in capsys.readouterr().out
    assert cli.main(["show", "seed=1", "--configfile", "changed.yaml"]) == 0
    assert "current   no" in capsys.readouterr().out


# --- files of another experiment ----------------------------------------------------------------

OTHER = {**CHAIN, "experiment": "other", "base": {**CHAIN["base"], "learning_rate": 0.2}}


@pytest.fixture(scope="module")
def two(chain: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The results of two experiments of other settings."""
    workflow = chain.copy(tmp_path_factory.mktemp("two") / "copy")
    workflow.jobs(OTHER)
    return workflow


def bytes_of(workflow: Workflow) -> dict[str, bytes]:
    """All results but the page, which shows what each job cost."""
    folder = workflow / "results/grid"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".parquet", ".safetensors", ".json", ".svg", ".md")
    }


@pytest.mark.parametrize(
    ("name", "refusals"),
    [
        ("models/seed=1/weights.safetensors", 1),
        ("predictions/digits/seed=1.parquet", 1),
        ("findings.json", 1),
        ("figures/heatmap_digits_kappa.svg", 0),  # nothing checks a figure or a page,
        ("report.html", 0),  # so they are made again at once
    ],
)
def test_a_file_of_another_experiment_is_never_used(
    name: str, refusals: int, two: Workflow, tmp_path: Path
) -> None:
    """A run refuses it, and the one after that makes it again."""
    workflow = two.copy(tmp_path / "copy")
    before = bytes_of(workflow)
    other = (workflow / "results/other" / name).read_bytes()
    (workflow / "results/grid" / name).write_bytes(other)
    for _ in range(refusals):
        done = workflow.run(CHAIN)
        assert done.returncode == 1, done.stdout
        assert f"{name} was made from other settings than this experiment's" in done.stdout
    assert workflow.jobs(CHAIN)
    assert bytes_of(workflow) == before
    assert (workflow / "results/grid" / name).read_bytes() != other
    assert workflow.jobs(CHAIN) == {}
