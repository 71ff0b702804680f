"""The workflow on a real cluster of three nodes: its results, its jobs, and its failures."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Workflow, as_on_a_terminal, python

from slurm.cluster import Cluster

SMALL: dict[str, Any] = {
    "experiment": "small",
    "cache": None,
    "dataset": {"kind": "shapes", "train": 100, "test": 40},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4], "epochs": [1], "batch_size": 50, "trace": 0},
    "prune": {"thresholds": [0.05]},
    "compare": {"states": ["base", "pruned"], "ood_images": 40},
    "controls": {"orders": []},
}

# There is no slurmdbd, and jobs take only seconds, so their states are queried sooner.
HERE = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5")

# The longest wait: it ends a test on a machine that is stuck.
LONGEST = 900

# A base model fails if its seed names a file in `trouble`. If the file has a number, the job takes
# so many MB; if that is more than it requested, it waits to be killed. Without a number, it never
# ends.
TROUBLE = """\
import pathlib, time
from skeletons.workflow import jobs

plain = jobs.describe


def describe(*given, **named):
    seed = snakemake.wildcards.base_id[5:] if snakemake.rule == "train_base" else "none"
    trouble = pathlib.Path("trouble", seed)
    if trouble.exists():
        megabytes = int(trouble.read_text() or 0)
        taken = [b"x" * 10**6 for _ in range(megabytes)]
        time.sleep(0 if 0 < megabytes < snakemake.resources.mem_mb else 3600)
        del taken
    return plain(*given, **named)


jobs.describe = describe
"""


def wait(reached: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait for an event; if it takes too long, fail with a reason."""
    end = time.monotonic() + LONGEST
    while not reached():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.3)


