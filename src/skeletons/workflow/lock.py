"""One run at a time in a folder of results.

Snakemake's own lock is a file that a killed run leaves behind, and that users must then remove with
`snakemake --unlock`. The operating system releases this lock when the process that holds it ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import TextIO

from skeletons.errors import ArtifactError, LockError

_held: list[TextIO] = []  # stays open until the process ends


def hold(folder: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Keep other runs out of a folder until this process ends.

    Source: flock(2).

    Args:
        folder: created if it does not exist.
        shared: whether other runs may share the lock, for a run that only reads there.

    Raises:
        LockError: another run holds the lock.
        ArtifactError: the folder cannot be written to.
    """
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"Cannot write to {folder}: {error.strerror or error}.") from None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        other = file.read().strip() or "a process that has just started"
        file.close()
        raise LockError(
            f"Another run is using {folder} ({other}); wait until it ends, or stop it, and run "
            "snakemake again."
        ) from None
    except OSError as error:  # some network file systems have no locks
        print(f"{folder} cannot be locked: {error.strerror or error}.", file=sys.stderr)
        file.close()
        return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _held.append(file)
