"""Where the time of a finished run went: a figure of what ran when, and a table by stage.

python benchmarks/timeline.py --folder . --experiment demo --figure docs/figures/timeline.svg \
    --write docs/performance.md

The times come from Snakemake's own records of when each job started and ended. Jobs inside
Snakemake's process share one interpreter, so two at once do not use two cores. They are drawn as
they overlap.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from sandbox import publish


@dataclass(frozen=True, order=True)
class Job:
    """One job: its start and end in seconds since the first job started, and its rule."""

    begin: float
    end: float
    rule: str


def jobs_of(folder: Path, experiment: str) -> list[Job]:
    """The jobs of an experiment's last run, in the order in which they started."""
    found: dict[str, Job] = {}
    for path in (folder / ".snakemake" / "metadata").rglob("*"):
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        begin, end, log = record["starttime"], record["endtime"], "".join(record["log"])
        if f"/{experiment}/" in log and end:
            # A record belongs to an output and ends when that was written. A log belongs to a job.
            last = max(end, found[log].end) if log in found else end
            found[log] = Job(begin, last, record["rule"])
    first = min(job.begin for job in found.values())
    return sorted(Job(j.begin - first, j.end - first, j.rule) for j in found.values())


def rows_of(jobs: Sequence[Job]) -> list[int]:
    """Assign each job the first row in which it overlaps no other job."""
    free: list[float] = []
    rows = []
    for job in jobs:
        row = next((k for k, end in enumerate(free) if end <= job.begin), len(free))
        free[row : row + 1] = [job.end]
        rows.append(row)
    return rows


def busy(jobs: Iterable[Job]) -> tuple[float, float]:
    """The seconds in which no job ran, and those in which only one ran."""
    edges = sorted([(j.begin, 1) for j in jobs] + [(j.end, -1) for j in jobs])
    running, last, spent = 0, 0.0, [0.0, 0.0]
    for time, change in edges:
        if running < len(spent):
            spent[running] += time - last
        running, last = running + change, time
    return spent[0], spent[1]


def draw(jobs: Sequence[Job], path: Path) -> None:
    """Draw one bar per job, coloured by its rule."""
    rules = sorted(
        {job.rule for job in jobs}, key=lambda r: min(j.begin for j in jobs if j.rule == r)
    )
    colours = dict(zip(rules, sns.color_palette("husl", len(rules)), strict=True))
    rows = rows_of(jobs)
    figure, axes = plt.subplots(figsize=(10, 1.2 + 0.35 * (max(rows) + 1)))
    for rule in rules:
        chosen = [
            (j.begin, row, j.end - j.begin)
            for j, row in zip(jobs, rows, strict=True)
            if j.rule == rule
        ]
        begins, places, widths = zip(*chosen, strict=True)
        axes.barh(
            places,
            widths,
            left=begins,
            height=0.9,
            color=colours[rule],
            label=rule,
            rasterized=True,
        )
    axes.set(xlabel="seconds since the first job began", ylabel="jobs at once", yticks=[])
    axes.legend(
        ncols=6, fontsize="x-small", loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False
    )
    sns.despine(left=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def table_of(jobs: Sequence[Job]) -> str:
    """Jobs and seconds by rule, longest first, and the time in which no job or only one ran."""
    total = sum(job.end - job.begin for job in jobs)
    lines = ["| stage | jobs | total seconds | share |", "|---|---|---|---|"]
    seconds = {
        rule: sum(j.end - j.begin for j in jobs if j.rule == rule)
        for rule in {j.rule for j in jobs}
    }
    for rule in sorted(seconds, key=lambda r: -seconds[r]):
        count = sum(job.rule == rule for job in jobs)
        lines.append(
            f"| `{rule}` | {count:,} | {seconds[rule]:,.1f} | {seconds[rule] / total:.0%} |"
        )
    idle, alone = busy(jobs)
    wall = max(job.end for job in jobs)
    lines += [
        "",
        f"From the start of the first job to the end of the last, {wall:.0f} s passed. No job ran ",
    ]
    lines[-1] += f"for {idle:.0f} s of them, and only one job for {alone:.0f} s."
    return "\n".join(lines)


def main() -> None:
    """Draw the figure and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="where the workflow ran")
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/timeline.svg"))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table to this page")
    options = parser.parse_args()
    jobs = jobs_of(options.folder, options.experiment)
    draw(jobs, options.figure)
    table = table_of(jobs)
    print(table)
    if options.write:
        publish(options.write, "timeline", table)


if __name__ == "__main__":
    main()
