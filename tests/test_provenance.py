"""The command `skeletons`: the recipe of an artifact, whether it is current, the run cache."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import CHAIN, Workflow, python

from skeletons.commands import cli
from skeletons.errors import ArtifactError
from skeletons.store import provenance
from skeletons.store.cache import RunCache
from skeletons.workflow import lookup

WALKED = "results/grid/models/seed=1_l1=0.0001_ep=1"


def skeletons(workflow: Workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python(), "-m", "skeletons.commands.cli", *arguments],
        cwd=workflow.folder,
        env=workflow.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_a_model_says_what_made_it(chain: Workflow) -> None:
    done = skeletons(chain, "show", WALKED)
    assert done.returncode == 0, done.stdout
    for part in (
        "weights.safetensors\n  content   as it was written",
        "made by   regularize",
        '"l1": "0.0001"',
        '"batch_size": 50',
        "code      ",
        "torch ",
        "device    cpu, ",
        "threads   1",
        "made from models/seed=1/weights.safetensors  ",
        "current   yes",
    ):
        assert part in done.stdout
    assert done.stdout.count("made by") == 1  # all files of a job have one recipe


def test_a_model_is_known_by_its_id_alone(chain: Workflow) -> None:
    done = skeletons(chain, "show", Path(WALKED).name)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f"{WALKED}/history.parquet\n")
    assert "current   yes" in done.stdout


@pytest.mark.parametrize(
    ("named", "near"),
    [
        ("results/girds", "results/grid"),
        ("results/grid/models/seed=1_l1=0.001_ep=1", WALKED),
        ("results/grid/score/seed=1.json", "results/grid/scores/seed=1.json"),
        ("seed=1_l1=1e-4_ep=1", Path(WALKED).name),
        ("results/grid/models", None),  # it exists, but holds no artifacts
        ("results/elsewhere", None),
        ("somewhere", None),
    ],
)
def test_what_is_nearest_is_named(
    chain: Workflow, named: str, near: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain.folder)
    hint = f"; the nearest is {near}." if near else "."
    with pytest.raises(ArtifactError) as refused:
        lookup.files_at(named, cli.READERS)
    assert str(refused.value) == f"{named} is neither an artifact nor a folder of artifacts{hint}"


def test_it_says_when_an_artifact_is_not_current(chain: Workflow, tmp_path: Path) -> None:
    other = copy.deepcopy(CHAIN)
    other["regularize"]["learning_rate"] = 0.02
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(other))
    done = skeletons(chain, "show", f"{WALKED}/model.json", "--configfile", str(path))
    assert done.returncode == 0, done.stdout
    assert "current   no: params changed, update pending" in done.stdout


def test_it_says_when_an_artifact_was_changed(chain: Workflow, tmp_path: Path) -> None:
    workflow = chain.copy(tmp_path / "w")
    path = workflow / WALKED / "model.json"
    path.write_text(path.read_text().replace('"width": 2', '"width": 3'))
    done = skeletons(workflow, "show", f"{WALKED}/model.json")
    assert "content   was changed after it was written; delete it" in done.stdout


@pytest.mark.parametrize(
    ("path", "text"),
    [("nowhere", "nowhere is neither an artifact"), ("Snakefile", "is not in results/EXPERIMENT")],
)
def test_what_is_no_artifact_is_a_sentence(chain: Workflow, path: str, text: str) -> None:
    done = skeletons(chain, "show", path)
    assert done.returncode == 1
    assert text in done.stdout
    assert "Traceback" not in done.stdout


def test_another_version_of_a_package_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "versions", lambda: {"torch": "3.0"})
    assert cli._version("torch", "2.15.0") == "torch 2.15.0 (now 3.0)"
    assert cli._version("torch", "3.0") == "torch 3.0"


def test_the_cache_tells_its_size_and_is_pruned_oldest_first(tmp_path: Path) -> None:
    cache = RunCache(tmp_path / "cache")
    for number, key in enumerate(("aa1", "bb2", "cc3")):
        path = tmp_path / f"{number}.json"
        path.write_text(str(number) * 1000)
        cache.keep(key, {"0.json": str(path)})
    assert cache.fetch("aa1", {"0.json": str(tmp_path / "again.json")})  # the last to be used
    assert (tmp_path / "again.json").read_text() == "0" * 1000
    size = sum(entry.size for entry in cache.entries())
    removed = cache.prune(size // 3 + 10)
    assert {entry.folder.name for entry in removed} == {"bb2", "cc3"}
    assert not cache.fetch("bb2", {"0.json": str(tmp_path / "again.json")})


def test_a_damaged_entry_is_a_miss_and_goes(tmp_path: Path) -> None:
    cache = RunCache(tmp_path / "cache")
    (tmp_path / "a.json").write_text("{}")
    cache.keep("aa1", {"a.json": str(tmp_path / "a.json")})
    kept = next((tmp_path / "cache/aa/aa1").glob("0*"))
    kept.write_text("{ }")
    assert not cache.fetch("aa1", {"a.json": str(tmp_path / "b.json")})
    assert not (tmp_path / "b.json").exists()
    assert cache.entries() == []


def test_a_limit_needs_a_unit_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["cache", "--limit", "many"])
    assert (
        "found 'many'; allowed: a number and a unit, for example 500MB or 1GB"
        in capsys.readouterr().err
    )
