"""The workflow as a module of another workflow."""

import os
import re
from pathlib import Path

import pytest
import yaml
from conftest import CHAIN, ROOT, python, said

PAGE = (ROOT / "docs/modules.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def snakefile() -> str:
    """The Snakefile of the page, with this repository as the clone and the test's experiment."""
    assert EXAMPLE
    text = EXAMPLE[1]
    for shown, used in (
        ('"skeletons/Snakefile"', f'"{ROOT}/Snakefile"'),
        ("results/demo", f"results/{CHAIN['experiment']}"),
    ):
        assert shown in text
        text = text.replace(shown, used)
    return text


def run(folder: Path, *arguments: str) -> str:
    """Run a Snakefile that uses the repository's as a module, with the repository's profile."""
    command = [python(), "-m", "snakemake", "--cores", "2"]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), *arguments]
    return said(command, folder, {**os.environ, "PYTHONPATH": str(ROOT / "src")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("outside")
    (made / "config.yaml").write_text(yaml.safe_dump(CHAIN))
    (made / "Snakefile").write_text(snakefile())
    run(made)
    return made


def test_another_workflow_continues_from_its_files(folder: Path) -> None:
    assert (folder / "results/skeletons.txt").read_text() == "0\n"  # the tiny networks have none
    assert (folder / "results/grid/report.html").stat().st_size > 100_000
    assert (folder / "results/data/digits/images.safetensors").is_file()


def test_run_again_it_does_nothing(folder: Path) -> None:
    assert "Nothing to be done" in run(folder)


def test_only_what_a_changed_key_touches_runs_again(folder: Path) -> None:
    changed = {**CHAIN, "figures": {"colormap": "mako"}}
    (folder / "changed.yaml").write_text(yaml.safe_dump(changed))
    planned = run(folder, "--dry-run", "--configfile", "changed.yaml")
    assert "figures" in planned
    assert "train_base" not in planned
    assert "compare" not in planned


def test_its_rules_may_have_other_names(folder: Path) -> None:
    text = snakefile().split("rule count_skeletons")[0]
    renamed = text.replace("from rashomon", "from rashomon as other_*")
    (folder / "renamed.smk").write_text(renamed)
    planned = run(folder, "-n", "--forceall", "--snakefile", "renamed.smk", "other_all")
    assert "other_train_base" in planned
    assert "Nothing to be done" in run(folder, "--snakefile", "renamed.smk", "other_all")
    more = {**CHAIN, "prune": {"thresholds": [0.05, 0.1]}}
    (folder / "more.yaml").write_text(yaml.safe_dump(more))
    made = run(folder, "--snakefile", "renamed.smk", "other_all", "--configfile", "more.yaml")
    assert "other_prune: 1 job done" in made
    assert "other_train_base" not in made
