"""The default experiment from nothing: as it is, and as plain Snakemake would run it.

python benchmarks/demo.py --write docs/performance.md

Plain means Snakemake's own defaults instead of `profiles/default`: its scheduler, and a process for
every job.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from grid import measured
from sandbox import Sandbox, machine, run

PLAIN = ("--workflow-profile", "none", "--nolock")


def seconds(folder: Path, *arguments: str) -> float:
    """Wall seconds of the experiment in a fresh copy without a cache."""
    workflow = Sandbox(folder)
    workflow.write({"cache": None})
    command = [*workflow.command(), *arguments]
    return measured(command, folder, workflow.environment()).seconds


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Both ways, and their table."""
    own = seconds(folder / "own")
    plain = seconds(folder / "plain", *PLAIN)
    models = len(list((folder / "own/results/demo/scores").glob("*.json")))
    return "\n".join(
        [
            f"| the default experiment, {models} models, from nothing | s |",
            "|---|---|",
            f"| as it is | {own:.0f} |",
            f"| with Snakemake's defaults, a process a job | {plain:.0f} |",
            f"| ratio | {plain / own:.1f} |",
            "",
            f"Two cores, n = 1; {machine()}.",
        ]
    )


if __name__ == "__main__":
    run(__doc__, "demo", measure)
