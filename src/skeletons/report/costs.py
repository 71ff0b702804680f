"""What each measured job of an experiment cost, from the benchmarks that Snakemake writes.

A benchmark is no artifact: no two runs give the same, nothing is made from it, and one that is
missing or cut short says nothing. So what is there is read, and what is not is left out.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model

COLUMNS = ("stage", "job", "cpu_s", "wall_s", "peak_mb")
SUFFIX = ".tsv"  # a name may have a point of its own, as in `l1=0.0002`


def read(folder: Path, models: Collection[str]) -> pd.DataFrame:
    """One row a job: stage, job, CPU seconds, wall seconds and largest resident memory in MB.

    Args:
        folder: the experiment's `benchmarks`, with a file for a stage of one job, or a folder with
            a file for each of its jobs; need not exist.
        models: the experiment's; jobs of models that were taken out of it are left out.
    """
    rows = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        job = path.name.removesuffix(SUFFIX)
        stage = job if path.parent == folder else path.relative_to(folder).parts[0]
        numbers = _numbers(path)
        if numbers is not None and not any(_is_gone(name, models) for name in job.split("--")):
            rows.append((stage, job, *numbers))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def by_stage(jobs: pd.DataFrame) -> pd.DataFrame:
    """One row a stage, the dearest first: jobs, the sums of both times, and the largest memory."""
    grouped = jobs.groupby("stage", as_index=False).agg(
        jobs=("job", "size"),
        cpu_s=("cpu_s", "sum"),
        wall_s=("wall_s", "sum"),
        peak_mb=("peak_mb", "max"),
    )
    return grouped.sort_values("cpu_s", ascending=False, ignore_index=True)


def _numbers(path: Path) -> tuple[float, float, float] | None:
    """CPU seconds, wall seconds and MB of a benchmark; None if it does not say."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        return float(row["cpu_time"]), float(row["s"]), float(row["max_rss"])
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return None


def _is_gone(name: str, models: Collection[str]) -> bool:
    """Whether a job's name is a model's, but of none that the experiment has."""
    try:
        Model.parse(name)
    except SkeletonsError:
        return False
    return name not in models
