"""Artifacts that were made from other settings, or by other code, than those of this run.

Snakemake keeps its own record of the settings and the code of each job in `.snakemake`. The record
is lost when results are copied without it or when it is cleaned. Snakemake then takes every file
that is new enough for current. Each artifact carries its origin as well. The origins are compared
with the plan before a run, and the time of a stale artifact is set to the beginning of time: any
input is newer, so Snakemake makes it again. A rule that has no input reads the file `BEGINNING`.

Reading an artifact takes longer than asking for its time and size. So the origins are remembered in
`results/EXPERIMENT/.origins`, and only a file that has changed is read again. The memory also
holds the time that a stale artifact had: it is given back if a setting is changed back.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from skeletons.errors import ArtifactError
from skeletons.store import artifacts
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import BEGINNING, DATA
from skeletons.workflow.targets import Targets

MEMORY = ".origins"
STALE = 1_000_000_000  # the time of a stale artifact, in ns of the epoch
FIRST = 2_000_000_000  # that of BEGINNING, which is newer
Facts = tuple[int, int, str | None]  # time in ns, bytes and origin of a file


def expire(targets: Targets, lineages: Lineages) -> list[str]:
    """Make Snakemake remake the files of an experiment that are not what its configuration makes.

    Files that do not exist, or that carry no origin, are left out: Snakemake makes the first, and
    the readers of the others refuse them with a sentence.

    Returns:
        The stale files.
    """
    _begin()
    before = _recall(Path(targets.results) / MEMORY)
    known = remember(targets)
    stale = [
        path
        for path, facts in known.items()
        # A file that was put in another's place since the last run is new. It stays new, so that
        # the jobs that read it run, and refuse it.
        if before.get(path, facts) == facts and facts[2] not in (None, lineages.origin(path))
    ]
    expired = set(stale)
    for path, (time, _, _) in known.items():
        _set_time(path, STALE if path in expired else time)
    return stale


def remember(targets: Targets) -> dict[str, Facts]:
    """Remember the files that there are, also when a run has ended, and return their facts."""
    memory = Path(targets.results) / MEMORY
    before = _recall(memory)
    known = {path: facts for path in _all(targets) if (facts := _look(path, before)) is not None}
    if known != before:
        _write(memory, known)
    return known


def _begin() -> None:
    """Create the file that is older than every artifact."""
    path = Path(BEGINNING)
    with contextlib.suppress(OSError):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        _set_time(BEGINNING, FIRST)


def _set_time(path: str, time: int) -> None:
    """Give a file a time, if it has another; a file that belongs to somebody else keeps its own."""
    with contextlib.suppress(OSError):
        if Path(path).stat().st_mtime_ns != time:
            os.utime(path, ns=(time, time))


def _all(targets: Targets) -> Iterator[str]:
    """Every file that carries its origin."""
    yield from (f"{DATA}/{name}/info.json" for name in targets.plan.datasets)
    yield from (targets.images(name) for name in targets.plan.datasets)
    yield from targets.artifacts()
    yield from targets.similarity_tables()
    yield from (path for path, _, _ in targets.figures())
    yield from targets.inspection_figures()
    names = ("findings.json", "scores.parquet", "versions.json", "report.html")
    yield from (f"{targets.results}/{name}" for name in names)


def _look(path: str, before: dict[str, Facts]) -> Facts | None:
    """A file's time, size and origin; None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    if path in before:
        time, size, _ = before[path]
        if size == status.st_size and status.st_mtime_ns in (time, STALE):
            return before[path]
    return status.st_mtime_ns, status.st_size, artifacts.read_origin(path)


def _recall(memory: Path) -> dict[str, Facts]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
        return {str(path): (int(time), int(size), who) for path, (time, size, who) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(memory: Path, known: dict[str, Facts]) -> None:
    """Keep what was read; without it, the next start reads it again."""
    with contextlib.suppress(ArtifactError):
        if memory.parent.is_dir():
            artifacts.write_text(memory, json.dumps(known))
