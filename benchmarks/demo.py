"""The default experiment from nothing: as it is, and as plain Snakemake would run it.

python benchmarks/demo.py --write docs/performance.md

Plain means Snakemake's own defaults instead of `profiles/default`: its scheduler, and a process for
every job.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from grid import measured
from sandbox import Sandbox, machine, publish

PLAIN = ("--workflow-profile", "none", "--nolock")


def seconds(folder: Path, *arguments: str) -> float:
    """Wall seconds of the experiment in a fresh copy without a cache."""
    workflow = Sandbox(folder)
    workflow.write({"cache": None})
    command = [*workflow.command(), *arguments]
    return measured(command, folder, workflow.environment()).seconds


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    try:
        own = seconds(folder / "own")
        plain = seconds(folder / "plain", *PLAIN)
        models = len(list((folder / "own/results/demo/scores").glob("*.json")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table = "\n".join(
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
    print(table)
    if options.write:
        publish(options.write, "demo", table)


if __name__ == "__main__":
    main()
