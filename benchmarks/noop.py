"""What it costs to find that there is nothing to do: this workflow, and bare ones of as many jobs.

python benchmarks/noop.py --write docs/reliability.md

Two bare Snakefiles are compared with, both with rules that do nothing and as many jobs: in one no
job depends on another; in the other each pair depends on two models' predictions, as here.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sandbox import Sandbox, machine, publish

# As many models and pairs as the post had, of a size that costs nothing.
POST: dict[str, Any] = {
    "experiment": "post",
    "dataset": {"kind": "shapes", "train": 100, "test": 40},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1},
    "regularize": {"lambdas": [1e-4], "epochs": [1, 2, 4, 8, 16]},
    "prune": {"thresholds": [0.01, 0.02, 0.05, 0.1, 0.2]},
    "compare": {"ood_images": 40},
}
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
    """Wall seconds of `snakemake -n`, which must find nothing to do."""
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


def jobs_in(log: str) -> int:
    """How many jobs a run had, by its own table."""
    found = re.search(r"total +(\d+)", log)
    assert found is not None, log
    return int(found[1])


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="noop-"))
    try:
        ours = Sandbox(folder / "ours")
        ours.write(POST)
        ours.finish()
        jobs = jobs_in((ours.folder / "run.log").read_text(encoding="utf-8"))
        pairs = 52 * 51 // 2
        folders = {
            "this workflow": (ours.folder, ["--configfile", "experiment.yaml"]),
            "bare, each job by itself": (bare(folder / "flat", FLAT.format(jobs=jobs - 1)), []),
            "bare, pairs of predictions": (
                bare(folder / "pairs", PAIRS.format(models=52, more=jobs - 1 - pairs - 52)),
                [],
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in folders}
        for _ in range(options.repeats):  # in turn, so that a busy moment hits all alike
            for name, (place, arguments) in folders.items():
                environment = ours.environment() if name == "this workflow" else dict(os.environ)
                times[name].append(dry_run(place, environment, *arguments))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = {name: statistics.median(values) for name, values in times.items()}
    lines = ["| `snakemake -n` with nothing to do | jobs | s, median | least to most | ours is |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, values in times.items():
        ratio = "" if name == "this workflow" else f"{middle['this workflow'] / middle[name]:.2f} ×"
        spread = f"{min(values):.2f} to {max(values):.2f}"
        lines.append(f"| {name} | {jobs:,} | {middle[name]:.2f} | {spread} | {ratio} |")
    table = "\n".join(lines) + f"\n\nn = {options.repeats}, in turn; {machine()}."
    print(table)
    if options.write:
        publish(options.write, "noop", table)


if __name__ == "__main__":
    main()
