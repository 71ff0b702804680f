"""What a pair costs, how it grows with the number of models, and what one job a pair would cost.

python benchmarks/grid.py --write docs/performance.md
python benchmarks/grid.py --sizes 26 52 104 200

Models are tiny, so that nothing but the grid is measured: all predictions are there, and one run of
Snakemake makes the table of all pairs, its start and end included. From three sizes on, what grows
with the pairs is put on straight lines, which say what the next size costs. Against it stands a
Snakefile that compares as many of the same predictions by the same function, one `script:` a pair.
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
PREDICTIONS = "results/grid/predictions/digits"  # a file says where it lies and is read only there
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
from skeletons.similarity import compare_stage
wildcards = snakemake.wildcards
compare_stage(*snakemake.input, *snakemake.output, "digits", wildcards.a, wildcards.b)
"""


def config(models: int) -> dict[str, Any]:
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
    with (folder / "run.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "run.log").read_text()[-3000:])
    seconds = time.perf_counter() - begun
    return Run(seconds, usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss)


def compared(folder: Path, models: int) -> tuple[Run, Run]:
    """All predictions of a grid, and then the table of all of its pairs."""
    workflow = Sandbox(folder)
    workflow.write(config(models))
    command, environment = workflow.command(), workflow.environment()
    before = measured([*command, "--until", "predict"], folder, environment)
    return before, measured([*command, "--", TABLE], folder, environment)


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
            f"| {self.models} | {self.pairs:,} | {self.jobs:,} | {self.seconds:.1f} | "
            f"{self.cost:.1f} | {self.memory / 1e6:,.0f} | {self.files:,} | "
            f"{self.size / 1e6:,.0f} |"
        )


def grid_of(folder: Path, models: int) -> Grid:
    """Run a grid of so many models."""
    _, taken = compared(folder, models)
    jobs = jobs_in((folder / "run.log").read_text(encoding="utf-8"))
    return Grid(models, jobs, taken.seconds, taken.memory, *size_of(folder / "results/grid"))


def line_through(pairs: Sequence[int], values: Sequence[float]) -> tuple[float, float, float]:
    """The straight line with the least squares of relative errors.

    Returns:
        its value at no pair, its slope, and by how much of itself a value lies off it at most.
    """
    x, y = np.array(pairs, float), np.array(values, float)
    slope, begin = np.polyfit(x, y, 1, w=1 / y)
    return begin, slope, float(np.abs((begin + slope * x) / y - 1).max())


def model_of_cost(grids: Sequence[Grid]) -> list[str]:
    """What grows with the pairs, as lines of a list."""
    found = ["On straight lines through these, P pairs take", ""]
    for what, digits, values in (
        ("time in ms", 1, [1000 * grid.seconds for grid in grids]),
        ("memory of the driver in kB", 1, [grid.memory / 1e3 for grid in grids]),
        ("space on disk in kB", 1, [grid.size / 1e3 for grid in grids]),
        ("files", 2, [float(grid.files) for grid in grids]),
    ):
        begin, slope, off = line_through([grid.pairs for grid in grids], values)
        found.append(f"- {what}: {begin:,.0f} + {slope:,.{digits}f} P, off by at most {off:.0%}")
    return found


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Each size, what follows from them, the comparison with jobs of a script, and their table."""
    lines = ["| models | pairs | jobs | s | ms a pair | driver, MB | files | MB on disk |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    grids = {models: grid_of(folder / str(models), models) for models in options.sizes}
    lines += [grid.row() for grid in grids.values()]
    if len(grids) > 2:
        lines += ["", *model_of_cost(list(grids.values()))]
    if SCRIPTED in grids:
        own = grids[SCRIPTED]
        other = scripted(folder / "scripted", folder / str(SCRIPTED)).seconds / own.pairs
        lines += [
            "",
            f"One `script:` job a pair, {SCRIPTED} models: {1000 * other:.0f} ms a pair, ",
        ]
        lines[-1] += f"{1000 * other / own.cost:.1f} times as much as here."
    return "\n".join(lines) + f"\n\nTwo cores, 1,797 images, n = 1; {machine()}."


if __name__ == "__main__":
    run(__doc__, "grid", measure, sizes=SIZES)
