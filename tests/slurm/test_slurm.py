"""The workflow on a real cluster of three nodes: what it makes, submits, and says of failures."""

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
from conftest import Workflow

from slurm.cluster import Cluster

pytestmark = pytest.mark.xdist_group("slurm")

SMALL: dict[str, Any] = {
    "experiment": "small",
    "cache": None,
    "dataset": {"kind": "shapes", "train": 100, "test": 40},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4], "epochs": [1], "batch_size": 50},
    "prune": {"thresholds": [0.05]},
    "compare": {"ood_images": 40},
}

# There is no slurmdbd, and jobs that take seconds are asked for sooner.
HERE = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3")

# A base model whose seed names a file in `trouble` gets into it: with a number in the file, it
# takes so many MB for some seconds; without, it never ends.
TROUBLE = """\
    import pathlib, time
    trouble = pathlib.Path("trouble", snakemake.wildcards.seed)
    if trouble.exists():
        megabytes = int(trouble.read_text() or 0)
        taken = [b"x" * 10**6 for _ in range(megabytes)]
        time.sleep(6 if megabytes else 600)
        del taken
"""


class Run:
    """Snakemake at work on the cluster, with all that it says in a file."""

    def __init__(
        self, workflow: Workflow, cluster: Cluster, config: dict[str, Any], *arguments: str
    ) -> None:
        """Start it."""
        (workflow / "experiment.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm"]
        self._said = workflow / "said.txt"
        with self._said.open("w") as file:
            self.process = subprocess.Popen(
                [*command, "--configfile", "experiment.yaml", *arguments],
                cwd=workflow.folder,
                env=workflow.environment(**cluster.environment),
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def end(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(280)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something to happen while it runs."""
        end = time.monotonic() + 120
        while not reached():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.3)


def artifacts(workflow: Workflow) -> dict[str, bytes]:
    """All that must not depend on where jobs ran."""
    return {
        str(path.relative_to(workflow.folder)): path.read_bytes()
        for path in sorted((workflow / "results").rglob("*"))
        if path.suffix in (".parquet", ".json", ".safetensors", ".svg", ".md", ".yaml")
    }


def nodes(workflow: Workflow, experiment: str) -> dict[str, str]:
    """On which node each training job ran, by what its log says."""
    logs = [
        path
        for rule in ("train_base", "regularize")
        for path in (workflow / f"logs/{experiment}/{rule}").glob("*.log")
    ]
    found = {
        path.stem: re.match(r"On (node\d), SLURM job \d+\.", path.read_text()) for path in logs
    }
    return {name: match[1] for name, match in found.items() if match}


@pytest.fixture(scope="module")
def clustered(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, int]:
    """The small experiment, run on the cluster, and how many jobs were submitted for it."""
    workflow = Workflow(tmp_path_factory.mktemp("clustered"))
    before = cluster.count()
    run = Run(workflow, cluster, SMALL, *HERE)
    assert run.end() == 0, run.said
    return workflow, cluster.count() - before


def test_without_a_database_the_run_says_what_to_set_and_submits_nothing(
    cluster: Cluster, workflow: Workflow
) -> None:
    before = cluster.count()
    run = Run(workflow, cluster, SMALL)
    assert run.end() == 1
    assert (
        "sacct cannot tell how jobs end (Slurm accounting storage is disabled), so the run would "
        "wait for ever: set `slurm-status-command: squeue` in profiles/slurm/config.yaml.\n"
    ) in run.said
    assert "Traceback" not in run.said
    assert cluster.count() == before
    assert not (workflow / "results/small").exists()


def test_a_partition_that_is_not_there_is_named_and_nothing_submitted(
    cluster: Cluster, workflow: Workflow
) -> None:
    before = cluster.count()
    run = Run(workflow, cluster, SMALL, *HERE, "--default-resources", "slurm_partition='nowhere'")
    assert run.end() == 1
    assert "found 'nowhere'; allowed here: gpu, main." in run.said
    assert cluster.count() == before


def test_one_job_for_each_base_and_checkpoint_on_several_nodes(
    clustered: tuple[Workflow, int],
) -> None:
    workflow, submitted = clustered
    assert submitted == 2 + 2  # seeds, and checkpoints of each
    assert len(set(nodes(workflow, "small").values())) >= 2
    assert len(nodes(workflow, "small")) == 4


def test_artifacts_are_those_of_a_local_run(
    clustered: tuple[Workflow, int], workflow: Workflow
) -> None:
    done = workflow.run(SMALL)
    assert done.returncode == 0, done.stdout
    here, there = artifacts(workflow), artifacts(clustered[0])
    assert set(here) == set(there)
    assert [name for name in here if here[name] != there[name]] == []
    assert any(name.endswith(".safetensors") for name in here)


def test_a_threshold_more_submits_no_job(
    cluster: Cluster, clustered: tuple[Workflow, int], tmp_path: Path
) -> None:
    workflow = clustered[0].copy(tmp_path / "more")
    before = cluster.count()
    run = Run(workflow, cluster, {**SMALL, "prune": {"thresholds": [0.05, 0.1]}}, *HERE)
    assert run.end() == 0, run.said
    assert (workflow / "results/small/scores/seed=2_l1=0.0001_ep=1_t=0.1.json").is_file()
    assert cluster.count() == before


GRID = {**SMALL, "experiment": "grid", "base": {**SMALL["base"], "seeds": [1, 2, 3, 4, 5]}}
FAILING = (
    *("--retries", "0"),
    *("--set-resources", "train_base:mem_mb=1500", "regularize:mem_mb=1500"),
    "train_base:runtime=1 if wildcards.seed == '3' else 30",
    "train_base:slurm_extra='--nodelist=node3' if wildcards.seed == '5' else '--exclude=node3'",
)


@pytest.fixture(scope="module")
def failed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, str]:
    """Five bases, one well: 2 cancelled, 3 out of time, 4 of memory, 5 on a node that goes down."""
    workflow = Workflow(tmp_path_factory.mktemp("failed"))
    script = workflow / "scripts/train_base.py"
    start = "with process(snakemake) as job:\n"
    script.write_text(script.read_text().replace(start, start + TROUBLE))
    (workflow / "trouble").mkdir()
    for seed, megabytes in {"2": "", "3": "", "4": "2000", "5": ""}.items():
        (workflow / "trouble" / seed).write_text(megabytes)
    profile = workflow / "profiles/slurm/config.yaml"
    stock = profile.read_text()
    # Else SLURM would start the job of the lost node anew, and nothing would fail.
    profile.write_text(stock.replace("slurm-requeue: true", "slurm-no-requeue: true"))

    run = Run(workflow, cluster, GRID, *HERE, *FAILING)
    jobs = {seed: f"rule_train_base_wildcards_{seed}" for seed in "12345"}
    logs = {seed: workflow / f"logs/grid/train_base/seed={seed}.log" for seed in "12345"}
    run.until(lambda: all(logs[seed].exists() for seed in "25"))
    cluster.command("scancel", cluster.jobs()[jobs["2"]]["id"])
    cluster.command("scontrol", "update", "nodename=node3", "state=down", "reason=test")
    code = run.end()
    # It may have come back by itself, and is then not to be resumed.
    cluster.command("scontrol", "update", "nodename=node3", "state=resume", check=False)
    profile.write_text(stock)
    assert code == 1, run.said
    return workflow, run.said


def test_each_failure_is_one_sentence_with_rule_model_cause_and_log(
    failed: tuple[Workflow, str],
) -> None:
    said = " ".join(failed[1].split())
    log = r"; see logs/slurm/rule_train_base/{}/\d+\.log\."
    for seed, sentence in {
        "2": r"train_base of seed=2 was cancelled on node[12]",
        "3": r"train_base of seed=3 ran out of its time of 00:01:00 on node[12]; more is set by "
        r"`runtime` of train_base in profiles/slurm/config\.yaml",
        "4": r"train_base of seed=4 was killed for going over its memory of 1500M on node[12]; "
        r"more is set by `mem_mb` of train_base in profiles/slurm/config\.yaml",
        "5": r"train_base of seed=5 was lost because its node node3 went down",
    }.items():
        assert len(re.findall(sentence + log.format(seed), said)) == 1, failed[1]


def test_what_did_not_need_the_failed_jobs_is_made(failed: tuple[Workflow, str]) -> None:
    workflow, _ = failed
    for path in (
        "models/seed=1_l1=0.0001_ep=1_t=0.05/weights.safetensors",
        "scores/seed=1_l1=0.0001_ep=1_t=0.05.json",
        "similarity/digits/seed=1--seed=1_l1=0.0001_ep=1_t=0.05.parquet",
    ):
        assert (workflow / "results/grid" / path).is_file(), path
    for seed in "2345":
        assert not list((workflow / "results/grid/models").glob(f"seed={seed}*/*.safetensors"))


def test_the_next_run_completes_it_with_more_memory_once_interrupted(
    cluster: Cluster, failed: tuple[Workflow, str]
) -> None:
    """An interrupt cancels all jobs; then a second attempt gets the memory that it needs."""
    workflow, _ = failed
    run = Run(workflow, cluster, GRID, *HERE)
    running = ("squeue", "-h", "-o", "%i")
    run.until(lambda: len(cluster.command(*running, "-t", "running").split()) == 4)
    run.process.send_signal(signal.SIGINT)
    assert run.end() != 0
    run_ended = time.monotonic()
    while cluster.command(*running):
        assert time.monotonic() < run_ended + 30
        time.sleep(0.3)

    for seed in "235":
        (workflow / "trouble" / seed).unlink()
    memory = "1500 if attempt == 1 and wildcards.seed == '4' else 4000"
    run = Run(workflow, cluster, GRID, *HERE, "--set-resources", f"train_base:mem_mb={memory}")
    assert run.end() == 0, run.said
    assert (workflow / "results/grid/report.html").is_file()
    said = " ".join(run.said.split())
    assert re.search(r"train_base of seed=4 was killed .* and was done in another attempt\.", said)
