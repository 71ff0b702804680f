"""What each measured job of an experiment cost, from the benchmarks that Snakemake writes.

A benchmark is not an artifact: it differs from run to run, and nothing is made from it. A benchmark
that is missing or incomplete is left out.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model

COLUMNS = ("stage", "job", "cpu_s", "wall_s", "peak_mb")
SUFFIX = ".tsv"  # a name may contain a point, for example `l1=0.0002`


def read(folder: Path, models: Collection[str]) -> pd.DataFrame:
    """One row per job: stage, job, CPU seconds, wall seconds and largest resident memory in MB.

    Args:
        folder: the experiment's `benchmarks`. It has a file for a stage of one job, or a folder
            with a file for each job of a stage. It need not exist.
        models: the models of the experiment; jobs of other models are left out.
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
    """One row per stage, the longest first: jobs, sums of both times, and the largest memory."""
    grouped = jobs.groupby("stage", as_index=False).agg(
        jobs=("job", "size"),
        cpu_s=("cpu_s", "sum"),
        wall_s=("wall_s", "sum"),
        peak_mb=("peak_mb", "max"),
    )
    return grouped.sort_values("cpu_s", ascending=False, ignore_index=True)


def _numbers(path: Path) -> tuple[float, float, float] | None:
    """CPU seconds, wall seconds and MB of a benchmark; None if it is incomplete."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        return float(row["cpu_time"]), float(row["s"]), float(row["max_rss"])
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return None


def _is_gone(name: str, models: Collection[str]) -> bool:
    """Whether a job is named after a model that the experiment does not have."""
    try:
        Model.parse(name)
    except SkeletonsError:
        return False
    return name not in models
