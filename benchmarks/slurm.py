"""How long the default experiment takes on a SLURM cluster of three nodes, and here without one.

    python benchmarks/slurm.py            (needs slurm-wlm and munge)

Both runs start from nothing, one after the other, on the same machine with the same number of
threads a job; the nodes are processes on this machine. So what the cluster takes longer is what
SLURM, and starting Snakemake twice for each job, cost. The table goes to benchmarks/slurm.md.
"""

from __future__ import annotations

import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conftest import Workflow  # noqa: E402
from slurm.cluster import Cluster, missing  # noqa: E402

CORES = "2"
PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue")
ARTIFACTS = (".parquet", ".json", ".safetensors", ".svg", ".md", ".yaml")


def main() -> None:
    """Run both, compare what they made, and write the table."""
    if reason := missing():
        sys.exit(f"There can be no cluster: {reason}.")
    folder = Path(tempfile.mkdtemp(prefix="bench"))
    cluster = Cluster(folder / "cluster")
    try:
        cluster.start()
        here, there = (copy_to(folder / name) for name in ("local", "clustered"))
        local = seconds(here, {}, "--cores", CORES)
        clustered = seconds(there, cluster.environment, *PROFILE, "--local-cores", CORES)
        jobs = list(overheads(cluster, there))
        different = differences(here, there)
        lines = table(local, clustered, jobs, different)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    (ROOT / "benchmarks" / "slurm.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def copy_to(folder: Path) -> Workflow:
    """A copy of the workflow in which nothing has run and nothing is cached."""
    folder.mkdir()
    workflow = Workflow(folder)
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"cache": None}))
    return workflow


def seconds(workflow: Workflow, variables: dict[str, str], *arguments: str) -> float:
    """How long a run takes, which must end well."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "experiment.yaml", *arguments],
        cwd=workflow.folder,
        env=workflow.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"The run failed:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - began


def overheads(cluster: Cluster, workflow: Workflow) -> Iterator[tuple[float, float]]:
    """Of each SLURM job, its seconds on a node, and those of them that its script took."""
    timed = (workflow / "results/demo/benchmarks").glob("*/*.tsv")
    scripts = {comment(path): path for path in timed}
    told = cluster.command("squeue", "-h", "-t", "all", "-o", "%k|%M").split()
    for line in told:
        name, elapsed = line.split("|")
        minutes, rest = elapsed.split(":")
        row = next(csv.DictReader(scripts[name].open(), delimiter="\t"))
        yield 60 * int(minutes) + int(rest), float(row["s"])


def comment(timed: Path) -> str:
    """The comment that a job has in SLURM, from the file of its times.

    `train_base/seed=1.tsv` is of `rule_train_base_wildcards_1`.
    """
    values = "_".join(part.split("=")[1] for part in timed.stem.split("_"))
    return f"rule_{timed.parent.name}_wildcards_{values}"


def differences(one: Workflow, two: Workflow) -> list[str]:
    """The artifacts that are not the same, byte for byte."""
    made = [
        {
            str(path.relative_to(workflow.folder)): path.read_bytes()
            for path in (workflow / "results").rglob("*")
            if path.suffix in ARTIFACTS
        }
        for workflow in (one, two)
    ]
    return sorted(name for name in {*made[0], *made[1]} if made[0].get(name) != made[1].get(name))


def table(
    local: float, clustered: float, jobs: list[tuple[float, float]], different: list[str]
) -> list[str]:
    """The measurements in Markdown."""
    overhead = statistics.median(total - script for total, script in jobs)
    on_node = statistics.median(total for total, _ in jobs)
    return [
        "# The default experiment on a cluster of three nodes",
        "",
        f"Measured by `python benchmarks/slurm.py` on {os.cpu_count()} cores that others used too,",
        "so ratios are worth more than seconds.",
        "",
        "| measured | |",
        "|---|---:|",
        f"| local run, {CORES} cores | {local:.0f} s |",
        f"| run on the cluster | {clustered:.0f} s |",
        f"| ratio | {clustered / local:.2f} |",
        f"| SLURM jobs | {len(jobs)} |",
        f"| a job's time on its node, median | {on_node:.0f} s |",
        f"| of it outside of its script, median | {overhead:.1f} s |",
        f"| artifacts that differ | {len(different)} |",
    ]


if __name__ == "__main__":
    main()
