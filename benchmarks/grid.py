"""The cost of a pair, its growth with the number of models, and the cost of one script per pair.

python benchmarks/grid.py --write docs/performance.md
python benchmarks/grid.py --sizes 26 52 104 200

Models are tiny, so that only the grid is measured. All predictions exist already, and one run of
Snakemake makes the table of all pairs. Its start and end are included. It is measured with one file
per pair, and with one file for all pairs of two bases, as beyond `compare.blocks_beyond` models.
With three sizes or more, a parabola is fitted to the times of one file per pair. These are compared
with a Snakefile that compares the same predictions by the same function, with one `script:` job per
pair.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sandbox import Sandbox, machine, run

SIZES = (26, 52)
SCRIPTED = 26  # models in the comparison with one process per pair
TABLE = "results/grid/similarity/digits.parquet"
WAYS = ("one file per pair", "blocks")  # how the pairs are stored
PREDICTIONS = "results/grid/predictions/digits"  # files can be read only at their place
# Runs a command and records its CPU seconds and peak memory in bytes. The peak of a process is at
# least that of the process that starts it. So a small process starts the command, and not this
# benchmark, which has imported torch.
LAUNCH = """
import json, os, sys
process = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(process, 0)
figures = usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss
print(json.dumps(figures), file=open(sys.argv[1], "w"))
sys.exit(os.waitstatus_to_exitcode(status))
"""
SNAKEFILE = """
import json
MODELS = json.load(open("models.json"))
PAIRS = [(a, b) for k, a in enumerate(MODELS) for b in MODELS[k + 1:]]
rule all:
    input: [f"pairs/{a}--{b}.parquet" for a, b in PAIRS]
rule compare:
    input: PREDICTIONS + "/{a}.parquet", PREDICTIONS + "/{b}.parquet"
    output: "pairs/{a}--{b}.parquet"
    script: "compare.py"
