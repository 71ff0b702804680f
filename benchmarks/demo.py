"""The default experiment from nothing, with `profiles/default` and with plain Snakemake.

python benchmarks/demo.py --write docs/performance.md

Plain Snakemake uses its own defaults instead of the profile: its own scheduler, and one process per
job.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from grid import measured
from sandbox import Sandbox, machine, run

PLAIN = ("--workflow-profile", "none", "--nolock")


def seconds(folder: Path, *arguments: str) -> float:
    """Wall-clock seconds of the experiment in a fresh copy without a cache."""
    workflow = Sandbox(folder)
    workflow.write({"cache": None})
    command = [*workflow.command(), *arguments]
    return measured(command, folder, workflow.environment()).seconds


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure both ways and return the table."""
    own = seconds(folder / "own")
    plain = seconds(folder / "plain", *PLAIN)
    models = len(list((folder / "own/results/demo/scores").glob("*.json")))
    return "\n".join(
        [
            f"| the default experiment, {models} models, from nothing | s |",
            "|---|---|",
            f"| with `profiles/default` | {own:.0f} |",
            f"| with Snakemake's defaults, one process per job | {plain:.0f} |",
            f"| ratio | {plain / own:.1f} |",
            "",
            f"Two cores, n = 1; {machine()}.",
        ]
    )


if __name__ == "__main__":
    run(__doc__, "demo", measure)