class Run:
    """A run of Snakemake on the cluster, with its output in a file."""

    def __init__(
        self,
        workflow: Workflow,
        cluster: Cluster | None,
        config: dict[str, Any],
        *arguments: str,
        program: str = sys.executable,
    ) -> None:
        """Start it; on this machine if there is no cluster."""
        self.workflow = workflow
        (workflow / "experiment.yaml").write_text(yaml.safe_dump(config))
        how = ["--workflow-profile", "profiles/slurm"] if cluster else ["--cores", "2"]
        command = [program, "-m", "snakemake", *how]
        environment = cluster.environment if cluster else {}
        self._said = workflow / "said.txt"
        with self._said.open("w") as file:
            self.process = subprocess.Popen(
                [*command, "--configfile", "experiment.yaml", *arguments],
                cwd=workflow.folder,
                env=workflow.environment(**environment),
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=as_on_a_terminal,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def end(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(LONGEST)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for an event while it runs."""

        def going_on() -> bool:
            assert self.process.poll() is None, self.said
            return reached()

        wait(going_on, lambda: self.said)


def artifacts(workflow: Workflow) -> dict[str, bytes]:
    """Everything that must not depend on where jobs ran."""
    return {
        str(path.relative_to(workflow.folder)): path.read_bytes()
        for path in sorted((workflow / "results").rglob("*"))
        if path.suffix in (".parquet", ".json", ".safetensors", ".svg", ".md", ".yaml")
    }


def nodes(workflow: Workflow, experiment: str) -> dict[str, str]:
    """The node on which each training job ran, from its log."""
    logs = [
        path
        for rule in ("train_base", "regularize")
        for path in (workflow / f"logs/{experiment}/{rule}").glob("*.log")
    ]
    found = {
        path.stem: re.match(r"On (node\d), SLURM job \d+\.", path.read_text()) for path in logs
    }
    return {name: match[1] for name, match in found.items() if match}


GRID = {**SMALL, "experiment": "grid", "base": {**SMALL["base"], "seeds": [1, 2, 3, 4, 5]}}
FIFTH = (
    "train_base:slurm_extra='--nodelist=node3' if wildcards.base_id == 'seed=5' "
    "else '--exclude=node3'"
)
FAILING = (
    *("--retries", "0"),
    *("--set-resources", "train_base:mem_mb=1500", "regularize:mem_mb=1500", FIFTH),
    "train_base:runtime=1 if wildcards.base_id == 'seed=3' else 30",
)

# Two such jobs at once do not fit into the memory of one node.
APART = ("--set-resources", "train_base:mem_mb=9000")


def lose(cluster: Cluster, node: str) -> None:
    """Set a node with its jobs down, and let it come back."""
    cluster.command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    # If it has come back by itself, it must not be resumed.
    cluster.command("scontrol", "update", f"nodename={node}", "state=resume", check=False)


def started(workflow: Workflow, seed: str) -> bool:
    """Whether the log of a base model's job names a node, so that the job has started."""
    log = workflow / f"logs/grid/train_base/seed={seed}.log"
    return log.exists() and log.read_text().startswith("On node")


def running(cluster: Cluster, seeds: str) -> bool:
    """Whether each of these base models has a job on a node."""
    jobs = cluster.jobs()
    names = [f"rule_train_base_wildcards_seed={seed}" for seed in seeds]
    return all(name in jobs and jobs[name]["state"] == "RUNNING" for name in names)


@pytest.fixture(scope="module")
def runs(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Three finished runs. They run at the same time, because one waits for a time limit.

    `failed`: five bases, one well, 2 cancelled, 3 out of time, 4 out of memory, 5 on a node that
    goes down. `clustered`: the small experiment. `local`: the same without a cluster.
    """
    failing = Workflow(tmp_path_factory.mktemp("failed"))
    script = failing / "scripts/stage.py"
    script.write_text(TROUBLE + script.read_text())
    (failing / "trouble").mkdir()
    for seed, megabytes in {"2": "", "3": "", "4": "2000", "5": ""}.items():
        (failing / "trouble" / seed).write_text(megabytes)
    profile = failing / "profiles/slurm/config.yaml"
    # Otherwise SLURM would restart the job of the lost node two minutes later.
    profile.write_text(profile.read_text().replace("slurm-requeue: true", "slurm-no-requeue: true"))

    failed = Run(failing, cluster, GRID, *HERE, *FAILING)
    failed.until(lambda: started(failing, "2") and started(failing, "5"))
    cluster.command("scancel", cluster.jobs()["rule_train_base_wildcards_seed=2"]["id"])
    lose(cluster, "node3")

    quiet = Workflow(tmp_path_factory.mktemp("clustered"))
    clustered = Run(quiet, cluster, SMALL, *HERE, *APART, program=python())
    assert clustered.end() == 0, clustered.said
    local = Run(Workflow(tmp_path_factory.mktemp("local")), None, SMALL, program=python())
    assert local.end() == 0, local.said
    assert failed.end() == 1, failed.said
    return {"failed": failed, "clustered": clustered, "local": local}


def test_without_a_database_the_run_says_what_to_set_and_submits_nothing(
    cluster: Cluster, workflow: Workflow
) -> None:
    before = cluster.count()
    run = Run(workflow, cluster, SMALL, program=python())
    assert run.end() == 1
    assert (
        "sacct cannot report how jobs end (Slurm accounting storage is disabled), so the run would "
        "never finish: set `slurm-status-command: squeue` in profiles/slurm/config.yaml.\n"
    ) in run.said
    assert "Traceback" not in run.said
    assert cluster.count() == before
    assert not (workflow / "results/small").exists()


def test_a_partition_that_is_not_there_is_named_and_nothing_submitted(
    cluster: Cluster, workflow: Workflow
) -> None:
    before = cluster.count()
    nowhere = ("--default-resources", "slurm_partition='nowhere'")
    run = Run(workflow, cluster, SMALL, *HERE, *nowhere, program=python())
    assert run.end() == 1
    assert "found 'nowhere'; allowed here: gpu, main." in run.said
    assert cluster.count() == before


def test_one_job_for_each_base_and_checkpoint_on_several_nodes(runs: dict[str, Run]) -> None:
    clustered = runs["clustered"]
    assert clustered.said.count("has been submitted") == 2 + 2  # seeds, and a checkpoint of each
    found = nodes(clustered.workflow, "small")
    assert len(found) == 4
    assert len(set(found.values())) >= 2


def test_artifacts_are_those_of_a_local_run(runs: dict[str, Run]) -> None:
    here, there = artifacts(runs["local"].workflow), artifacts(runs["clustered"].workflow)
    assert set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == []
    assert any(name.endswith(".safetensors") for name in here)


def test_a_threshold_more_submits_no_job(
    cluster: Cluster, runs: dict[str, Run], tmp_path: Path
) -> None:
    workflow = runs["clustered"].workflow.copy(tmp_path / "more")
    before = cluster.count()
    more = {**SMALL, "prune": {"thresholds": [0.05, 0.1]}}
    run = Run(workflow, cluster, more, *HERE, program=python())
    assert run.end() == 0, run.said
    assert (workflow / "results/small/scores/seed=2_l1=0.0001_ep=1_t=0.1.json").is_file()
    assert cluster.count() == before


def test_each_failure_is_one_sentence_with_rule_model_cause_and_log(runs: dict[str, Run]) -> None:
    said = " ".join(runs["failed"].said.split())
    log = r"; see logs/slurm/rule_train_base/seed={}/\d+\.log\."
    for seed, sentence in {
        "2": r"train_base of seed=2 was cancelled on node[12]",
        "3": r"train_base of seed=3 exceeded its time limit of 00:01:00 on node[12]; raise "
        r"`runtime` of train_base in profiles/slurm/config\.yaml",
        "4": r"train_base of seed=4 exceeded its memory limit of 1500M on node[12]; "
        r"raise `mem_mb` of train_base in profiles/slurm/config\.yaml",
        "5": r"train_base of seed=5 was lost because its node node3 went down",
    }.items():
        assert len(re.findall(sentence + log.format(seed), said)) == 1, said


def test_what_did_not_need_the_failed_jobs_is_made(runs: dict[str, Run]) -> None:
    workflow = runs["failed"].workflow
    for path in (
        "models/seed=1_l1=0.0001_ep=1_t=0.05/weights.safetensors",
        "scores/seed=1_l1=0.0001_ep=1_t=0.05.json",
        "similarity/digits/seed=1--seed=1_l1=0.0001_ep=1_t=0.05.parquet",
    ):
        assert (workflow / "results/grid" / path).is_file(), path
    for seed in "2345":
        assert not list((workflow / "results/grid/models").glob(f"seed={seed}*/*.safetensors"))


def test_the_next_run_completes_it_with_retries_once_interrupted(
    cluster: Cluster, runs: dict[str, Run]
) -> None:
    """An interrupt cancels all jobs; then second attempts get the memory or node that they need."""
    workflow = runs["failed"].workflow
    two = {**GRID, "base": {**GRID["base"], "seeds": [1, 2, 3]}}  # of those that never end
    run = Run(workflow, cluster, two, *HERE)
    run.until(lambda: running(cluster, "23"))
    run.process.send_signal(signal.SIGINT)
    assert run.end() != 0
    left = ("squeue", "-h", "-o", "%i %T %k")
    wait(lambda: not cluster.command(*left), lambda: cluster.command(*left))

    for path in (workflow / "logs/grid/train_base").glob("*.log"):
        path.unlink()
    for seed in "23":
        (workflow / "trouble" / seed).unlink()
    memory = "train_base:mem_mb=1500 if attempt == 1 and wildcards.base_id == 'seed=4' else 4000"
    run = Run(workflow, cluster, GRID, *HERE, "--set-resources", memory, FIFTH)
    run.until(lambda: started(workflow, "5"))
    (workflow / "trouble" / "5").unlink()
    lose(cluster, "node3")
    assert run.end() == 0, run.said
    assert (workflow / "results/grid/report.html").is_file()
    said = " ".join(run.said.split())
    for sentence in (
        r"train_base of seed=4 exceeded its memory limit of 1500M on node[12], and was "
        r"done in another attempt\.",
        r"train_base of seed=5 was lost because its node node3 went down, and was done in another "
        r"attempt\.",
    ):
        assert len(re.findall(sentence, said)) == 1, run.said
