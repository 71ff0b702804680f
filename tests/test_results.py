"""The pages of docs/results show the numbers of the published runs, and no others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
sys.path.insert(0, str(ROOT / "scripts"))

import publish  # noqa: E402
import summarize  # noqa: E402

from skeletons.config.companions import decided  # noqa: E402
from skeletons.config.networks import completed  # noqa: E402
from skeletons.config.sections import Config  # noqa: E402
from skeletons.marked import renewed  # noqa: E402

RUNS = sorted(path.parent.name for path in RESULTS.glob("*/verdict.json"))


def file_of(run: str) -> Path:
    """The configuration of a published run."""
    return ROOT / ("workflow_config.yaml" if run == "demo" else f"experiments/{run}.yaml")


def test_the_summary_is_of_the_published_runs() -> None:
    kept = json.loads((RESULTS / "summary.json").read_text(encoding="utf-8"))
    assert kept == summarize.summary(RESULTS), "run `make results`"


@pytest.mark.parametrize(
    ("page", "template"), [("results", "results.md.jinja"), ("top", "answer.md.jinja")]
)
def test_the_pages_show_the_numbers_of_the_summary(page: str, template: str) -> None:
    found = summarize.render(summarize.summary(RESULTS), template)
    if page == "results":
        assert (RESULTS / "README.md").read_text(encoding="utf-8") == found, "run `make results`"
    else:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert readme == renewed(readme, summarize.ANSWER, found), "run `make results`"


def test_each_published_run_is_an_experiment_of_the_repository() -> None:
    for row in json.loads((RESULTS / "summary.json").read_text(encoding="utf-8")):
        run = row["run"]
        asked = yaml.safe_load(file_of(run).read_text(encoding="utf-8"))
        made = yaml.safe_load((RESULTS / run / "config.yaml").read_text(encoding="utf-8"))
        assert asked["experiment"] == made["experiment"] == run


@pytest.mark.parametrize("run", RUNS)
def test_each_published_run_was_made_with_the_settings_of_its_file(run: str) -> None:
    """Also if defaults have changed since: a file names what a published run depends on."""
    raw = yaml.safe_load(file_of(run).read_text(encoding="utf-8"))
    asked = Config.model_validate(completed(decided(raw))).model_dump(mode="json")
    made = yaml.safe_load((RESULTS / run / "config.yaml").read_text(encoding="utf-8"))
    for section in ("images", "network", "networks", "base", "regularize", "prune", "controls"):
        assert asked[section] == made[section], section


def test_a_run_is_published_and_summarised(science: Path, tmp_path: Path) -> None:
    """The commands of the page, on a small experiment."""
    target = tmp_path / "results/science"
    publish.publish(science / "results/science", target)
    [row] = summarize.summary(target.parent)
    verdict = json.loads((target / "verdict.json").read_text(encoding="utf-8"))
    assert row["answer"] == verdict["networks"][0]["verdict"]["answer"]
    assert row["network"] == "cnn"
    assert 0 < row["test_accuracy"]["least"] <= row["test_accuracy"]["mean"] <= 1
    assert row["cpu_minutes"] is not None
    summarize.draw([{**row, "run": "truth"}], tmp_path / "answers.svg")
    assert (tmp_path / "answers.svg").stat().st_size > 1000


def test_no_published_run_names_a_folder_of_a_machine() -> None:
    for path in RESULTS.glob("*/config.yaml"):
        root = yaml.safe_load(path.read_text(encoding="utf-8"))["data_root"]
        assert not Path(root).is_absolute(), path
    text = '{"data_root": "/home/a/images", "path": "/home/a/images/birds"}'
    found = publish.without_own_folders(text, "/home/a/images")
    assert found == '{"data_root": "data", "path": "data/birds"}'


def test_a_number_that_is_not_finite_is_none() -> None:
    assert summarize._plain({"p": float("nan"), "x": [1 / 3]}) == {"p": None, "x": [0.333333]}
