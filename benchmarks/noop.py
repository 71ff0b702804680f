"""The cost of a run with nothing to do: this workflow, and bare Snakefiles with as many jobs.

python benchmarks/noop.py --write docs/reliability.md

Pairs are stored as by default: in one file each, and in blocks beyond `compare.blocks_beyond`
models. The workflow is compared with bare Snakefiles of as many jobs, whose rules do nothing. In
one of them, all jobs are independent. In the other, which stores one file per pair, each pair
depends on the predictions of two models, as in the workflow.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grid
from sandbox import Sandbox, machine, run, spread

from skeletons.config.sections import Compare

FLAT = """
rule all:
    input: expand("out/{{n}}", n=range({jobs}))
rule job:
    output: "out/{{n}}"
    shell: "touch {{output}}"
"""
PAIRS = """
from itertools import combinations
MODELS = [f"m{{k}}" for k in range({models})]
rule all:
    input:
        [f"pairs/{{a}}--{{b}}" for a, b in combinations(MODELS, 2)],
        expand("more/{{n}}", n=range({more})),
rule predict:
    output: "predictions/{{model}}"
    shell: "touch {{output}}"
rule compare:
    input: "predictions/{{a}}", "predictions/{{b}}"
    output: "pairs/{{a}}--{{b}}"
    shell: "touch {{output}}"
rule other:
    output: "more/{{n}}"
    shell: "touch {{output}}"
"""


def dry_run(folder: Path, environment: dict[str, str], *arguments: str) -> float:
    """Wall-clock seconds of `snakemake -n`; exit if it finds something to do."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begun
    if "Nothing to be done" not in done.stdout + done.stderr:
        sys.exit(f"There was something to do, or a failure:\n{done.stderr[-3000:]}")
    return seconds


def bare(folder: Path, text: str) -> Path:
    """A folder with a Snakefile whose jobs have all run."""
    folder.mkdir()
    (folder / "Snakefile").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--scheduler", "greedy"]
    done = subprocess.run([*command, "--quiet"], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode()[-3000:])
    return folder


def places(folder: Path, models: int) -> tuple[int, dict[str, tuple[Sandbox | None, Path]]]:
    """The number of jobs of a grid of so many models, and folders in which all have run."""
    folder.mkdir()
    ours = Sandbox(folder / "ours")
    blocks = models > Compare().blocks_beyond
    config = grid.config(models, grid.WAYS[blocks])
    config["compare"]["ood_images"] = 40
    ours.write(config)
    ours.finish()
    jobs = grid.jobs_in((ours.folder / "run.log").read_text(encoding="utf-8"))
    found: dict[str, tuple[Sandbox | None, Path]] = {
        "this workflow": (ours, ours.folder),
        "bare, independent jobs": (None, bare(folder / "flat", FLAT.format(jobs=jobs - 1))),
    }
    if not blocks:
        more = jobs - 1 - models * (models - 1) // 2 - models
        text = PAIRS.format(models=models, more=more)
        found["bare, pairs of predictions"] = None, bare(folder / "pairs", text)
    return jobs, found


def rows(folder: Path, models: int, repeats: int) -> Iterator[str]:
    """Measure a grid of so many models and return its rows."""
    jobs, found = places(folder, models)
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(repeats):  # interleaved, so that other load affects all
        for name, (ours, place) in found.items():
            environment = ours.environment() if ours else dict(os.environ)
            arguments = ["--configfile", "experiment.yaml"] if ours else []
            times[name].append(dry_run(place, environment, *arguments))
    own = statistics.median(times["this workflow"])
    for name, values in times.items():
        middle = statistics.median(values)
        ratio = "" if name == "this workflow" else f"{own / middle:.2f} ×"
        yield f"| {name} | {models} | {jobs:,} | {middle:.2f} | {spread(values)} | {ratio} |"


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure all grids and return the table."""
    lines = ["| `snakemake -n` with nothing to do | models | jobs | s, median | range "]
    lines[-1] += "| this workflow / bare |"
    lines.append("|---|---|---|---|---|---|")
    for models in options.models:
        lines += rows(folder / str(models), models, options.repeats)
    return "\n".join(lines) + f"\n\nn = {options.repeats}, interleaved; {machine()}."


if __name__ == "__main__":
    run(__doc__, "noop", measure, models=(52, 200), repeats=7)
