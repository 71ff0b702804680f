"""Artifacts that were made from other settings, or by other code, than those of this run.

Snakemake keeps its own record of the settings and the code of each job in `.snakemake`. The record
is lost when results are copied without it or when it is cleaned. Snakemake then takes every file
that is new enough for current. Each artifact carries its origin as well. The origins are compared
with the plan before a run, and the time of a stale artifact is set to the beginning of time: any
input is newer, so Snakemake makes it again. A rule that has no input reads the file `BEGINNING`.

Reading an artifact takes longer than asking for its time and size. So the origins are remembered in
`results/EXPERIMENT/.origins`, and only a file that has changed is read again. The memory also
holds the time that a stale artifact had: it is given back if a setting is changed back.

A file that was put in another's place keeps its time at first, so that the jobs that read it run,
and refuse it with a sentence. From the next run on, it is stale. Nothing refuses a figure or a
page, so these are stale at once. Snakemake's record of the job that made the file before says that
its inputs are the same, whatever their times; so this record has to be forgotten.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from skeletons.errors import ArtifactError
from skeletons.store import artifacts
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import BEGINNING, DATA
from skeletons.workflow.targets import Targets

MEMORY = ".origins"
STALE = 1_000_000_000  # the time of a stale artifact, in ns of the epoch
FIRST = 2_000_000_000  # that of BEGINNING, which is newer
UNREFUSED = (".svg", ".html")  # the reader of such a file does not check its origin


class Facts(NamedTuple):
    """What is remembered of a file.

    Attributes:
        time: when it was written, in ns of the epoch.
        size: in bytes.
        origin: see `provenance.origin_of`; None if it does not carry one.
        replaced: whether it was changed between two runs.
    """

    time: int
    size: int
    origin: str | None
    replaced: bool = False


def expire(targets: Targets, lineages: Lineages) -> list[str]:
    """Make Snakemake remake the files of an experiment that are not what its configuration makes.

    Files that do not exist, or that carry no origin, are left out: Snakemake makes the first, and
    the readers of the others refuse them with a sentence.

    Returns:
        The files of the jobs whose records Snakemake has to forget.
    """
    _begin()
    memory = Path(targets.results) / MEMORY
    before = _recall(memory)
    found = _survey(targets, lineages, before, between_runs=True)
    _keep(memory, before, found)
    misplaced = []
    for path, (facts, time) in found.items():
        stale = facts.origin not in (None, lineages.origin(path))
        stale &= before.get(path, facts) == facts or path.endswith(UNREFUSED)
        if stale and facts.replaced:
            misplaced.append(path)
        wanted = STALE if stale else facts.time
        if time != wanted:
            _set_time(path, wanted)
    return _with_siblings(misplaced, targets, lineages)


def _with_siblings(paths: list[str], targets: Targets, lineages: Lineages) -> list[str]:
    """Some files, and those that the same jobs make."""
    if not paths:
        return []
    made = [lineages.making(path) for path in paths]
    there = [*Path(targets.results).rglob("*.*"), *Path(DATA).rglob("*.*")]
    return [path for path in map(str, there) if lineages.making(path) in made]


def remember(targets: Targets, lineages: Lineages) -> None:
    """Remember the files that there are, when a run has ended."""
    memory = Path(targets.results) / MEMORY
    before = _recall(memory)
    _keep(memory, before, _survey(targets, lineages, before, between_runs=False))


def _survey(
    targets: Targets, lineages: Lineages, before: dict[str, Facts], *, between_runs: bool
) -> dict[str, tuple[Facts, int]]:
    """The facts of each file that there is, and the time that it has now, in ns of the epoch.

    Args:
        targets: of the experiment.
        lineages: of its artifacts.
        before: what is remembered.
        between_runs: whether no run has made files since then.
    """
    looks = ((path, _look(path, before, between_runs)) for path in _all(targets, lineages))
    return {path: look for path, look in looks if look is not None}


def _begin() -> None:
    """Create the file that is older than every artifact."""
    path = Path(BEGINNING)
    with contextlib.suppress(OSError):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if path.stat().st_mtime_ns != FIRST:
            _set_time(BEGINNING, FIRST)


def _set_time(path: str, time: int) -> None:
    """Give a file a time; a file that belongs to somebody else keeps its own."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time, time))


def _all(targets: Targets, lineages: Lineages) -> Iterator[str]:
    """Every file that carries its origin.

    To the files that the run must make come those that their jobs read: alignments, and checkpoints
    that a walk passes on its way.
    """
    known = dict.fromkeys(_made(targets))
    waiting = list(known)
    while waiting:
        making = lineages.making(waiting.pop())
        new = [path for path in making.reads if path not in known] if making else []
        known |= dict.fromkeys(new)
        waiting += new
    return iter(known)


def _made(targets: Targets) -> Iterator[str]:
    """The files that a run makes, by the plan."""
    yield from (f"{DATA}/{name}/info.json" for name in targets.plan.datasets)
    yield from (targets.images(name) for name in targets.plan.datasets)
    yield from targets.artifacts()
    yield from targets.similarity_tables()
    yield from (path for path, _, _ in targets.figures())
    yield from targets.inspection_figures()
    names = ("verdict.json", "findings.json", "scores.parquet", "versions.json", "report.html")
    yield from (f"{targets.results}/{name}" for name in names)


def _look(path: str, before: dict[str, Facts], between_runs: bool) -> tuple[Facts, int] | None:
    """The facts of a file, and the time that it has now; None if it does not exist."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for thousands of paths, a Path each costs more
    except OSError:
        return None
    now, size = status.st_mtime_ns, status.st_size
    known = before.get(path)
    if known and known.size == size and now in (known.time, STALE):
        return known, now
    replaced = between_runs and known is not None
    return Facts(now, size, artifacts.read_origin(path), replaced), now


def _recall(memory: Path) -> dict[str, Facts]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        return {
            str(path): Facts(int(time), int(size), origin, bool(replaced))
            for path, (time, size, origin, replaced) in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(memory: Path, before: dict[str, Facts], found: dict[str, tuple[Facts, int]]) -> None:
    """Keep what was read, if it has changed; without it, the next start reads it again."""
    known = {path: facts for path, (facts, _) in found.items()}
    if known != before and memory.parent.is_dir():
        with contextlib.suppress(ArtifactError):
            artifacts.write_text(memory, json.dumps(known))
