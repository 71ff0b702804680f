"""The undocumented attributes of Snakemake that this workflow uses exist and work."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake
from conftest import ROOT, python
from snakemake.cli import get_argument_parser
from snakemake.scheduling import greedy
from snakemake.scheduling.job_scheduler import JobRateLimiter
from snakemake.settings.types import MaxJobsPerTimespan

from skeletons.workflow import internals
from skeletons.workflow.internals import TOUCHED, InternalsError, Run

SNAKEFILE = """
import inspect, json
from types import SimpleNamespace
from snakemake.benchmark import BenchmarkRecord
from snakemake_executor_plugin_slurm import ExecutorSettings
from skeletons.workflow import internals

onstart:
    starts = {
        "workflow": workflow,
        "limit": workflow.scheduler.job_rate_limiter,
        "job": next(iter(workflow.dag.needrun_jobs())),
        "settings": ExecutorSettings(),
        "records": workflow.persistence,
        "script": SimpleNamespace(**inspect.signature(script).parameters),
        "record": BenchmarkRecord(),
    }
    print("MISSING", json.dumps(list(internals.missing(starts))))

rule all:
    output:
        "done.txt",
    shell:
        "touch {output}"
"""


def run(folder: Path, *library: Path) -> str:
    """The output of the rules above, with copies of packages that take precedence."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    paths = [*map(str, library), str(ROOT / "src")]
    done = subprocess.run(
        [sys.executable if library else python(), "-m", "snakemake", "--cores", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One sentence for each attribute that the installed Snakemake lacks."""
    printed = run(tmp_path_factory.mktemp("contract"))
    found = re.search(r"^MISSING (.*)$", printed, re.M)
    assert found, printed
    return json.loads(found[1])


@pytest.mark.parametrize("path", TOUCHED)
def test_the_installed_snakemake_has(path: str, sentences: list[str]) -> None:
    lacking = [sentence for sentence in sentences if f"({path})" in sentence]
    assert not lacking, lacking[0]


@pytest.mark.parametrize("path", TOUCHED)
def test_an_attribute_that_is_gone_is_named(path: str) -> None:
    _, *attributes, gone = path.split(".")
    found: Any = SimpleNamespace()
    for attribute in reversed(attributes):
        found = SimpleNamespace(**{attribute: found})
    names = ("workflow", "limit", "job", "settings", "records", "script", "record")
    starts = dict.fromkeys(names, SimpleNamespace())
    starts[path.partition(".")[0]] = found
    (sentence,) = (each for each in internals.missing(starts) if f"({path})" in each)
    assert f"has no attribute {gone!r} of {path.rpartition('.')[0]}" in sentence


@pytest.mark.parametrize("name", ["restart_times", "job_rate_limiter", "overwrite_configfiles"])
def test_a_snakemake_that_renamed_it_is_refused(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "library/snakemake"
    shutil.copytree(Path(snakemake.__file__).parent, copy)
    for path in copy.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if name in text:
            path.write_text(re.sub(rf"\b(_?){name}\b", rf"\1{name}_now", text), encoding="utf-8")
    assert f"has no attribute {name!r}" in run(tmp_path, tmp_path / "library")


def test_nothing_else_touches_the_inside_of_snakemake() -> None:
    """The rules and the library use Snakemake's `workflow` only through `Run`."""
    reached = re.compile(r"\bworkflow\.(?!internals|[a-z_]+ import|lineage|plan|stages|targets)\w+")
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        code = re.sub(r"skeletons\.workflow[\w.]*", "", path.read_text(encoding="utf-8"))
        assert not reached.findall(code), path


# --- the scheduler ------------------------------------------------------------------------------


class Scheduler(SimpleNamespace):
    """A scheduler that counts how often its remaining jobs are listed."""

    listed = 0

    @property
    def remaining_jobs(self) -> list[str]:
        self.listed += 1
        return ["a", "b"]


def paced(limit: MaxJobsPerTimespan | None, **known: Any) -> Scheduler:
    """The scheduler of a run that begins, with a limit of jobs per second."""
    limiter = JobRateLimiter(limit) if limit else None
    scheduler = Scheduler(job_rate_limiter=limiter, subsample=known.pop("subsample", 20))
    Run(SimpleNamespace(scheduler=scheduler, **{"local_exec": True, "cores": 2, **known})).pace()
    return scheduler


def test_the_default_limit_of_jobs_a_second_is_lifted() -> None:
    default = get_argument_parser().get_default("max_jobs_per_timespan")
    assert paced(MaxJobsPerTimespan.parse_choice(default)).job_rate_limiter is None
    assert paced(None).job_rate_limiter is None


def test_a_limit_that_the_user_sets_stays() -> None:
    kept = paced(MaxJobsPerTimespan.parse_choice("5/1m")).job_rate_limiter
    assert (kept.max_jobs, kept.timespan) == (5, 60)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, 20),
        ({"cores": 64}, 128),
        ({"subsample": None, "cores": 64}, None),
        ({"local_exec": False, "cores": None, "subsample": 1000}, 1000),
    ],
)
def test_a_round_looks_at_two_jobs_per_core(known: dict[str, Any], expected: int | None) -> None:
    assert paced(None, **known).subsample == expected


def test_jobs_that_are_left_are_listed_only_when_they_are_looked_at() -> None:
    scheduler = paced(None)
    before = scheduler.listed
    left = scheduler.remaining_jobs
    assert scheduler.listed == before
    assert left
    assert list(left) == ["a", "b"]
    assert scheduler.listed > before


def test_the_greedy_scheduler_does_not_look_at_the_jobs_that_are_left() -> None:
    class Unseen(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("it looks at them")

        __len__ = __contains__ = __getitem__ = __iter__  # type: ignore[assignment]

    settings = greedy.SchedulerSettings()
    scheduler = greedy.Scheduler(SimpleNamespace(), settings, SimpleNamespace())
    job = SimpleNamespace(scheduler_resources={"_cores": 1}, priority=0, input=[])
    assert scheduler.select_jobs([job], Unseen(), {"_cores": 2}, {}) == [job]


def test_a_job_that_is_given_up_has_no_attempt_left() -> None:
    job, other = (SimpleNamespace(attempt=1, restart_times=2) for _ in range(2))
    numbers = {id(job): 7, id(other): 8}
    dag = SimpleNamespace(jobid=lambda one: numbers[id(one)])
    scheduler = SimpleNamespace(running=[job, other])
    Run(SimpleNamespace(dag=dag, scheduler=scheduler)).give_up(7)
    assert (job.attempt, other.attempt) == (3, 1)
    with pytest.raises(InternalsError, match="'scheduler' of workflow"):
        Run(SimpleNamespace(dag=dag)).give_up(7)