"""
SCRIPT = """
from skeletons.measures.behaviour import compare_stage
a, b = snakemake.input
models = [snakemake.wildcards.a, snakemake.wildcards.b]
compare_stage(a=a, b=b, pair=snakemake.output[0], ood="digits", models=models)
"""


def config(models: int, way: str) -> dict[str, Any]:
    """A configuration of two bases, one walk each, and enough thresholds for so many models."""
    count = models // 2 - 1
    return {
        "experiment": "grid",
        "cache": None,
        "dataset": {"kind": "shapes", "train": 100, "test": 40},
        "network": {"name": "cnn", "width": 2},
        "base": {"seeds": [1, 2], "epochs": 1},
        "regularize": {"lambdas": [1e-4], "epochs": [1], "trace": 0},
        "prune": {"thresholds": [round(0.001 * (k + 1), 3) for k in range(count)]},
        "compare": {
            "states": ["base", "pruned"],
            "blocks_beyond": 0 if way == "blocks" else models,
        },
        "controls": {"orders": []},
    }


@dataclass(frozen=True)
class Run:
    """The cost of a run: wall-clock and CPU seconds, and the driver's peak memory in bytes."""

    seconds: float
    processor: float
    memory: int


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> Run:
    """Run a command; exit if it fails."""
    begun = time.perf_counter()
    usage = folder / "usage.json"
    with (folder / "run.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCH, usage, *command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        sys.exit((folder / "run.log").read_text()[-3000:])
    seconds = time.perf_counter() - begun
    return Run(seconds, *json.loads(usage.read_text()))


def compared(folder: Path, models: int, way: str) -> Run:
    """Make the table of all pairs of a grid; missing predictions are made first, unmeasured."""
    workflow = Sandbox(folder)
    workflow.write(config(models, way))
    command, environment = workflow.command(), workflow.environment()
    measured([*command, "--until", "predict"], folder, environment)
    shutil.rmtree(folder / "results/grid/similarity", ignore_errors=True)
    return measured([*command, "--", TABLE], folder, environment)


def scripted(folder: Path, grid: Path) -> Run:
    """Compare the pairs of a grid by one `script:` job each, in a separate Snakefile."""
    shutil.copytree(grid / PREDICTIONS, folder / PREDICTIONS)
    names = sorted(path.stem for path in (folder / PREDICTIONS).glob("*.parquet"))
    (folder / "models.json").write_text(json.dumps(names))
    (folder / "Snakefile").write_text(f"PREDICTIONS = {PREDICTIONS!r}\n{SNAKEFILE}")
    (folder / "compare.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy"]
    return measured(command, folder, dict(os.environ))


def jobs_in(log: str) -> int:
    """The number of jobs of a run, from the table in its log."""
    found = re.search(r"total +(\d+)", log)
    assert found is not None, log
    return int(found[1])


def size_of(folder: Path) -> tuple[int, int]:
    """The number of files in a folder, and their total size in bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


@dataclass(frozen=True)
class Grid:
    """The cost of the pairs of so many models; memory and size in bytes."""

    models: int
    way: str
    jobs: int
    seconds: float
    memory: int
    files: int
    size: int

    @property
    def pairs(self) -> int:
        return self.models * (self.models - 1) // 2

    @property
    def cost(self) -> float:
        """Milliseconds per pair."""
        return 1000 * self.seconds / self.pairs

    def row(self) -> str:
        """The row of the table."""
        return (
            f"| {self.models} | {self.pairs:,} | {self.way} | {self.jobs:,} | {self.seconds:.1f} | "
            f"{self.cost:.1f} | {self.memory / 1e6:,.0f} | {self.files:,} | "
            f"{self.size / 1e6:,.0f} |"
        )


def grid_of(folder: Path, models: int, way: str) -> Grid:
    """Measure a grid of so many models."""
    taken = compared(folder, models, way)
    jobs = jobs_in((folder / "run.log").read_text(encoding="utf-8"))
    return Grid(models, way, jobs, taken.seconds, taken.memory, *size_of(folder / "results/grid"))


def model_of_cost(grids: Sequence[Grid]) -> str:
    """Fit a parabola to seconds over pairs, with the least squared relative errors."""
    pairs, seconds = (np.array(x) for x in zip(*((g.pairs, g.seconds) for g in grids), strict=True))
    curve = np.polynomial.Polynomial.fit(pairs, seconds, 2, w=1 / seconds)
    begin, each, growth = curve.convert().coef
    off = np.abs(curve(pairs) / seconds - 1).max()
    return (
        f"With one file per pair, P pairs take {begin:.1f} s + {1e3 * each:.1f} ms · P + "
        f"{1e9 * growth:.0f} ns · P², with an error of at most {off:.0%}. Extrapolated, 1,000 "
        f"models would take {curve(499_500) / 3600:.0f} hours."
    )


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure each size in both ways, extrapolate, compare with script jobs; return the table."""
    lines = ["| models | pairs | stored in | jobs | s | ms per pair | driver memory, MB "]
    lines[-1] += "| files | MB on disk |"
    lines.append("|---|---|---|---|---|---|---|---|---|")
    grids = [grid_of(folder / str(models), models, way) for models in options.sizes for way in WAYS]
    lines += [grid.row() for grid in grids]
    single = {grid.models: grid for grid in grids if grid.way == WAYS[0]}
    if len(single) > 2:
        lines += ["", model_of_cost(list(single.values()))]
    if SCRIPTED in single:
        own = single[SCRIPTED]
        taken = scripted(folder / "scripted", folder / str(SCRIPTED))
        other = 1000 * taken.seconds / own.pairs
        lines += ["", f"With one `script:` job per pair, {SCRIPTED} models take {other:.0f} ms "]
        lines[-1] += f"per pair, {other / own.cost:.1f} times as long."
    return "\n".join(lines) + f"\n\nTwo cores, 1,797 images, n = 1; {machine()}."


if __name__ == "__main__":
    run(__doc__, "grid", measure, sizes=SIZES)
