"""One run at a time where results are made, whatever became of the run before.

Snakemake's own lock is a file that a killed run leaves behind, to be removed by hand. This one is
the operating system's: it ends with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import TextIO

from skeletons.errors import ArtifactError, LockError

_held: list[TextIO] = []  # open as long as the process lives


def hold(folder: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Keep other runs out of a folder until this process ends.

    Source: flock(2).

    Args:
        folder: made if it is not there.
        shared: keep out only those that do not share it, being one that only reads there.

    Raises:
        LockError: another run is at work there.
        ArtifactError: nothing can be written there.
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
        other = file.read().strip() or "a process that has just begun"
        file.close()
        raise LockError(
            f"Another run is at work in {folder} ({other}); wait for its end, or stop it, and run "
            "snakemake again."
        ) from None
    except OSError as error:  # some network file systems have no locks
        print(f"Runs in {folder} are not kept apart: {error.strerror or error}.", file=sys.stderr)
        file.close()
        return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    _held.append(file)
