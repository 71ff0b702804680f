"""What a pair costs, how it grows with the number of models, and what one job a pair would cost.

python benchmarks/grid.py --write docs/performance.md
python benchmarks/grid.py --sizes 26 52 104 200

Models are tiny, so that nothing but the grid is measured: all predictions are there, and one run of
Snakemake makes the table of all pairs, its start and end included. Against it stands a Snakefile
that compares as many of the same predictions by the same function, one `script:` a pair.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def size_of(folder: Path) -> tuple[int, int]:
    """How many files a folder holds, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Each size, the comparison with jobs of a script, and their table."""
    lines = ["| models | pairs | s | ms a pair | driver, MB | files | MB on disk |"]
    lines.append("|---|---|---|---|---|---|---|")
    own = None
    for models in options.sizes:
        place = folder / str(models)
        _, taken = compared(place, models)
        pairs = models * (models - 1) // 2
        files, size = size_of(place / "results/grid")
        cost = 1000 * taken.seconds / pairs
        if models == SCRIPTED:
            own = cost
        lines.append(
            f"| {models} | {pairs:,} | {taken.seconds:.1f} | {cost:.1f} | "
            f"{taken.memory / 1e6:,.0f} | {files:,} | {size / 1e6:,.0f} |"
        )
    if own is not None:
        pairs = SCRIPTED * (SCRIPTED - 1) // 2
        other = 1000 * scripted(folder / "scripted", folder / str(SCRIPTED)).seconds / pairs
        lines += ["", f"One `script:` job a pair, {SCRIPTED} models: {other:.0f} ms a pair, "]
        lines[-1] += f"{other / own:.1f} times as much as here."
    return "\n".join(lines) + f"\n\nTwo cores, 1,797 images, n = 1; {machine()}."


if __name__ == "__main__":
    run(__doc__, "grid", measure, sizes=SIZES)
