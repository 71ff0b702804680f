"""Where the time of a finished run went: a picture of what ran when, and a table by stage.

python benchmarks/timeline.py --folder . --experiment demo --figure docs/figures/timeline.svg \
    --write docs/performance.md

Read from Snakemake's own records of when each job began and ended. Jobs inside Snakemake's process
share one interpreter, so that two at once are not two cores' work; they are drawn as they overlap.
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
    """One job: seconds since the first began, and its rule."""

    begin: float
    end: float
    rule: str


def jobs_of(folder: Path, experiment: str) -> list[Job]:
    """The jobs of an experiment's last run, in the order in which they began."""
    found: dict[str, Job] = {}
    for path in (folder / ".snakemake" / "metadata").rglob("*"):
        if not path.is_file():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        begin, end, log = record["starttime"], record["endtime"], "".join(record["log"])
        if f"/{experiment}/" in log and end:
            # A record is of an output, and its end is when that was written: a log is of a job.
            last = max(end, found[log].end) if log in found else end
            found[log] = Job(begin, last, record["rule"])
    first = min(job.begin for job in found.values())
    return sorted(Job(j.begin - first, j.end - first, j.rule) for j in found.values())


def rows_of(jobs: Sequence[Job]) -> list[int]:
    """A row for each job such that no two in a row overlap, filled from the first."""
    free: list[float] = []
    rows = []
    for job in jobs:
        row = next((k for k, end in enumerate(free) if end <= job.begin), len(free))
        free[row : row + 1] = [job.end]
        rows.append(row)
    return rows


def busy(jobs: Iterable[Job]) -> tuple[float, float]:
    """For how many seconds no job ran, and for how many just one did."""
    edges = sorted([(j.begin, 1) for j in jobs] + [(j.end, -1) for j in jobs])
    running, last, spent = 0, 0.0, [0.0, 0.0]
    for time, change in edges:
        if running < len(spent):
            spent[running] += time - last
        running, last = running + change, time
    return spent[0], spent[1]


def draw(jobs: Sequence[Job], path: Path) -> None:
    """A bar a job, coloured by its rule."""
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
    """Jobs and seconds by rule, the longest first, and what no job used."""
    total = sum(job.end - job.begin for job in jobs)
    lines = ["| stage | jobs | seconds in all | share |", "|---|---|---|---|"]
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
        f"From the first job's begin to the last one's end {wall:.0f} s; for {idle:.0f} s of ",
    ]
    lines[-1] += f"them no job ran, for {alone:.0f} s just one."
    return "\n".join(lines)


def main() -> None:
    """Draw the picture and print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="where the workflow ran")
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/timeline.svg"))
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    options = parser.parse_args()
    jobs = jobs_of(options.folder, options.experiment)
    draw(jobs, options.figure)
    table = table_of(jobs)
    print(table)
    if options.write:
        publish(options.write, "timeline", table)


if __name__ == "__main__":
    main()
