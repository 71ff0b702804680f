"""The time of the default experiment on a SLURM cluster of three nodes, and without a cluster.

python benchmarks/slurm.py --write docs/slurm.md

It needs slurm-wlm and munge. Both runs start from nothing, one after the other, on the same machine
and with the same number of threads per job. The nodes are processes on this machine. So the
additional time on the cluster comes from SLURM, and from starting Snakemake twice for each job.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sandbox import Sandbox, Workflow, machine, run, spread
from slurm.cluster import Cluster, missing

CORES = "2"
PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue")
ARTIFACTS = (".parquet", ".json", ".safetensors", ".svg", ".md", ".yaml")


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Run both, several times in alternation, and compare their artifacts."""
    if reason := missing():
        sys.exit(f"Cannot start a cluster: {reason}.")
    rounds = [one_round(folder / str(number)) for number in range(options.repeats)]
    return table(rounds)


# Seconds without and with the cluster; for each SLURM job, the seconds on its node and those of its
# script; the artifacts that differ.
Round = tuple[float, float, list[tuple[float, float]], list[str]]


def one_round(folder: Path) -> Round:
    """Run the experiment from nothing, first without a cluster and then on a new one."""
    here, there = (prepared(folder / name) for name in ("local", "clustered"))
    with tempfile.TemporaryDirectory(prefix="slurm") as short:  # paths of sockets must be short
        cluster = Cluster(Path(short) / "cluster")
        try:
            cluster.start()
            local = seconds(here, {}, "--cores", CORES)
            clustered = seconds(there, cluster.environment, *PROFILE, "--local-cores", CORES)
            jobs = list(overheads(cluster, there))
        finally:
            cluster.stop()
    return local, clustered, jobs, differences(here, there)


def prepared(folder: Path) -> Workflow:
    """A copy of the workflow in which nothing has run and nothing is cached."""
    sandbox = Sandbox(folder)
    sandbox.write({"experiment": "demo", "cache": None})
    return sandbox


def seconds(workflow: Workflow, variables: dict[str, str], *arguments: str) -> float:
    """The seconds that a run takes; exit if it fails."""
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
    """For each SLURM job, the seconds on its node, and how many of them its script took.

    A job's comment has the values of its wildcards, and its benchmark file has them with keys:
    `rule_regularize_wildcards_seed=1_0.004_8` is `regularize/seed=1_l1=0.004_ep=8.tsv`.
    """
    scripts, folder = {}, workflow / "results/demo/benchmarks"
    for path in folder.glob("*/**/*.tsv"):
        rule, *values = path.relative_to(folder).with_suffix("").parts
        scripts[_values(f"rule_{rule}_wildcards_{'_'.join(values)}")] = path
    listed = cluster.command("squeue", "-h", "-t", "all", "-o", "%k|%M").split()
    for line in listed:
        name, elapsed = line.split("|")
        minutes, rest = elapsed.split(":")
        row = next(csv.DictReader(scripts[_values(name)].open(), delimiter="\t"))
        yield 60 * int(minutes) + int(rest), float(row["s"])


def _values(comment: str) -> str:
    """A comment without the keys of wildcards."""
    return re.sub(r"[a-z0-9]+=", "", comment)


def differences(one: Workflow, two: Workflow) -> list[str]:
    """The artifacts that differ, compared byte for byte."""
    made = [
        {
            str(path.relative_to(workflow.folder)): path.read_bytes()
            for path in (workflow / "results").rglob("*")
            if path.suffix in ARTIFACTS
        }
        for workflow in (one, two)
    ]
    return sorted(name for name in {*made[0], *made[1]} if made[0].get(name) != made[1].get(name))


def middle(values: list[float], form: str) -> str:
    """The median, and the range if there are several values."""
    median = form.format(statistics.median(values))
    return f"{median} ({spread(values)})" if len(values) > 1 else median


def table(rounds: list[Round]) -> str:
    """The measurements in Markdown."""
    jobs = [job for _, _, some, _ in rounds for job in some]
    rows = [
        (f"local run, {CORES} cores", middle([here for here, *_ in rounds], "{:.0f} s")),
        ("run on the cluster", middle([there for _, there, *_ in rounds], "{:.0f} s")),
        ("ratio", middle([there / here for here, there, *_ in rounds], "{:.2f}")),
        ("SLURM jobs", f"{len(rounds[0][2])}"),
        ("time of a job on its node", middle([total for total, _ in jobs], "{:.0f} s")),
        ("of that, outside its script", middle([all_ - own for all_, own in jobs], "{:.1f} s")),
        ("artifacts that differ", f"{sum(len(different) for *_, different in rounds)}"),
    ]
    lines = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"| measured | |\n|---|---:|\n{lines}\n\nMedian of n = {len(rounds)}; {machine()}."


if __name__ == "__main__":
    run(__doc__, "cluster", measure, repeats=1)
