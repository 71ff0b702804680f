"""One run at a time in a folder of results.

Snakemake's own lock is a file that a killed run leaves behind, and that users must then remove with
`snakemake --unlock`. The operating system releases these locks when the process that holds one
ends. On a cluster, they hold on all machines that share the file system, if it has locks at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from skeletons.errors import ArtifactError, LockError

WAITING = "Waiting: "  # begins the sentence in a log about what a job waits for

_held: list[TextIO] = []  # stays open until the process ends


def hold(folder: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Keep other runs out of a folder until this process ends.

    Source: flock(2).

    Args:
        folder: created if it does not exist.
        shared: whether other runs may share the lock, to keep out only those that may not.

    Raises:
        LockError: another run holds the lock.
        ArtifactError: the folder cannot be written to.
    """
    file = _open(folder)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        other = _holder(file)
        file.close()
        raise LockError(
            f"Another run is using {folder} ({other}); wait until it ends, or stop it, and run "
            "snakemake again."
        ) from None
    except OSError as error:
        _report_unlocked(folder, error)
        file.close()
        return
    _sign(file)
    _held.append(file)


@contextlib.contextmanager
def alone(folder: str | os.PathLike[str], say: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes out of a folder in this block; wait until none is in such a block.

    Args:
        folder: created if it does not exist.
        say: is called with a sentence if another process has to be waited for.

    Raises:
        ArtifactError: the folder cannot be written to.
    """
    with _open(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{WAITING}another run is making {folder} ({_holder(file)}).")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            _report_unlocked(folder, error)
        _sign(file)
        yield


def _open(folder: str | os.PathLike[str]) -> TextIO:
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"Cannot write to {folder}: {error.strerror or error}.") from None


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "a process that has just started"


def _sign(file: TextIO) -> None:
    """Write which process holds the lock."""
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()


def _report_unlocked(folder: str | os.PathLike[str], error: OSError) -> None:
    """Report a folder on a file system without locks, as some network file systems are."""
    print(f"{folder} cannot be locked: {error.strerror or error}.", file=sys.stderr)
