"""The run cache: the results of costly jobs by recipe, so that nothing is computed twice.

Each recipe has a folder with copies of the job's files and a manifest of their digests. The folder
is created under another name and renamed when complete, so two runs may write at the same time. An
entry is checked when it is used: a damaged one costs a computation but never gives a wrong result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skeletons.errors import ArtifactError
from skeletons.store import artifacts, provenance

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """The stored files of one job.

    Attributes:
        folder: that holds them.
        size: in bytes.
        used: when they were last used, in seconds since the epoch.
    """

    folder: Path
    size: int
    used: float


class _DamagedError(Exception):
    """A stored file is missing or was changed."""


def _copy_checked(source: Path, target: Path, about: Mapping[str, str]) -> None:
    """Copy a stored file and check the copy against the manifest.

    Another run may remove the file at the same time.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise _DamagedError from error
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise _DamagedError
    target.write_bytes(content)


# Folders in a cache: of entries by the first two digits of their keys, and unfinished ones.
# File systems and desktops leave files, too.
INSIDE = r"[0-9a-f]{2}|\.[a-z0-9_]{8}|\.nfs\w+|\.DS_Store"


class RunCache:
    """A folder of stored results; it is created when the first result is stored."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def _entry(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def fetch(self, key: str, outputs: Mapping[str, str]) -> bool:
        """Copy the stored files of a job to its outputs.

        Args:
            key: the key of the job's recipe.
            outputs: the path of each file, by its place in the experiment.

        Returns:
            Whether all files were present and undamaged; if not, none is written.

        Raises:
            ArtifactError: a file cannot be written.
        """
        entry = self._entry(key)
        try:
            manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            with contextlib.ExitStack() as stack:
                for name, path in outputs.items():
                    temporary = stack.enter_context(artifacts.atomic(path))
                    _copy_checked(entry / manifest[name]["file"], temporary, manifest[name])
        except FileNotFoundError:
            return False
        except (_DamagedError, OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(entry, ignore_errors=True)
            return False
        with contextlib.suppress(OSError):
            os.utime(entry)
        return True

    def drop(self, key: str) -> None:
        """Forget the stored files of a job, so that it computes them again."""
        shutil.rmtree(self._entry(key), ignore_errors=True)

    def keep(self, key: str, outputs: Mapping[str, str]) -> None:
        """Store copies of a job's files. If another run stores them at the same time, one is kept.

        Raises:
            OSError: the copies cannot be written.
        """
        entry = self._entry(key)
        if entry.is_dir():
            return
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
        try:
            manifest = {}
            for number, (name, path) in enumerate(sorted(outputs.items())):
                file = f"{number}{Path(path).suffix}"
                shutil.copyfile(path, temporary / file)
                manifest[name] = {"file": file, "sha256": provenance.file_digest(path)}
            (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            temporary.chmod(0o777 & ~artifacts.UMASK)
            with contextlib.suppress(FileExistsError):
                temporary.rename(entry)
        except OSError:
            if not entry.is_dir():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def check(self) -> None:
        """Check that the folder holds nothing but a run cache, because pruning deletes from it.

        Raises:
            ArtifactError: it does not exist, or holds something else.
        """
        if not self.folder.is_dir():
            raise ArtifactError(
                f"{self.folder} is not a folder; allowed: the folder of a run cache, which a run "
                "makes (`cache` in the configuration)."
            )
        names = sorted(path.name for path in self.folder.iterdir())
        odd = next((name for name in names if not re.fullmatch(INSIDE, name)), None)
        if odd is not None:
            raise ArtifactError(
                f"{self.folder} is not a run cache: found {odd!r} in it; allowed: the folder that "
                "`cache` names in the configuration."
            )

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first."""
        found = []
        for folder in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                size = sum(path.stat().st_size for path in folder.iterdir())
                found.append(Entry(folder, size, folder.stat().st_mtime))
        return sorted(found, key=lambda entry: (entry.used, entry.folder))

    def prune(self, limit: int) -> list[Entry]:
        """Remove the least recently used entries until the others have at most `limit` bytes.

        Unfinished entries of interrupted runs are removed as well.

        Returns:
            The removed entries.
        """
        for leftover in self.folder.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        removed = []
        for entry in entries:
            if total <= limit:
                break
            shutil.rmtree(entry.folder, ignore_errors=True)
            total -= entry.size
            removed.append(entry)
        return removed
