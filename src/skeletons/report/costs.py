"""What each measured job of an experiment cost, from the benchmarks that Snakemake writes.

A benchmark is not an artifact: it differs from run to run, nothing is made from it, and it may
be missing or cut short. So the report shows those that exist, and names the jobs that should have
one but have none. Jobs inside Snakemake's own process are not measured, and neither are data sets,
which experiments share.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from skeletons.errors import SkeletonsError
from skeletons.model_ids import (
    BASE,
    FORKED,
    LABELS,
    PLANTED,
    REGULARIZED,
    REORDERED,
    UNTRAINED,
    Model,
)

COLUMNS = ("stage", "job", "cpu_s", "wall_s", "peak_mb")
MADE_BY = {  # the stage that trains a model of each state, or makes its initial weights
    BASE: "train_base",
    REORDERED: "reorder",
    UNTRAINED: "untrained",
    REGULARIZED: "regularize",
    FORKED: "fork",
    LABELS: "relabel",
    PLANTED: "plant",
}
SUFFIX = ".tsv"  # a name may contain a point, for example `l1=0.0002`


def read(folder: Path, models: Collection[str]) -> pd.DataFrame:
    """One row per job: stage, job, CPU seconds, wall seconds and largest resident memory in MB.

    Args:
        folder: the experiment's `benchmarks`. It has a file for a stage of one job, or a folder
            with a file for each job of a stage. It need not exist.
        models: the models of the experiment; jobs of other models are left out, except those of
            checkpoints on the way to them.
    """
    rows = []
    for path, stage, job in _benchmarks(folder, models):
        numbers = _numbers(path)
        if numbers is not None:
            rows.append((stage, job, *numbers))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def unmeasured(folder: Path, models: Collection[str]) -> list[tuple[str, str]]:
    """The jobs without a measurement, by stage and job.

    They are those that made a model but left no benchmark, and those of all stages whose benchmark
    cannot be read. The arguments are those of `read`.
    """
    found = _benchmarks(folder, models)
    measured = {(stage, job) for path, stage, job in found if _numbers(path) is not None}
    jobs = {(stage, job) for _, stage, job in found}
    for name in _made(models):
        stage = Model.parse(name).stage
        if stage in MADE_BY and not Model.parse(name).is_own_base:
            jobs.add((MADE_BY[stage], _job_of(name)))
    return sorted(jobs - measured)


def _made(models: Collection[str]) -> set[str]:
    """These models, and the walked ones that they are made from, which may not be compared."""
    found = set(models)
    for name in models:
        model = Model.parse(name)
        while model.epochs is not None:
            found.add(str(model.of(l1=model.l1, epochs=model.epochs)))
            model = model.parent
    return found


def _job_of(name: str) -> str:
    """The name of the job that makes a model with initial or trained weights."""
    return name.removesuffix("_untrained")


def _benchmarks(folder: Path, models: Collection[str]) -> list[tuple[Path, str, str]]:
    """Each benchmark with its stage and job; without those of models that were taken out."""
    found, trained = [], _made(models)
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        first, *rest = path.relative_to(folder).parts
        stage, job = first.removesuffix(SUFFIX), "/".join(rest or [first]).removesuffix(SUFFIX)
        known = trained if stage in MADE_BY.values() else models
        names = path.name.removesuffix(SUFFIX).split("--")
        if not any(_is_gone(name, known) for name in names):
            found.append((path, stage, job))
    return found


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
