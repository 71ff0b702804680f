"""Delete experiments, and leave what they share with others."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from skeletons.config.types import EXPERIMENT_PATTERN
from skeletons.errors import ArtifactError, LockError
from skeletons.text import counted, listed, sized, there_are
from skeletons.workflow import lock

RESULTS, LOGS = Path("results"), Path("logs")
SHARED = ("data", ".cache")  # in RESULTS: the data sets and the run cache
KEPT = "README.md"  # in RESULTS: a page of the repository
RECORDS = Path(".snakemake")


@dataclass(frozen=True)
class Doomed:
    """A file, folder or link that is going to be deleted.

    Attributes:
        path: where it is.
        size: of all files in it, in bytes; a link has none, because what it leads to stays.
        files: their number.
    """

    path: Path
    size: int
    files: int

    def __str__(self) -> str:
        if self.path.is_symlink():
            return f"{self.path} (a link; what it leads to stays)"
        return f"{self.path} ({sized(self.size)} in {counted(self.files, 'file')})"


def of_experiments(names: Sequence[str]) -> list[Doomed]:
    """What belongs to these experiments alone, locked against runs until this process ends.

    Args:
        names: of experiments, or their folders, such as `results/demo`.

    Raises:
        ArtifactError: there is no such experiment.
        LockError: a run is using one.
    """
    chosen = list(dict.fromkeys(map(_known, names)))
    _keep_runs_out([RESULTS / name for name in chosen])
    return list(_measured(folder / name for name in chosen for folder in (RESULTS, LOGS)))


def of_everything() -> list[Doomed]:
    """All that runs have made: experiments, data sets, the run cache, logs, Snakemake's records.

    Raises:
        LockError: a run is using some of it.
    """
    made = sorted(path for path in RESULTS.glob("*") if path.name != KEPT)
    _keep_runs_out([path for path in made if path.is_dir() and path.name != ".cache"])
    return list(_measured([*made, LOGS, RECORDS]))


def delete(doomed: Sequence[Doomed]) -> None:
    """Delete files, folders and links.

    Raises:
        ArtifactError: one cannot be deleted.
    """
    for each in doomed:
        try:
            if each.path.is_dir() and not each.path.is_symlink():
                shutil.rmtree(each.path)
            else:
                each.path.unlink()
        except OSError as error:
            where = error.filename or each.path
            raise ArtifactError(f"Cannot delete {where}: {error.strerror or error}.") from None


def _known(named: str) -> str:
    """The name of an experiment that has results or logs."""
    name = os.path.normpath(named).removeprefix(f"{RESULTS}{os.sep}") if named else named
    if name in SHARED:
        raise ArtifactError(
            f"{RESULTS / name} is shared by all experiments; `skeletons remove --all` deletes it "
            "with them, and `skeletons cache --limit SIZE` makes the run cache smaller."
        )
    if re.fullmatch(EXPERIMENT_PATTERN, name) and any(
        (folder / name).is_dir() for folder in (RESULTS, LOGS)
    ):
        return name
    there = _experiments()
    near = difflib.get_close_matches(name, there, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    have = f"{there_are(there)}: {listed(there, most=8)}{hint}" if there else f"{RESULTS} has none"
    raise ArtifactError(f"There is no experiment {named!r} here; {have}.")


def _experiments() -> list[str]:
    found = {path.name for folder in (RESULTS, LOGS) for path in folder.glob("*") if path.is_dir()}
    return sorted(name for name in found - {*SHARED} if not name.startswith("."))


def _keep_runs_out(folders: Sequence[Path]) -> None:
    for folder in folders:
        if not (folder / ".lock").exists():  # no run has ever been here
            continue
        try:
            lock.hold(folder)
        except LockError as error:
            user = re.search(r"\((.*?)\)", str(error))
            raise LockError(
                f"A run is using {folder} ({user[1] if user else 'a process'}); wait until it "
                "ends, or stop it, and remove again."
            ) from None


def _measured(paths: Sequence[Path] | Iterator[Path]) -> Iterator[Doomed]:
    """Those that exist, with their sizes."""
    for path in paths:
        if path.is_symlink():
            yield Doomed(path, 0, 0)
        elif path.exists():
            files = [path] if path.is_file() else [p for p in path.rglob("*") if not p.is_dir()]
            yield Doomed(path, sum(file.lstat().st_size for file in files), len(files))
