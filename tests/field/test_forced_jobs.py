"""What is forced is computed again, although the run cache has it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import CHAIN, Workflow, trained

from skeletons.store.cache import RunCache
from skeletons.workflow import jobs
from skeletons.workflow.internals import EVERYTHING, Run

OUTPUT = "results/demo/models/seed=1/weights.safetensors"


def called(**settings: Any) -> list[str]:
    """What a run that Snakemake was called for with these settings is forced to make again."""
    known = {"forcerun": (), "forcetargets": False, "forceall": False, "targets": (), **settings}
    main = settings.pop("main", True)
    workflow = SimpleNamespace(is_main_process=main, dag_settings=SimpleNamespace(**known))
    return Run(workflow).forced()


def test_what_is_forced() -> None:
    assert called(targets={OUTPUT}) == []
    assert called(forcerun={"train_base", OUTPUT}) == [OUTPUT, "train_base"]
    assert called(forcetargets=True, targets={OUTPUT}) == [OUTPUT]
    assert called(forceall=True) == [EVERYTHING]
    assert called(forcetargets=True, targets={OUTPUT}, main=False) == []


class _Named(dict[str, Any]):
    """Files or parameters as Snakemake gives them: by name, and in order."""

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __iter__(self) -> Any:
        return iter(self.values())


@pytest.mark.parametrize(
    ("forced", "again"),
    [
        ([], False),
        (["regularize", "results/demo/models/seed=2/weights.safetensors"], False),
        (["train_base"], True),
        ([OUTPUT], True),
        ([f"./{OUTPUT}"], True),
        ([EVERYTHING], True),
    ],
)
def test_which_jobs_are_forced(forced: list[str], again: bool) -> None:
    params = _Named(stage="train_base", settings={}, code="0")
    job = jobs.describe(
        _Named(), _Named(weights=OUTPUT), params, _Named(), {}, cache="c", forced=forced
    )
    assert job.forced is again


@pytest.mark.parametrize("forced", ["stop", "stop_at_density"])
def test_a_rule_is_forced_by_its_own_name(forced: str) -> None:
    """Not by that of its stage, which other rules may run as well."""
    params = _Named(stage="stop", settings={}, code="0")
    described: Any = (_Named(), _Named(weights=OUTPUT), params, _Named(), {})
    job = jobs.describe(*described, cache="c", forced=[forced], rule="stop_at_density")
    assert job.forced is (forced == "stop_at_density")


def test_a_dropped_result_is_a_miss(tmp_path: Path) -> None:
    cache = RunCache(tmp_path / "cache")
    cache.drop("aa1")  # there is none
    (tmp_path / "a.json").write_text("{}")
    cache.keep("aa1", {"a.json": str(tmp_path / "a.json")})
    cache.drop("aa1")
    assert not cache.fetch("aa1", {"a.json": str(tmp_path / "b.json")})


def test_training_is_forced(chain: Workflow, tmp_path: Path) -> None:
    made = chain.copy(tmp_path / "copy")
    before = (made / "results/grid/models/seed=1/weights.safetensors").read_bytes()
    shutil.rmtree(made / "logs")
    made.jobs(CHAIN, "--until", "regularize", "-R", "train_base")
    assert trained(made) == {"train_base/seed=1"}
    assert (made / "results/grid/models/seed=1/weights.safetensors").read_bytes() == before
