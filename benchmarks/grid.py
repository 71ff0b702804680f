"""What a pair costs, how it grows with the number of models, and what one job a pair would cost.

python benchmarks/grid.py --write docs/performance.md
python benchmarks/grid.py --sizes 26 52 104 200

Models are tiny, so that nothing but the grid is measured: all predictions are there, and one run of
Snakemake makes the table of all pairs, its start and end included; once with a file a pair, and
once with one for all pairs of two bases, as beyond `compare.blocks_beyond` models. From three sizes
on, a parabola is put through the times of a file a pair. Against these stands a Snakefile that
compares as many of the same predictions by the same function, one `script:` a pair.
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
SCRIPTED = 26  # models of the comparison with a process a pair
TABLE = "results/grid/similarity/digits.parquet"
WAYS = ("a file each", "blocks")  # how the pairs lie on disk
PREDICTIONS = "results/grid/predictions/digits"  # a file says where it lies and is read only there
# Starts a command and says its processor seconds and largest memory in bytes. The latter is never
# less than that of whoever starts a process, so it is not this benchmark, which has torch.
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
    """Two bases, one walk each, and as many thresholds as it takes."""
    count = models // 2 - 1
    return {
        "experiment": "grid",
        "cache": None,
        "dataset": {"kind": "shapes", "train": 100, "test": 40},
        "network": {"name": "cnn", "width": 2},
        "base": {"seeds": [1, 2], "epochs": 1},
        "regularize": {"lambdas": [1e-4], "epochs": [1]},
        "prune": {"thresholds": [round(0.001 * (k + 1), 3) for k in range(count)]},
        "compare": {"blocks_beyond": 0 if way == "blocks" else models},
    }


@dataclass(frozen=True)
class Run:
    """What a run took: wall and processor seconds, and the driver's largest memory in bytes."""

    seconds: float
    processor: float
    memory: int


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> Run:
    """Run a command, which must end well."""
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
    """The table of all pairs of a grid; its predictions are made before if they are not there."""
    workflow = Sandbox(folder)
    workflow.write(config(models, way))
    command, environment = workflow.command(), workflow.environment()
    measured([*command, "--until", "predict"], folder, environment)
    shutil.rmtree(folder / "results/grid/similarity", ignore_errors=True)
    return measured([*command, "--", TABLE], folder, environment)


def scripted(folder: Path, grid: Path) -> Run:
    """The pairs of a grid by one `script:` job each, in a Snakefile of its own."""
    shutil.copytree(grid / PREDICTIONS, folder / PREDICTIONS)
    names = sorted(path.stem for path in (folder / PREDICTIONS).glob("*.parquet"))
    (folder / "models.json").write_text(json.dumps(names))
    (folder / "Snakefile").write_text(f"PREDICTIONS = {PREDICTIONS!r}\n{SNAKEFILE}")
    (folder / "compare.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy"]
    return measured(command, folder, dict(os.environ))


def jobs_in(log: str) -> int:
    """How many jobs a run had, by its own table."""
    found = re.search(r"total +(\d+)", log)
    assert found is not None, log
    return int(found[1])


def size_of(folder: Path) -> tuple[int, int]:
    """How many files a folder holds, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


@dataclass(frozen=True)
class Grid:
    """What the pairs of so many models took; memory and size in bytes."""

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
        """Milliseconds a pair."""
        return 1000 * self.seconds / self.pairs

    def row(self) -> str:
        """Of the table."""
        return (
            f"| {self.models} | {self.pairs:,} | {self.way} | {self.jobs:,} | {self.seconds:.1f} | "
            f"{self.cost:.1f} | {self.memory / 1e6:,.0f} | {self.files:,} | "
            f"{self.size / 1e6:,.0f} |"
        )


def grid_of(folder: Path, models: int, way: str) -> Grid:
    """Run a grid of so many models."""
    taken = compared(folder, models, way)
    jobs = jobs_in((folder / "run.log").read_text(encoding="utf-8"))
    return Grid(models, way, jobs, taken.seconds, taken.memory, *size_of(folder / "results/grid"))


def model_of_cost(grids: Sequence[Grid]) -> str:
    """The parabola with the least squares of relative errors through seconds by pairs."""
    pairs, seconds = (np.array(x) for x in zip(*((g.pairs, g.seconds) for g in grids), strict=True))
    curve = np.polynomial.Polynomial.fit(pairs, seconds, 2, w=1 / seconds)
    begin, each, growth = curve.convert().coef
    off = np.abs(curve(pairs) / seconds - 1).max()
    return (
        f"P pairs of a file each take {begin:.1f} s + {1e3 * each:.1f} ms · P + "
        f"{1e9 * growth:.0f} ns · P², off by at most {off:.0%}; by that 1,000 models would take "
        f"{curve(499_500) / 3600:.0f} hours."
    )


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Each size both ways, what follows from them, the comparison with jobs of a script."""
    lines = ["| models | pairs | in | jobs | s | ms a pair | driver, MB | files | MB on disk |"]
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
        lines += ["", f"One `script:` job a pair, {SCRIPTED} models: {other:.0f} ms a pair, "]
        lines[-1] += f"{other / own.cost:.1f} times as much as a file each."
    return "\n".join(lines) + f"\n\nTwo cores, 1,797 images, n = 1; {machine()}."


if __name__ == "__main__":
    run(__doc__, "grid", measure, sizes=SIZES)
